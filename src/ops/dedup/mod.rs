//! Operators of module `dedup`: one way from links between rows to the rows that stay.

pub mod exact;
pub mod image;
pub mod minhash;
pub mod semantic;
pub mod simhash;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use rayon::prelude::*;
use serde::Deserialize;

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::clusters::{self, Links, Rule};
use crate::data::table::Table;
use crate::data::{text, within};
use crate::engine::{Context, Outputs};
use crate::ops::rows::{self, Reason, pooled};

/// Which row of a cluster stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Keep {
    First,
    Longest,
    Best,
}

/// The arguments that all dedups take.
#[derive(Deserialize)]
struct Common {
    #[serde(default)]
    within: Vec<String>,
    image_distance: u32,
    keep: Keep,
    best: Option<String>,
    rule: Rule,
}

/// The common arguments in a signature, and its result.
macro_rules! signature {
    ($head:literal) => {
        concat!(
            $head,
            r#"
  ## Only rows that agree on these columns are compared. Pictures agree when they look the same, lists of pictures one by one.
  within: Cols = [],
  ## Bits by which the 64-bit hashes of two pictures of `within` may differ; chains count. 0: the same bytes.
  image_distance: Int = 4,
  ## Which row of a cluster stays: the first, the one with the longest text, or the one with the highest `best`.
  keep: enum { first, longest, best } = "first",
  ## The number that `keep: "best"` goes by.
  best: Col? = none,
  ## components: A~B~C is one cluster though A is unlike C. star: a row goes only if it is near a row that stays.
  rule: enum { components, star } = "components",
) -> Dataset[{ cluster: Str, copies: Int, ..r }]"#
        )
    };
}
use signature;

/// What the operators look at: the rows, which of them are in scope, and the group that each is compared within.
struct Scope {
    table: Table,
    rows: Vec<bool>,
    group: Vec<u32>,
    common: Common,
}

impl Scope {
    fn new(cx: &Context) -> Result<Self, OpError> {
        let common: Common = cx.args()?;
        let table = cx.table("d")?;
        let rows = rows::in_scope(cx, &table)?;
        let group = pooled(cx.threads, || within::groups(&table, &common.within, common.image_distance, cx.store))??;
        Ok(Self { table, rows, group, common })
    }

    /// Returns the texts of the rows in scope; those of others are empty.
    fn texts(&self, on: &[String]) -> Result<Vec<String>, OpError> {
        let mut texts = self.table.texts(on)?;
        for (text, _) in texts.iter_mut().zip(&self.rows).filter(|(_, scoped)| !**scoped) {
            text.clear();
        }
        Ok(texts)
    }

    /// Keeps one row of each cluster. `on` are the columns whose text `keep: "longest"` measures; `why(row, keeper)` says what makes them duplicates.
    fn finish(
        self,
        cx: &mut Context,
        links: &Links,
        on: &[String],
        why: impl Fn(usize, usize) -> String + Sync,
    ) -> Result<Outputs, OpError> {
        let rank = self.rank(on)?;
        let keeper = clusters::resolve(links, self.common.rule, &rank);
        let mut copies = vec![0i64; keeper.len()];
        keeper.iter().for_each(|&k| copies[k as usize] += 1);
        let kinds = Kinds::new(&self.table, on, &self.common.within)?;
        let reason = |(row, &k): (usize, &u32)| {
            let k = k as usize;
            (k != row).then(|| Reason::new(kinds.of(row, k), format!("{} {}", why(row, k), self.table.name(k))))
        };
        let reasons: Vec<Option<Reason>> = pooled(cx.threads, || keeper.par_iter().enumerate().map(reason).collect())?;
        let names: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..keeper.len()).map(|row| self.table.name(row))));
        let copies: ArrayRef = Arc::new(Int64Array::from(copies));
        let labelled = self.table.with_column("cluster", names)?.with_column("copies", copies)?;
        cx.counts.insert(
            "clusters".into(),
            reasons.iter().zip(&keeper).filter(|(r, _)| r.is_some()).map(|(_, k)| k).collect::<BTreeSet<_>>().len()
                as u64,
        );
        Ok(Context::rows(rows::drop_rows(cx, &labelled, &reasons)?))
    }

    /// Returns each row's place in the keep order; ties go to the earlier row.
    fn rank(&self, on: &[String]) -> Result<Vec<u32>, OpError> {
        let rows = self.table.rows();
        let mut order: Vec<u32> = (0..rows as u32).collect();
        match self.common.keep {
            Keep::First => {}
            Keep::Longest => {
                let lengths: Vec<usize> = self.table.texts(on)?.iter().map(|t| t.chars().count()).collect();
                order.sort_by_key(|&r| std::cmp::Reverse(lengths[r as usize]));
            }
            Keep::Best => {
                let by = self.common.best.as_ref();
                let by = by.ok_or_else(|| OpError::new("E0211", "`keep: \"best\"` needs the argument `best`"))?;
                let score = |c: &Cell<'_>| c.as_f64().filter(|s| !s.is_nan()).unwrap_or(f64::NEG_INFINITY);
                let scores: Vec<f64> = self.table.cells(by)?.iter().map(score).collect();
                order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
            }
        }
        let mut rank = vec![0; rows];
        order.iter().enumerate().for_each(|(place, &row)| rank[row as usize] = place as u32);
        Ok(rank)
    }
}

/// Tells kinds of duplicates apart, for the counts: equal texts from similar ones, equal files of pictures from others that look the same.
struct Kinds<'t> {
    texts: Vec<String>,
    pictures: Vec<Vec<Cell<'t>>>,
}

impl<'t> Kinds<'t> {
    fn new(table: &'t Table, on: &[String], within: &[String]) -> Result<Self, OpError> {
        let texts = if on.is_empty() { Vec::new() } else { table.texts(on)? };
        let mut pictures = Vec::new();
        for name in within {
            if within::is_picture(table.column(name)?.data_type()) {
                pictures.push(table.cells(name)?);
            }
        }
        Ok(Self { texts, pictures })
    }

    fn of(&self, a: usize, b: usize) -> String {
        let same = |a: &String, b: &String| text::normalise(a) == text::normalise(b);
        let text = match self.texts.get(a).zip(self.texts.get(b)) {
            None => "same look",
            Some((a, b)) if same(a, b) => "same text",
            Some(_) => "similar text",
        };
        let files = |cell: &Cell<'_>| {
            let mut digests = BTreeSet::new();
            within::collect(cell, &mut digests);
            digests
        };
        let copied = self.pictures.iter().any(|column| files(&column[a]) != files(&column[b]));
        if copied { format!("{text}, picture encoded anew") } else { text.to_owned() }
    }
}
