//! `dedup.semantic`: rows whose texts mean the same, by the cosine of their vectors.

use super::signature;
#[cfg(feature = "torch")]
use super::{Compared, Scope};
#[cfg(feature = "torch")]
use crate::base::OpError;
#[cfg(feature = "torch")]
use crate::data::dedup::cells::Measured;
#[cfg(feature = "torch")]
use crate::data::dedup::clusters::groups;
#[cfg(feature = "torch")]
use crate::data::dedup::contrast::Contrasts;
#[cfg(feature = "torch")]
use crate::data::dedup::knn;
#[cfg(feature = "torch")]
use crate::data::dedup::pairs::{Job, Search};
#[cfg(feature = "torch")]
use crate::data::dedup::vectors::Vectors;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
#[cfg(feature = "torch")]
use crate::ops::rows::pooled;
use crate::spec::{Class, Looks, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static SEMANTIC: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Drops rows whose texts mean the same, by the cosine of their vectors.
op dedup.semantic(
  d: Dataset[{ ..r }],
  ## Columns compared, joined with a newline.
  on: Cols,
  ## The model that makes the vectors.
  embed: Model,
  ## Of how many nearest rows each row may be a duplicate.
  neighbors: Int in 1.. = 10,
  ## Cosine from which two rows are duplicates.
  similar: Ratio in 0%..100% = 95%,
  ## Rows are told apart by words that stand in each other's place in at least this many otherwise equal texts, such as red and blue, or left and
  ## right: to an encoder these mean nearly the same, to the answer they do not. Words that are mostly exchanged in rows that agree on `within` do
  ## not count. Then `similar` can be much lower. 0: the cosine alone counts.
  contrast: Int = 0,
  ## How neighbours are searched. exact: every pair is looked at. cells: each row is compared with the rows near the same few centres only, as many as
  ## it takes to find 99.5% of the neighbours of some rows that are compared with all others; how many neighbours of other such rows are found is
  ## counted. auto: exact where up to a million rows are compared with each other, cells above.
  search: enum { auto, exact, cells } = "auto","#
        ),
        takes_where: true,
        class: Class::Numeric,
        pool: Pool::Engine,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

/// Arguments that decide what is near.
#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    on: Vec<String>,
    neighbors: usize,
    similar: f64,
    contrast: u32,
    search: Search,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let scope = Scope::new(cx)?;
    let held = scope.texts(cx, &args.on)?;
    let texts = held.strings();
    held.check()?;
    // A row outside `where` gets a group of its own, so that it is compared with none.
    let rows = texts.len() as u32;
    let group: Vec<u32> =
        (0..rows).map(|r| if scope.rows[r as usize] { scope.group[r as usize] } else { rows + r }).collect();
    let vectors = vectors(cx, &texts, &group)?;
    let (links, measured) = pooled(cx.threads, || {
        let contrasts = (args.contrast > 0).then(|| Contrasts::mine(texts.as_slice(), &group, args.contrast));
        let apart = |a: usize, b: usize| contrasts.as_ref().is_some_and(|c| c.apart(a, b));
        let job = Job { similar: args.similar as f32, neighbors: args.neighbors, search: args.search, apart: &apart };
        knn::links(&vectors, &group, &job)
    })?;
    if measured.rows > 0 {
        for (what, n) in [
            ("compared by cells", measured.rows),
            ("cells of each", measured.joined),
            ("neighbours sampled", measured.pairs),
            ("of these found", measured.found),
        ] {
            cx.counts.insert(what.into(), n as u64);
        }
        cx.say(&told(&measured));
    }
    scope.finish(cx, &links, Compared::Meaning(&held), |a, b| {
        format!("same meaning (cosine {:.3}) as", vectors.cosine(a, b))
    })
}

/// Says how much a search by cells finds.
#[cfg(feature = "torch")]
fn told(m: &Measured) -> String {
    let found = match m.pairs {
        0 => "no sampled row has a neighbour, so how many are missed is unknown".to_owned(),
        pairs => format!(
            "it finds {} of {pairs} sampled neighbours ({:.2} %)",
            m.found,
            100.0 * m.found as f64 / pairs as f64
        ),
    };
    format!("{} rows were compared within cells, each in {} of them: {found}", m.rows, m.joined)
}

/// Returns a vector for each text. Those that are alone in their group are compared with none, so they are not encoded and stay zeros.
#[cfg(feature = "torch")]
fn vectors(cx: &Context, texts: &[String], group: &[u32]) -> Result<Vectors, OpError> {
    let compared: Vec<usize> = groups(group, 0..group.len() as u32).into_iter().flatten().map(|r| r as usize).collect();
    let some: Vec<&str> = compared.iter().map(|&row| texts[row].as_str()).collect();
    let encoded = crate::ops::embed::encode(cx, "embed", &some)?;
    let mut data = vec![0.0; texts.len() * encoded.width];
    for (i, row) in compared.into_iter().enumerate() {
        data[row * encoded.width..][..encoded.width].copy_from_slice(encoded.get(i));
    }
    Ok(Vectors::new(data, encoded.width))
}
