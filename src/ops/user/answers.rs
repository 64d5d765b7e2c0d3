//! What a user's command answered: its rows brought back to their order, checked against the promise, and the rows that it gave up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::Int64Array;
use serde_json::Value as Json;

use super::args::{Args, Effect, Format};
use crate::base::OpError;
use crate::data::arrow_type;
use crate::data::blobs::Blobs;
use crate::data::cell::{self, Cell};
use crate::data::columnar;
use crate::data::load::{self, Bad, Feed, RawRow};
use crate::data::media::Media;
use crate::data::schema;
use crate::data::table::Table;
use crate::spec::{Type, user_op};

/// Rows that the command gave up, with what it said.
pub(super) type GivenUp = BTreeMap<usize, String>;

/// One process: which rows it got and where its answers lie.
pub(super) struct Answered<'a> {
    /// The rows that came in.
    pub table: &'a Table,
    /// Those that this process got, in order.
    pub rows: &'a [usize],
    /// Where it ran.
    pub place: &'a Path,
    /// Its output.
    pub output: &'a Path,
    /// The rows that it gave up.
    pub given_up: &'a GivenUp,
}

/// What one process made.
pub(super) struct Made {
    pub table: Table,
    pub given_up: GivenUp,
}

/// Returns the rows as the operator's type promises them, with their ordinals in a column `__row`, except after a reduction.
///
/// # Errors
/// `E0611` naming the row and what was expected.
pub(super) fn read(args: &Args, answered: &Answered<'_>, blobs: &dyn Blobs) -> Result<Table, OpError> {
    let types = args.gives.types()?;
    let raw = match args.format {
        Format::Jsonl => lines(answered.output)?,
        Format::Arrow => stream(answered.output, &types)?,
    };
    let reduce = args.effect == Effect::Reduce;
    let raw = if reduce { raw.into_iter().map(|r| (0, r)).collect() } else { sorted(args, raw, answered)? };
    let ordinals: Vec<i64> = raw.iter().map(|(row, _)| *row as i64).collect();
    let rows = raw.into_iter().map(|(_, row)| row).collect();
    let media = Media::Folder(answered.place.to_path_buf());
    let (table, bad) = load::table(rows, &types, &media, blobs, Bad::Quarantine)?;
    if let Some(first) = bad.first() {
        let more = if bad.len() > 1 { format!(" (and {} more rows)", bad.len() - 1) } else { String::new() };
        let promised: Vec<String> = args.gives.columns.iter().map(|c| format!("{}: {}", c.name, c.ty)).collect();
        return Err(broken(args, format!("{}: {}{more}", first.place, first.reason))
            .help(format!("its type promises {{ {} }}", promised.join(", "))));
    }
    let table = with_origins(table, &types, answered)?;
    if reduce { Ok(table) } else { table.with_column(user_op::ROW, Arc::new(Int64Array::from(ordinals))) }
}

/// Returns the rows that the command gave up on stderr: `RBPIPE_ERROR {"__row": "3", "error": "why"}`.
///
/// # Errors
/// `E0611` for such a line that cannot be read or names no row of its own.
pub(super) fn given_up(args: &Args, said: &str, rows: &[usize]) -> Result<GivenUp, OpError> {
    let mut out = GivenUp::new();
    for line in said.lines().filter_map(|l| l.strip_prefix(user_op::BAD_ROW)) {
        let told: Option<Json> = serde_json::from_str(line.trim()).ok();
        let row = told.as_ref().and_then(|t| t[user_op::ROW].as_str()?.parse::<usize>().ok());
        match (row.filter(|r| rows.binary_search(r).is_ok() && args.effect != Effect::Reduce), told) {
            (Some(row), Some(told)) => {
                out.insert(row, told["error"].as_str().unwrap_or("no reason given").to_owned());
            }
            _ => {
                let message = format!("it wrote `{}{line}`, which names no row that it got", user_op::BAD_ROW);
                return Err(broken(args, message)
                    .help("one line for each such row: `RBPIPE_ERROR {\"__row\": \"3\", \"error\": \"why\"}`"));
            }
        }
    }
    Ok(out)
}

/// A break of the protocol, named by the command.
pub(super) fn broken(args: &Args, what: impl std::fmt::Display) -> OpError {
    OpError::new("E0611", format!("`{}`: {what}", args.command.join(" ")))
}

fn lines(path: &Path) -> Result<Vec<RawRow>, OpError> {
    let bytes = std::fs::read(path)?;
    let lines = bytes.split(|&b| b == b'\n').enumerate().filter(|(_, l)| !l.trim_ascii().is_empty());
    Ok(lines
        .map(|(i, line)| {
            let value = serde_json::from_slice::<Json>(line).map_err(|e| {
                let text: String = String::from_utf8_lossy(line).chars().take(60).collect();
                let why = e.to_string();
                format!("no JSON: {}; it reads `{text}`", why.split(" at line ").next().unwrap_or_default())
            });
            RawRow { place: format!("line {} of its output", i + 1), value }
        })
        .collect())
}

fn stream(path: &Path, types: &[(String, Type)]) -> Result<Vec<RawRow>, OpError> {
    let mut wanted = types.to_vec();
    wanted.push((user_op::ROW.into(), Type::Str));
    let read =
        |feed: &mut Feed<'_>| columnar::arrow(path, "answer", columnar::Into { schema: &wanted, blobs: None, feed });
    let rows = load::collected(read).map_err(|e| {
        let what = e.message.replace(&path.display().to_string(), "its output");
        OpError::new("E0611", format!("{what}: not an Arrow stream"))
            .help("write an IPC stream to stdout, and nothing else; what is for people goes to stderr")
    })?;
    Ok(rows.into_iter().enumerate().map(|(i, row)| RawRow { place: format!("answer {}", i + 1), ..row }).collect())
}

/// Finds each answer's row and brings them into the order in which the rows came.
fn sorted(args: &Args, raw: Vec<RawRow>, answered: &Answered<'_>) -> Result<Vec<(usize, RawRow)>, OpError> {
    let many = args.effect == Effect::RowExpand;
    let mut seen = BTreeSet::new();
    let mut out = Vec::with_capacity(raw.len());
    let name = |row: usize| answered.table.place(row);
    for RawRow { place, value } in raw {
        let told = value.as_ref().ok().and_then(|v| v.get(user_op::ROW).cloned());
        let row = match (&value, told) {
            (Err(why), _) => return Err(broken(args, format!("{place}: {why}")).help(JSON_HELP)),
            (Ok(v), None) if !v.is_object() => {
                return Err(broken(args, format!("{place}: expected an object, found {}", short(v))).help(JSON_HELP));
            }
            (Ok(_), None) => {
                let help = "give each row back with the `__row` that it came with";
                return Err(broken(args, format!("{place}: `{}` is missing", user_op::ROW)).help(help));
            }
            (Ok(_), Some(told)) => {
                let at = told
                    .as_str()
                    .and_then(|t| t.parse::<usize>().ok())
                    .filter(|r| answered.rows.binary_search(r).is_ok());
                at.ok_or_else(|| {
                    let help = "give each row back with the `__row` that it came with, a text";
                    broken(args, format!("{place}: no row has `__row` {}", short(&told))).help(help)
                })?
            }
        };
        let fresh = seen.insert(row);
        if !fresh && !many {
            let help = "answer each row once, or declare `row_expand` after the command";
            return Err(broken(args, format!("{place}: {} is answered twice", name(row))).help(help));
        }
        if answered.given_up.contains_key(&row) {
            let help = "a row is either answered or given up";
            return Err(broken(args, format!("{place}: {} was given up and answered", name(row))).help(help));
        }
        out.push((row, RawRow { place: format!("{}, {place}", name(row)), value }));
    }
    let missing = |row: &usize| !seen.contains(row) && !answered.given_up.contains_key(row);
    let missing: Vec<usize> = answered.rows.iter().copied().filter(missing).collect();
    if let (Effect::RowMap, Some(&first)) = (args.effect, missing.first()) {
        let more = if missing.len() > 1 { format!(" (and {} more)", missing.len() - 1) } else { String::new() };
        let help = "answer each row once; an operator that leaves rows out says `row_subset` after the command";
        return Err(broken(args, format!("{} has no answer{more}", name(first))).help(help));
    }
    out.sort_by_key(|(row, _)| *row);
    Ok(out)
}

const JSON_HELP: &str = "stdout holds one JSON object a line and nothing else; what is for people goes to stderr";

fn short(value: &Json) -> String {
    value.to_string().chars().take(40).collect()
}

/// A picture that was given back as it came keeps what is known of where it was made from.
fn with_origins(table: Table, types: &[(String, Type)], answered: &Answered<'_>) -> Result<Table, OpError> {
    let mut origins: BTreeMap<String, String> = BTreeMap::new();
    let part = answered.table.take(&answered.rows.iter().map(|&r| r as u32).collect::<Vec<_>>())?;
    for (name, array) in part.columns() {
        if arrow_type::text(array.data_type()).contains("Image") {
            part.cells(&name)?.iter().for_each(|c| gather(c, &mut origins));
        }
    }
    if origins.is_empty() {
        return Ok(table);
    }
    let mut out = table.clone();
    for (name, ty) in types {
        let ty = schema::arrow(ty);
        if arrow_type::text(&ty).contains("Image") {
            let cells: Vec<Cell<'_>> = table.cells(name)?.into_iter().map(|c| restore(c, &origins)).collect();
            let array = cell::column(&cells, &ty).map_err(|m| OpError::new("E0612", m.message))?;
            out = out.with_column(name, array)?;
        }
    }
    Ok(out)
}

fn gather(cell: &Cell<'_>, origins: &mut BTreeMap<String, String>) {
    match cell {
        Cell::List(items) => items.iter().for_each(|c| gather(c, origins)),
        Cell::Record(fields) => {
            let text = |name: &str| cell.field(name).and_then(Cell::as_str).map(str::to_owned);
            if let (Some(digest), Some(origin)) = (text("digest"), text("origin"))
                && digest != origin
            {
                origins.insert(digest, origin);
            }
            fields.iter().for_each(|(_, c)| gather(c, origins));
        }
        _ => {}
    }
}

fn restore<'a>(cell: Cell<'a>, origins: &BTreeMap<String, String>) -> Cell<'a> {
    match cell {
        Cell::List(items) => Cell::List(items.into_iter().map(|c| restore(c, origins)).collect()),
        Cell::Record(fields) => {
            let digest = fields.iter().find(|(n, _)| n == "digest").and_then(|(_, c)| c.as_str());
            let origin = digest.and_then(|d| origins.get(d)).cloned();
            let fields = fields.into_iter().map(|(name, c)| match &origin {
                Some(origin) if name == "origin" => (name, Cell::Str(origin.clone().into())),
                _ => (name, restore(c, origins)),
            });
            Cell::Record(fields.collect())
        }
        other => other,
    }
}
