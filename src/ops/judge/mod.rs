//! Operators of module `judge`, and what they share: the server, the secret, the prompt, the budget.

/// The arguments of a signature that say who is asked.
macro_rules! server {
    () => {
        r#"
  ## Name of the model as the server knows it.
  by: Str,
  ## Sent as a bearer token.
  key: Secret? = none,
  ## The server: `http://HOST:PORT`, with or without `/v1`. Default: the public one of the model's maker.
  url: Str? = none,"#
    };
}

/// The arguments of a judge of rows that say what it is shown.
macro_rules! about_rows {
    () => {
        r#"
  ## The pictures shown, one or a list; a dataset without this column shows none.
  images: Col? = .images,
  ## Words put before the question; `{column}` is filled from the row.
  prompt: Prompt? = none,"#
    };
}

pub mod agree;
pub mod agreement;
pub mod prefer;
pub mod rank;
pub mod replies;
pub mod score;

use std::sync::LazyLock;
use std::time::Duration;

use regex::{Captures, Regex};
use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::pictures::picture::Picture;
use crate::data::table::Table;
use crate::engine::Context;
use crate::engine::node::context::Fate;
use crate::ops::chat::{
    Asked, Budget, Endpoint, Manner, Outcome, Part, Question, Reply, Sampling, SecretName, ask_all,
};

/// Columns that say what a row's answers answer, where it has them.
const TASK: [&str; 3] = ["prompt", "instruction", "input"];

/// Options of `with` that hold back how much a judge asks and spends.
const SPENDING: &[&str] = &["at_most", "spend", "money", "price_in", "price_out"];

/// The arguments that all judges take.
#[derive(serde::Deserialize)]
struct Judge {
    by: String,
    #[serde(default)]
    key: Option<SecretName>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    images: String,
    #[serde(default)]
    prompt: Option<String>,
}

/// Range of a score that is kept; `top` keeps the best rows.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Keep {
    Top { top: usize },
    Range { from: Option<f64>, to: Option<f64> },
}

impl Keep {
    /// Says for each score whether it is kept; ties of `top` by row order.
    fn mask(&self, scores: &[Option<f64>]) -> Vec<bool> {
        match self {
            Self::Range { from, to } => {
                let fits = |s: f64| from.is_none_or(|f| s >= f - 1e-12) && to.is_none_or(|t| s <= t + 1e-12);
                scores.iter().map(|s| s.is_some_and(fits)).collect()
            }
            Self::Top { top } => {
                let mut order: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].is_some()).collect();
                order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(std::cmp::Ordering::Equal));
                let mut keep = vec![false; scores.len()];
                order.into_iter().take(*top).for_each(|i| keep[i] = true);
                keep
            }
        }
    }
}

/// Tokens of an answer: a short reason and a verdict.
const MAX_TOKENS: u64 = 512;

impl Judge {
    /// Returns the server. Without `url` it is the public one of the model's maker.
    ///
    /// # Errors
    /// `E0211` when no server is known for the model, `E0701` when the secret is missing.
    fn endpoint(&self, cx: &Context) -> Result<Endpoint, OpError> {
        const MAKERS: [(&str, &str); 3] = [
            ("qwen", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
            ("gpt", "https://api.openai.com/v1"),
            ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"),
        ];
        let known = MAKERS.iter().find(|(name, _)| self.by.starts_with(name)).map(|(_, url)| *url);
        let url = self.url.as_deref().or(known).ok_or_else(|| {
            OpError::new("E0211", format!("no server is known for the model `{}`", self.by))
                .help("add `url: \"http://HOST:PORT/v1\"`")
        })?;
        let key = self.key.as_ref().map(|key| key.read(cx)).transpose()?;
        Ok(Endpoint::new(url, &self.by, key))
    }

    /// Returns the pictures of each row; a dataset without the default column has none.
    fn pictures(&self, d: &Table) -> Result<Vec<Vec<Picture>>, OpError> {
        if self.images == "images" && d.batch.column_by_name("images").is_none() {
            return Ok(vec![Vec::new(); d.rows()]);
        }
        Ok(d.cells(&self.images)?.iter().map(Picture::all).collect())
    }

    /// Returns the text of a question: the prompt of the recipe with its `{column}` slots filled, else `own`.
    fn text(&self, d: &Table, row: usize, own: String) -> Result<String, OpError> {
        static SLOT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{([a-z_]\w*)\}").expect("a constant"));
        let Some(prompt) = &self.prompt else { return Ok(own) };
        let mut missing = None;
        let filled = SLOT.replace_all(prompt, |slot: &Captures<'_>| match d.cell(&slot[1], row) {
            Ok(cell) => cell.text().into_owned(),
            Err(e) => {
                missing.get_or_insert(e);
                String::new()
            }
        });
        missing.map_or_else(|| Ok(format!("{filled}\n\n{own}")), Err)
    }

    /// Asks all questions as `with` says.
    fn ask<T: Send + Clone>(
        &self,
        cx: &mut Context,
        questions: &[Question],
        read: impl Fn(&Json) -> Result<T, String> + Sync,
    ) -> Result<Vec<Outcome<T>>, OpError> {
        let pinned = cx.args["$server"].clone();
        let endpoint = self.endpoint(cx)?;
        // Another version of a server gives other answers: those of before are remembered apart.
        let endpoint = match &pinned {
            Json::Null => endpoint,
            said => {
                let identity = json!([endpoint.url, endpoint.model, said]).to_string();
                endpoint.known_as(&identity)
            }
        };
        endpoint.compare(&pinned)?;
        let number = |name: &str| cx.with.get(name).and_then(Json::as_u64);
        let budget = Budget::of(&cx.with)?;
        let progress = |done: u64, total: u64| cx.progress(done, total, "questions");
        let manner = Manner {
            at_most: number("at_most").unwrap_or(8).clamp(1, 256) as usize,
            retries: number("retries").unwrap_or(8) as u32,
            patience: Duration::from_secs(300),
            budget,
            again: Some("\n\nOnly the JSON object, reason in one short sentence."),
            memo: cx.store.root().join("memo").join("chat"),
            blobs: cx.store,
            cancelled: cx.cancelled,
            alive: &|| true,
            progress: &progress,
        };
        let fits = |question: &Question, reply: &Reply| {
            let answer = object(&reply.text).ok_or_else(|| "no JSON object".to_owned())?;
            let said = read(&answer)?;
            in_bounds(question.schema.as_ref(), &answer).map(|()| said)
        };
        let Asked { outcomes, asked, remembered, spent, .. } = ask_all(&endpoint, questions, &manner, fits)?;
        cx.counts.extend([
            ("asked".to_owned(), asked),
            ("remembered".to_owned(), remembered),
            ("tokens".to_owned(), spent.tokens),
        ]);
        if budget.is_priced() {
            cx.counts.insert("money, millionths".to_owned(), spent.millionths());
        }
        // It may have become another in the meantime.
        endpoint.compare(&pinned)?;
        Ok(outcomes)
    }
}

/// The columns of a dataset that say what its answers answer.
fn task(d: &Table) -> Vec<String> {
    TASK.into_iter().filter(|c| d.batch.column_by_name(c).is_some()).map(str::to_owned).collect()
}

/// Makes a question that shows pictures, then asks in a text, for a JSON object.
fn question(system: &str, pictures: Vec<Picture>, text: String, schema: Json) -> Question {
    let mut parts: Vec<Part> = pictures.into_iter().map(Part::Picture).collect();
    parts.push(Part::Text(text));
    let system = Some(system.to_owned());
    Question {
        system,
        parts,
        prefill: None,
        schema: Some(schema),
        max_tokens: MAX_TOKENS,
        sampling: Sampling::default(),
        likely: None,
    }
}

/// Reads the JSON object in an answer; models like to put it into a code fence.
fn object(text: &str) -> Option<Json> {
    let text = text.get(text.find('{')?..=text.rfind('}')?)?;
    serde_json::from_str(text).ok().filter(Json::is_object)
}

/// Writes the schema of an answer: a reason first, so that the verdict follows from it.
fn schema(verdict: Json) -> Json {
    let mut properties = serde_json::Map::new();
    properties.insert("reason".into(), json!({ "type": "string" }));
    if let Json::Object(fields) = verdict {
        properties.extend(fields);
    }
    let required: Vec<&String> = properties.keys().collect();
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

/// Says which whole number of an answer lies outside the bounds that the schema of its question gives, if any: servers need not keep to it.
fn in_bounds(schema: Option<&Json>, answer: &Json) -> Result<(), String> {
    for (name, of) in schema.and_then(|s| s["properties"].as_object()).into_iter().flatten() {
        if let (Some(low), Some(high)) = (of["minimum"].as_i64(), of["maximum"].as_i64()) {
            whole(answer, name, low, high)?;
        }
    }
    Ok(())
}

/// Reads a whole number of an answer that must lie in a range.
fn whole(answer: &Json, name: &str, low: i64, high: i64) -> Result<i64, String> {
    let number = answer[name].as_i64().or_else(|| answer[name].as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64));
    let number = number.ok_or_else(|| format!("`{name}` is no whole number"))?;
    if (low..=high).contains(&number) { Ok(number) } else { Err(format!("`{name}` is {number}, not in {low}..{high}")) }
}

/// Reads the reason of an answer.
fn reason(answer: &Json) -> Result<String, String> {
    answer["reason"].as_str().map(str::to_owned).ok_or_else(|| "`reason` is missing".to_owned())
}

/// Writes named columns of a row for a judge.
fn shown(d: &Table, columns: &[String], row: usize) -> Result<String, OpError> {
    let mut out = String::new();
    for name in columns {
        let cell = d.cell(name, row)?;
        if cell != Cell::None {
            out.push_str(&format!("[{name}]\n{}\n", cell.text().trim()));
        }
    }
    Ok(out)
}

/// Drops rows by reason and sets those aside that the judge failed on: no answer is no verdict.
fn settle(
    cx: &mut Context,
    d: &Table,
    reasons: &[Option<String>],
    failed: &[Option<String>],
) -> Result<Table, OpError> {
    let mut keep = Vec::with_capacity(d.rows());
    let (mut dropped, mut unjudged) = (0, 0);
    for row in 0..d.rows() {
        let (what, why) = match (&failed[row], &reasons[row]) {
            (Some(why), _) => ("quarantined", why),
            (None, Some(why)) => ("dropped", why),
            (None, None) => {
                keep.push(true);
                continue;
            }
        };
        keep.push(false);
        if what == "dropped" {
            dropped += 1
        } else {
            unjudged += 1
        }
        cx.fates.push(Fate { row: d.name(row), what: what.into(), why: why.clone() });
    }
    let kept = d.filter(&keep)?;
    cx.counts.extend([
        ("read".to_owned(), d.rows() as u64),
        ("kept".to_owned(), kept.rows() as u64),
        ("dropped".to_owned(), dropped),
        ("judge_failed".to_owned(), unjudged),
    ]);
    Ok(kept)
}
