//! Rows of WebDataset shards: members of a tar file that share a name up to its first dot. Nothing is unpacked to disk.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::load::{Feed, RawRow};
use super::packed;
use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::data::pictures::media::{self, Member, Members};
use crate::spec::Type;

/// Bytes of samples that are held before they are examined, in parallel.
const BATCH: usize = 64 << 20;
/// Samples that are held, however small.
const ROWS: usize = 1 << 13;
/// Bytes beyond which nobody looks into a member that has no column.
const TEXT: u64 = 1 << 20;
const PICTURES: &[&str] = &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];
const VIDEOS: &[&str] = &["mp4", "webm", "avi", "mov", "mkv"];

/// A sample: its key and its members, by their endings in lower case.
struct Sample {
    key: String,
    members: Vec<(String, Vec<u8>)>,
    /// Endings of members that were not read.
    others: Vec<String>,
    /// Why it cannot be a row.
    fault: Option<String>,
}

impl Sample {
    fn member(&self, ending: &str) -> Option<&[u8]> {
        self.members.iter().find(|(e, _)| e == ending).map(|(_, bytes)| &bytes[..])
    }

    /// The fields of the member `json`; none where it is not there or no object.
    fn described(&self) -> Result<Map<String, Json>, serde_json::Error> {
        match self.member("json").map(serde_json::from_slice) {
            Some(Ok(Json::Object(fields))) => Ok(fields),
            Some(Err(e)) => Err(e),
            Some(Ok(_)) | None => Ok(Map::new()),
        }
    }
}

/// How a shard ends.
enum End {
    Whole,
    /// Without a sample.
    Empty,
    /// Damaged, in the sample of this key, and why.
    Cut(String, String),
}

/// Reads the samples of a shard some at a time, plain, gzip or zstd. A column is the member with its ending; `image`, `video` and `text` are a member of any such
/// ending; else the column is a field of the member `json`; `id` is the sample's key where there is no such field.
///
/// # Errors
/// `E0501` when the file is missing.
pub fn rows(
    path: &Path,
    name: &str,
    schema: &[(String, Type)],
    blobs: &dyn Blobs,
    feed: &mut Feed<'_>,
) -> Result<(), OpError> {
    let mut shard = Shard { name, schema, blobs, waiting: Vec::new(), bytes: 0, feed };
    let end = samples(path, &|ending, _| wanted(schema, ending), &mut |sample| shard.take(sample))?;
    shard.flush()?;
    match end {
        End::Whole => Ok(()),
        End::Empty => shard.bad(name.to_owned(), "the shard holds no sample".to_owned()),
        End::Cut(key, why) => {
            let place = if key.is_empty() { name.to_owned() } else { format!("{name}/{key}") };
            shard.bad(place, format!("the shard is cut off or damaged here: {why}"))
        }
    }
}

/// What a column of a sample holds for who has no schema.
pub enum Held {
    /// A picture or video, which was not looked at.
    Medium(Type),
    /// A member with text.
    Text(String),
    /// A field of the member `json`.
    Value(Json),
    /// A member of another kind.
    Bytes,
}

/// Gives the columns of each sample of a shard: those that are declared as [`rows`] finds them, the others under the names of their endings and fields.
/// Samples that cannot be rows are left out.
///
/// # Errors
/// `E0501` when the file is missing.
pub fn look(path: &Path, declared: &[String], see: &mut dyn FnMut(Vec<(String, Held)>)) -> Result<(), OpError> {
    let text = |ending: &str, bytes: u64| bytes <= TEXT && medium(ending).is_none();
    samples(path, &text, &mut |sample| {
        if let Some(columns) = columns(&sample, declared) {
            see(columns);
        }
        Ok(())
    })?;
    Ok(())
}

/// The columns of a sample; none where it cannot be a row.
fn columns(sample: &Sample, declared: &[String]) -> Option<Vec<(String, Held)>> {
    if sample.fault.is_some() {
        return None;
    }
    let mut described = sample.described().ok()?;
    let held = |ending: &str| match (medium(ending), sample.member(ending)) {
        (Some(ty), _) => Held::Medium(ty),
        (None, Some(bytes)) => std::str::from_utf8(bytes).map_or(Held::Bytes, |text| Held::Text(text.to_owned())),
        (None, None) => Held::Bytes,
    };
    let mut left: Vec<&str> = sample.members.iter().map(|(e, _)| e).chain(&sample.others).map(String::as_str).collect();
    left.retain(|ending| *ending != "json");
    let mut out = Vec::new();
    for column in declared {
        match members_of(column, &left)[..] {
            [at] => out.push((column.clone(), held(left.swap_remove(at)))),
            [] => match described.remove(column) {
                Some(value) => out.push((column.clone(), Held::Value(value))),
                None if column == "id" => out.push((column.clone(), Held::Text(sample.key.clone()))),
                None => {}
            },
            _ => return None,
        }
    }
    let fields = described.into_iter().map(|(name, value)| (name, Held::Value(value)));
    let members = left.into_iter().filter(|e| !e.is_empty()).map(|e| (e.replace('.', "_"), held(e)));
    for (name, held) in members.chain(fields) {
        if !out.iter().any(|(known, _)| *known == name) {
            out.push((name, held));
        }
    }
    Some(out)
}

/// Gives the samples of a shard, with the bytes of those members whose ending and size are `wanted`.
fn samples(
    path: &Path,
    wanted: &dyn Fn(&str, u64) -> bool,
    each: &mut dyn FnMut(Sample) -> Result<(), OpError>,
) -> Result<End, OpError> {
    let file = File::open(path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?;
    let broken = |e: std::io::Error| OpError::new("E0503", format!("{}: {e}", path.display()));
    let file = packed::unpacked(BufReader::with_capacity(1 << 20, file), path).map_err(broken)?;
    let mut archive = tar::Archive::new(file);
    let mut seen = HashSet::new();
    let mut open: Option<Sample> = None;
    for entry in archive.entries().map_err(broken)? {
        let read = entry.map_err(|e| e.to_string()).and_then(|entry| {
            let kind = entry.header().entry_type();
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            Ok((entry, kind, path))
        });
        let (entry, kind, path) = match read {
            Ok(found) => found,
            // What comes next is unknown: the sample that was open may lack members.
            Err(why) => return Ok(End::Cut(open.take().map(|sample| sample.key).unwrap_or_default(), why)),
        };
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let (key, ending) = split(&path);
        if open.as_ref().is_none_or(|sample| sample.key != key) {
            if let Some(sample) = open.take() {
                each(sample)?;
            }
            let fault = (!seen.insert(key.clone())).then(|| "the sample comes a second time".to_owned());
            open = Some(Sample { key, members: Vec::new(), others: Vec::new(), fault });
        }
        let Some(sample) = open.as_mut() else { continue };
        let size = entry.size();
        if !kind.is_file() {
            sample.fault = Some(format!("`{path}` is no file but a link or device"));
        } else if sample.members.iter().any(|(e, _)| *e == ending) {
            sample.fault = Some(format!("two members end in `.{ending}`"));
        } else if wanted(&ending, size) {
            match media::unpacked(entry, size) {
                Ok(bytes) if (bytes.len() as u64) < size => sample.fault = Some(format!("`{path}` is cut off")),
                Ok(bytes) => sample.members.push((ending, bytes)),
                Err(why) => sample.fault = Some(format!("`{path}` {why}")),
            }
        } else {
            sample.others.push(ending);
        }
    }
    if let Some(sample) = open {
        each(sample)?;
    }
    Ok(if seen.is_empty() { End::Empty } else { End::Whole })
}

/// Splits at the first dot of the last part: `a/b.seg.png` is `a/b` and `seg.png`.
fn split(path: &str) -> (String, String) {
    let start = path.rfind('/').map_or(0, |at| at + 1);
    match path[start..].find('.') {
        Some(dot) => (path[..start + dot].to_owned(), path[start + dot + 1..].to_lowercase()),
        None => (path.to_owned(), String::new()),
    }
}

/// Which endings a column may have beside its own name.
fn endings(column: &str) -> &'static [&'static str] {
    match column {
        "image" => PICTURES,
        "video" => VIDEOS,
        "text" => &["txt"],
        _ => &[],
    }
}

/// What a member is by its ending: `seg.png` is a picture.
fn medium(ending: &str) -> Option<Type> {
    let last = ending.rsplit('.').next().unwrap_or(ending);
    let video = || VIDEOS.contains(&last).then_some(Type::Video);
    PICTURES.contains(&last).then_some(Type::Image).or_else(video)
}

fn is_of(column: &str, ending: &str) -> bool {
    ending == column || ending.contains('.') && ending.replace('.', "_") == column
}

/// Which of a sample's members, given by their endings, a column could be: the one that it is named after, else all of its kind.
fn members_of(column: &str, present: &[&str]) -> Vec<usize> {
    match present.iter().position(|ending| is_of(column, ending)) {
        Some(own) => vec![own],
        None => (0..present.len()).filter(|&i| endings(column).contains(&present[i])).collect(),
    }
}

fn wanted(schema: &[(String, Type)], ending: &str) -> bool {
    let column = |(name, _): &(String, Type)| is_of(name, ending) || endings(name).contains(&ending);
    ending == "json" || schema.iter().any(column)
}

struct Shard<'a, 'f> {
    name: &'a str,
    schema: &'a [(String, Type)],
    blobs: &'a dyn Blobs,
    waiting: Vec<Sample>,
    bytes: usize,
    feed: &'a mut Feed<'f>,
}

impl Shard<'_, '_> {
    fn take(&mut self, sample: Sample) -> Result<(), OpError> {
        self.bytes += sample.members.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        self.waiting.push(sample);
        if self.bytes > BATCH || self.waiting.len() == ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OpError> {
        let (name, schema, blobs) = (self.name, self.schema, self.blobs);
        let waiting = std::mem::take(&mut self.waiting);
        let read = waiting.into_par_iter().map(|sample| Reading { name, schema, blobs }.row(&sample));
        let (rows, found): (Vec<RawRow>, Vec<Vec<Member>>) = read.unzip();
        self.bytes = 0;
        (self.feed)(rows, found.into_iter().flatten().collect())
    }

    fn bad(self, place: String, why: String) -> Result<(), OpError> {
        (self.feed)(vec![RawRow { place, value: Err(why) }], Members::new())
    }
}

/// Reads samples.
#[derive(Clone, Copy)]
struct Reading<'a> {
    name: &'a str,
    schema: &'a [(String, Type)],
    blobs: &'a dyn Blobs,
}

impl Reading<'_> {
    fn row(self, sample: &Sample) -> (RawRow, Vec<Member>) {
        let place = format!("{}/{}", self.name, sample.key);
        let mut found = Vec::new();
        let value = match &sample.fault {
            Some(fault) => Err(fault.clone()),
            None => self.fields(sample, &place, &mut found),
        };
        (RawRow { place, value: value.map(Json::Object) }, found)
    }

    fn fields(self, sample: &Sample, place: &str, found: &mut Vec<Member>) -> Result<Map<String, Json>, String> {
        let described = sample.described().map_err(|e| format!("`.json`: no JSON: {e}"))?;
        let present: Vec<&str> = sample.members.iter().map(|(ending, _)| ending.as_str()).collect();
        let mut out = Map::new();
        for (column, ty) in self.schema {
            let (ending, bytes) = match members_of(column, &present)[..] {
                [at] => &sample.members[at],
                [] => {
                    if let Some(value) = described.get(column) {
                        out.insert(column.clone(), value.clone());
                    } else if column == "id" {
                        out.insert(column.clone(), Json::from(sample.key.as_str()));
                    }
                    continue;
                }
                _ => {
                    return Err(format!(
                        "column `{column}`: the sample has several: name the columns after the endings"
                    ));
                }
            };
            let value = self.value(bytes, ty, &format!("{place}.{ending}"), found);
            out.insert(column.clone(), value.map_err(|why| format!("column `{column}`: `.{ending}` {why}"))?);
        }
        Ok(out)
    }

    fn value(self, bytes: &[u8], ty: &Type, key: &str, found: &mut Vec<Member>) -> Result<Json, String> {
        let text = || std::str::from_utf8(bytes).map_err(|e| format!("is no UTF-8 from byte {}", e.valid_up_to() + 1));
        match ty {
            Type::Optional(inner) => self.value(bytes, inner, key, found),
            Type::Image | Type::Video => {
                let medium = media::examine(bytes, self.blobs).map_err(|why| format!("`{key}` {why}"));
                found.push((key.to_owned(), medium));
                Ok(Json::from(key))
            }
            Type::Str | Type::Enum(_) => Ok(Json::from(text()?.trim_end_matches(['\r', '\n']))),
            _ => serde_json::from_str(text()?.trim()).map_err(|e| format!("is no JSON: {e}")),
        }
    }
}
