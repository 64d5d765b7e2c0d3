//! `data.disjoint` and `data.overlap`: whether two datasets share rows, and which.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use crate::base::OpError;
use crate::data::dedup::leak::{self, Compared, Leak, Sign};
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Effect, OpSpec};

/// The common arguments in a signature.
macro_rules! signature {
    ($head:literal, $result:literal) => {
        concat!(
            $head,
            r#"
  d: Dataset[{ ..r }],
  ## The rows that must not be among those of `d`, for example benchmark items.
  from: Dataset[{ ..s }],
  ## Signs of a leak, of "phash": pictures that look the same, "13gram": a run of 13 words (a text of 8 to 12 words counts whole),
  ## "exact": a text of 8 words or more that is the same apart from case, blanks and punctuation.
  on: [enum { phash, "13gram", exact }],
  ## any: one sign is enough. all: one pair of rows must show every sign.
  match: enum { any, all } = "any",
  ## Bits by which the 64-bit hashes of two pictures may differ.
  distance: Int in 0..64 = 4,
"#,
            $result
        )
    };
}

/// The operator that tells whether.
pub static DISJOINT: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Says whether no row of one dataset is in another. `data.overlap` with the same arguments lists the pairs.
op data.disjoint("#,
            ") -> Metric[Bool]"
        ),
        effect: Effect::Reduce,
        version: 2,
        ..OpSpec::BASE
    },
    run: Some(disjoint),
};

/// The operator that tells which.
pub static OVERLAP: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Lists the pairs of rows that two datasets share: the names of both, and why.
op data.overlap("#,
            ") -> Dataset[{ row: Str, other: Str, why: Str }]"
        ),
        effect: Effect::Reduce,
        version: 2,
        ..OpSpec::BASE
    },
    run: Some(overlap),
};

#[derive(serde::Deserialize)]
struct Args {
    on: Vec<String>,
    #[serde(rename = "match")]
    which: String,
    distance: u32,
}

fn disjoint(cx: &mut Context) -> Result<Outputs, OpError> {
    let leaks = find(cx)?;
    Ok(Context::metric(leaks.is_empty().into()))
}

fn overlap(cx: &mut Context) -> Result<Outputs, OpError> {
    let leaks = find(cx)?;
    // What rows are called.
    let (d, from) = (cx.columns("d", &["id"])?, cx.columns("from", &["id"])?);
    let say = |sign: &Sign| match sign {
        Sign::Picture => "phash",
        Sign::Words => "13gram",
        Sign::Text => "exact",
    };
    let why = leaks.iter().map(|l| l.signs.iter().map(say).collect::<Vec<_>>().join(", "));
    let text = |texts: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    let columns = vec![
        ("row".to_owned(), text(leaks.iter().map(|l| d.name(l.row as usize)).collect())),
        ("other".to_owned(), text(leaks.iter().map(|l| from.name(l.other as usize)).collect())),
        ("why".to_owned(), text(why.collect())),
    ];
    Ok(Context::rows(Table::new(columns, leaks.len())?))
}

fn find(cx: &mut Context) -> Result<Vec<Leak>, OpError> {
    let args: Args = cx.args()?;
    let signs = args.on.iter().map(|name| match name.as_str() {
        "phash" => Ok(Sign::Picture),
        "13gram" => Ok(Sign::Words),
        "exact" => Ok(Sign::Text),
        other => Err(OpError::new("E0213", format!("`on` knows phash, 13gram and exact, not {other:?}"))),
    });
    let signs = signs.collect::<Result<BTreeSet<_>, _>>()?;
    if signs.is_empty() {
        return Err(OpError::new("E0211", "`on` names no sign, so nothing would be compared"));
    }
    let how = Compared { signs, all: args.which == "all", distance: args.distance, held: leak::HELD };
    let leaks = {
        let cx = &*cx;
        pooled(cx.threads, || leak::leaks(|| cx.chunks("d"), || cx.chunks("from"), &how, cx.store))??
    };
    cx.counts.insert("pairs".into(), leaks.len() as u64);
    cx.counts.insert("leaking rows".into(), leaks.iter().map(|l| l.row).collect::<BTreeSet<_>>().len() as u64);
    Ok(leaks)
}
