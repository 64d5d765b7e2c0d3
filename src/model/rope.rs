//! Rotary position embeddings: the multimodal one of the text decoder and the two-dimensional one of the vision tower.
//!
//! Shapes: `b` batch, `t` tokens, `p` patches, `n` heads, `k` head width, `c` = k/2 channels.

use tch::{Device, Kind, Tensor};

use super::config::{Stretch, TextConfig};

/// Cosines and sines of half a head: the other half has the same angles.
pub struct Rope {
    /// `[.., 1, c]`.
    pub cos: Tensor,
    /// `[.., 1, c]`.
    pub sin: Tensor,
}

impl Rope {
    /// Returns the table of multimodal positions: channel c turns with time, height or width by `sections`.
    ///
    /// # Shapes
    /// `position_ids`: `[3, b, t]` i64; tables: `[b, t, 1, c]` of `kind`.
    ///
    /// # Precision
    /// Angles, cosines and sines in f32, then cast.
    ///
    /// # Source
    /// `apply_multimodal_rotary_pos_emb` of transformers 4.57.6; both halves of a head use the same axis for a channel.
    pub fn multimodal(config: &TextConfig, position_ids: &Tensor, kind: Kind) -> Self {
        let angles = position_ids.to_kind(Kind::Float).unsqueeze(-1) * frequencies(config, position_ids.device());
        let mut start = 0;
        let mut parts = Vec::new();
        for (axis, &len) in config.sections.iter().enumerate() {
            parts.push(angles.select(0, axis as i64).narrow(-1, start, len));
            start += len;
        }
        let angles = Tensor::cat(&parts, -1).unsqueeze(2);
        Self { cos: angles.cos().to_kind(kind), sin: angles.sin().to_kind(kind) }
    }

    /// Returns the table of patch positions: the first half of the channels turns with the row, the second with the column.
    ///
    /// # Shapes
    /// `positions`: `[p, 2]` (row, column) i64; tables: `[p, 1, c]` f32, where `head_width` = 2c.
    pub fn planar(positions: &Tensor, head_width: i64) -> Self {
        let angles = planar_angles(positions, head_width).unsqueeze(1);
        Self { cos: angles.cos(), sin: angles.sin() }
    }

    /// Turns the heads of `x` by the table: `x cos + rotate_half(x) sin`.
    ///
    /// # Shapes
    /// `x`: `[.., n, k]`; tables broadcast over the heads; result like `x`. Computed in the tables' dtype, cast back.
    pub fn turn(&self, x: &Tensor) -> Tensor {
        let wide = x.to_kind(self.cos.kind());
        let half = x.size().last().copied().unwrap_or(0) / 2;
        let halves = wide.split_with_sizes([half, half], -1);
        let first = &halves[0] * &self.cos - &halves[1] * &self.sin;
        let second = &halves[1] * &self.cos + &halves[0] * &self.sin;
        Tensor::cat(&[first, second], -1).to_kind(x.kind())
    }
}

/// Returns the angles of patches, `[p, c]` f32: `[row * inv, column * inv]`.
pub fn planar_angles(positions: &Tensor, head_width: i64) -> Tensor {
    let inv = inverse(10000.0, head_width / 2, positions.device());
    (positions.to_kind(Kind::Float).unsqueeze(-1) * inv).flatten(1, -1)
}

/// Returns the rotary frequencies of a decoder, `[k / 2]` f32.
///
/// # Source
/// `_compute_llama3_parameters` of transformers 4.57.6 where they are stretched.
fn frequencies(config: &TextConfig, device: Device) -> Tensor {
    let plain = inverse(config.theta, config.head_width(), device);
    let Some(Stretch { factor, low, high, context }) = config.stretch else { return plain };
    let turns = &plain * (context / std::f64::consts::TAU);
    let kept = ((&turns - low) / (high - low)).clamp(0.0, 1.0);
    (kept.ones_like() - &kept) * &plain / factor + kept * plain
}

/// Returns `theta^(-(0, 2, 4, …)/width)`, `[width / 2]` f32.
fn inverse(theta: f64, width: i64, device: Device) -> Tensor {
    let exponents = Tensor::arange_start_step(0, width, 2, (Kind::Float, device)) / width as f64;
    // As in the reference: 1 / theta^e, in f32.
    Tensor::full([1], theta, (Kind::Float, device)).pow(&exponents).reciprocal()
}
