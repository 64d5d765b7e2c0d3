//! Parts of videos with what is said of them: annotations of EPIC-KITCHENS.

use serde_json::json;

use super::load::RawRow;
use crate::base::OpError;

/// The columns of a clip: seconds from the beginning of the video.
pub const COLUMNS: [(&str, &str); 8] = [
    ("id", "Str"),
    ("video", "Video"),
    ("start", "Float"),
    ("stop", "Float"),
    ("narration", "Str?"),
    ("verb", "Str?"),
    ("noun", "Str?"),
    ("nouns", "[Str]"),
];

/// Reads the rows of an EPIC-KITCHENS-100 table. `file` names a video's file: `<video>` and `<participant>` stand for its ids. The test split has no labels.
///
/// # Errors
/// `E0503` when there is no header with the columns of such a table.
pub fn epic(bytes: &[u8], name: &str, file: &str) -> Result<Vec<RawRow>, OpError> {
    let mut reader = csv::Reader::from_reader(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes));
    let header = reader.headers().map_err(|e| OpError::new("E0503", format!("{name}: no header: {e}")))?.clone();
    let at = |column: &str| header.iter().position(|h| h == column);
    if let Some(gone) = ["video_id", "start_timestamp", "stop_timestamp"].into_iter().find(|c| at(c).is_none()) {
        return Err(OpError::new("E0503", format!("{name}: no table of EPIC-KITCHENS: column `{gone}` is missing")));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let (line, value) = match record {
            Ok(record) => {
                let text = |column: &str| at(column).and_then(|i| record.get(i)).filter(|t| !t.is_empty());
                let read = || {
                    let second = |column: &str| {
                        let text = text(column).unwrap_or_default();
                        seconds(text).ok_or_else(|| format!("column `{column}`: expected HH:MM:SS.ss, found {text:?}"))
                    };
                    let video = text("video_id").ok_or("column `video_id` is empty")?;
                    let participant = text("participant_id").or_else(|| video.split('_').next()).unwrap_or_default();
                    let nouns = text("all_nouns").map(python_list).transpose()?.unwrap_or_default();
                    Ok(json!({
                        "id": text("narration_id").or(text("uid")).map_or_else(|| format!("{video}:{}", rows.len()), str::to_owned),
                        "video": file.replace("<video>", video).replace("<participant>", participant),
                        "start": second("start_timestamp")?, "stop": second("stop_timestamp")?,
                        "narration": text("narration"), "verb": text("verb"), "noun": text("noun"), "nouns": nouns,
                    }))
                };
                (record.position().map_or(0, csv::Position::line), read())
            }
            Err(e) => (e.position().map_or(0, csv::Position::line), Err(e.to_string())),
        };
        rows.push(RawRow { place: format!("{name}:{line}"), value });
    }
    Ok(rows)
}

/// Reads `HH:MM:SS.ss`.
fn seconds(text: &str) -> Option<f64> {
    let parts: Option<Vec<f64>> = text.split(':').map(|part| part.trim().parse().ok()).collect();
    match parts?.as_slice() {
        [h, m, s] if [h, m, s].iter().all(|x| **x >= 0.0 && x.is_finite()) => Some(h * 3600.0 + m * 60.0 + s),
        _ => None,
    }
}

/// Reads a list of texts as Python prints it: `['cup', "chef's knife"]`.
fn python_list(text: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("column `all_nouns`: expected a list of texts, found {text:?}");
    let mut rest = text.trim().strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or_else(wrong)?.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| ['\'', '"'].contains(c)).ok_or_else(wrong)?;
        let (item, after) = rest[1..].split_once(quote).ok_or_else(wrong)?;
        found.push(item.to_owned());
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Ok(found)
}
