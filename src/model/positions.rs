//! Multimodal position ids: time, height and width of every token.

use super::config::{Config, VisionConfig};
use super::windows::Grid;
use crate::base::OpError;

/// Said of pictures that are shown to a decoder of text.
pub const BLIND: &str = "the model reads text alone, and there are pictures";

/// How seconds of video become rotary positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RopeTime {
    /// As transformers 4.57: seconds per grid step are cut to a whole number first (0.5 becomes 0). What released
    /// fine-tunes saw.
    #[default]
    Hf457,
    /// `floor(step * seconds * tokens_per_second)`, as upstream does since September 2026.
    Exact,
}

/// Images and videos of one sample, in order.
#[derive(Clone, Debug, Default)]
pub struct Media {
    /// Grids of the images, in patches.
    pub images: Vec<Grid>,
    /// Grids of the videos, in patches.
    pub videos: Vec<Grid>,
    /// Seconds per grid step of each video.
    pub seconds: Vec<f64>,
}

/// Returns the positions of one unpadded sample, `[3][t]`, and the first position after it.
///
/// Text counts up on all axes. An image or video of grid (t, h, w) starts at the current position and spreads over its axes;
/// text goes on after its largest position.
///
/// # Errors
/// `E0612` when placeholders and grids disagree, naming the item and both numbers.
///
/// # Source
/// `get_rope_index` of transformers 4.57.6; equal to all cases of `mrope.safetensors`.
pub fn positions(config: &Config, ids: &[i64], media: &Media, time: RopeTime) -> Result<([Vec<i64>; 3], i64), OpError> {
    let mut axes: [Vec<i64>; 3] = std::array::from_fn(|_| Vec::with_capacity(ids.len()));
    let (mut at, mut current) = (0, 0);
    let (mut image, mut video) = (0, 0);
    while at < ids.len() {
        let id = ids[at];
        if id != config.image_id && id != config.video_id {
            axes.iter_mut().for_each(|a| a.push(current));
            current += 1;
            at += 1;
            continue;
        }
        let is_video = id == config.video_id;
        let (what, number, grids) =
            if is_video { ("video", &mut video, &media.videos) } else { ("image", &mut image, &media.images) };
        let Some(&[t, h, w]) = grids.get(*number) else {
            return Err(disagree(&format!("{what} token at position {at} has no {what}: only {} given", grids.len())));
        };
        let Some(VisionConfig { merge, tokens_per_second: per_second, .. }) = config.vision else {
            return Err(OpError::new("E0612", BLIND));
        };
        let seconds = media.seconds.get(*number).copied().unwrap_or(1.0);
        let (h, w) = (h / merge, w / merge);
        let wanted = (t * h * w) as usize;
        let found = ids[at..].iter().take(wanted).take_while(|&&x| x == id).count();
        if found < wanted {
            return Err(disagree(&format!("{what} {} needs {wanted} tokens, but {found} are left", *number + 1)));
        }
        for frame in 0..t {
            let step = match (is_video, time) {
                (false, _) => 0,
                (true, RopeTime::Hf457) => frame * seconds as i64 * per_second,
                (true, RopeTime::Exact) => (frame as f64 * seconds * per_second as f64).floor() as i64,
            };
            for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                axes[0].push(current + step);
                axes[1].push(current + y);
                axes[2].push(current + x);
            }
        }
        current = 1 + axes.iter().flat_map(|a| &a[at..]).max().copied().unwrap_or(current);
        at += wanted;
        *number += 1;
    }
    for (what, used, given) in [("image", image, media.images.len()), ("video", video, media.videos.len())] {
        if used != given {
            return Err(disagree(&format!("{given} {what}s are given, but the text has tokens of {used}")));
        }
    }
    Ok((axes, current))
}

fn disagree(what: &str) -> OpError {
    OpError::new("E0612", format!("images and text disagree: {what}")).help(
        "the cutoff has cut into the image tokens, or the picture was processed with other pixel limits: raise `cutoff` or lower `pixels`",
    )
}
