//! Row expressions of `bench.sample`: ordinary ones, and those that give pictures (`media.*`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine as _;
use serde_json::Value as Json;

use crate::base::{Digest, OpError};
use crate::data::cell::Cell;
use crate::data::pictures::media::{self, Medium};
use crate::data::pictures::video;
use crate::data::rowexpr::Program;
use crate::data::table::Table;
use crate::engine::Store;
use crate::eval::Picture;
use crate::spec::RowExpr;

/// The rows of a benchmark with the pictures that they name.
pub(super) struct Rows<'a> {
    /// The rows.
    pub table: &'a Table,
    /// Facts of pictures by the name that rows use.
    pub pictures: BTreeMap<String, Picture>,
    /// Digests of videos by the name that rows use.
    videos: BTreeMap<String, Digest>,
    /// The whole name of a medium by each end of it that no other has: zips put folders of their own in front.
    ends: BTreeMap<String, Option<String>>,
    /// Where pictures that rows hold themselves are put.
    pub store: &'a Store,
}

/// Frames that a row asks for of a video.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    digest: Digest,
    /// Frames at most.
    wanted: usize,
    /// Which of them, see [`video::picked`].
    pick: String,
    /// Ordinals of the first and the last frame of the part that is meant, where the row names them.
    first: Option<usize>,
    last: Option<usize>,
}

/// Pictures of a row: each found, or the name under which nothing was found.
pub(super) type Found = Vec<Result<Picture, String>>;

impl<'a> Rows<'a> {
    /// Wraps rows; `meta` is that of the source's artifact.
    pub fn new(table: &'a Table, meta: &Json, store: &'a Store) -> Self {
        let (mut pictures, mut videos, mut ends) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, facts) in meta["pictures"].as_object().into_iter().flatten() {
            if let Some(picture) = of_facts(facts) {
                pictures.insert(name.clone(), picture);
            } else if let Some(digest) = facts["digest"].as_str().and_then(Digest::parse) {
                videos.insert(name.clone(), digest);
            }
            for (at, _) in name.match_indices('/') {
                let whole = ends.entry(name[at + 1..].to_owned()).or_insert_with(|| Some(name.clone()));
                *whole = whole.take().filter(|w| w == name);
            }
        }
        Self { table, pictures, videos, ends, store }
    }

    /// Evaluates an expression for all rows.
    pub fn cells(&self, expr: &RowExpr) -> Result<Vec<Cell<'static>>, OpError> {
        let program = Program::new(expr, self.table)?;
        Ok(program.cells(self.table)?.into_iter().map(Cell::into_owned).collect())
    }

    /// Evaluates an expression to a text for each row; absent and blank become `None`.
    pub fn texts(&self, expr: &RowExpr, join: &str) -> Result<Vec<Option<String>>, OpError> {
        let text = |cell: &Cell| match cell {
            Cell::None => None,
            Cell::List(items) => Some(items.iter().map(|i| i.text().into_owned()).collect::<Vec<_>>().join(join)),
            other => Some(other.text().into_owned()),
        };
        Ok(self.cells(expr)?.iter().map(text).collect())
    }

    /// Evaluates an expression that gives pictures.
    pub fn images(&self, expr: &RowExpr) -> Result<Vec<Found>, OpError> {
        match expr {
            RowExpr::List(items) => {
                let mut out: Vec<Found> = vec![Vec::new(); self.table.rows()];
                for item in items {
                    for (row, found) in out.iter_mut().zip(self.images(item)?) {
                        row.extend(found);
                    }
                }
                Ok(out)
            }
            RowExpr::Call { name, recv, args } if name.starts_with("media.") && **recv == RowExpr::Lit(Json::Null) => {
                self.media(name, args)
            }
            other => {
                let cells = self.cells(other)?;
                Ok(cells.iter().map(|c| self.resolve(c)).collect())
            }
        }
    }

    /// Returns the offsets of `media.at_offsets`, if that is what gives the pictures.
    pub fn offsets(&self, expr: &RowExpr) -> Result<Option<Vec<Vec<usize>>>, OpError> {
        let RowExpr::Call { name, args, .. } = expr else { return Ok(None) };
        if name != "media.at_offsets" {
            return Ok(None);
        }
        let chars = argument(name, args, Some("chars"))?;
        let list = |cell: Cell| match cell {
            Cell::List(items) => items.iter().filter_map(Cell::as_f64).map(|n| n.max(0.0) as usize).collect(),
            _ => Vec::new(),
        };
        Ok(Some(self.cells(chars)?.into_iter().map(list).collect()))
    }

    fn media(&self, name: &str, args: &[(Option<String>, RowExpr)]) -> Result<Vec<Found>, OpError> {
        match name {
            "media.at_offsets" => self.images(argument(name, args, None)?),
            "media.path" => {
                let parts = self.texts(argument(name, args, None)?, "/")?;
                let ending = self.texts(argument(name, args, Some("ext"))?, "")?;
                let path = |(p, e): (Option<String>, Option<String>)| {
                    format!("{}.{}", p.unwrap_or_default(), e.unwrap_or_default())
                };
                Ok(parts.into_iter().zip(ending).map(|pair| vec![self.named(&path(pair))]).collect())
            }
            "media.base64" => {
                let texts = self.texts(argument(name, args, None)?, "")?;
                let decode = |text: Option<String>| match text {
                    Some(text) => {
                        vec![base64(&text, self.store).and_then(|m| of_medium(&m).ok_or_else(|| "is a video".into()))]
                    }
                    None => Vec::new(),
                };
                Ok(texts.into_iter().map(decode).collect())
            }
            "media.frames" => {
                let count = self.cells(argument(name, args, Some("count"))?)?;
                let pick = self.texts(argument(name, args, Some("pick"))?, "")?;
                let frames = self.images(argument(name, args, None)?)?;
                let within = match argument(name, args, Some("within")) {
                    Ok(expr) => self.cells(expr)?,
                    Err(_) => vec![Cell::None; frames.len()],
                };
                // Many rows ask about the same video: each part of it is decoded once.
                let mut taken: BTreeMap<Part, Found> = BTreeMap::new();
                let mut out = Vec::with_capacity(frames.len());
                for (((mut frames, count), pick), within) in frames.into_iter().zip(count).zip(pick).zip(within) {
                    let wanted = count.as_f64().unwrap_or(1.0).max(1.0) as usize;
                    let pick = pick.unwrap_or_else(|| "linspace".to_owned());
                    let end = |i: usize| match &within {
                        Cell::List(ends) => ends.get(i).and_then(Cell::as_f64).map(|n| n.max(0.0) as usize),
                        _ => None,
                    };
                    let (first, last) = (end(0), end(1));
                    if let [Err(name)] = frames.as_slice()
                        && let Some(digest) = self.video(name)
                    {
                        if taken.is_empty() {
                            video::decoder()?;
                        }
                        out.push(match taken.entry(Part { digest, wanted, pick, first, last }) {
                            Entry::Occupied(found) => found.get().clone(),
                            Entry::Vacant(part) => {
                                let found = self.of_video(name, part.key())?;
                                part.insert(found).clone()
                            }
                        });
                        continue;
                    }
                    frames.truncate(last.map_or(frames.len(), |last| last + 1));
                    frames.drain(..first.unwrap_or(0).min(frames.len()));
                    let at = video::picked(frames.len(), wanted, &pick)?;
                    out.push(at.into_iter().map(|i| frames[i].clone()).collect());
                }
                Ok(out)
            }
            other => Err(OpError::new("E0204", format!("`{other}` gives no pictures"))),
        }
    }

    /// Returns the digest of a video: rows hold it, or name its file.
    fn video(&self, name: &str) -> Option<Digest> {
        self.found(&self.videos, name).copied().or_else(|| Digest::parse(name))
    }

    /// Takes frames out of a video file.
    fn of_video(&self, name: &str, part: &Part) -> Result<Found, OpError> {
        let broken = |why: String| OpError::new("E0302", format!("`{name}` {why}"));
        let path = self.store.path(part.digest);
        let facts = video::facts(&path).map_err(broken)?;
        let first = part.first.unwrap_or(0).min(facts.frames);
        let count = part.last.map_or(facts.frames, |last| last + 1).min(facts.frames).saturating_sub(first);
        let at: Vec<usize> = video::picked(count, part.wanted, &part.pick)?.into_iter().map(|i| first + i).collect();
        let frames = video::frames(&path, &at).map_err(broken)?;
        let keep = |png: &Vec<u8>| {
            let medium = media::examine(png, self.store)?;
            of_medium(&medium).ok_or_else(|| "is no picture".to_owned())
        };
        frames.iter().map(|png| keep(png).map(Ok).map_err(broken)).collect()
    }

    fn resolve(&self, cell: &Cell) -> Found {
        match cell {
            Cell::None => Vec::new(),
            Cell::Str(path) => vec![self.named(path)],
            Cell::List(items) => items.iter().flat_map(|i| self.resolve(i)).collect(),
            record => vec![of_cell(record).ok_or_else(|| record.text().into_owned())],
        }
    }

    /// Looks a medium up by its whole name or by an end of it.
    fn found<'m, T>(&self, media: &'m BTreeMap<String, T>, path: &str) -> Option<&'m T> {
        media.get(path).or_else(|| media.get(self.ends.get(path)?.as_ref()?))
    }

    fn named(&self, path: &str) -> Result<Picture, String> {
        self.found(&self.pictures, path).cloned().ok_or_else(|| path.to_owned())
    }
}

/// Decodes base64 and stores the picture.
pub(super) fn base64(text: &str, store: &Store) -> Result<Medium, String> {
    let data = text.rsplit(";base64,").next().unwrap_or(text);
    let engine = base64::engine::general_purpose::STANDARD;
    let bytes = engine.decode(data.trim()).map_err(|e| format!("is no base64: {e}"))?;
    media::examine(&bytes, store)
}

fn argument<'e>(of: &str, args: &'e [(Option<String>, RowExpr)], name: Option<&str>) -> Result<&'e RowExpr, OpError> {
    let found = args.iter().find(|(n, _)| n.as_deref() == name);
    found.map(|(_, e)| e).ok_or_else(|| {
        OpError::new(
            "E0211",
            format!("`{of}` needs {}", name.map_or("its first argument".into(), |n| format!("`{n}:`"))),
        )
    })
}

fn of_cell(cell: &Cell) -> Option<Picture> {
    let size = |name: &str| cell.field(name).and_then(Cell::as_f64).map(|n| n as u32);
    Some(Picture {
        digest: Digest::parse(cell.field("digest")?.as_str()?)?,
        media: cell.field("media")?.as_str()?.to_owned(),
        width: size("width")?,
        height: size("height")?,
    })
}

fn of_medium(found: &Medium) -> Option<Picture> {
    let (width, height) = found.size?;
    Some(Picture { digest: Digest::parse(&found.digest)?, media: found.media.to_owned(), width, height })
}

fn of_facts(facts: &Json) -> Option<Picture> {
    Some(Picture {
        digest: Digest::parse(facts["digest"].as_str()?)?,
        media: facts["media"].as_str()?.to_owned(),
        width: facts["size"][0].as_u64()? as u32,
        height: facts["size"][1].as_u64()? as u32,
    })
}
