//! Frames of video files, decoded by the program `ffmpeg` in a process of its own, and which of them are taken.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::base::OpError;

/// What is known of a video before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Frames in it.
    pub frames: usize,
    /// Frames per second, on average.
    pub rate: f64,
}

/// Says that the decoder is there.
///
/// # Errors
/// `E0501` where it is not.
pub fn decoder() -> Result<(), OpError> {
    let there =
        |name: &str| Command::new(name).arg("-version").stdin(Stdio::null()).output().is_ok_and(|o| o.status.success());
    match ["ffmpeg", "ffprobe"].into_iter().find(|name| !there(name)) {
        None => Ok(()),
        Some(name) => Err(OpError::new("E0501", format!("reading frames of a video needs the program `{name}`"))
            .help("install FFmpeg 5.1 or later (`apt install ffmpeg`), or give the frames as pictures")),
    }
}

/// Counts the frames of a video.
///
/// # Errors
/// A reason that reads after the file's name.
pub fn facts(path: &Path) -> Result<Facts, String> {
    let args = ["-select_streams", "v:0", "-count_packets", "-show_entries", "stream=nb_read_packets,avg_frame_rate"];
    let out = run(Command::new("ffprobe")
        .args(["-v", "error", "-protocol_whitelist", "file"])
        .args(args)
        .args(["-of", "json"])
        .arg(path))?;
    let told: Json = serde_json::from_slice(&out).map_err(|e| format!("is damaged: {e}"))?;
    let stream = &told["streams"][0];
    let number = |value: &Json| value.as_str().and_then(|n| n.parse::<f64>().ok());
    let rate = stream["avg_frame_rate"].as_str().and_then(|rate| rate.split_once('/'));
    let rate = rate.and_then(|(n, d)| Some(n.parse::<f64>().ok()? / d.parse::<f64>().ok().filter(|d| *d > 0.0)?));
    match (number(&stream["nb_read_packets"]), rate) {
        (Some(frames), Some(rate)) if frames >= 1.0 && rate > 0.0 => Ok(Facts { frames: frames as usize, rate }),
        _ => Err("is damaged: it has no frames".to_owned()),
    }
}

/// Decodes frames by their ordinals, which rise. Returns each as a PNG, upright.
///
/// # Errors
/// As [`facts`]; also where a frame that was counted does not decode.
pub fn frames(path: &Path, at: &[usize]) -> Result<Vec<Vec<u8>>, String> {
    let (Some(first), Some(last)) = (at.first(), at.last()) else { return Ok(Vec::new()) };
    debug_assert!(at.is_sorted() && first <= last);
    let wanted: Vec<String> = at.iter().map(|n| format!("eq(n,{n})")).collect();
    let select = format!("select='{}'", wanted.join("+"));
    let out = run(Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe", "-flags", "+bitexact", "-i"])
        .arg(path)
        .args(["-map", "0:v:0", "-sws_flags", "bicubic+accurate_rnd+full_chroma_int+bitexact", "-vf", &select])
        .args(["-fps_mode", "passthrough", "-frames:v", &at.len().to_string()])
        .args(["-c:v", "png", "-pix_fmt", "rgb24", "-f", "image2pipe", "pipe:1"]))?;
    let found = pngs(&out).ok_or("is damaged: the decoder wrote no pictures")?;
    if found.len() != at.len() {
        let lost = at.get(found.len()).copied().unwrap_or(*last);
        return Err(format!("is damaged: frame {lost} does not decode"));
    }
    Ok(found)
}

fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("could not be decoded: {e}"))?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    let said = String::from_utf8_lossy(&out.stderr);
    // The first line names the cause; the path in it is that of a blob, which tells nobody anything.
    let line = said.lines().next().unwrap_or("no reason given");
    let line = line.rsplit_once("]").map_or(line, |(_, rest)| rest).trim();
    Err(format!("is damaged: {}", line.rsplit_once(": ").map_or(line, |(_, why)| why)))
}

/// Splits pictures that follow each other.
fn pngs(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let mut at = 8;
        loop {
            let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
            let kind = bytes.get(at + 4..at + 8)?;
            at += 12 + length;
            if kind == b"IEND" {
                break;
            }
        }
        found.push(bytes.get(..at)?.to_vec());
        bytes = &bytes[at..];
    }
    Some(found)
}

/// Returns which of `n` frames to show, in time order.
///
/// # Source
/// `arange_floor` FlagEvalMM, `linspace` lmms-eval, `linspace_tail` EASI, `chunk_center` VLMEvalKit.
pub fn picked(n: usize, wanted: usize, pick: &str) -> Result<Vec<usize>, OpError> {
    if n == 0 || wanted == 0 {
        return Ok(Vec::new());
    }
    let last = n - 1;
    let linspace = || -> Vec<usize> {
        if wanted == 1 {
            return vec![0];
        }
        (0..wanted).map(|i| (i as f64 * last as f64 / (wanted - 1) as f64) as usize).collect()
    };
    let mut out = match pick {
        _ if n <= wanted => (0..n).collect(),
        "arange_floor" => (0..wanted).map(|i| i * n / wanted).collect(),
        "linspace" => linspace(),
        "linspace_tail" => {
            let mut out = linspace();
            if out.last() != Some(&last) {
                out.push(last);
            }
            out
        }
        "chunk_center" => {
            let step = n as f64 / wanted as f64;
            (0..wanted).map(|i| ((step / 2.0 + (i as f64 * step).round_ties_even()) as usize).min(last)).collect()
        }
        "fps" => return Err(OpError::new("E0612", "`pick: \"fps\"` needs a video; these are single frames")),
        other => return Err(OpError::new("E0213", format!("`{other}` is no way to pick frames"))),
    };
    out.dedup();
    Ok(out)
}

/// Returns the frames of `n` that stand at whole multiples of `1 / fps` seconds, at most `most`.
pub fn per_second(n: usize, rate: f64, fps: f64, most: usize) -> Vec<usize> {
    let step = (rate / fps).max(1.0);
    let mut out: Vec<usize> = (0..most).map(|i| (i as f64 * step) as usize).take_while(|at| *at < n).collect();
    out.dedup();
    out
}

/// Returns the frames of `n`, seen at `rate` a second, that a model is shown: `fps` a second, `least` to `most` of them, never more than there are,
/// evenly spread from the first to the last; and how many a second these are.
///
/// # Source
/// `_get_video_sample_indices` and `_regularize_videos` of LLaMA-Factory, whose `least` is 1.
pub fn shown(n: usize, rate: f64, fps: f64, least: usize, most: usize) -> (Vec<usize>, f64) {
    let seconds = n as f64 / rate;
    let count = ((seconds * fps).floor() as usize).max(least.max(1)).min(most.max(1)).min(n);
    (evenly(n, count), count as f64 / seconds)
}

/// Returns `numpy.linspace(0, n - 1, count)`, cut to whole numbers.
pub fn evenly(n: usize, count: usize) -> Vec<usize> {
    let last = n.saturating_sub(1);
    let step = last as f64 / count.saturating_sub(1).max(1) as f64;
    let at = |i: usize| if i > 0 && i + 1 == count { last } else { (i as f64 * step) as usize };
    (0..count).map(at).collect()
}
