//! Replies that were made elsewhere: rows of ids and texts, matched with the items of a benchmark.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, StringArray};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::table::Table;
use crate::eval::calibration::{OPTION_P, guess, numbers, parse};
use crate::eval::scored::Answer;
use crate::eval::{Benchmark, Reply};

/// What happens to several rows about one question that are not told apart as repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Twice {
    /// They stop the run.
    Fail,
    /// The first counts.
    First,
    /// The last counts.
    Last,
    /// Each is a repeat.
    Repeat,
}

/// Replies by item, and what did not fit.
#[derive(Debug, Default)]
pub struct Given {
    /// One for each item and repeat; a reason for an item without a reply.
    pub answers: Vec<Answer>,
    /// Items without a reply.
    pub missing: Vec<String>,
    /// Items with several rows that are not told apart as repeats.
    pub twice: Vec<String>,
    /// Ids of rows that are about no item; [`NO_ID`] of rows without one.
    pub strays: Vec<String>,
    /// Every order of the options was looked for, not the first alone.
    pub rotated: bool,
}

/// What a row without an id is called.
const NO_ID: &str = "(no id)";

/// A row about an item.
struct Row {
    epoch: Option<u32>,
    replies: Vec<Result<Reply, String>>,
}

impl Given {
    /// Matches the rows of a table with a benchmark's items.
    ///
    /// A reply is a text, or a list of texts: repeats. Columns that are looked at where they are there: `epoch`, which repeat it is;
    /// `rotation`, in which order of the options, if the benchmark has several; `outcome` (`truncated`, `refused`) and `note` (why there
    /// is no reply), as `score.items` has them; `option_p`.
    ///
    /// # Errors
    /// E0304 for a column of another type, E0302 for probabilities that are none.
    pub fn read(table: &Table, bench: &Benchmark, twice: Twice) -> Result<Self, OpError> {
        let rotated = bench.items.len() > bench.questions() && table.column("rotation").is_ok();
        let asked: Vec<usize> = match rotated {
            true => (0..bench.items.len()).collect(),
            false => bench.firsts().map(|(at, _)| at).collect(),
        };
        let rotation = |at: usize| if rotated { bench.items[at].rotation } else { 0 };
        let places: BTreeMap<(&str, u32), usize> =
            asked.iter().map(|&at| ((bench.items[at].id.as_str(), rotation(at)), at)).collect();
        let known: BTreeSet<&str> = places.keys().map(|(id, _)| *id).collect();

        let mut out = Self { rotated, ..Self::default() };
        let mut found: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
        let ids = ids(&table.cells("id")?, &known);
        let (epochs, rotations) = (whole(table, "epoch")?, whole(table, "rotation").ok().filter(|_| rotated));
        for (row, replies) in replies(table)?.into_iter().enumerate() {
            let rotation = rotations.as_ref().and_then(|r| r[row]).unwrap_or(0);
            match ids[row].as_deref().and_then(|id| places.get(&(id, rotation))) {
                Some(at) => {
                    found.entry(*at).or_default().push(Row { epoch: epochs.get(row).copied().flatten(), replies });
                }
                None => out.strays.push(ids[row].clone().unwrap_or_else(|| NO_ID.to_owned())),
            }
        }
        for at in asked {
            let item = &bench.items[at];
            let answer = |epoch, reply| Answer { item: at, epoch, prompt: String::new(), reply, sent: Vec::new() };
            let Some(rows) = found.remove(&at) else {
                out.missing.push(item.id.clone());
                out.answers.push(answer(0, Err("there is no reply to it".to_owned())));
                continue;
            };
            let (rows, several) = told_apart(rows, twice);
            if several {
                out.twice.push(item.id.clone());
            }
            let numbered = rows.iter().all(|row| row.epoch.is_some() && row.replies.len() == 1);
            let mut next = 0;
            for row in rows {
                for reply in row.replies {
                    check_probabilities(item, &reply)?;
                    let epoch = row.epoch.filter(|_| numbered).unwrap_or(next);
                    out.answers.push(answer(epoch, reply));
                    next += 1;
                }
            }
        }
        Ok(out)
    }

    /// Says what did not fit, with the first few names; nothing where all did.
    pub fn told(&self) -> Vec<String> {
        let few = |names: &[String]| {
            let shown = names.iter().take(3).map(|n| if n == NO_ID { n.clone() } else { format!("`{n}`") });
            shown.collect::<Vec<_>>().join(", ") + if names.len() > 3 { ", …" } else { "" }
        };
        let plural = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
        let mut out = Vec::new();
        if !self.twice.is_empty() {
            let count = plural(self.twice.len(), "question has", "questions have");
            out.push(format!("{count} more than one reply: {}", few(&self.twice)));
        }
        if !self.strays.is_empty() {
            let count = plural(self.strays.len(), "reply is to no item", "replies are to no item");
            out.push(format!("{count} of this benchmark: {}", few(&self.strays)));
        }
        if !self.missing.is_empty() {
            let count = plural(self.missing.len(), "question has", "questions have");
            out.push(format!("{count} no reply: {}", few(&self.missing)));
        }
        out
    }
}

/// Keeps the rows about one item that count, in the order of their repeats; says whether some were not told apart.
fn told_apart(rows: Vec<Row>, twice: Twice) -> (Vec<Row>, bool) {
    let count = rows.len();
    let mut by_epoch: BTreeMap<Option<u32>, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_epoch.entry(row.epoch).or_default().push(row);
    }
    let several = by_epoch.len() < count;
    let mut kept = Vec::with_capacity(count);
    for mut same in by_epoch.into_values() {
        match twice {
            Twice::Repeat | Twice::Fail => {}
            Twice::First => same.truncate(1),
            Twice::Last => drop(same.drain(..same.len() - 1)),
        }
        kept.extend(same);
    }
    if several && twice == Twice::Repeat {
        kept.iter_mut().for_each(|row| row.epoch = None);
    }
    (kept, several)
}

/// Ids as texts, as a benchmark has them: whole numbers without a point, JSON texts without their quotes.
fn ids(cells: &[Cell], known: &BTreeSet<&str>) -> Vec<Option<String>> {
    let text = |cell: &Cell| -> Option<String> {
        let text = match cell {
            Cell::None => return None,
            Cell::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 && !known.contains(cell.text().as_ref()) => {
                format!("{}", *f as i64)
            }
            other => other.text().into_owned(),
        };
        if known.contains(text.as_str()) {
            return Some(text);
        }
        // A column of any JSON: `"7"` in its quotes, 7.0, null.
        match serde_json::from_str::<Json>(&text) {
            Ok(Json::String(inside)) => Some(inside),
            Ok(Json::Null) => None,
            Ok(Json::Number(n)) if n.as_f64().is_some_and(|f| f.fract() == 0.0) && !n.is_i64() => {
                n.as_f64().map(|f| format!("{f}"))
            }
            _ => Some(text),
        }
    };
    cells.iter().map(text).collect()
}

/// A column of whole numbers; empty where there is none.
fn whole(table: &Table, name: &str) -> Result<Vec<Option<u32>>, OpError> {
    if table.column(name).is_err() {
        return Ok(Vec::new());
    }
    let number = |cell: &Cell| {
        match cell {
        Cell::None => Ok(None),
        Cell::Int(n) if u32::try_from(*n).is_ok() => Ok(u32::try_from(*n).ok()),
        other => Err(OpError::new("E0304", format!("`.{name}` is {}, which counts nothing", other.to_json()))
            .help(format!("`.{name}` says which repeat a reply is, a whole number from 0; rename a column that means something else"))),
    }
    };
    table.cells(name)?.iter().map(number).collect()
}

/// The replies of each row, or why there is none.
fn replies(table: &Table) -> Result<Vec<Vec<Result<Reply, String>>>, OpError> {
    let cells = table.cells("reply")?;
    let in_quotes = json_texts(&cells);
    let texts = |name: &str| table.strings(name).ok();
    let (outcomes, notes) = (texts("outcome"), texts("note"));
    let sure = probabilities(table)?;
    let at =
        |column: Option<&StringArray>, row: usize| column.filter(|c| c.is_valid(row)).map(|c| c.value(row).to_owned());
    let made = |(row, cell): (usize, &Cell)| {
        let outcome = at(outcomes, row);
        let one = |text: Option<String>| match text {
            Some(text) => Ok(Reply {
                text,
                truncated: outcome.as_deref() == Some("truncated"),
                refused: outcome.as_deref() == Some("refused"),
                option_p: sure.get(row).cloned().unwrap_or_default(),
                ..Reply::default()
            }),
            None => Err(at(notes, row).unwrap_or_else(|| "its reply is empty (null)".to_owned())),
        };
        let unwrapped = if in_quotes { parsed(cell) } else { None };
        match unwrapped.as_ref().unwrap_or(cell) {
            Cell::List(items) if items.is_empty() => vec![Err("its list of replies is empty".to_owned())],
            Cell::List(items) => items.iter().map(|i| one(text(i))).collect(),
            other => vec![one(text(other))],
        }
    };
    Ok(cells.iter().enumerate().map(made).collect())
}

fn text(cell: &Cell) -> Option<String> {
    (!matches!(cell, Cell::None)).then(|| cell.text().into_owned())
}

/// Says whether a column holds any JSON: texts in quotes beside lists of texts and nulls, and nothing else.
fn json_texts(cells: &[Cell]) -> bool {
    let quoted = |c: &Cell| matches!(parsed(c), Some(Cell::Str(_)));
    let fits = |c: &Cell| match parsed(c) {
        Some(Cell::Str(_) | Cell::None) => true,
        Some(Cell::List(items)) => items.iter().all(|i| matches!(i, Cell::Str(_) | Cell::None)),
        _ => matches!(c, Cell::None),
    };
    cells.iter().any(quoted) && cells.iter().all(fits)
}

/// The JSON that a text is.
fn parsed(cell: &Cell) -> Option<Cell<'static>> {
    serde_json::from_str::<Json>(cell.as_str()?).ok().map(|json| Cell::of_json(&json).into_owned())
}

fn check_probabilities(item: &crate::eval::Item, reply: &Result<Reply, String>) -> Result<(), OpError> {
    let Some(p) = reply.as_ref().ok().map(|r| &r.option_p).filter(|p| !p.is_empty()) else { return Ok(()) };
    if guess(item, p).is_some() {
        return Ok(());
    }
    let message = format!("`.{OPTION_P}` of `{}` is {p:?}, which is no probability for each of its options", item.id);
    Err(OpError::new("E0302", message).help(
        "give one number from 0 to 1 for each option in its order (yes, then no), and none for items without options",
    ))
}

/// The column of probabilities: lists, or texts of lists as `score.items` has them; nothing where there is no such column.
fn probabilities(table: &Table) -> Result<Vec<Vec<f64>>, OpError> {
    if table.column(OPTION_P).is_err() {
        return Ok(Vec::new());
    }
    let read = |cell: &Cell| -> Option<Vec<f64>> {
        match cell.to_json() {
            Json::Null => Some(Vec::new()),
            Json::String(text) => parse(&text),
            list => numbers(&list),
        }
    };
    let cells = table.cells(OPTION_P)?;
    cells
        .iter()
        .map(|c| read(c).ok_or_else(|| OpError::new("E0302", format!("`.{OPTION_P}` is not a list of numbers"))))
        .collect()
}
