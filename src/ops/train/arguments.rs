//! What the arguments that SFT, DPO and reward training share become.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::base::OpError;
use crate::train::adafactor::Adafactor;
use crate::train::adamw::AdamW;
use crate::train::optim::Rule;

/// A number with its dimension, of a parameter whose type is a union.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    Ratio(f64),
    Steps(u64),
    Rows(usize),
    Duration(f64),
}

/// A range; an open end is none.
#[allow(missing_docs)]
#[derive(Clone, Debug, Deserialize)]
pub struct Ends<T> {
    pub from: Option<T>,
    pub to: Option<T>,
}

/// The argument `amplify`.
#[allow(missing_docs)]
#[derive(Clone, Debug, Deserialize)]
pub struct Amplify {
    pub gain: Option<f64>,
    pub attention: Option<f64>,
    pub on: Option<Json>,
}

/// The shared arguments, named and documented in the signature.
#[allow(missing_docs)]
#[derive(Clone, Debug, Deserialize)]
pub struct Shared {
    pub method: String,
    pub freeze: Vec<String>,
    pub template: Option<String>,
    pub thinking: bool,
    pub system: Option<String>,
    pub epochs: f64,
    pub max_steps: Option<u64>,
    pub max_rows: Option<usize>,
    pub batch: usize,
    pub cutoff: usize,
    pub long: String,
    pub pixels: Ends<u64>,
    pub video_pixels: Ends<u64>,
    pub frames: Ends<u64>,
    pub fps: f64,
    pub lr: f64,
    pub schedule: String,
    pub warmup: Amount,
    pub floor: f64,
    pub cooldown: Amount,
    pub optimizer: String,
    pub betas: Vec<f64>,
    pub eps: f64,
    pub weight_decay: f64,
    pub decay: String,
    pub clip: f64,
    pub dtype: String,
    pub master: String,
    pub validation: Amount,
    pub evaluate: Option<Amount>,
    pub best: bool,
    pub ema: Option<f64>,
    pub amplify: Option<Amplify>,
}

impl Shared {
    /// Returns the optimizer with its constants.
    pub fn rule(&self) -> Rule {
        let weight_decay = self.weight_decay;
        match self.optimizer.as_str() {
            "adafactor" => Rule::Adafactor(Adafactor { weight_decay }),
            _ => Rule::AdamW(AdamW { betas: (self.betas[0], self.betas[1]), eps: self.eps, weight_decay }),
        }
    }

    /// Refuses what is not there yet and what makes no sense, naming the argument.
    pub fn check(&self) -> Result<(), OpError> {
        let absent = [
            (self.method != "full", "method: \"lora\"", "train all weights with `method: \"full\"`"),
            (
                !matches!(self.optimizer.as_str(), "adamw" | "adafactor"),
                "optimizer: \"adamw_8bit\" and \"muon\"",
                "use `optimizer: \"adamw\"`, or \"adafactor\"",
            ),
            (self.dtype == "f16", "dtype: \"f16\"", "use \"bf16\" or \"f32\""),
            (self.master != "f32" && self.dtype != "f32", "master: \"same\"", "use `master: \"f32\"`"),
            (
                self.template.as_deref().is_some_and(|t| t != "qwen2_vl"),
                "template: other than \"qwen2_vl\"",
                "leave `template` out",
            ),
        ];
        if let Some((_, what, help)) = absent.iter().find(|(asked, ..)| *asked) {
            return Err(OpError::new("E0612", format!("`{what}` is not there yet")).help(*help));
        }
        let wrong = [
            (self.batch == 0, "batch: 0 rows per step"),
            (self.epochs <= 0.0, "epochs must be above 0"),
            (self.lr.is_nan() || self.lr <= 0.0, "lr must be above 0"),
            (self.betas.len() != 2, "betas: two numbers are needed"),
            (self.cutoff < 16, "cutoff under 16tok leaves no room for a reply"),
            (self.ema.is_some_and(|d| !(0.0..1.0).contains(&d)), "ema must be in 0.0..1.0"),
        ];
        match wrong.iter().find(|(bad, _)| *bad) {
            Some((_, message)) => Err(OpError::new("E0214", *message)),
            None => Ok(()),
        }
    }
}
