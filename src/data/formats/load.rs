//! From parsed rows to a table: types checked, pictures loaded, bad rows found. Shared by all loaders.

use std::collections::BTreeSet;
use std::path::PathBuf;

use base64::Engine as _;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::data::cell::{self, Cell};
use crate::data::pictures::media::{self, Media, Medium, Members};
use crate::data::schema;
use crate::data::table::Table;
use crate::spec::{Dim, Type};

/// What happens to bad rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bad {
    /// The first one stops the load.
    Fail,
    /// They are left out and counted.
    Skip,
    /// They are left out and named one by one.
    Quarantine,
}

/// A row as a file holds it.
pub struct RawRow {
    /// `FILE:LINE`
    pub place: String,
    /// An object, or why there is none.
    pub value: Result<Json, String>,
}

/// A row that did not make it into the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// `FILE:LINE`
    pub place: String,
    /// Why.
    pub reason: String,
}

/// Takes the rows of a file in order, some at a time, with the pictures that lay in the file itself: rows that come later do not name them.
pub type Feed<'a> = dyn FnMut(Vec<RawRow>, Members) -> Result<(), OpError> + 'a;

/// Returns all rows that `read` feeds, and no pictures.
pub fn collected(read: impl FnOnce(&mut Feed<'_>) -> Result<(), OpError>) -> Result<Vec<RawRow>, OpError> {
    let mut all = Vec::new();
    read(&mut |rows, _| {
        all.extend(rows);
        Ok(())
    })?;
    Ok(all)
}

/// Turns raw rows into a table of exactly the columns of `schema`, in order, and the list of bad rows.
///
/// # Errors
/// `E0610` with the first bad row under [`Bad::Fail`].
pub fn table(
    rows: Vec<RawRow>,
    schema: &[(String, Type)],
    media: &Media,
    blobs: &dyn Blobs,
    bad: Bad,
) -> Result<(Table, Vec<BadRow>), OpError> {
    table_with(rows, schema, media, blobs, bad, &mut Members::new())
}

/// As [`table`]; looks only at pictures that are not in `loaded`, and adds those that it has looked at.
pub fn table_with(
    mut rows: Vec<RawRow>,
    schema: &[(String, Type)],
    media: &Media,
    blobs: &dyn Blobs,
    bad: Bad,
    loaded: &mut Members,
) -> Result<(Table, Vec<BadRow>), OpError> {
    let mut paths = BTreeSet::new();
    for row in &rows {
        if let Ok(Json::Object(fields)) = &row.value {
            for (name, ty) in schema {
                if let Some(value) = fields.get(name) {
                    collect_paths(value, ty, &mut paths);
                }
            }
        }
    }
    paths.retain(|path| !loaded.contains_key(path));
    loaded.extend(media.load_all(&paths, blobs));
    let reader = Reader { schema, loaded, blobs };
    let read: Vec<Result<Vec<Cell<'static>>, String>> = rows
        .par_iter_mut()
        .with_min_len(64)
        .map(|row| match std::mem::replace(&mut row.value, Ok(Json::Null)) {
            Ok(value) => reader.row(value),
            Err(reason) => Err(reason),
        })
        .collect();
    let mut columns: Vec<Vec<Cell<'static>>> = schema.iter().map(|_| Vec::with_capacity(read.len())).collect();
    let mut bad_rows = Vec::new();
    for (row, result) in rows.iter().zip(read) {
        match result {
            Ok(cells) => columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell)),
            Err(reason) => bad_rows.push(BadRow { place: row.place.clone(), reason }),
        }
    }
    if bad == Bad::Fail {
        none_bad(&bad_rows, rows.len())?;
    }
    let count = rows.len() - bad_rows.len();
    let arrays = schema
        .iter()
        .zip(&columns)
        .map(|((name, ty), cells)| {
            let array = cell::column(cells, &schema::arrow(ty))
                .map_err(|m| OpError::new("E0612", format!("column `{name}`, row {}: {}", m.row, m.message)))?;
            Ok((name.clone(), array))
        })
        .collect::<Result<_, OpError>>()?;
    Ok((Table::new(arrays, count)?, bad_rows))
}

/// Stops at the first of some bad rows; `total` rows were read.
///
/// # Errors
/// `E0610` unless there is none.
pub fn none_bad(bad: &[BadRow], total: usize) -> Result<(), OpError> {
    let Some(first) = bad.first() else { return Ok(()) };
    let more = match bad.len() - 1 {
        0 => String::new(),
        n => format!(" (and {n} more of {total} rows)"),
    };
    let help = match first.reason.split_once("expected Str, found ") {
        Some((_, found)) if found.starts_with("number") => {
            "numbers are `Int`, or `Float`, in the schema; `Json` takes any value"
        }
        Some((_, "null")) => "`Str?` in the schema takes rows without one",
        Some((_, found)) if found.starts_with("array") => {
            "lists of texts are `[Str]` in the schema; `Json` takes any value"
        }
        _ => "mend the row, or load with `bad: \"quarantine\"` to leave such rows out and list them",
    };
    Err(OpError::new("E0610", format!("{}: {}{more}", first.place, first.reason)).help(help))
}

/// Reads a row of a schema without pictures; the reason if it does not fit.
pub fn plain_row(value: Json, schema: &[(String, Type)]) -> Result<Vec<Cell<'static>>, String> {
    Reader { schema, loaded: &Members::new(), blobs: &Nowhere }.row(value)
}

/// For rows that need no blobs.
struct Nowhere;

impl Blobs for Nowhere {
    fn get(&self, digest: Digest) -> Result<Vec<u8>, OpError> {
        Err(OpError::new("E0503", format!("there is no blob {}", digest.short())))
    }

    fn file(&self, digest: Digest) -> Result<PathBuf, OpError> {
        Err(OpError::new("E0503", format!("there is no blob {}", digest.short())))
    }

    fn put(&self, _: &[u8]) -> Result<Digest, OpError> {
        Err(OpError::new("E0503", "there is no place for blobs"))
    }
}

fn collect_paths(value: &Json, ty: &Type, paths: &mut BTreeSet<String>) {
    match (ty, value) {
        (Type::Optional(inner), value) => collect_paths(value, inner, paths),
        (Type::Image | Type::Video, Json::String(path)) if !path.starts_with("data:") => {
            paths.insert(path.clone());
        }
        (Type::Image | Type::Video, Json::Object(fields)) => {
            if let (Some(Json::String(path)), None | Some(Json::Null)) = (fields.get("path"), fields.get("bytes")) {
                paths.insert(path.clone());
            }
        }
        (Type::List(item), Json::Array(items)) => items.iter().for_each(|v| collect_paths(v, item, paths)),
        (Type::Record(row), Json::Object(fields)) => {
            for (name, ty) in &row.fields {
                if let Some(value) = fields.get(name) {
                    collect_paths(value, ty, paths);
                }
            }
        }
        _ => {}
    }
}

struct Reader<'a> {
    schema: &'a [(String, Type)],
    loaded: &'a Members,
    blobs: &'a dyn Blobs,
}

impl Reader<'_> {
    fn row(&self, mut value: Json) -> Result<Vec<Cell<'static>>, String> {
        let Json::Object(fields) = &mut value else {
            return Err(format!("expected an object, found {}", show(&value)));
        };
        self.schema
            .iter()
            .map(|(name, ty)| match fields.get_mut(name) {
                // Most of what a row holds is text: moved, not copied.
                Some(Json::String(text)) if is_text(ty) => Ok(Cell::Str(std::mem::take(text).into())),
                Some(value) => self.cell(value, ty).map_err(|why| format!("column `{name}`: {why}")),
                None if matches!(ty, Type::Optional(_)) => Ok(Cell::None),
                None => Err(format!("column `{name}` is missing")),
            })
            .collect()
    }

    fn cell(&self, value: &Json, ty: &Type) -> Result<Cell<'static>, String> {
        let wrong = |expected: &str| Err(format!("expected {expected}, found {}", show(value)));
        match (ty, value) {
            (Type::Optional(_), Json::Null) => Ok(Cell::None),
            (Type::Optional(inner), value) => self.cell(value, inner),
            (Type::Json, value) => Ok(Cell::Str(value.to_string().into())),
            (Type::Str | Type::Prompt | Type::Regex, Json::String(s)) => Ok(Cell::Str(s.clone().into())),
            (Type::Str | Type::Prompt | Type::Regex, _) => wrong("Str"),
            (Type::Bool, Json::Bool(b)) => Ok(Cell::Bool(*b)),
            (Type::Bool, _) => wrong("Bool"),
            (Type::Int | Type::Dim(Dim::Tokens | Dim::Steps | Dim::Rows | Dim::Pixels | Dim::Bytes), value) => {
                value.as_i64().map(Cell::Int).map_or_else(|| wrong("Int"), Ok)
            }
            (Type::Float | Type::Dim(_), value) => value.as_f64().map(Cell::Float).map_or_else(|| wrong("Float"), Ok),
            (Type::Enum(variants), Json::String(s)) if variants.contains(s) => Ok(Cell::Str(s.clone().into())),
            (Type::Enum(variants), _) => wrong(&format!("one of {}", variants.join(", "))),
            (Type::List(item), Json::Array(items)) => {
                let item_at = |(i, v)| self.cell(v, item).map_err(|why| format!("item {i}: {why}"));
                items.iter().enumerate().map(item_at).collect::<Result<_, _>>().map(Cell::List)
            }
            (Type::List(_), _) => wrong("a list"),
            (Type::Box, Json::Array(items)) => numbers(items, 4).map_or_else(|| wrong("four numbers"), Ok),
            (Type::Point, Json::Array(items)) => numbers(items, 2).map_or_else(|| wrong("two numbers"), Ok),
            (Type::Tuple(types), Json::Array(items)) if types.len() == items.len() => {
                let cells = items.iter().zip(types).map(|(v, t)| self.cell(v, t));
                cells.collect::<Result<_, _>>().map(Cell::List)
            }
            (Type::Record(row), Json::Object(fields)) => {
                let mut cells = Vec::with_capacity(row.fields.len());
                for (name, ty) in &row.fields {
                    let cell = match fields.get(name) {
                        Some(value) => self.cell(value, ty).map_err(|why| format!("field `{name}`: {why}"))?,
                        None if matches!(ty, Type::Optional(_)) => Cell::None,
                        None => return Err(format!("field `{name}` is missing")),
                    };
                    cells.push((name.clone().into(), cell));
                }
                Ok(Cell::Record(cells))
            }
            (Type::Record(_), _) => wrong("an object"),
            (Type::Image | Type::Video, value) => self.medium(value, matches!(ty, Type::Video)),
            _ => wrong("another type"),
        }
    }

    /// A path; `data:…;base64,…`; or as `datasets` writes pictures, `{"path": …, "bytes": base64}`.
    fn medium(&self, value: &Json, video: bool) -> Result<Cell<'static>, String> {
        let found = match value {
            Json::String(text) => match text.strip_prefix("data:").and_then(|t| t.split_once(";base64,")) {
                Some((_, data)) => self.inline(data)?,
                None => self.at(text)?,
            },
            Json::Object(fields) => match (fields.get("bytes"), fields.get("path")) {
                (Some(Json::String(data)), _) => self.inline(data)?,
                (_, Some(Json::String(path))) => self.at(path)?,
                _ => return Err("a picture needs a path or bytes".to_owned()),
            },
            other => return Err(format!("expected a path, found {}", show(other))),
        };
        match (video, found.size) {
            (false, None) => Err(format!("expected a picture, found {}", found.media)),
            (true, Some(_)) => Err(format!("expected a video, found {}", found.media)),
            _ => Ok(found.cell()),
        }
    }

    fn at(&self, path: &str) -> Result<Medium, String> {
        self.loaded.get(path).cloned().unwrap_or_else(|| Err(format!("`{path}` is missing")))
    }

    fn inline(&self, data: &str) -> Result<Medium, String> {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data.trim())
            .map_err(|e| format!("the picture's base64 is broken: {e}"))?;
        media::examine(&bytes, self.blobs).map_err(|why| format!("the picture {why}"))
    }
}

fn is_text(ty: &Type) -> bool {
    match ty {
        Type::Optional(inner) => is_text(inner),
        Type::Str | Type::Prompt | Type::Regex => true,
        _ => false,
    }
}

fn numbers(items: &[Json], count: usize) -> Option<Cell<'static>> {
    let cells: Option<Vec<_>> = items.iter().map(|v| v.as_f64().map(Cell::Float)).collect();
    cells.filter(|c| c.len() == count).map(Cell::List)
}

fn show(value: &Json) -> String {
    let kind = match value {
        Json::Null => return "null".to_owned(),
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    let text = value.to_string();
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{kind} {short}")
}
