//! What a user's command has said of each row before: it is asked about the other rows only.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array as _, Int64Array};

use super::answers::Made;
use super::args::Args;
use crate::base::{Digest, OpError};
use crate::data::table::Table;
use crate::engine::row_memo::{self, Recalled, RowMemo};
use crate::engine::{Artifact, Context};
use crate::spec::user_op;

/// What is known of the rows of one execution.
pub(super) struct Remembered<'s> {
    memo: Option<RowMemo<'s>>,
    keys: Vec<Digest>,
    /// Answers that are known, with the rows that they belong to.
    known: Option<Table>,
    /// How many rows they answer.
    rows: u64,
    /// The rows that the command is to be asked about, in order.
    pub asked: Vec<usize>,
}

impl<'s> Remembered<'s> {
    /// Looks the rows up that an execution answers. A command that sees all rows at once is asked about all.
    pub(super) fn open(cx: &Context<'s>, args: &Args, d: &Table, mine: &Range<usize>) -> Result<Self, OpError> {
        let asked = mine.clone().collect();
        let Some(memo) = RowMemo::open(cx, &["arg.bad"]).filter(|_| !args.whole()) else {
            return Ok(Self { memo: None, keys: Vec::new(), known: None, rows: 0, asked });
        };
        let columns: Vec<&str> = args.reads.columns.iter().map(|c| c.name.as_str()).collect();
        let keys = row_memo::keys(d, &columns)?;
        let Recalled { rows, answers } = memo.recall(&keys[mine.clone()])?;
        let asked = mine.clone().zip(&rows).filter(|(_, known)| known.is_none()).map(|(row, _)| row).collect();
        let known = answers.map(|answers| {
            let mut numbers = vec![0; answers.rows()];
            for (row, places) in mine.clone().zip(&rows).filter_map(|(row, places)| Some((row, places.clone()?))) {
                numbers[places].fill(row as i64);
            }
            answers.with_column(user_op::ROW, Arc::new(Int64Array::from(numbers)))
        });
        let count = rows.iter().flatten().count() as u64;
        Ok(Self { memo: Some(memo), keys, known: known.transpose()?, rows: count, asked })
    }

    /// Returns how many rows were known.
    pub(super) fn count(&self) -> u64 {
        self.rows
    }

    /// Puts what is known and what the command said now into the order of the rows.
    pub(super) fn with(&self, said: Table) -> Result<Table, OpError> {
        let Some(known) = &self.known else { return Ok(said) };
        let all = Table::concat(&[known.clone(), said])?;
        let numbers = numbers(&all)?;
        let mut order: Vec<u32> = (0..all.rows() as u32).collect();
        order.sort_by_key(|at| numbers[*at as usize]);
        all.take(&order)
    }

    /// Remembers the columns of `answers` of what was made of some rows; those that the command gave up are asked again. Returns them as they are
    /// stored, if they are.
    pub(super) fn keep(&self, rows: &[usize], made: &Made, answers: &[String]) -> Result<Option<Artifact>, OpError> {
        let Some(memo) = self.memo.as_ref().filter(|_| !rows.is_empty()) else { return Ok(None) };
        let numbers = numbers(&made.table)?;
        let answered = |row: usize| {
            let row = row as i64;
            numbers.partition_point(|n| *n <= row) - numbers.partition_point(|n| *n < row)
        };
        let rows = rows.iter().filter(|row| !made.given_up.contains_key(row));
        let rows: Vec<(Digest, usize)> = rows.map(|&row| (self.keys[row], answered(row))).collect();
        memo.remember(&rows, &made.table.select(answers)?).map(Some)
    }
}

/// The rows that answers belong to.
fn numbers(table: &Table) -> Result<Vec<i64>, OpError> {
    let column = table.column(user_op::ROW)?.as_any().downcast_ref::<Int64Array>();
    let column = column.ok_or_else(|| OpError::new("E0612", "rows have no numbers"))?;
    Ok(column.values().to_vec())
}
