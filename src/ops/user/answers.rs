//! What a user's command answered: its rows brought back to their order, checked against the promise, and the rows that it gave up.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value as Json;

use super::args::{Args, Effect, Format};
use super::rows_out::Origins;
use crate::base::OpError;
use crate::data::arrow_type;
use crate::data::blobs::Blobs;
use crate::data::cell::{self, Cell};
use crate::data::formats::columnar;
use crate::data::formats::load::{self, Bad, BadRow, RawRow};
use crate::data::pictures::media::Media;
use crate::data::schema;
use crate::data::spool::Spool;
use crate::data::table::Table;
use crate::engine::Context;
use crate::spec::{Type, user_op};

/// Rows that the command gave up, with what it said.
pub(super) type GivenUp = BTreeMap<usize, String>;

/// One process: which rows it got and where its answers lie.
pub(super) struct Answered<'a> {
    /// What all rows are called.
    pub ids: &'a Table,
    /// Those that this process got, in order.
    pub rows: &'a [usize],
    /// Where its pictures were made from.
    pub origins: &'a Origins,
    /// Where it ran.
    pub place: &'a Path,
    /// Its output.
    pub output: &'a Path,
    /// How the answers in it are written.
    pub format: Format,
    /// The rows that it gave up.
    pub given_up: &'a GivenUp,
}

/// What one process made.
pub(super) struct Made {
    /// Its answers as they came, of the columns that are promised.
    pub answers: Spool,
    /// The row that each belongs to; 0 after a reduction.
    pub rows: Vec<u32>,
    pub given_up: GivenUp,
}

/// Lines that are read before they are checked, unless they are long.
const BLOCK: usize = 1 << 12;
/// Bytes of lines that are.
const BYTES: usize = 8 << 20;

/// Reads the answers some at a time, as the operator's type promises them.
///
/// # Errors
/// `E0611` naming the row and what was expected.
pub(super) fn read(args: &Args, answered: &Answered<'_>, cx: &Context) -> Result<(Spool, Vec<u32>), OpError> {
    let mut taken = Taken {
        args,
        answered,
        types: args.gives.types()?,
        media: Media::Folder(answered.place.to_path_buf()),
        blobs: cx.store,
        answers: Spool::new(&cx.scratch)?,
        rows: Vec::new(),
        seen: vec![false; answered.rows.len()],
        first_bad: None,
        bad: 0,
    };
    match answered.format {
        Format::Jsonl => lines(answered.output, &mut |rows| taken.add(rows))?,
        Format::Arrow => {
            let types = taken.types.clone();
            stream(answered.output, types, &mut |rows| taken.add(rows))?;
        }
    }
    taken.finish()
}

/// Answers on their way in.
struct Taken<'a> {
    args: &'a Args,
    answered: &'a Answered<'a>,
    types: Vec<(String, Type)>,
    media: Media,
    blobs: &'a dyn Blobs,
    answers: Spool,
    rows: Vec<u32>,
    /// Which rows have an answer, in the order of those that the process got.
    seen: Vec<bool>,
    /// The first answer that is not of the promised type.
    first_bad: Option<BadRow>,
    /// How many are not.
    bad: usize,
}

impl Taken<'_> {
    fn add(&mut self, mut raw: Vec<RawRow>) -> Result<(), OpError> {
        for answer in &mut raw {
            let row = if self.args.whole() { 0 } else { self.row(answer)? };
            self.rows.push(row as u32);
        }
        let (table, bad) = load::table(raw, &self.types, &self.media, self.blobs, Bad::Quarantine)?;
        self.bad += bad.len();
        if self.first_bad.is_none() {
            self.first_bad = bad.into_iter().next();
        }
        self.answers.add(&with_origins(table, &self.types, self.answered.origins)?).map(drop)
    }

    /// Finds the row of an answer, and names the answer by it.
    fn row(&mut self, answer: &mut RawRow) -> Result<usize, OpError> {
        let (args, place) = (self.args, std::mem::take(&mut answer.place));
        let name = |row: usize| self.answered.ids.place(row);
        let told = answer.value.as_ref().ok().and_then(|v| v.get(user_op::ROW));
        let (row, at) = match (&answer.value, told) {
            (Err(why), _) => return Err(broken(args, format!("{place}: {why}")).help(JSON_HELP)),
            (Ok(v), None) if !v.is_object() => {
                return Err(broken(args, format!("{place}: expected an object, found {}", short(v))).help(JSON_HELP));
            }
            (Ok(_), None) => {
                let help = "give each row back with the `__row` that it came with";
                return Err(broken(args, format!("{place}: `{}` is missing", user_op::ROW)).help(help));
            }
            (Ok(_), Some(told)) => {
                let row = told.as_str().and_then(|t| t.parse::<usize>().ok());
                let found = row.and_then(|row| Some((row, self.answered.rows.binary_search(&row).ok()?)));
                found.ok_or_else(|| {
                    let help = "give each row back with the `__row` that it came with, a text";
                    broken(args, format!("{place}: no row has `__row` {}", short(told))).help(help)
                })?
            }
        };
        if std::mem::replace(&mut self.seen[at], true) && args.effect != Effect::RowExpand {
            let help = "answer each row once, or declare `row_expand` after the command";
            return Err(broken(args, format!("{place}: {} is answered twice", name(row))).help(help));
        }
        if self.answered.given_up.contains_key(&row) {
            let help = "a row is either answered or given up";
            return Err(broken(args, format!("{place}: {} was given up and answered", name(row))).help(help));
        }
        answer.place = format!("{}, {place}", name(row));
        Ok(row)
    }

    fn finish(mut self) -> Result<(Spool, Vec<u32>), OpError> {
        let args = self.args;
        let rows = self.answered.rows.iter().zip(&self.seen);
        let missing = rows.filter(|(row, seen)| !**seen && !self.answered.given_up.contains_key(row));
        let missing: Vec<usize> = missing.map(|(row, _)| *row).collect();
        if let (Effect::RowMap, Some(&first)) = (args.effect, missing.first()) {
            let more = if missing.len() > 1 { format!(" (and {} more)", missing.len() - 1) } else { String::new() };
            let help = "answer each row once; an operator that leaves rows out says `row_subset` after the command";
            return Err(broken(args, format!("{} has no answer{more}", self.answered.ids.place(first))).help(help));
        }
        if let Some(first) = &self.first_bad {
            let more = if self.bad > 1 { format!(" (and {} more rows)", self.bad - 1) } else { String::new() };
            let promised: Vec<String> = args.gives.columns.iter().map(|c| format!("{}: {}", c.name, c.ty)).collect();
            return Err(broken(args, format!("{}: {}{more}", first.place, first.reason))
                .help(format!("its type promises {{ {} }}", promised.join(", "))));
        }
        if self.rows.is_empty() {
            // Whoever takes the answers learns the columns even of none.
            self.add(Vec::new())?;
        }
        Ok((self.answers, self.rows))
    }
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

/// Hands over the JSON lines of a file, some at a time.
fn lines(path: &Path, take: &mut dyn FnMut(Vec<RawRow>) -> Result<(), OpError>) -> Result<(), OpError> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let (mut rows, mut bytes, mut line) = (Vec::new(), 0, Vec::new());
    for number in 1.. {
        line.clear();
        let read = file.read_until(b'\n', &mut line)?;
        if !line.trim_ascii().is_empty() {
            rows.push(RawRow { place: format!("line {number} of its output"), value: one(line.trim_ascii_end()) });
        }
        bytes += read;
        if rows.len() >= BLOCK || bytes >= BYTES || read == 0 {
            take(std::mem::take(&mut rows))?;
            bytes = 0;
        }
        if read == 0 {
            break;
        }
    }
    Ok(())
}

fn one(line: &[u8]) -> Result<Json, String> {
    serde_json::from_slice::<Json>(line).map_err(|e| {
        let text: String = String::from_utf8_lossy(line).chars().take(60).collect();
        let why = e.to_string();
        format!("no JSON: {}; it reads `{text}`", why.split(" at line ").next().unwrap_or_default())
    })
}

/// Hands over the rows of an Arrow stream, some at a time.
fn stream(
    path: &Path,
    mut types: Vec<(String, Type)>,
    take: &mut dyn FnMut(Vec<RawRow>) -> Result<(), OpError>,
) -> Result<(), OpError> {
    types.push((user_op::ROW.into(), Type::Str));
    let mut count = 0;
    // What is wrong with an answer is told as it is, not as a fault of the stream.
    let mut refused = None;
    let mut feed = |rows: Vec<RawRow>, _| {
        let rows: Vec<RawRow> =
            (count + 1..).zip(rows).map(|(n, row)| RawRow { place: format!("answer {n}"), ..row }).collect();
        count += rows.len();
        take(rows).map_err(|e| {
            refused = Some(e);
            OpError::stopped()
        })
    };
    let read = columnar::arrow(path, "answer", columnar::Into { schema: &types, blobs: None, feed: &mut feed });
    match (read, refused) {
        (_, Some(e)) => Err(e),
        (Ok(()), None) => Ok(()),
        (Err(e), None) => {
            let what = e.message.replace(&path.display().to_string(), "its output");
            Err(OpError::new("E0611", format!("{what}: not an Arrow stream"))
                .help("write an IPC stream to stdout, and nothing else; what is for people goes to stderr"))
        }
    }
}

const JSON_HELP: &str = "stdout holds one JSON object a line and nothing else; what is for people goes to stderr";

fn short(value: &Json) -> String {
    value.to_string().chars().take(40).collect()
}

/// A picture that was given back as it came keeps what is known of where it was made from.
fn with_origins(table: Table, types: &[(String, Type)], origins: &Origins) -> Result<Table, OpError> {
    if origins.is_empty() {
        return Ok(table);
    }
    let mut out = table.clone();
    for (name, ty) in types {
        let ty = schema::arrow(ty);
        if arrow_type::text(&ty).contains("Image") {
            let cells: Vec<Cell<'_>> = table.cells(name)?.into_iter().map(|c| restore(c, origins)).collect();
            let array = cell::column(&cells, &ty).map_err(|m| OpError::new("E0612", m.message))?;
            out = out.with_column(name, array)?;
        }
    }
    Ok(out)
}

fn restore<'a>(cell: Cell<'a>, origins: &Origins) -> Cell<'a> {
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
