//! `filter.relevance`: rows by how near a text is in meaning to the others of its row.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Looks, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static RELEVANCE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows by relevance, from 1 to 6: `1 + 5·clamp((cos − lo)/(hi − lo), 0, 1)`, where cos is the cosine of the vectors of two
## texts under a sentence encoder. Answers of one word have no topic: leave them out with `where: .output.words in 4..`.
op filter.relevance(
  d: Dataset[{ ..r }],
  ## The text that is judged.
  of: Col,
  ## What it is to be about: these columns, joined with a newline.
  to: Cols,
  ## The sentence encoder.
  embed: Model,
  ## Cosine that scores 1, and all below it.
  lo: Float = 0.0,
  ## Cosine that scores 6, and all above it.
  hi: Float = 0.8,
  ## A range of scores, or `top(n)`: the n highest.
  keep: Keep[Float] = 4.0..6.0,
  ## `top` takes its rows in equal shares from every group of rows that agree on these columns.
  within: Cols = [],
) -> Dataset[{ relevance: Float, ..r }]"#,
        version: 2,
        takes_where: true,
        class: Class::Numeric,
        pool: Pool::Engine,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    of: String,
    to: Vec<String>,
    lo: f64,
    hi: f64,
    #[serde(flatten)]
    selection: super::scored::Selection,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let (lo, hi) = (args.lo, args.hi);
    if lo >= hi {
        return Err(OpError::new("E0214", format!("lo: {lo} is not below hi: {hi}")).help("cosines lie in -1.0..1.0"));
    }
    let table = cx.table("d")?;
    let of = table.texts(std::slice::from_ref(&args.of))?;
    let to = table.texts(&args.to)?;
    let columns: Vec<&str> = std::iter::once(&args.of).chain(&args.to).map(String::as_str).collect();
    let best = super::scored::Best::Highest;
    super::scored::keep(cx, &table, "relevance", &args.selection, best, Some(&columns), |cx, chosen| {
        let texts: Vec<&str> = chosen.iter().flat_map(|&row| [of[row].as_str(), to[row].as_str()]).collect();
        let encoded = crate::ops::embed::encode(cx, "embed", &texts)?;
        let score = |i: usize| 1.0 + 5.0 * ((encoded.cosine(2 * i, 2 * i + 1) - lo) / (hi - lo)).clamp(0.0, 1.0);
        Ok((0..chosen.len()).map(|i| Ok(score(i))).collect())
    })
}
