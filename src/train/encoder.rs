//! Turns text rows into ids, labels and pictures: rows in parallel, each distinct picture once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::examples::{Example, Gallery};
use super::micro::label_count;
use super::picture::Processor;
use super::rows::{Medium, TextRow};
use super::text::Text;
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::model::Config;
use crate::model::collate::{IGNORE, Pixels, Sample};

/// What bounds an encoded row.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest encoded row, in tokens.
    pub cutoff: usize,
    /// Longer rows are dropped, not cut.
    pub drop_long: bool,
    /// System prompt instead of the template's.
    pub system: Option<String>,
    /// Least and most pixels of an image before the model's processor.
    pub pixels: (Option<u64>, Option<u64>),
    /// Least and most pixels of a video frame.
    pub video_pixels: (Option<u64>, Option<u64>),
    /// Fewest and most frames of a video.
    pub frames: (Option<u64>, Option<u64>),
    /// Frames taken per second of video.
    pub fps: f64,
}

impl Default for Limits {
    /// The defaults of `train.sft`, with room for long replies.
    fn default() -> Self {
        Self {
            cutoff: 8192,
            drop_long: false,
            system: None,
            pixels: (Some(1024), Some(589_824)),
            video_pixels: (Some(256), Some(65_536)),
            frames: (Some(4), Some(128)),
            fps: 2.0,
        }
    }
}

/// One row, encoded: one example per reply.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Which of the given rows.
    pub row: usize,
    /// One per reply, in order.
    pub examples: Vec<Example>,
    /// It was longer than the cutoff and has been cut.
    pub cut: bool,
}

/// What [`Encoder::encode`] gives: encoded rows in order, their pictures, and the rows that are lost with the reason.
pub type EncodedRows = (Vec<Encoded>, Gallery, Vec<(usize, String)>);

/// Encodes rows for one model.
pub struct Encoder {
    text: Text,
    processor: Processor,
    config: Config,
    limits: Limits,
}

impl Encoder {
    /// Reads tokenizer and processor of a model folder.
    ///
    /// # Errors
    /// `E0501` when a file is absent, `E0503` when it cannot be read.
    pub fn open(folder: &Path, config: &Config, limits: Limits) -> Result<Self, OpError> {
        Ok(Self {
            text: Text::open(folder)?,
            processor: Processor::open(folder, config, &limits)?,
            config: config.clone(),
            limits,
        })
    }

    /// Returns the id that fills rows.
    pub fn pad(&self) -> i64 {
        self.text.pad
    }

    /// Encodes rows, in parallel; each distinct picture is read and resized once.
    ///
    /// # Errors
    /// When the store cannot be read; what is wrong with a row is a lost row.
    pub fn encode(
        &self,
        rows: &[TextRow],
        blobs: &dyn Blobs,
        told: &(dyn Fn(usize) + Sync),
    ) -> Result<EncodedRows, OpError> {
        let media =
            |pick: fn(&TextRow) -> &Vec<Medium>| rows.iter().flat_map(pick).cloned().collect::<BTreeSet<Medium>>();
        let (images, videos) = (media(|r| &r.images), media(|r| &r.videos));
        let mut gallery = Gallery::new(&self.config.vision);
        let mut numbers: BTreeMap<Medium, Result<usize, String>> = BTreeMap::new();
        let all: Vec<(Medium, bool)> =
            images.into_iter().map(|m| (m, false)).chain(videos.into_iter().map(|m| (m, true))).collect();
        // In parts, so that no more than a part's pixels exist as f32 at a time.
        for (done, part) in all.chunks(256).enumerate() {
            let made: Vec<Result<Pixels, String>> =
                part.par_iter().map(|(m, video)| self.pixels(m, *video, blobs)).collect();
            for ((medium, _), pixels) in part.iter().zip(made) {
                numbers.insert(medium.clone(), pixels.map(|p| gallery.add(p)));
            }
            told((done * 256 + part.len()) * rows.len() / all.len().max(1));
        }
        let encoded: Vec<Result<Encoded, String>> =
            rows.par_iter().enumerate().map(|(i, row)| self.row(i, row, &numbers, &gallery)).collect();
        let (mut kept, mut lost) = (Vec::new(), Vec::new());
        for (i, encoded) in encoded.into_iter().enumerate() {
            match encoded {
                Ok(encoded) => kept.push(encoded),
                Err(why) => lost.push((i, why)),
            }
        }
        told(rows.len());
        Ok((kept, gallery, lost))
    }

    fn pixels(&self, medium: &Medium, video: bool, blobs: &dyn Blobs) -> Result<Pixels, String> {
        let digest = Digest::parse(&medium.digest).ok_or_else(|| format!("`{}` is no picture", medium.digest))?;
        let bytes = blobs.get(digest).map_err(|e| e.message)?;
        if video { self.processor.video(&bytes, &medium.media) } else { self.processor.image(&bytes) }
    }

    fn row(
        &self,
        number: usize,
        row: &TextRow,
        numbers: &BTreeMap<Medium, Result<usize, String>>,
        gallery: &Gallery,
    ) -> Result<Encoded, String> {
        let find = |media: &[Medium]| -> Result<Vec<usize>, String> {
            media.iter().map(|m| numbers.get(m).cloned().unwrap_or_else(|| Err("picture not read".into()))).collect()
        };
        let (images, videos) = (find(&row.images)?, find(&row.videos)?);
        let merge = self.config.vision.merge;
        let units = |number: &usize| (gallery.grid(*number).iter().product::<i64>() / (merge * merge)) as usize;
        let image_tokens: Vec<usize> = images.iter().map(units).collect();
        let video_tokens: Vec<usize> = videos.iter().map(units).collect();
        let content = expand(&row.prompt, &image_tokens, &video_tokens)?;
        let system = row.system.as_ref().or(self.limits.system.as_ref());
        let mut prompt = self.text.prompt(system.map(String::as_str), &content)?;
        let mut replies = row.replies.iter().map(|r| self.text.reply(r)).collect::<Result<Vec<_>, _>>()?;
        let cut = self.cut(&mut prompt, &mut replies, image_tokens.iter().chain(&video_tokens).sum())?;
        let cells = row.cells.as_ref().map(|texts| self.cells(texts, image_tokens.iter().sum()).map(Arc::new));
        let cells = cells.transpose()?;
        let shared = prompt.iter().rposition(|&id| id == self.config.vision_end_id).map_or(0, |last| last + 1);
        let example = |reply: Vec<i64>| {
            let labels = vec![IGNORE; prompt.len()].into_iter().chain(reply.iter().copied()).collect();
            let ids = prompt.iter().copied().chain(reply).collect();
            let sample = Sample { name: row.name.clone(), ids, labels, ..Sample::default() };
            Example { sample, images: images.clone(), videos: videos.clone(), shared, cells: cells.clone() }
        };
        let examples: Vec<Example> = replies.into_iter().map(example).collect();
        if examples.iter().any(|e| label_count(&e.sample) == 0) {
            return Err(format!("no token of the reply is left within {} tokens", self.limits.cutoff));
        }
        Ok(Encoded { row: number, examples, cut })
    }

    /// Cuts prompt and replies to the cutoff as LLaMA-Factory does; says whether anything was cut.
    fn cut(&self, prompt: &mut Vec<i64>, replies: &mut [Vec<i64>], media_tokens: usize) -> Result<bool, String> {
        let longest = replies.iter().map(Vec::len).max().unwrap_or(0);
        let whole = prompt.len() + longest;
        if whole <= self.limits.cutoff {
            return Ok(false);
        }
        if self.limits.drop_long {
            return Err(format!("{whole} tokens are more than the cutoff {}", self.limits.cutoff));
        }
        let (source, target) = shares(prompt.len(), longest, self.limits.cutoff);
        prompt.truncate(source);
        replies.iter_mut().for_each(|reply| reply.truncate(target));
        let left = prompt.iter().filter(|&&id| id == self.config.image_id || id == self.config.video_id).count();
        if left != media_tokens {
            return Err(format!(
                "{whole} tokens are more than the cutoff {}, and the cut would go through a picture",
                self.limits.cutoff
            ));
        }
        Ok(true)
    }

    /// Returns the tokens of each cell's text, as they stand inside a sentence: after a blank.
    fn cells(&self, texts: &[String], tokens: usize) -> Result<Vec<Vec<i64>>, String> {
        if texts.len() != tokens {
            return Err(format!("{} texts for {tokens} image tokens", texts.len()));
        }
        texts.iter().map(|t| if t.is_empty() { Ok(Vec::new()) } else { self.text.ids(&format!(" {t}")) }).collect()
    }
}

/// Returns how many tokens of prompt and reply are kept.
///
/// # Source
/// `infer_seqlen` of LLaMA-Factory (`data/processor/processor_utils.py`); exact for `infer_seqlen` of the goldens.
pub fn shares(prompt: usize, reply: usize, cutoff: usize) -> (usize, usize) {
    let most = if reply * 2 < cutoff {
        cutoff
    } else if prompt * 2 < cutoff {
        cutoff - prompt
    } else {
        (cutoff as f64 * (reply as f64 / (prompt + reply) as f64)) as usize
    };
    let target = most.min(reply);
    (cutoff.saturating_sub(target).min(prompt), target)
}

/// Puts the placeholders of pictures and videos into a prompt: where it says `<image>` and `<video>`, else before it.
fn expand(prompt: &str, images: &[usize], videos: &[usize]) -> Result<String, String> {
    let mut text = prompt.to_owned();
    for (word, token, counts) in [("<video>", "<|video_pad|>", videos), ("<image>", "<|image_pad|>", images)] {
        let places = text.matches(word).count();
        if places == 0 {
            text.insert_str(0, &word.repeat(counts.len()));
        } else if places != counts.len() {
            return Err(format!("the prompt has {places} `{word}`, the row {} of them", counts.len()));
        }
        for count in counts {
            text = text.replacen(word, &format!("<|vision_start|>{}<|vision_end|>", token.repeat(*count)), 1);
        }
    }
    Ok(text)
}
