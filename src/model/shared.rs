//! Prefill of many prompts: each picture passes the vision tower once, and a beginning that several prompts share passes the
//! decoder once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tch::{Tensor, no_grad};

use super::collate::{IGNORE, Padding, Pixels, Sample, collate_seen, pixel_tensor};
use super::config::Config;
use super::kv_cache::KvCache;
use super::qwen_vl::QwenVl;
use crate::base::OpError;

/// Bytes of keys and values that a batch of prompts may hold.
const ROOM: usize = 256 << 20;
/// Patches that pass the vision tower at a time.
const PATCHES: i64 = 16_384;
/// Shared beginnings pay when they save at least one token in so many.
const WORTH: usize = 6;

/// Features of the pictures seen so far, as the vision tower gives them: an amplifier acts where they are put into a batch.
#[derive(Default)]
pub struct Seen {
    /// By address; the picture is kept, so that its address stays its own.
    features: HashMap<usize, (Arc<Pixels>, Tensor)>,
}

impl Seen {
    /// Returns the features of pictures, those that are new from the vision tower.
    fn of(&mut self, model: &QwenVl, pictures: &[&Arc<Pixels>]) -> Result<Vec<Tensor>, OpError> {
        let mut fresh: Vec<&Arc<Pixels>> = Vec::new();
        for picture in pictures {
            if !self.features.contains_key(&address(picture)) && !fresh.iter().any(|f| Arc::ptr_eq(f, picture)) {
                fresh.push(picture);
            }
        }
        let mut start = 0;
        while start < fresh.len() {
            let mut patches = 0;
            let fits = fresh[start..].iter().take_while(|p| {
                patches += p.grid.iter().product::<i64>();
                patches <= PATCHES
            });
            let part = &fresh[start..start + fits.count().max(1)];
            let grids: Vec<_> = part.iter().map(|p| p.grid).collect();
            if let Some(pixels) = pixel_tensor(part) {
                for (picture, features) in part.iter().zip(no_grad(|| model.features(&pixels, &grids))?) {
                    self.features.insert(address(picture), (Arc::clone(picture), features));
                }
            }
            start += part.len();
        }
        Ok(pictures.iter().map(|p| self.features[&address(p)].1.shallow_clone()).collect())
    }
}

fn address(picture: &Arc<Pixels>) -> usize {
    Arc::as_ptr(picture) as usize
}

/// Prompts in batches: those with one beginning side by side, then by length.
pub struct Plan {
    /// Numbers of prompts.
    order: Vec<usize>,
    /// Parts of the order.
    parts: Vec<Range<usize>>,
}

impl Plan {
    /// Lays prompts out, at most `most` in a batch, with room for `more` tokens each.
    pub fn new(config: &Config, prompts: &[Sample], most: usize, more: usize) -> Self {
        let mut trunks: HashMap<Trunk<'_>, usize> = HashMap::new();
        let keys: Vec<(usize, usize, usize)> = prompts
            .iter()
            .map(|p| {
                let trunk = Trunk::of(config, p);
                let (len, next) = (trunk.ids.len(), trunks.len());
                (len, *trunks.entry(trunk).or_insert(next), p.ids.len())
            })
            .collect();
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.sort_by_key(|&i| (keys[i], i));
        let text = &config.text;
        let token = text.layers * (2 * text.kv_heads * text.head_width()) as usize * 4;
        let mut parts: Vec<Range<usize>> = Vec::new();
        let mut longest = 0;
        for (place, &i) in order.iter().enumerate() {
            longest = longest.max(prompts[i].ids.len());
            match parts.last_mut() {
                Some(part) if part.len() < most.max(1) && (part.len() + 1) * (longest + more) * token <= ROOM => {
                    part.end = place + 1;
                }
                _ => {
                    longest = prompts[i].ids.len();
                    parts.push(place..place + 1);
                }
            }
        }
        Self { order, parts }
    }

    /// Returns the numbers of the prompts of each batch.
    pub fn batches(&self) -> impl Iterator<Item = &[usize]> {
        self.parts.iter().map(|part| &self.order[part.clone()])
    }
}

/// The beginning of a prompt: all up to its last picture.
#[derive(PartialEq, Eq, Hash)]
struct Trunk<'a> {
    ids: &'a [i64],
    pictures: Vec<usize>,
}

impl<'a> Trunk<'a> {
    /// Empty for a prompt without pictures, or that ends with one.
    fn of(config: &Config, prompt: &'a Sample) -> Self {
        let end = prompt.ids.iter().rposition(|&id| id == config.vision_end_id).map_or(0, |last| last + 1);
        let end = if end == prompt.ids.len() { 0 } else { end };
        Self { ids: &prompt.ids[..end], pictures: prompt.images.iter().chain(&prompt.videos).map(address).collect() }
    }
}

/// Runs prompts and returns their state, with room for `more` tokens, and the hidden state `[b, d]` at their last tokens.
///
/// # Errors
/// `E0612` when a prompt's pictures and placeholders disagree.
pub fn prefill(
    model: &QwenVl,
    prompts: &[&Sample],
    pad: i64,
    more: i64,
    seen: &mut Seen,
) -> Result<(KvCache, Tensor), OpError> {
    let mut known: HashMap<Trunk<'_>, usize> = HashMap::new();
    let mut heads: Vec<Sample> = Vec::new();
    let (mut of, mut rests, mut all) = (Vec::new(), Vec::new(), 0);
    for prompt in prompts {
        let trunk = Trunk::of(&model.config, prompt);
        let ids = trunk.ids;
        rests.push(&prompt.ids[ids.len()..]);
        all += prompt.ids.len();
        of.push(*known.entry(trunk).or_insert_with(|| {
            let labels = vec![IGNORE; ids.len()];
            heads.push(Sample { ids: ids.to_vec(), labels, ..Sample::clone(prompt) });
            heads.len() - 1
        }));
    }
    let once: usize = heads.iter().map(|h| h.ids.len()).sum::<usize>() + rests.iter().map(|r| r.len()).sum::<usize>();
    if heads.iter().any(|h| h.ids.is_empty()) || (all - once) * WORTH < all {
        return whole(model, prompts, pad, more, seen);
    }
    let (trunks, _) = whole(model, &heads.iter().collect::<Vec<_>>(), pad, 0, seen)?;
    let longest = rests.iter().map(|r| r.len()).max().unwrap_or(0) as i64;
    let mut cache = trunks.select(model, &of, longest + more);
    let hidden = cache.extend_each(model, &rests);
    Ok((cache, hidden))
}

fn whole(
    model: &QwenVl,
    prompts: &[&Sample],
    pad: i64,
    more: i64,
    seen: &mut Seen,
) -> Result<(KvCache, Tensor), OpError> {
    let batch = collate_seen(&model.config, prompts, Padding::left(pad))?;
    let mut images: Vec<&Arc<Pixels>> = Vec::new();
    for picture in prompts.iter().flat_map(|p| &p.images) {
        if !images.iter().any(|i| Arc::ptr_eq(i, picture)) {
            images.push(picture);
        }
    }
    let videos: Vec<&Arc<Pixels>> = prompts.iter().flat_map(|p| &p.videos).collect();
    let (images, videos) = (seen.of(model, &images)?, seen.of(model, &videos)?);
    let embedded = no_grad(|| model.embed_with(&batch, &images, &videos))?;
    KvCache::prefill_embedded(model, &batch, embedded, more)
}
