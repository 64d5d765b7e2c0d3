//! `op.join`: the columns that a user's operator made, beside those that rode along.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::base::OpError;
use crate::data::table::Table;
use crate::engine::node::context::Fate;
use crate::engine::storage::dataset::{Chunks, Writer};
use crate::engine::{Builtin, Context, Output, Outputs};
use crate::spec::{Effect, OpSpec, user_op};

/// The operator.
pub static JOIN: Builtin = Builtin {
    spec: OpSpec { signature: "", effect: Effect::RowExpand, version: user_op::VERSION, ..OpSpec::BASE },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    /// Columns that the operator read: gone unless it gives them back.
    reads: Vec<String>,
    gives: Vec<String>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let gone = |name: &String| args.reads.contains(name) && !args.gives.contains(name);
    let mut writer = Writer::new(cx.store);
    let mut made = Answers { chunks: cx.chunks("made")?, rest: None };
    let (mut read, mut kept, mut dropped) = (0, 0, 0);
    for chunk in cx.chunks("d")? {
        cx.go_on()?;
        let chunk = chunk?;
        let keep: Vec<String> = chunk.columns().into_iter().map(|(name, _)| name).filter(|name| !gone(name)).collect();
        let end = chunk.before + chunk.rows();
        let mut given = vec![false; chunk.rows()];
        // At least one, so that the columns are known.
        loop {
            let (answers, rows) = made.up_to(end)?;
            let rows: Vec<u32> = rows.into_iter().map(|row| (row - chunk.before) as u32).collect();
            rows.iter().for_each(|row| given[*row as usize] = true);
            let mut out = chunk.take(&rows)?.select(&keep)?;
            for name in &args.gives {
                out = out.with_column(name, answers.column(name)?.clone())?;
            }
            kept += out.rows();
            let last = out.rows() == 0;
            writer.push(out)?;
            if last {
                break;
            }
        }
        read += chunk.rows();
        for row in (0..chunk.rows()).filter(|&row| !given[row]) {
            dropped += 1;
            let why = "the operator did not give it back".into();
            cx.fates.push(Fate { row: chunk.name(row), what: "dropped".into(), why });
        }
    }
    let counts = [("read", read), ("kept", kept), ("dropped", dropped)];
    cx.counts.extend(counts.map(|(name, n)| (name.to_owned(), n as u64)));
    Ok(vec![(String::new(), Output::Artifact(writer.finish()?))])
}

/// Answers, in the order of the rows that they belong to.
struct Answers {
    chunks: Chunks,
    /// What was read and belongs to rows further down.
    rest: Option<Table>,
}

impl Answers {
    /// Returns the next answers to rows before `end`, with those rows; none if there are no more.
    fn up_to(&mut self, end: usize) -> Result<(Table, Vec<usize>), OpError> {
        loop {
            let table = match self.rest.take() {
                Some(rest) => rest,
                None => self.chunks.next().unwrap_or_else(|| Err(OpError::new("E0612", "answers are read twice")))?,
            };
            let rows = table.column(user_op::ROW)?.as_primitive_opt::<Int64Type>();
            let rows = rows.ok_or_else(|| OpError::new("E0612", "rows have no number"))?;
            let mine = rows.values().partition_point(|row| *row < end as i64);
            let numbers = rows.values()[..mine].iter().map(|row| *row as usize).collect();
            let (now, later) = (table.slice(0, mine), table.slice(mine, table.rows() - mine));
            if later.rows() > 0 || mine > 0 {
                self.rest = Some(later);
                return Ok((now, numbers));
            }
            match self.chunks.next() {
                Some(more) => self.rest = Some(more?),
                None => {
                    self.rest = Some(later);
                    return Ok((now, numbers));
                }
            }
        }
    }
}
