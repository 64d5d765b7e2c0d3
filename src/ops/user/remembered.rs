//! What a user's command has said of each row before: it is asked about the other rows only.

use std::ops::Range;

use super::answers::GivenUp;
use super::args::Args;
use crate::base::{Digest, OpError};
use crate::data::draw::Keyer;
use crate::engine::node::row_memo::{self, Recalled, RowMemo};
use crate::engine::storage::dataset;
use crate::engine::{Artifact, Context};
use crate::spec::user_op;

/// What is known of the rows of one execution.
pub(super) struct Remembered<'s> {
    memo: Option<RowMemo<'s>>,
    /// The rows that the execution answers.
    mine: Range<usize>,
    /// Their keys.
    keys: Vec<Digest>,
    known: Recalled,
    /// The rows that the command is to be asked about, in order.
    pub asked: Vec<usize>,
}

impl<'s> Remembered<'s> {
    /// Looks the rows up that an execution answers. A command that sees all rows at once is asked about all.
    pub(super) fn open(cx: &Context<'s>, args: &Args, mine: Range<usize>) -> Result<Self, OpError> {
        let Some(memo) = RowMemo::open(cx, &["arg.bad"]).filter(|_| !args.whole()) else {
            let known = Recalled { rows: vec![None; mine.len()], answers: Vec::new() };
            return Ok(Self { memo: None, asked: mine.clone().collect(), mine, keys: Vec::new(), known });
        };
        let columns: Vec<&str> = args.reads.columns.iter().map(|c| c.name.as_str()).collect();
        let mut keyer = Keyer::default();
        let mut keys = Vec::with_capacity(mine.len());
        for chunk in cx.chunks("d")? {
            cx.go_on()?;
            let chunk = chunk?;
            // Rows before those of this execution count where they are equal.
            let all = row_memo::keys(&mut keyer, &chunk, &columns)?;
            keys.extend((chunk.before..).zip(all).filter(|(row, _)| mine.contains(row)).map(|(_, key)| key));
        }
        let known = memo.recall(&keys);
        let asked = mine.clone().zip(&known.rows).filter(|(_, known)| known.is_none()).map(|(row, _)| row).collect();
        Ok(Self { memo: Some(memo), mine, keys, known, asked })
    }

    /// Returns how many rows were known.
    pub(super) fn count(&self) -> u64 {
        self.known.rows.iter().flatten().count() as u64
    }

    /// Returns the datasets that hold what is known.
    pub(super) fn answers(&self) -> &[Artifact] {
        &self.known.answers
    }

    /// Returns the row of each answer that is known, and where it stands among the rows of [`Remembered::answers`].
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, u32)> {
        let rows = self.mine.clone().zip(&self.known.rows);
        rows.flat_map(|(row, places)| places.clone().into_iter().flatten().map(move |at| (row as u32, at as u32)))
    }

    /// Remembers what was made of some rows; those that the command gave up are asked again. `numbers` are the rows of the answers, in order.
    pub(super) fn keep(
        &self,
        rows: impl Iterator<Item = usize>,
        given_up: &GivenUp,
        numbers: &[u32],
        answers: &Artifact,
    ) -> Result<(), OpError> {
        let Some(memo) = &self.memo else { return Ok(()) };
        let answered = |row: usize| {
            let row = row as u32;
            numbers.partition_point(|n| *n <= row) - numbers.partition_point(|n| *n < row)
        };
        let rows = rows.filter(|row| !given_up.contains_key(row));
        let rows: Vec<(Digest, usize)> = rows.map(|row| (self.keys[row - self.mine.start], answered(row))).collect();
        if rows.is_empty() { Ok(()) } else { memo.remember(&rows, unnumbered(answers)) }
    }
}

/// Leaves out the column that numbers rows, which are others the next time.
fn unnumbered(answers: &Artifact) -> Artifact {
    let mut answers = answers.clone();
    answers.files.remove(&dataset::column_path(user_op::ROW));
    if let Some(columns) = answers.meta["columns"].as_array_mut() {
        columns.retain(|column| column["name"] != user_op::ROW);
    }
    answers
}
