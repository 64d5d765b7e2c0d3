//! Models in the engine's own process, as `eval.run` hears them: one model, or two that decide together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use tch::{Device, Kind};

use crate::base::{Digest, OpError};
use crate::data::cell::Cell;
use crate::data::rowexpr::Program;
use crate::data::table::Table;
use crate::engine::{Artifact, Context, Store};
use crate::eval::calibration::scaled;
use crate::eval::stats::{largest, softmax};
use crate::eval::{Decoding, Generate, Picture, Prompt, Reply};
use crate::model::collate::{IGNORE, Sample};
use crate::model::{Likelihood, QwenVl, Tokenizer, generate, guard, score_prompts, set_threads};
use crate::ops::fuse::two_tier::Fusion;
use crate::ops::gpu;
use crate::train::encoder::{Encoder, Limits};
use crate::train::rows::{Medium, TextRow, asked};

/// Prompts generated side by side, at most.
const BATCH: usize = 64;

/// Opens a model folder; one with `fusion.json` is a fused model.
///
/// # Errors
/// As [`QwenVl::load`]; E0503 when `fusion.json` cannot be read.
pub fn open(
    cx: &Context,
    model: &Artifact,
    folder: &Path,
    pixels: (Option<u64>, Option<u64>),
) -> Result<Box<dyn Generate>, OpError> {
    set_threads(cx.threads);
    let device = gpu::device(cx)?;
    let local = |name: &str| Local::open(&folder.join(name), pixels, device, cx.store.clone());
    let temperature = model.meta["temperature"].as_f64().unwrap_or(1.0);
    let Some(file) = model.files.get("fusion.json") else {
        return Ok(Box::new(Local { temperature, ..local("")? }));
    };
    let fusion: Fusion = serde_json::from_slice(&cx.store.read(file.digest)?)
        .map_err(|e| OpError::new("E0503", format!("fusion.json: {e}")))?;
    let router = if fusion.router == "classifier" { Some(local("classifier")?) } else { None };
    let [base, expert] = ["base", "expert"].map(|name| {
        let temperature = fusion.temperatures.get(name).copied().unwrap_or(1.0);
        Ok::<_, OpError>(Local { temperature, ..local(name)? })
    });
    Ok(Box::new(Fused { base: base?, expert: expert?, router, fusion, tiers: BTreeMap::new() }))
}

/// One model.
struct Local {
    model: QwenVl,
    encoder: Encoder,
    tokenizer: Tokenizer,
    store: Store,
    /// What the probabilities of answers are scaled by; those that route are not.
    temperature: f64,
}

/// What a model is told, and shown.
#[derive(Default)]
struct Message {
    system: Option<String>,
    text: String,
    pictures: Vec<Medium>,
    videos: Vec<Vec<Medium>>,
}

fn medium(picture: &Picture) -> Medium {
    Medium { digest: picture.digest.hex(), media: picture.media.clone() }
}

impl Local {
    fn open(folder: &Path, pixels: (Option<u64>, Option<u64>), device: Device, store: Store) -> Result<Self, OpError> {
        let model = QwenVl::load(folder, device, Kind::Float)?;
        let encoder = Encoder::open(folder, &model.config, Limits { pixels, ..Limits::default() })?;
        Ok(Self { encoder, tokenizer: Tokenizer::load(folder)?, model, store, temperature: 1.0 })
    }

    /// Encodes prompts as [`Self::encode`] does their messages.
    fn prompts(&self, prompts: &[Prompt]) -> Result<Vec<Result<Sample, String>>, OpError> {
        let texts: Vec<String> = prompts.iter().map(Prompt::show).collect();
        let message = |(p, text): (&'_ Prompt, &'_ String)| Message {
            system: p.system.clone(),
            text: text.clone(),
            pictures: p.pictures().into_iter().map(medium).collect(),
            videos: p.videos().into_iter().map(|film| film.iter().map(medium).collect()).collect(),
        };
        self.encode(prompts.iter().zip(&texts).map(message).collect())
    }

    /// Returns the ids of each message up to where the reply begins, as training encodes them, or why there are none.
    fn encode(&self, messages: Vec<Message>) -> Result<Vec<Result<Sample, String>>, OpError> {
        let row = |(i, message): (usize, Message)| TextRow {
            name: i.to_string(),
            system: message.system,
            messages: asked(&message.text),
            replies: vec![String::new()],
            images: message.pictures,
            videos: message.videos,
            cells: None,
            phrases: Vec::new(),
        };
        let rows: Vec<TextRow> = messages.into_iter().enumerate().map(row).collect();
        let (encoded, gallery, lost) = self.encoder.encode(&rows, &self.store, &|_| {})?;
        let mut out: Vec<Result<Sample, String>> = vec![Err("not encoded".to_owned()); rows.len()];
        for (row, why) in lost {
            out[row] = Err(why);
        }
        // All at once, so that questions about one picture hold the same one.
        let (places, examples): (Vec<usize>, Vec<_>) =
            encoded.iter().flat_map(|row| row.examples.iter().map(|e| (row.row, e))).unzip();
        for (place, mut sample) in places.into_iter().zip(gallery.samples(&examples)) {
            // The empty reply's end mark carries the only labels: the prompt is what stands before it.
            let prompt = sample.labels.iter().position(|l| *l != IGNORE).unwrap_or(sample.ids.len());
            sample.ids.truncate(prompt);
            sample.labels.truncate(prompt);
            out[place] = Ok(sample);
        }
        Ok(out)
    }

    /// Returns the probability of each option of a prompt at the model's temperature; nothing for a prompt without options, or one that
    /// was lost.
    fn opinions(&self, prompts: &[Prompt]) -> Result<Vec<Option<Vec<f64>>>, OpError> {
        self.weighed(prompts, &self.prompts(prompts)?)
    }

    /// As [`Self::opinions`], of prompts that are encoded already.
    fn weighed(
        &self,
        prompts: &[Prompt],
        samples: &[Result<Sample, String>],
    ) -> Result<Vec<Option<Vec<f64>>>, OpError> {
        let asked: Vec<usize> = (0..prompts.len()).filter(|i| prompts[*i].options.len() > 1).collect();
        let options: Vec<&[String]> = asked.iter().map(|i| prompts[*i].options.as_slice()).collect();
        let found = self.likelihoods(asked.iter().map(|i| samples[*i].clone()).collect(), &options)?;
        let mut out = vec![None; prompts.len()];
        for (place, p) in asked.into_iter().zip(found) {
            out[place] = p.map(|p| if self.temperature == 1.0 { p } else { scaled(&p, self.temperature) });
        }
        Ok(out)
    }

    /// Returns the probability of each option among the options as the whole reply; `None` where the message was lost.
    fn likelihoods(
        &self,
        samples: Vec<Result<Sample, String>>,
        options: &[&[String]],
    ) -> Result<Vec<Option<Vec<f64>>>, OpError> {
        let end = self.tokenizer.closing()?;
        let ids = |option: &String| -> Result<Vec<i64>, OpError> {
            Ok(self.tokenizer.ids(option)?.into_iter().chain(end).collect())
        };
        let (mut places, mut ready, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        let count = samples.len();
        for (place, sample) in samples.into_iter().enumerate() {
            if let Ok(sample) = sample {
                places.push(place);
                ready.push(sample);
                wanted.push(options[place].iter().map(ids).collect::<Result<Vec<_>, _>>()?);
            }
        }
        let pad = self.tokenizer.pad_id;
        let scored = guard("option likelihoods", || score_prompts(&self.model, &ready, &wanted, pad))??;
        let mut out = vec![None; count];
        for (place, scored) in places.into_iter().zip(scored) {
            out[place] = Some(softmax(&scored.iter().map(Likelihood::sum).collect::<Vec<_>>()));
        }
        Ok(out)
    }
}

impl Generate for Local {
    fn generate(&mut self, prompts: &[Prompt], decoding: &Decoding) -> Result<Vec<Result<Reply, String>>, OpError> {
        let samples = self.prompts(prompts)?;
        let opinions = if decoding.option_p { self.weighed(prompts, &samples)? } else { Vec::new() };
        let (places, ready): (Vec<usize>, Vec<Sample>) =
            samples.iter().enumerate().filter_map(|(i, s)| s.as_ref().ok().map(|s| (i, s.clone()))).unzip();
        let options = crate::model::Decoding {
            max_tokens: decoding.max_tokens as usize,
            temperature: decoding.temperature,
            top_p: decoding.top_p,
            top_k: decoding.top_k,
            seed: decoding.seed,
            stops: self.tokenizer.stops.clone(),
            pad_id: self.tokenizer.pad_id,
            batch: BATCH,
            beams: decoding.beams,
        };
        let made = guard("generation", || generate(&self.model, &ready, &options, |_| {}))??;
        let mut out: Vec<Result<Reply, String>> = samples.into_iter().map(|s| s.map(|_| Reply::default())).collect();
        for (place, reply) in places.into_iter().zip(made) {
            let mut text = self.tokenizer.text(&reply.ids, true)?;
            let stop = decoding.stop.iter().filter(|s| !s.is_empty()).filter_map(|s| text.find(s.as_str())).min();
            if let Some(at) = stop {
                text.truncate(at);
            }
            let truncated = !reply.stopped && stop.is_none();
            let logp = reply.logps.iter().sum::<f64>() / reply.logps.len().max(1) as f64;
            out[place] = Ok(Reply { text, truncated, tokens: reply.ids.len() as u32, logp, ..Reply::default() });
        }
        for (reply, p) in out.iter_mut().zip(opinions) {
            if let (Ok(reply), Some(p)) = (reply, p) {
                reply.option_p = p;
            }
        }
        Ok(out)
    }
}

/// Two models: the base answers, and where the classifier's tier asks for it both weigh the options.
struct Fused {
    base: Local,
    expert: Local,
    /// The classifier's model where it is a third one.
    router: Option<Local>,
    fusion: Fusion,
    /// The tier of pictures that were asked about before, with its probability.
    tiers: BTreeMap<Vec<Digest>, Option<(String, f64)>>,
}

impl Generate for Fused {
    fn generate(&mut self, prompts: &[Prompt], decoding: &Decoding) -> Result<Vec<Result<Reply, String>>, OpError> {
        let mut replies = self.base.generate(prompts, decoding)?;
        let heard = self.routed(prompts)?;
        let chosen: Vec<usize> = heard.iter().map(|(i, _)| *i).filter(|i| replies[*i].is_ok()).collect();
        if chosen.is_empty() {
            return Ok(replies);
        }
        let asked: Vec<Prompt> = chosen.iter().map(|i| prompts[*i].clone()).collect();
        let base = if decoding.option_p {
            let known = |i: &usize| replies[*i].as_ref().ok().map(|r| r.option_p.clone()).filter(|p| !p.is_empty());
            chosen.iter().map(known).collect()
        } else {
            self.base.opinions(&asked)?
        };
        let expert = self.expert.opinions(&asked)?;
        let tiers: BTreeMap<usize, String> = heard.into_iter().collect();
        for ((i, prompt), (base, expert)) in chosen.iter().zip(&asked).zip(base.iter().zip(&expert)) {
            let (Some(base), Some(expert), Ok(reply)) = (base, expert, &mut replies[*i]) else { continue };
            let scores = self.scores(&prompt.options, base, expert, &reply.text)?;
            let best = largest(&scores).unwrap_or(0);
            let note = format!("{} {}: both heard, the base said {:?}", self.fusion.column, tiers[i], reply.text);
            reply.note = Some(note);
            if reply.text.trim() != prompt.options[best] {
                reply.text.clone_from(&prompt.options[best]);
            }
            reply.truncated = false;
            let sum: f64 = scores.iter().sum();
            // A score that may be below nothing is no weight, so that the base's own opinion stays.
            if decoding.option_p && sum.is_finite() && sum > 0.0 && scores.iter().all(|s| *s >= 0.0) {
                reply.option_p = scores.iter().map(|s| s / sum).collect();
            }
        }
        Ok(replies)
    }
}

impl Fused {
    /// Returns the prompts with options for which `when` holds, and the tier of each.
    fn routed(&mut self, prompts: &[Prompt]) -> Result<Vec<(usize, String)>, OpError> {
        let asked: Vec<usize> = (0..prompts.len()).filter(|i| prompts[*i].options.len() > 1).collect();
        let key = |i: usize| prompts[i].pictures().iter().map(|p| p.digest).collect::<Vec<Digest>>();
        let fresh: BTreeMap<Vec<Digest>, usize> =
            asked.iter().map(|i| (key(*i), *i)).filter(|(k, _)| !self.tiers.contains_key(k)).collect();
        let router = match self.fusion.router.as_str() {
            "expert" => &self.expert,
            _ => self.router.as_ref().unwrap_or(&self.base),
        };
        let text = self.fusion.prompt.trim();
        let message = |i: &usize| Message {
            text: text.to_owned(),
            pictures: prompts[*i].pictures().into_iter().map(medium).collect(),
            ..Message::default()
        };
        let messages: Vec<Message> = fresh.values().map(message).collect();
        let options: Vec<&[String]> = vec![self.fusion.into.as_slice(); messages.len()];
        let probabilities = router.likelihoods(router.encode(messages)?, &options)?;
        for (key, probabilities) in fresh.into_keys().zip(probabilities) {
            let best = probabilities.and_then(|p| {
                let at = largest(&p)?;
                Some((self.fusion.into[at].clone(), p[at]))
            });
            self.tiers.insert(key, best);
        }
        let known: Vec<(usize, &(String, f64))> = asked
            .into_iter()
            .filter_map(|i| self.tiers.get(&key(i)).and_then(Option::as_ref).map(|t| (i, t)))
            .collect();
        let column = &self.fusion.column;
        let names: StringArray = known.iter().map(|(_, t)| Some(t.0.as_str())).collect();
        let sure: Float64Array = known.iter().map(|(_, t)| Some(t.1)).collect();
        let columns: Vec<(String, ArrayRef)> =
            vec![(column.clone(), Arc::new(names)), (format!("{column}_p"), Arc::new(sure))];
        let table = Table::new(columns, known.len())?;
        let holds = Program::new(&self.fusion.when, &table)?.mask(&table)?;
        let kept = known.iter().zip(holds).filter(|(_, holds)| *holds);
        Ok(kept.map(|((i, tier), _)| (*i, tier.0.clone())).collect())
    }

    /// Returns the score of each option.
    fn scores(&self, options: &[String], base: &[f64], expert: &[f64], said: &str) -> Result<Vec<f64>, OpError> {
        let columns: Vec<(String, ArrayRef)> = vec![
            ("base".to_owned(), opinion(options, base, said)?),
            ("expert".to_owned(), opinion(options, expert, "")?),
        ];
        let table = Table::new(columns, options.len())?;
        let program = Program::new(&self.fusion.score, &table)?;
        let scores = program.cells(&table)?.iter().map(|c: &Cell| c.as_f64()).collect::<Option<Vec<f64>>>();
        scores.ok_or_else(|| OpError::new("E0304", "`score` of a fused model is not a number"))
    }
}

/// What a model thinks of each option, as a column of records.
fn opinion(options: &[String], probabilities: &[f64], said: &str) -> Result<ArrayRef, OpError> {
    let most = probabilities.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let fields = Fields::from(vec![
        Field::new("reply", DataType::Utf8, true),
        Field::new("option", DataType::Utf8, true),
        Field::new("confidence", DataType::Float64, true),
        Field::new("correction", DataType::Float64, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![said; options.len()])),
        Arc::new(options.iter().map(|o| Some(o.as_str())).collect::<StringArray>()),
        Arc::new(Float64Array::from(probabilities.to_vec())),
        Arc::new(probabilities.iter().map(|p| Some(p / most)).collect::<Float64Array>()),
    ];
    Ok(Arc::new(StructArray::try_new(fields, columns, None)?))
}
