//! Operators of module `dedup`: one way from links between rows to the rows that stay.

pub mod exact;
pub mod image;
pub mod minhash;
pub mod semantic;
pub mod simhash;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use rayon::prelude::*;
use serde::Deserialize;

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::dedup::clusters::{self, Links, Rule};
use crate::data::dedup::texts::{self, Collector, Held, Texts as _};
use crate::data::dedup::{text, within};
use crate::data::table::Table;
use crate::engine::storage::dataset;
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

/// What the operators look at: which rows are in scope, and the group that each is compared within. Only the columns that decide are held.
struct Scope {
    /// The columns of `within` and `best`.
    table: Table,
    /// What rows are called: the column `id`, if there is one.
    ids: Table,
    rows: Vec<bool>,
    group: Vec<u32>,
    common: Common,
}

impl Scope {
    /// Looks at the rows of `d`.
    fn new(cx: &Context) -> Result<Self, OpError> {
        let common: Common = cx.args()?;
        let held: Vec<&str> = common.within.iter().chain(&common.best).map(String::as_str).collect();
        let table = cx.columns("d", &held)?;
        for name in held {
            table.column(name)?;
        }
        let mut rows = Vec::with_capacity(table.rows());
        if cx.args.get("where").is_none_or(serde_json::Value::is_null) {
            rows.resize(table.rows(), true);
        } else {
            for chunk in cx.chunks("d")? {
                rows.extend(rows::in_scope(cx, &chunk?)?);
            }
        }
        let ids = cx.columns("d", &["id"])?;
        let group = pooled(cx.threads, || within::groups(&table, &common.within, common.image_distance, cx.store))??;
        Ok(Self { table, ids, rows, group, common })
    }

    /// Collects the texts of the rows in scope; those of others are empty.
    fn texts(&self, cx: &Context, on: &[String]) -> Result<Held, OpError> {
        if let [column] = on
            && self.rows.iter().all(|scoped| *scoped)
            && let Some(held) = stored(cx, column)?
        {
            return Ok(held);
        }
        let mut texts = Collector::new(&cx.scratch, texts::IN_MEMORY);
        let wanted = |name: &str, _: &_| on.iter().any(|n| n == name);
        for chunk in cx.chunks("d")?.only(wanted) {
            let chunk = chunk?;
            let scoped = &self.rows[chunk.before..][..chunk.rows()];
            let mut array = chunk.text_array(on)?;
            if scoped.contains(&false) {
                let kept = array.iter().zip(scoped).map(|(text, scoped)| if *scoped { text } else { None });
                array = kept.map(Option::unwrap_or_default).map(Some).collect();
            }
            texts.push(array)?;
        }
        texts.finish()
    }

    /// Says which rows have a value in at least one column of `on`.
    fn stated(&self, cx: &Context, on: &[String]) -> Result<Vec<bool>, OpError> {
        let mut stated = Vec::with_capacity(self.rows.len());
        for chunk in cx.chunks("d")?.only(|name, _| on.iter().any(|n| n == name)) {
            let chunk = chunk?;
            let columns = chunk.batch.columns();
            stated.extend((0..chunk.rows()).map(|row| columns.iter().any(|column| column.is_valid(row))));
        }
        Ok(stated)
    }

    /// Keeps one row of each cluster. `why(row, keeper)` says what makes two rows duplicates.
    fn finish(
        self,
        cx: &mut Context,
        links: &Links,
        compared: Compared<'_>,
        why: impl Fn(usize, usize) -> String + Sync,
    ) -> Result<Outputs, OpError> {
        let texts = compared.texts();
        let rank = self.rank(texts)?;
        let keeper = clusters::resolve(links, self.common.rule, &rank);
        let mut copies = vec![0i64; keeper.len()];
        keeper.iter().for_each(|&k| copies[k as usize] += 1);
        let kept = keeper.iter().enumerate().filter(|(row, k)| **k as usize != *row);
        cx.counts.insert("clusters".into(), kept.map(|(_, k)| k).collect::<BTreeSet<_>>().len() as u64);
        let kinds = Kinds::new(&self.table, texts, &self.common.within)?;
        let reason = |row: usize| {
            let k = keeper[row] as usize;
            let other_words = matches!(compared, Compared::Words(_)) && links.class[row] != links.class[k];
            (k != row)
                .then(|| Reason::new(kinds.of(row, k, other_words), format!("{} {}", why(row, k), self.ids.name(k))))
        };
        let out = rows::sift(cx, |cx, chunk| {
            let range = chunk.before..chunk.before + chunk.rows();
            let reasons = pooled(cx.threads, || range.clone().into_par_iter().map(reason).collect())?;
            let names: ArrayRef = Arc::new(StringArray::from_iter_values(range.clone().map(|row| self.ids.name(row))));
            let copies: ArrayRef = Arc::new(Int64Array::from(copies[range].to_vec()));
            Ok((chunk.with_column("cluster", names)?.with_column("copies", copies)?, reasons))
        })?;
        if let Some(texts) = texts {
            texts.check()?;
        }
        Ok(out)
    }

    /// Returns each row's place in the keep order; ties go to the earlier row.
    fn rank(&self, texts: Option<&Held>) -> Result<Vec<u32>, OpError> {
        let rows = self.table.rows();
        let mut order: Vec<u32> = (0..rows as u32).collect();
        match self.common.keep {
            Keep::First => {}
            Keep::Longest => {
                let length = |row: u32| texts.map_or(0, |texts| texts.with(row as usize, |t| t.chars().count()));
                let lengths: Vec<usize> = order.iter().map(|&row| length(row)).collect();
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

/// Returns the texts of a column as they lie in the store, if it is a column of text too large for memory.
fn stored(cx: &Context, column: &str) -> Result<Option<Held>, OpError> {
    let artifact = cx.input("d")?;
    let file = artifact.files.get(&dataset::column_path(column));
    if file.is_none_or(|file| file.bytes <= texts::IN_MEMORY as u64) {
        return Ok(None);
    }
    let mut ends: Vec<u64> = Vec::new();
    let mut firsts = Vec::new();
    for chunk in cx.chunks("d")?.only(|name, _| name == column) {
        let chunk = chunk?;
        let Some(array) = chunk.column(column)?.as_string_opt::<i32>() else { return Ok(None) };
        firsts.push(chunk.before);
        texts::add_ends(&mut ends, array);
    }
    let (file, places) = dataset::text_places(cx.store, artifact, column)?;
    Ok(Some(Held::in_file(file, ends, firsts.into_iter().zip(places).collect())))
}

/// What makes rows duplicates.
#[derive(Clone, Copy)]
enum Compared<'t> {
    /// Texts, so that those with the same words are in one class of the links.
    Words(&'t Held),
    /// Texts by something else.
    #[cfg(feature = "torch")]
    Meaning(&'t Held),
    /// Their pictures.
    Pictures,
}

impl<'t> Compared<'t> {
    fn texts(self) -> Option<&'t Held> {
        match self {
            Compared::Words(texts) => Some(texts),
            #[cfg(feature = "torch")]
            Compared::Meaning(texts) => Some(texts),
            Compared::Pictures => None,
        }
    }
}

/// Tells kinds of duplicates apart, for the counts: equal texts from similar ones, equal files of pictures from others that look the same.
struct Kinds<'t> {
    texts: Option<&'t Held>,
    pictures: Vec<Vec<Cell<'t>>>,
}

impl<'t> Kinds<'t> {
    fn new(table: &'t Table, texts: Option<&'t Held>, within: &[String]) -> Result<Self, OpError> {
        let mut pictures = Vec::new();
        for name in within {
            if within::is_picture(table.column(name)?.data_type()) {
                pictures.push(table.cells(name)?);
            }
        }
        Ok(Self { texts, pictures })
    }

    /// Names the kind of two rows; `other_words` if their texts are known to differ in a word.
    fn of(&self, a: usize, b: usize, other_words: bool) -> String {
        // In ASCII, texts with the same normal form have the same words.
        let differ = |a: &str, b: &str| other_words && a.is_ascii() && b.is_ascii();
        let same = |a: &str, b: &str| a == b || (!differ(a, b) && text::normalise(a) == text::normalise(b));
        let text = match self.texts {
            None => "same look",
            Some(texts) if texts.with(a, |a| texts.with(b, |b| same(a, b))) => "same text",
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
