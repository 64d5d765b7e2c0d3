//! `data.blend`: rows of several datasets mixed in given shares.

use crate::base::{Digest, OpError};
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Class, Columns, Effect, OpSpec};

/// The operator.
pub static BLEND: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Mixes rows of several datasets. Each is shuffled and read to its end, then shuffled anew and read again. Shares hold at every length, not only at the end.
op data.blend(
  ## The datasets; only columns that all of them have stay.
  of: [Dataset[{ ..r }]],
  ## Their shares, which sum to 100 %.
  weights: [Ratio],
  ## How many rows; default: as many as there are in all.
  rows: Rows? = none,
) -> Dataset[{ ..r }]"#,
        class: Class::Sampled,
        effect: Effect::RowExpand,
        columns: Columns::Shared,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    of: Vec<serde_json::Value>,
    weights: Vec<f64>,
    rows: Option<usize>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let sum: f64 = args.weights.iter().sum();
    if args.weights.len() != args.of.len() || (sum - 1.0).abs() > 1e-6 || args.weights.iter().any(|w| *w < 0.0) {
        let (w, n) = (args.weights.len(), args.of.len());
        return Err(OpError::new("E0612", format!("{w} weights for {n} datasets sum to {:.2} %", 100.0 * sum))
            .help("give one weight for each dataset, 100 % in all"));
    }
    let mut slots = Vec::new();
    let mut types: Vec<Vec<_>> = Vec::new();
    for (i, input) in args.of.iter().enumerate() {
        let slot = input["$input"].as_str().map_or_else(|| format!("of[{i}]"), str::to_owned);
        let rows = cx.input(&slot)?.rows().unwrap_or(0) as usize;
        if rows == 0 && args.weights[i] > 0.0 {
            return Err(OpError::new("E0612", format!("dataset {i} of `of` has no rows, but a weight")));
        }
        types.push(cx.chunks(&slot)?.types().map(|(name, ty)| (name.to_owned(), ty)).collect());
        slots.push((slot, rows));
    }
    let names = super::shared_names(&types, None)?;
    let total = args.rows.unwrap_or_else(|| slots.iter().map(|(_, rows)| rows).sum());
    let mut readers: Vec<Endless<'_>> = Vec::new();
    let mut base = 0;
    for (i, (slot, rows)) in slots.iter().enumerate() {
        let stream = Digest::of(format!("{}{i}", cx.stream.hex()).as_bytes());
        readers.push(Endless { cx, slot, stream, base, order: Vec::new(), round: 0 });
        base += *rows as u32;
    }
    let mut ordinals = Vec::with_capacity(total);
    for source in interleave(total, &args.weights) {
        ordinals.push(readers[source].next()?);
    }
    drop(readers);
    let select = |chunk: Result<Table, OpError>| chunk.and_then(|chunk| chunk.select(&names));
    let read = || {
        let chunks = slots.iter().map(|(slot, _)| cx.chunks(slot)).collect::<Result<Vec<_>, _>>()?;
        Ok(chunks.into_iter().flatten().map(select))
    };
    let out = rows::gathered(cx, read, &ordinals)?;
    cx.counts.insert("kept".into(), total as u64);
    Ok(out)
}

/// Says from which source each row comes: always from the one that is farthest behind its share, up to its largest-remainder quota.
fn interleave(total: usize, weights: &[f64]) -> Vec<usize> {
    let mut left = super::shares(total, weights);
    let mut taken = vec![0usize; weights.len()];
    let mut sources = Vec::with_capacity(total);
    for i in 0..total {
        let behind = |k: usize| weights[k] * (i + 1) as f64 - taken[k] as f64;
        let open = (0..weights.len()).filter(|&k| left[k] > 0);
        let Some(next) = open.max_by(|&a, &b| behind(a).total_cmp(&behind(b)).then(b.cmp(&a))) else { break };
        left[next] -= 1;
        taken[next] += 1;
        sources.push(next);
    }
    sources
}

/// Reads a dataset in random order, again and again.
struct Endless<'a> {
    cx: &'a Context<'a>,
    slot: &'a str,
    stream: Digest,
    /// Where its rows start in the joined table.
    base: u32,
    order: Vec<u32>,
    round: u32,
}

impl Endless<'_> {
    fn next(&mut self) -> Result<u32, OpError> {
        if self.order.is_empty() {
            let stream = Digest::of(format!("{}round {}", self.stream.hex(), self.round).as_bytes());
            self.order = super::shuffled(self.cx, self.slot, stream)?;
            self.order.reverse();
            self.round += 1;
        }
        let row = self.order.pop().ok_or_else(|| OpError::new("E0612", "a dataset of `of` has no rows"))?;
        Ok(self.base + row)
    }
}
