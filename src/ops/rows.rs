//! What operators over rows share: the thread pool, the `where` condition, and dropping rows with a reason.

use crate::base::OpError;
use crate::data::gather::{IN_MEMORY, gather};
use crate::data::rowexpr::Program;
use crate::data::table::Table;
use crate::engine::node::context::Fate;
use crate::engine::storage::dataset::Writer;
use crate::engine::{Artifact, Context, Output, Outputs};
use crate::spec::RowExpr;

/// Runs `work` on the threads that the node may use.
pub fn pooled<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> Result<T, OpError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    let pool = pool.map_err(|e| OpError::new("E0612", format!("no thread pool: {e}")).class("flaky"))?;
    Ok(pool.install(work))
}

/// Returns which rows the operator is to look at: those for which its argument `where` holds.
pub fn in_scope(cx: &Context, table: &Table) -> Result<Vec<bool>, OpError> {
    match cx.args.get("where") {
        None | Some(serde_json::Value::Null) => Ok(vec![true; table.rows()]),
        Some(value) => condition(&serde_json::from_value(value.clone())?, table, cx.threads),
    }
}

/// Evaluates a condition for all rows.
pub fn condition(expr: &RowExpr, table: &Table, threads: usize) -> Result<Vec<bool>, OpError> {
    if *expr == RowExpr::Lit(true.into()) {
        return Ok(vec![true; table.rows()]);
    }
    let program = Program::new(expr, table)?;
    pooled(threads, || program.mask(table))?
}

/// Why a row is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What the row has in common with others dropped for the same reason: what is counted. Empty: not counted on its own.
    pub kind: String,
    /// What is told about this row.
    pub why: String,
}

impl Reason {
    /// Makes a reason of a kind.
    pub fn new(kind: impl Into<String>, why: impl Into<String>) -> Self {
        Self { kind: kind.into(), why: why.into() }
    }
}

impl From<String> for Reason {
    fn from(why: String) -> Self {
        Self { kind: String::new(), why }
    }
}

/// Goes through the rows of the dataset in a slot chunk by chunk: `change` gives each chunk as it is to be kept, with the same columns each time.
pub fn each(
    cx: &mut Context,
    slot: &str,
    mut change: impl FnMut(&mut Context, Table) -> Result<Table, OpError>,
) -> Result<Outputs, OpError> {
    let mut writer = Writer::new(cx.store);
    for chunk in cx.chunks(slot)? {
        cx.go_on()?;
        writer.push(change(cx, chunk?)?)?;
    }
    Ok(vec![(String::new(), Output::Artifact(writer.finish()?))])
}

/// Writes the rows of the dataset `d` at `order`, in that order, without holding them all.
pub fn reordered(cx: &Context, order: &[u32]) -> Result<Outputs, OpError> {
    gathered(cx, || cx.chunks("d"), order)
}

/// As [`reordered`], for the rows that `read` gives each time it is called.
pub fn gathered<I: Iterator<Item = Result<Table, OpError>>>(
    cx: &Context,
    read: impl Fn() -> Result<I, OpError>,
    order: &[u32],
) -> Result<Outputs, OpError> {
    let mut writer = Writer::new(cx.store);
    gather(read, order, &cx.scratch, IN_MEMORY, |table| {
        cx.go_on()?;
        writer.push(table)
    })?;
    Ok(vec![(String::new(), Output::Artifact(writer.finish()?))])
}

/// Parts the rows of the dataset `d` chunk by chunk into `parts` datasets: `part` says where a row goes, if anywhere.
pub fn parted(cx: &mut Context, parts: usize, part: impl Fn(usize) -> Option<usize>) -> Result<Vec<Artifact>, OpError> {
    let mut writers: Vec<Writer<'_>> = (0..parts).map(|_| Writer::new(cx.store)).collect();
    for chunk in cx.chunks("d")? {
        cx.go_on()?;
        let chunk = chunk?;
        for (number, writer) in writers.iter_mut().enumerate() {
            let rows = chunk.before..chunk.before + chunk.rows();
            writer.push(chunk.filter(&rows.map(|row| part(row) == Some(number)).collect::<Vec<_>>())?)?;
        }
    }
    writers.into_iter().map(Writer::finish).collect()
}

/// Goes through the rows of the dataset `d` chunk by chunk: `judge` gives the chunk as it is to be kept, and for each of its rows the reason to
/// drop it, if there is one.
pub fn sift<R: Clone + Into<Reason>>(
    cx: &mut Context,
    mut judge: impl FnMut(&mut Context, Table) -> Result<(Table, Vec<Option<R>>), OpError>,
) -> Result<Outputs, OpError> {
    let mut writer = Writer::new(cx.store);
    for chunk in cx.chunks("d")? {
        cx.go_on()?;
        let (chunk, reasons) = judge(cx, chunk?)?;
        writer.push(drop_rows(cx, &chunk, &reasons)?)?;
    }
    Ok(vec![(String::new(), Output::Artifact(writer.finish()?))])
}

/// Drops the rows that have a reason, tells their fate, and counts: rows read, kept and dropped, and the dropped ones by kind of reason
/// under `dropped: KIND`.
pub fn drop_rows<R: Clone + Into<Reason>>(
    cx: &mut Context,
    table: &Table,
    reasons: &[Option<R>],
) -> Result<Table, OpError> {
    for (row, reason) in reasons.iter().enumerate() {
        if let Some(reason) = reason {
            let Reason { kind, why } = reason.clone().into();
            cx.fates.push(Fate { row: table.name(row), what: "dropped".into(), why });
            if !kind.is_empty() {
                *cx.counts.entry(format!("dropped: {kind}")).or_default() += 1;
            }
        }
    }
    let keep: Vec<bool> = reasons.iter().map(Option::is_none).collect();
    let kept = table.filter(&keep)?;
    count(cx, table.rows(), kept.rows());
    Ok(kept)
}

/// Adds to the counts of rows read, kept and dropped.
pub fn count(cx: &mut Context, read: usize, kept: usize) {
    for (what, rows) in [("read", read), ("kept", kept), ("dropped", read - kept)] {
        *cx.counts.entry(what.into()).or_default() += rows as u64;
    }
}
