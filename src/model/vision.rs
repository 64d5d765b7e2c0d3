//! The vision tower: patches to LLM tokens, with attention in windows and, in a few blocks, over whole frames.
//!
//! Shapes: `p` patches, `d` vision width, `h` heads, `k` head width, `u` units (LLM tokens), `o` text width.

use tch::{Device, Tensor};

use super::attention::{Mask, attend};
use super::config::VisionConfig;
use super::fused::Turned;
use super::linear::Linear;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::params::Params;
use super::rope::Rope;
use super::windows::{Grid, Layout, Runs, patch_positions};

/// RMSNorm's epsilon in the vision tower, whatever the config says.
const EPS: f64 = 1e-6;

/// The vision tower with its merger.
pub struct VisionTower {
    config: VisionConfig,
    /// Patch embedding: the convolution's kernel as a matrix, since its stride is its size.
    pub patch_embed: Linear,
    /// The blocks.
    pub blocks: Vec<VisionBlock>,
    merge_norm: RmsNorm,
    /// First layer of the merger.
    pub merge_in: Linear,
    /// Second layer of the merger.
    pub merge_out: Linear,
}

/// One block: `x += attention(norm1 x)`, then `x += mlp(norm2 x)`.
pub struct VisionBlock {
    norm1: RmsNorm,
    norm2: RmsNorm,
    /// q, k and v, stacked.
    pub qkv: Linear,
    /// Attention output.
    pub proj: Linear,
    /// The MLP.
    pub mlp: Mlp,
    heads: i64,
}

/// How the patches of some images or videos are ordered, placed and grouped.
pub struct VisionPlan {
    layout: Layout,
    order: Tensor,
    rope: Rope,
    windows: Segments,
    frames: Segments,
}

/// Which rows attend to each other.
struct Segments {
    runs: Runs,
    /// Rows by segment, and the way back; None when rows lie by segment.
    gather: Option<(Tensor, Tensor)>,
}

impl VisionTower {
    /// Takes the tower from the parameters.
    pub(crate) fn new(params: &mut Params, config: &VisionConfig) -> Self {
        let one = |name: &str| [format!("visual.{name}")];
        Self {
            config: config.clone(),
            patch_embed: Linear::new(params, &one("patch_embed.proj"), false),
            blocks: (0..config.depth).map(|i| VisionBlock::new(params, i, config)).collect(),
            merge_norm: RmsNorm::new(params, "visual.merger.ln_q.weight", EPS),
            merge_in: Linear::new(params, &one("merger.mlp.0"), true),
            merge_out: Linear::new(params, &one("merger.mlp.2"), true),
        }
    }

    /// Returns the features of all images or videos, in their order.
    ///
    /// # Shapes
    /// `pixels`: `[p, channels * frames * side * side]`, any float dtype; result `[u, o]`, u = p / merge².
    ///
    /// # Source
    /// `Qwen2_5_VisionTransformerPretrainedModel` of transformers 4.57.6; see `activations` in `tests/goldens`.
    pub fn forward(&self, pixels: &Tensor, grids: &[Grid]) -> Tensor {
        self.observed(pixels, grids, &mut |_, _, _| ())
    }

    /// As [`Self::forward`], showing the patch embedding (number 0) and each block's output `[p, d]` together with the units'
    /// order.
    pub fn observed(&self, pixels: &Tensor, grids: &[Grid], observe: &mut dyn FnMut(usize, &Tensor, &[i64])) -> Tensor {
        let plan = self.plan(grids);
        let x = self.patches(pixels);
        observe(0, &x, &[]);
        let mut x_pd = self.ordered(&x, &plan);
        for i in 0..self.blocks.len() {
            x_pd = self.block(i, &x_pd, &plan);
            observe(i + 1, &x_pd, &plan.layout.units);
        }
        self.merged(&x_pd, &plan)
    }

    /// Returns what the tower's parts need to know of some images or videos.
    pub fn plan(&self, grids: &[Grid]) -> VisionPlan {
        let merge = self.config.merge;
        let layout = Layout::new(grids, merge, self.config.window_units());
        let device = self.patch_embed.weight.device();
        let order = index(&layout.units, device);
        let positions = index(&patch_positions(grids, merge), device).view([-1, merge * merge * 2]);
        let positions = positions.index_select(0, &order).view([-1, 2]);
        let rope = Rope::planar(&positions, self.config.hidden / self.config.heads);
        let windows = Segments { runs: layout.windows.clone(), gather: None };
        let frames = Segments {
            runs: layout.frames.clone(),
            gather: layout.by_frame.as_ref().map(|rows| (index(rows, device), index(&inverse(rows), device))),
        };
        VisionPlan { layout, order, rope, windows, frames }
    }

    /// First part: the patch embedding, `[p, d]` in the order of the patches.
    pub fn patches(&self, pixels: &Tensor) -> Tensor {
        let weight = &self.patch_embed.weight;
        self.patch_embed.forward(&pixels.to_device(weight.device()).to_kind(weight.kind()))
    }

    /// Brings patches into the order in which the blocks read them.
    pub fn ordered(&self, x_pd: &Tensor, plan: &VisionPlan) -> Tensor {
        let (group, d) = (self.config.merge * self.config.merge, self.config.hidden);
        x_pd.view([-1, group, d]).index_select(0, &plan.order).view([-1, d])
    }

    /// One block.
    pub fn block(&self, i: usize, x_pd: &Tensor, plan: &VisionPlan) -> Tensor {
        let segments = if self.config.full_blocks.contains(&i) { &plan.frames } else { &plan.windows };
        self.blocks[i].forward(x_pd, &plan.rope, segments)
    }

    /// Last part: groups of patches become units, `[u, o]`.
    pub fn merged(&self, x_pd: &Tensor, plan: &VisionPlan) -> Tensor {
        let group = self.config.merge * self.config.merge;
        let merged = self.merge_norm.forward(x_pd).view([-1, group * self.config.hidden]);
        let out = self.merge_out.forward(&self.merge_in.forward(&merged).gelu("none"));
        out.index_select(0, &index(&inverse(&plan.layout.units), out.device()))
    }
}

impl VisionBlock {
    fn new(params: &mut Params, i: usize, config: &VisionConfig) -> Self {
        let prefix = format!("visual.blocks.{i}");
        Self {
            norm1: RmsNorm::new(params, &format!("{prefix}.norm1.weight"), EPS),
            norm2: RmsNorm::new(params, &format!("{prefix}.norm2.weight"), EPS),
            qkv: Linear::new(params, &[format!("{prefix}.attn.qkv")], true),
            proj: Linear::new(params, &[format!("{prefix}.attn.proj")], true),
            mlp: Mlp::new(params, &format!("{prefix}.mlp"), true),
            heads: config.heads,
        }
    }

    fn forward(&self, x_pd: &Tensor, rope: &Rope, segments: &Segments) -> Tensor {
        let x = x_pd + self.attention(x_pd, rope, segments);
        &x + self.mlp.after(&self.norm2, &x)
    }

    fn attention(&self, x_pd: &Tensor, rope: &Rope, segments: &Segments) -> Tensor {
        let d = x_pd.size()[1];
        let h = self.heads;
        let turned = Turned { rope, heads: 2 * h, width: d / h };
        let mut qkv = self.norm1.then_turned(x_pd, &self.qkv, &turned);
        if let Some((there, _)) = &segments.gather {
            qkv = qkv.index_select(0, there);
        }
        let sizes: Vec<i64> = segments.runs.iter().map(|(count, len)| count * len).collect();
        let mut out = Vec::new();
        for (rows, (count, len)) in qkv.split_with_sizes(sizes, 0).iter().zip(&segments.runs) {
            let heads = rows.view([*count, *len, 3, h, d / h]).permute([2, 0, 3, 1, 4]);
            let attended = attend(&heads.get(0), &heads.get(1), &heads.get(2), &Mask::Full);
            out.push(attended.transpose(1, 2).reshape([count * len, d]));
        }
        let mut attended = if out.len() == 1 { out.remove(0) } else { Tensor::cat(&out, 0) };
        if let Some((_, back)) = &segments.gather {
            attended = attended.index_select(0, back);
        }
        self.proj.forward(&attended)
    }
}

/// Returns the inverse of a permutation.
pub(crate) fn inverse(order: &[i64]) -> Vec<i64> {
    let mut out = vec![0; order.len()];
    for (place, &item) in order.iter().enumerate() {
        out[item as usize] = place as i64;
    }
    out
}

fn index(rows: &[i64], device: Device) -> Tensor {
    Tensor::from_slice(rows).to_device(device)
}
