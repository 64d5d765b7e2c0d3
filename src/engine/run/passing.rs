//! Columns that an operator does not look at. They are not given to it. Where its result is a reduction they are in no key; where its result has them as
//! they were, what it decided of the rows is kept under a key of the columns that it did look at, and a change of the others costs putting the
//! rows together again, not another execution.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use serde_json::json;

use crate::base::{Digest, OpError};
use crate::data::table::Table;
use crate::engine::artifact::Artifact;
use crate::engine::node::task::Made;
use crate::engine::storage::dataset::{self, Chunks, ROW, Writer};
use crate::engine::storage::identity::{self, Identity};
use crate::engine::storage::looked::only;
use crate::engine::storage::record::{self, Came, Published, Record};
use crate::engine::storage::store::Store;
use crate::plan::key::{self, Reads};
use crate::plan::{Node, looks};

const BUG: &str = "this is a bug of rbpipe: please report it";

/// A node whose result has columns that it does not look at.
pub(super) struct Passing {
    /// The argument whose other columns pass.
    pub slot: String,
    /// What is given to the operator: the columns that it looks at, and the number of each row.
    pub seen: Artifact,
    /// Under which what it decided of the rows is recorded.
    pub key: Digest,
    reads: Reads,
}

impl Passing {
    /// Returns how a node's execution is parted; nothing where it looks at every column.
    pub fn of(node: &Node, identity: &Identity, inputs: &BTreeMap<String, Artifact>) -> Option<Self> {
        let look = looks::with_said(node.looks.iter().find(|look| look.passes)?, &node.args);
        let mut seen = only(&look, inputs.get(&look.slot)?)?;
        seen.meta[dataset::NUMBERED] = json!(true);
        let mut reads = identity.reads.clone();
        reads.inputs.insert(look.slot.clone(), seen.digest());
        Some(Self { slot: look.slot.clone(), key: key::rows(node, &reads), seen, reads })
    }

    /// Returns what is recorded of the rows, and its record.
    pub fn known(&self, store: &Store) -> Option<(Record, Artifact)> {
        let (record, mut results) = identity::claimed(store, self.key)?;
        Some((record, results.remove("")?.1))
    }

    /// Says whether something is recorded of the rows.
    pub fn is_known(&self, store: &Store) -> bool {
        identity::recorded(store, self.key).is_some()
    }

    /// Records what an execution decided of the rows. What is there already stays, and is returned.
    pub fn keep(&self, store: &Store, node: &Node, seconds: f64, made: Made) -> Result<Made, OpError> {
        let Some(mut decided) = made.outputs.get("").cloned() else { return Ok(made) };
        decided.meta.sort_all_objects();
        let digest = store.put_artifact(&decided)?;
        let results = BTreeMap::from([(String::new(), (digest, decided))]);
        let came = Came { seconds, counts: made.counts.clone(), fates: &made.fates, ..Came::default() };
        let record = record::make(store, (self.key, key::preimage(node, &self.reads)), &node.name, &results, came)?;
        if matches!(record::publish(store, &record)?, Published::Diverges(_))
            && let Some((first, decided)) = self.known(store)
        {
            return Ok(Made {
                outputs: BTreeMap::from([(String::new(), decided)]),
                fates: first.told(store),
                counts: first.counts,
            });
        }
        Ok(made)
    }

    /// Puts the rows together: what was decided of them, and the columns of `input` that were not looked at.
    ///
    /// # Errors
    /// `E0503` when a column is damaged; `E0612` when an operator gave rows without their numbers, or not in their order.
    pub fn assemble(&self, store: &Store, input: &Artifact, decided: &Artifact) -> Result<Artifact, OpError> {
        let numbers = numbers(store, decided)?;
        if !numbers.is_sorted() {
            return Err(OpError::new("E0612", "the operator put its rows in another order").help(BUG));
        }
        streamed(store, input, decided, &numbers, &order(input, &self.seen, decided))
    }
}

/// Which row of the input each row came of.
fn numbers(store: &Store, decided: &Artifact) -> Result<Vec<u32>, OpError> {
    let mut out = Vec::new();
    for chunk in Chunks::open(store, decided)?.only(|name, _| name == ROW) {
        let chunk = chunk?;
        let column = chunk.column(ROW).ok().and_then(|c| c.as_primitive_opt::<Int64Type>());
        let column =
            column.ok_or_else(|| OpError::new("E0612", "the operator lost the numbers of its rows").help(BUG))?;
        out.extend(column.values().iter().map(|&row| row as u32));
    }
    Ok(out)
}

/// The columns of the result, as the operator would have given them had it seen all: those of the input in their places without those that it took away,
/// then those that it added. True for those that were decided.
fn order(input: &Artifact, seen: &Artifact, decided: &Artifact) -> Vec<(String, bool)> {
    let (all, seen, decided) = (dataset::names(input), dataset::names(seen), dataset::names(decided));
    let stays = |name: &&String| decided.contains(name) || !seen.contains(name);
    let mut out: Vec<(String, bool)> =
        all.iter().filter(stays).map(|name| (name.clone(), decided.contains(name))).collect();
    out.extend(decided.iter().filter(|name| *name != ROW && !all.contains(name)).map(|name| (name.clone(), true)));
    out
}

/// Goes through both datasets side by side and holds neither.
fn streamed(
    store: &Store,
    input: &Artifact,
    decided: &Artifact,
    numbers: &[u32],
    order: &[(String, bool)],
) -> Result<Artifact, OpError> {
    let mut feed = Feed { chunks: Chunks::open(store, decided)?.only(|name, _| name != ROW), rest: None };
    let passes = |name: &str, _: &_| order.iter().any(|(n, decided)| !decided && n == name);
    let mut writer = Writer::new(store);
    let mut from = 0;
    for chunk in Chunks::open(store, input)?.only(passes) {
        let chunk = chunk?;
        let end = chunk.before + chunk.rows();
        let to = from + numbers[from..].partition_point(|&row| (row as usize) < end);
        let rows: Vec<u32> = numbers[from..to].iter().map(|&row| row - chunk.before as u32).collect();
        from = to;
        let whole = rows.len() == chunk.rows() && rows.iter().enumerate().all(|(at, &row)| at == row as usize);
        let passed = if whole { chunk } else { chunk.take(&rows)? };
        writer.push(beside(&passed, &feed.take(rows.len())?, order)?)?;
    }
    writer.finish()
}

fn beside(passed: &Table, decided: &Table, order: &[(String, bool)]) -> Result<Table, OpError> {
    let column = |(name, is_decided): &(String, bool)| {
        let from = if *is_decided { decided } else { passed };
        Ok((name.clone(), std::sync::Arc::clone(from.column(name)?)))
    };
    Table::new(order.iter().map(column).collect::<Result<_, OpError>>()?, decided.rows())
}

/// Rows of a dataset, as many at a time as are asked for.
struct Feed {
    chunks: Chunks,
    rest: Option<Table>,
}

impl Feed {
    fn take(&mut self, rows: usize) -> Result<Table, OpError> {
        let mut parts: Vec<Table> = Vec::new();
        let mut missing = rows;
        loop {
            let have = match self.rest.take() {
                Some(table) => table,
                None => match self.chunks.next() {
                    Some(table) => table?,
                    None => break,
                },
            };
            let n = have.rows().min(missing);
            parts.push(have.slice(0, n));
            missing -= n;
            if missing == 0 {
                self.rest = Some(have.slice(n, have.rows() - n));
                break;
            }
        }
        if missing > 0 {
            return Err(OpError::new("E0503", "what was decided of the rows ends before they do"));
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => Table::concat(&parts),
        }
    }
}
