//! The amplifier of high-risk features: a gate per image token that scales the visual features and draws attention to them.
//!
//! Shapes: `n` image tokens, `d` model width, `r` width of the gate.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{SafeTensors, serialize_to_file};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::beside::AMPLIFIER;
use super::guard::seeded;
use super::linear::Linear;
use super::params::{Params, Schema};
use super::weights::Stored;
use crate::base::OpError;

const INNER: &str = "amplifier.gate.0";
const OUTER: &str = "amplifier.gate.2";
/// The entry of the file's header that holds [`Strength`]. One entry only: several would be written in no fixed order.
const HEADER: &str = "amplifier";
/// Width of a fresh gate.
const WIDTH: i64 = 64;
/// Added to the mean square of a feature before its root.
const EPS: f64 = 1e-6;

/// How much an amplifier may do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// Features are multiplied by `1 / gain` to `gain`.
    pub gain: f64,
    /// Added to the attention scores of an image token: `-attention` to `attention`.
    pub attention: f64,
}

/// A gate of two layers over the visual features after the merger.
///
/// It reads a feature by its direction alone (divided by its root mean square) and gives each image token a number from -1 to 1:
/// the feature is multiplied by `gain` to that power, and every score with which the text decoder attends to the token gets that
/// number times `attention`. The last layer starts at zero, so that a fresh amplifier changes nothing.
pub struct Amplifier {
    /// How much it may do.
    pub strength: Strength,
    inner: Linear,
    outer: Linear,
}

impl Amplifier {
    /// Takes the gate from the parameters.
    pub(crate) fn new(params: &mut Params, strength: Strength) -> Self {
        let layer = |params: &mut Params, name: &str| Linear::new(params, &[name.to_owned()], true);
        Self { strength, inner: layer(params, INNER), outer: layer(params, OUTER) }
    }

    /// Returns the gate of each image token, f32 from -1 to 1.
    ///
    /// # Shapes
    /// `features_nd`: `[n, d]`; result `[n]`.
    pub fn gates(&self, features_nd: &Tensor) -> Tensor {
        let wide = features_nd.to_kind(Kind::Float);
        let size = (wide.square().mean_dim([-1_i64].as_slice(), true, Kind::Float) + EPS).sqrt();
        let x = (wide / size).to_kind(features_nd.kind());
        let hidden = self.inner.forward(&x).gelu("none");
        self.outer.forward(&hidden).squeeze_dim(-1).to_kind(Kind::Float).tanh()
    }

    /// Returns features multiplied by `gain` to the power of their gates.
    ///
    /// # Shapes
    /// `features_nd`: `[n, d]`, `gates_n`: `[n]`; result `[n, d]` of the features' dtype.
    pub fn scaled(&self, features_nd: &Tensor, gates_n: &Tensor) -> Tensor {
        let factors = Tensor::pow_scalar(self.strength.gain, gates_n).unsqueeze(-1);
        (features_nd.to_kind(Kind::Float) * factors).to_kind(features_nd.kind())
    }
}

/// Returns the names and shapes of a gate of width `r` for a model of width `d`.
fn schema(d: i64, r: i64) -> Schema {
    vec![
        (format!("{INNER}.weight"), vec![r, d]),
        (format!("{INNER}.bias"), vec![r]),
        (format!("{OUTER}.weight"), vec![1, r]),
        (format!("{OUTER}.bias"), vec![1]),
    ]
}

/// Returns parameters with a fresh gate behind them: N(0, 1/d) in the first layer, zeros in the second.
///
/// # Randomness
/// libtorch's CPU generator seeded with `seed`.
pub(crate) fn attached(params: &Params, d: i64, seed: i64) -> Params {
    let params = params.extended(&schema(d, WIDTH));
    if let Some(mut inner) = params.get(&format!("{INNER}.weight")) {
        let drawn = seeded(seed, || Tensor::randn([WIDTH, d], (Kind::Float, tch::Device::Cpu)));
        let noise = drawn / (d as f64).sqrt();
        no_grad(|| inner.copy_(&noise));
    }
    params
}

/// Looks for an amplifier in a model folder: its constants, and names and shapes of its weights for a model of width `d`.
///
/// # Errors
/// `E0503` when the file is there but is no amplifier.
pub(crate) fn find(dir: &Path, d: i64) -> Result<Option<(Strength, Schema)>, OpError> {
    let path = dir.join(AMPLIFIER.file);
    if !path.exists() {
        return Ok(None);
    }
    let bad = |why: String| {
        OpError::new("E0503", format!("{}: {why}", path.display()))
            .help("take the file away to use the model without its amplifier, or train it again")
    };
    let bytes = std::fs::read(&path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(e.to_string()))?;
    let text = header.metadata().as_ref().and_then(|m| m.get(HEADER)).ok_or_else(|| bad(format!("no `{HEADER}`")))?;
    let strength: Strength = serde_json::from_str(text).map_err(|e| bad(format!("`{HEADER}`: {e}")))?;
    check(strength).map_err(|e| bad(e.message))?;
    let width = header.tensors().get(&format!("{OUTER}.weight")).and_then(|t| t.shape.last().copied());
    let width = width.ok_or_else(|| bad(format!("no `{OUTER}.weight`")))?;
    Ok(Some((strength, schema(d, width as i64))))
}

/// Refuses constants that are no strength.
///
/// # Errors
/// `E0214` naming the constant.
pub fn check(strength: Strength) -> Result<(), OpError> {
    let Strength { gain, attention } = strength;
    if !(gain >= 1.0 && gain.is_finite()) {
        return Err(OpError::new("E0214", format!("gain: {gain} is not a number from 1.0 on"))
            .help("2.0 lets the gate double or halve a feature; 1.0 leaves features as they are"));
    }
    if !(attention >= 0.0 && attention.is_finite()) {
        return Err(OpError::new("E0214", format!("attention: {attention} is not a number from 0.0 on"))
            .help("0.5 lets the gate change a token's weight in attention by a factor of up to 1.65; 0.0 is off"));
    }
    Ok(())
}

/// Writes the gate of some parameters as [`AMPLIFIER`] names its file.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn save(dir: &Path, params: &Params, strength: Strength) -> Result<(), OpError> {
    let path = dir.join(AMPLIFIER.file);
    let own = params.iter().filter(|(name, _)| AMPLIFIER.has(name));
    let views: Vec<_> = own.map(|(name, tensor)| (name.to_owned(), Stored::new(tensor))).collect();
    let header = HashMap::from([(HEADER.to_owned(), serde_json::to_string(&strength)?)]);
    serialize_to_file(views, Some(header), &path).map_err(|e| OpError::new("E0612", format!("{}: {e}", path.display())))
}
