//! The arguments of `eval.run`, and what they ask for.

use super::asked::{coords, decoding_of};
use crate::base::OpError;
use crate::engine::{Artifact, Context};
use crate::eval::coords::Coords;
use crate::eval::{Benchmark, Decoding};
use crate::ops::chat::SecretName;

/// The arguments.
#[derive(serde::Deserialize)]
pub(super) struct Args {
    pub temperature: f64,
    pub top_p: f64,
    pub max_tokens: Option<u32>,
    pub max_images: usize,
    pub pixels: Pixels,
    pub rows: Option<usize>,
    pub seed: u64,
    pub epochs: u32,
    pub confidence: bool,
    /// Who serves the model, if it is not in process; the planner says so.
    #[serde(default)]
    pub backend: Option<String>,
    /// The secret of a server, copied by the planner.
    #[serde(default)]
    pub key: Option<SecretName>,
}

impl Args {
    /// Returns the model, the benchmark that it answers, how it writes coordinates, and how its replies are drawn.
    pub(super) fn asked_for(&self, cx: &Context) -> Result<(Artifact, Benchmark, Coords, Decoding), OpError> {
        let model = cx.input("m")?.clone();
        let bench = Benchmark::load(cx.store, cx.input("on")?)?;
        let coords = coords(&model.meta, self.pixels.bounds());
        let (max_tokens, mut stop) = decoding_of(&bench.declare, self.max_tokens);
        stop.extend(model.meta["stop"].as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)));
        let (temperature, top_p, seed, option_p) = (self.temperature, self.top_p, self.seed, self.confidence);
        Ok((
            model,
            bench,
            coords,
            Decoding { max_tokens, temperature, top_p, top_k: 0, beams: 0, seed, stop, option_p },
        ))
    }
}

/// Bounds of a picture's pixels.
#[derive(serde::Deserialize)]
pub(super) struct Pixels {
    pub from: Option<u64>,
    pub to: Option<u64>,
}

impl Pixels {
    /// Returns them where an open end is far away.
    pub fn bounds(&self) -> (u64, u64) {
        (self.from.unwrap_or(1), self.to.unwrap_or(u64::MAX))
    }
}
