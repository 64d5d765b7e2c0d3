//! `model.classify`: an option for each row, with its probability.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Columns, Effect, Looks, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static CLASSIFY: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Adds the likeliest option of a classifier and its probability: softmax over the summed log-likelihoods of the options as
## replies to the classifier's prompt. Rows whose pictures cannot be read are dropped, with the reason.
op model.classify(
  d: Dataset[{ ..r }],
  by: Classifier,
  ## The pictures that are asked about.
  images: Col = .images,
) -> Dataset[{ ..r }]"#,
        class: Class::Numeric,
        effect: Effect::RowMap,
        pool: Pool::Engine,
        columns: Columns::Classify,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    images: String,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use crate::ops::rows::drop_rows;
    use crate::train::encoder::Limits;
    use crate::train::rows::{TextRow, asked, pictures};
    use crate::train::scorer::Scorer;

    #[derive(serde::Deserialize)]
    struct Declared {
        into: Vec<String>,
        prompt: String,
        column: String,
    }

    let args: Args = cx.args()?;
    let table = cx.table("d")?;
    let classifier = cx.input("by")?.clone();
    let declared: Declared = serde_json::from_value(classifier.meta.clone())?;
    let folder = cx.folder_of(&classifier, "model")?;
    let scorer = Scorer::open(&folder, Limits::default(), cx.threads)?;
    let images = pictures(&table, &args.images)?;
    let rows: Vec<TextRow> = images
        .into_iter()
        .enumerate()
        .map(|(i, images)| TextRow {
            name: i.to_string(),
            system: None,
            messages: asked(declared.prompt.trim()),
            replies: declared.into.clone(),
            images,
            videos: Vec::new(),
            cells: None,
            phrases: Vec::new(),
        })
        .collect();
    let total = (rows.len() * declared.into.len()) as u64;
    let scored = scorer.rows(&rows, cx.store, &|done| cx.progress(done as u64, total, "options"))?;
    let best: Vec<Option<(usize, f64)>> = scored
        .iter()
        .map(|row| row.as_ref().ok().and_then(|logps| likeliest(&logps.iter().map(|l| l.sum).collect::<Vec<_>>())))
        .collect();
    let names: ArrayRef =
        Arc::new(best.iter().map(|b| b.map(|(i, _)| declared.into[i].clone())).collect::<StringArray>());
    let shares: ArrayRef = Arc::new(best.iter().map(|b| b.map(|(_, p)| p)).collect::<Float64Array>());
    let reasons: Vec<Option<String>> = scored.iter().map(|row| row.as_ref().err().cloned()).collect();
    let table = table.with_column(&declared.column, names)?.with_column(&format!("{}_p", declared.column), shares)?;
    Ok(Context::rows(drop_rows(cx, &table, &reasons)?))
}

/// Returns the largest of some log-likelihoods, the first of equals, and its share under softmax.
#[cfg(feature = "torch")]
pub fn likeliest(logs: &[f64]) -> Option<(usize, f64)> {
    use crate::eval::stats::{largest, softmax};

    let best = largest(logs)?;
    Some((best, softmax(logs)[best]))
}
