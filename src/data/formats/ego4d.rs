//! Annotations of Ego4D as parts of videos: narrations, moments, queries in plain words, actions.

use serde_json::{Value as Json, json};

use super::load::RawRow;
use crate::base::OpError;

/// Reads a file of annotations, whichever of these it is:
/// - narrations: `{ videos: { UID: … } }` or `{ UID: { narration_pass_1: { narrations: [{ timestamp_sec, narration_text }] } } }`. A clip reaches half of
///   `around` seconds to both sides; the marks `#C` (the wearer) and `#O` (others) are taken off, and what nobody was sure of is a bad row.
/// - queries in plain words and moments: `{ videos: [{ video_uid, clips: [{ clip_uid, annotations: [{ language_queries | labels: [ … ] }] }] }] }`
/// - actions of the long-term anticipation: `{ clips: [{ video_uid, clip_uid, action_idx, verb, noun, … }] }`.
///
/// Seconds count from the beginning of the video, not of the clip that annotators were shown. `file` names a video's file: `<video>` stands for its id.
///
/// # Errors
/// `E0503` when nothing of these is there.
pub fn rows(json: &Json, name: &str, file: &str, around: f64) -> Result<Vec<RawRow>, OpError> {
    let mut reading = Reading { name, file, rows: Vec::new() };
    match (&json["videos"], &json["clips"]) {
        (Json::Array(videos), _) => videos.iter().for_each(|video| reading.tasks(video)),
        (_, Json::Array(clips)) => clips.iter().enumerate().for_each(|(i, clip)| reading.action(i, clip)),
        (videos, _) => {
            let videos = videos.as_object().or_else(|| json.as_object());
            videos.into_iter().flatten().for_each(|(uid, video)| reading.narrations(uid, video, around));
        }
    }
    if reading.rows.is_empty() {
        return Err(OpError::new("E0503", format!("{name}: no narrations, queries, moments or actions of Ego4D")));
    }
    Ok(reading.rows)
}

struct Reading<'a> {
    name: &'a str,
    file: &'a str,
    rows: Vec<RawRow>,
}

/// What is said of a clip.
#[derive(Default)]
struct Said<'a> {
    narration: Option<&'a str>,
    verb: Option<&'a str>,
    noun: Option<&'a str>,
}

impl Reading<'_> {
    fn narrations(&mut self, uid: &str, video: &Json, around: f64) {
        for pass in ["narration_pass_1", "narration_pass_2"] {
            for (i, narration) in list(&video[pass]["narrations"]).iter().enumerate() {
                let read = || {
                    let at = number(narration, "timestamp_sec")?;
                    let text = narration["narration_text"].as_str().ok_or("`narration_text` is no text")?.trim();
                    if text.to_lowercase().contains("#unsure") {
                        return Err("the narrator was unsure".to_owned());
                    }
                    let bare = text.trim_start_matches(['#', 'C', 'O', 'c', 'o']).trim_start();
                    let marked = text.starts_with('#') && !bare.is_empty();
                    let said = Said { narration: Some(if marked { bare } else { text }), ..Said::default() };
                    let id = narration["annotation_uid"].as_str().map(str::to_owned);
                    let id = format!("{uid}:{}", id.unwrap_or_else(|| format!("{pass}:{i}")));
                    Ok(self.row(&id, uid, [(at - around / 2.0).max(0.0), at + around / 2.0], &said))
                };
                let value = read();
                self.rows.push(RawRow { place: format!("{}: {uid}, {pass}[{i}]", self.name), value });
            }
        }
    }

    /// Reads the queries and moments of a video.
    fn tasks(&mut self, video: &Json) {
        let uid = video["video_uid"].as_str().unwrap_or_default();
        for clip in list(&video["clips"]) {
            let clip_uid = clip["clip_uid"].as_str().unwrap_or_default();
            for (a, annotation) in list(&clip["annotations"]).iter().enumerate() {
                for (kind, text, ends) in [
                    ("language_queries", "query", ["video_start_sec", "video_end_sec"]),
                    ("labels", "label", ["video_start_time", "video_end_time"]),
                ] {
                    for (i, item) in list(&annotation[kind]).iter().enumerate() {
                        let read = || {
                            let narration = item[text].as_str().ok_or_else(|| format!("`{text}` is no text"))?;
                            let span = [number(item, ends[0])?, number(item, ends[1])?];
                            let said = Said { narration: Some(narration), ..Said::default() };
                            self.span(&format!("{clip_uid}:{a}:{i}"), uid, span, &said)
                        };
                        let value = read();
                        let place = format!("{}: {uid}, clip {clip_uid}, annotations[{a}].{kind}[{i}]", self.name);
                        self.rows.push(RawRow { place, value });
                    }
                }
            }
        }
    }

    /// Reads an action, whose seconds count from the beginning of its clip, and the clip's from that of the video.
    fn action(&mut self, i: usize, action: &Json) {
        let read = || {
            let text = |name: &str| action[name].as_str();
            let uid = text("video_uid").ok_or("`video_uid` is no text")?;
            let from = number(action, "clip_parent_start_sec")?;
            let span = ["action_clip_start_sec", "action_clip_end_sec"].map(|end| Ok(from + number(action, end)?));
            let [start, stop]: [Result<f64, String>; 2] = span;
            let said = Said { narration: None, verb: text("verb"), noun: text("noun") };
            let number = action["action_idx"].as_u64().map_or_else(|| i.to_string(), |n| n.to_string());
            let id = format!("{}:{number}", text("clip_uid").unwrap_or(uid));
            self.span(&id, uid, [start?, stop?], &said)
        };
        let value = read();
        self.rows.push(RawRow { place: format!("{}: clips[{i}]", self.name), value });
    }

    fn span(&self, id: &str, uid: &str, [start, stop]: [f64; 2], said: &Said<'_>) -> Result<Json, String> {
        if uid.is_empty() {
            return Err("`video_uid` is no text".to_owned());
        }
        if !(0.0 <= start && start <= stop) {
            return Err(format!("it goes from second {start} to {stop}"));
        }
        Ok(self.row(id, uid, [start, stop], said))
    }

    fn row(&self, id: &str, uid: &str, [start, stop]: [f64; 2], said: &Said<'_>) -> Json {
        json!({
            "id": id, "video": self.file.replace("<video>", uid), "start": start, "stop": stop,
            "narration": said.narration, "verb": said.verb, "noun": said.noun, "nouns": Vec::from_iter(said.noun),
        })
    }
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn number(json: &Json, name: &str) -> Result<f64, String> {
    json[name].as_f64().ok_or_else(|| format!("`{name}` is no number"))
}
