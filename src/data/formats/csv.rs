//! Rows of separated values with a header line.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::load::{Feed, RawRow};
use super::quotes::Quotes;
use super::{jsonl, packed};
use crate::base::OpError;
use crate::data::arrow_type;
use crate::data::pictures::media::Members;
use crate::data::schema;
use crate::spec::{Dim, Type};

/// Rows and bytes that are read before they are fed.
const ROWS: usize = 1 << 13;
const BYTES: usize = 16 << 20;

/// Reads the rows of a file; columns that `schema` does not name are passed over. Fields are read by the column's type: numbers and Bools as written, lists,
/// records and Json as JSON, an empty field of an optional column as `none`. Columns of `base64` hold the bytes of pictures.
///
/// # Errors
/// `E0501` when the file is missing, `E0503` when it cannot be read or its header names a column twice, `E0612` when the separator is no single byte.
pub fn rows(
    path: &Path,
    name: &str,
    schema: &[(String, Type)],
    separator: &str,
    base64: &[String],
    feed: &mut Feed<'_>,
) -> Result<(), OpError> {
    let unreadable = |e: csv::Error| OpError::new("E0503", format!("{}: {e}", path.display()));
    let separator = byte(separator)?;
    let text = Quotes::new(packed::open(path)?, separator);
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(text);
    let header = match reader.byte_headers() {
        Ok(header) => header.clone(),
        Err(e) if e.is_io_error() => return Err(unreadable(e)),
        Err(e) => {
            return feed(
                vec![RawRow { place: format!("{name}:1"), value: Err(format!("no header: {e}")) }],
                Members::new(),
            );
        }
    };
    if header.is_empty() {
        return feed(vec![jsonl::empty(name)], Members::new());
    }
    let mut at: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (i, column) in header.iter().enumerate() {
        let wanted = || schema.iter().any(|(name, _)| name.as_bytes() == column);
        if at.insert(column, i).is_some() && wanted() {
            let message = format!("{}: its header names the column `{}` twice", path.display(), column.escape_ascii());
            return Err(OpError::new("E0503", message).help("give one of them another name"));
        }
    }
    let (mut rows, mut held) = (Vec::new(), 0);
    for record in reader.byte_records() {
        let bytes = record.as_ref().map_or(0, |r| r.as_slice().len());
        let (line, value) = match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                let mut fields = Map::new();
                let fault = schema.iter().find_map(|(column, ty)| {
                    let bytes = record.get(*at.get(column.as_bytes())?)?;
                    match field(bytes, ty, base64.contains(column)) {
                        Ok(value) => {
                            fields.insert(column.clone(), value);
                            None
                        }
                        Err(why) => Some(format!("column `{column}`: {why}")),
                    }
                });
                (line, fault.map_or(Ok(Json::Object(fields)), Err))
            }
            Err(e) if e.is_io_error() => return Err(unreadable(e)),
            Err(e) => (e.position().map_or(0, csv::Position::line), Err(e.to_string())),
        };
        // The last row stays here: only the end of the file tells whether it is one.
        if rows.len() >= ROWS || held > BYTES {
            held = 0;
            feed(std::mem::take(&mut rows), Members::new())?;
        }
        rows.push(RawRow { place: format!("{name}:{line}"), value });
        held += bytes;
    }
    if let Some(line) = reader.get_ref().open() {
        let why = format!("the quote that opens in line {line} is not closed before the file ends");
        let swallowed = rows.pop().map_or_else(|| format!("{name}:1"), |row| row.place);
        rows.push(RawRow { place: swallowed, value: Err(why) });
    }
    feed(rows, Members::new())
}

/// Calls `take` with the header and the fields of each row that can be read, all as text.
///
/// # Errors
/// As [`rows`].
pub fn records(
    path: &Path,
    separator: &str,
    take: &mut dyn FnMut(&csv::StringRecord, &csv::StringRecord),
) -> Result<(), OpError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(byte(separator)?).from_reader(packed::open(path)?);
    let Ok(header) = reader.headers().cloned() else { return Ok(()) };
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(true) => take(&header, &record),
            Ok(false) => return Ok(()),
            Err(e) if matches!(e.kind(), csv::ErrorKind::Io(_)) => {
                return Err(OpError::new("E0503", format!("{}: {e}", path.display())));
            }
            // A broken line is the loader's to speak of.
            Err(_) => {}
        }
    }
}

fn byte(separator: &str) -> Result<u8, OpError> {
    match separator.as_bytes() {
        [b] => Ok(*b),
        _ => Err(OpError::new("E0612", format!("separator {separator:?} is not one character"))),
    }
}

fn field(bytes: &[u8], ty: &Type, base64: bool) -> Result<Json, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("byte {} is no UTF-8", e.valid_up_to() + 1))?;
    let parse = |what: &str| serde_json::from_str(text.trim()).map_err(|_| format!("expected {what}, found {text:?}"));
    match ty {
        Type::Optional(_) if text.is_empty() => Ok(Json::Null),
        Type::Optional(inner) => field(bytes, inner, base64),
        Type::Image | Type::Video if base64 => Ok(json!({ "bytes": text })),
        Type::Bool => match text.trim() {
            "true" | "True" | "TRUE" => Ok(Json::Bool(true)),
            "false" | "False" | "FALSE" => Ok(Json::Bool(false)),
            _ => Err(format!("expected true or false, found {text:?}")),
        },
        Type::Int | Type::Dim(Dim::Tokens | Dim::Steps | Dim::Rows | Dim::Pixels | Dim::Bytes) => parse("Int"),
        Type::Float | Type::Dim(_) => parse("Float"),
        Type::List(_) | Type::Tuple(_) | Type::Record(_) | Type::Box | Type::Point | Type::Json => {
            parse(&format!("{} as JSON", arrow_type::text(&schema::arrow(ty))))
        }
        _ => Ok(Json::from(text)),
    }
}
