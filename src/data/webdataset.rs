//! Rows of WebDataset shards: members of a tar file that share a name up to its first dot. Nothing is unpacked to disk.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::blobs::Blobs;
use super::load::{Feed, RawRow};
use super::media::{self, Member, Members};
use super::packed;
use crate::base::OpError;
use crate::spec::Type;

/// Bytes of samples that are held before they are examined, in parallel.
const BATCH: usize = 64 << 20;
/// Samples that are held, however small.
const ROWS: usize = 1 << 13;
const PICTURES: &[&str] = &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];
const VIDEOS: &[&str] = &["mp4", "webm", "avi", "mov", "mkv"];

/// A sample: its key and its members, by their endings in lower case.
struct Sample {
    key: String,
    members: Vec<(String, Vec<u8>)>,
    /// Why it cannot be a row.
    fault: Option<String>,
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
    let file = File::open(path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?;
    let broken = |e: std::io::Error| OpError::new("E0503", format!("{}: {e}", path.display()));
    let file = packed::unpacked(BufReader::with_capacity(1 << 20, file), path).map_err(broken)?;
    let mut archive = tar::Archive::new(file);
    let mut shard = Shard { name, schema, blobs, waiting: Vec::new(), bytes: 0, feed };
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
            Err(why) => {
                // What comes next is unknown: the sample that was open may lack members.
                let key = open.take().map(|sample| sample.key).unwrap_or_default();
                let place = if key.is_empty() { name.to_owned() } else { format!("{name}/{key}") };
                shard.flush()?;
                return shard.bad(place, format!("the shard is cut off or damaged here: {why}"));
            }
        };
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let (key, ending) = split(&path);
        if open.as_ref().is_none_or(|sample| sample.key != key) {
            if let Some(sample) = open.take() {
                shard.take(sample)?;
            }
            let fault = (!seen.insert(key.clone())).then(|| "the sample comes a second time".to_owned());
            open = Some(Sample { key, members: Vec::new(), fault });
        }
        let Some(sample) = open.as_mut() else { continue };
        if !kind.is_file() {
            sample.fault = Some(format!("`{path}` is no file but a link or device"));
        } else if sample.members.iter().any(|(e, _)| *e == ending) {
            sample.fault = Some(format!("two members end in `.{ending}`"));
        } else if wanted(schema, &ending) {
            let size = entry.size();
            match media::unpacked(entry, size) {
                Ok(bytes) if (bytes.len() as u64) < size => sample.fault = Some(format!("`{path}` is cut off")),
                Ok(bytes) => sample.members.push((ending, bytes)),
                Err(why) => sample.fault = Some(format!("`{path}` {why}")),
            }
        }
    }
    if let Some(sample) = open {
        shard.take(sample)?;
    }
    shard.flush()?;
    if seen.is_empty() {
        return shard.bad(name.to_owned(), "the shard holds no sample".to_owned());
    }
    Ok(())
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

fn is_of(column: &str, ending: &str) -> bool {
    ending == column || ending.contains('.') && ending.replace('.', "_") == column
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
        let member = |ending: &str| sample.members.iter().find(|(e, _)| e == ending);
        let described = match member("json") {
            Some((_, bytes)) => match serde_json::from_slice(bytes) {
                Ok(Json::Object(fields)) => fields,
                Ok(_) => Map::new(),
                Err(e) => return Err(format!("`.json`: no JSON: {e}")),
            },
            None => Map::new(),
        };
        let mut out = Map::new();
        for (column, ty) in self.schema {
            let own = sample.members.iter().find(|(ending, _)| is_of(column, ending));
            let mut others = endings(column).iter().filter_map(|ending| member(ending));
            let (ending, bytes) = match (own.or_else(|| others.next()), own.is_none() && others.next().is_some()) {
                (_, true) => {
                    return Err(format!(
                        "column `{column}`: the sample has several: name the columns after the endings"
                    ));
                }
                (Some(member), false) => member,
                (None, false) => {
                    if let Some(value) = described.get(column) {
                        out.insert(column.clone(), value.clone());
                    } else if column == "id" {
                        out.insert(column.clone(), Json::from(sample.key.as_str()));
                    }
                    continue;
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
