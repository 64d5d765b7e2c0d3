//! `data.concat`: rows of several datasets one after another, labelled.

use std::sync::Arc;

use arrow::array::StringArray;
use serde_json::Value as Json;

use crate::base::OpError;
use crate::engine::storage::dataset::{Chunks, Writer};
use crate::engine::{Builtin, Context, Output, Outputs};
use crate::spec::{Columns, Effect, OpSpec};

/// The operator.
pub static CONCAT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Puts the rows of several datasets one after another, in the order written. Columns that not all of them have are left out.
op data.concat(
  ## The column that tells where a row came from; replaces one of that name.
  label: Str = "source",
  ## The datasets; their names become the labels.
  ..inputs: Dataset[{ ..r }],
) -> Dataset[{ ..r }]"#,
        effect: Effect::RowExpand,
        columns: Columns::Concat,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    label: String,
    inputs: serde_json::Map<String, Json>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let slot =
        |name: &str, input: &Json| input["$input"].as_str().map_or_else(|| format!("inputs.{name}"), str::to_owned);
    let slots: Vec<(&String, String)> = args.inputs.iter().map(|(name, input)| (name, slot(name, input))).collect();
    // One is open at a time: of some thousand, each with some columns, a process may not hold all.
    let typed = |chunks: Chunks| chunks.types().map(|(name, ty)| (name.to_owned(), ty)).collect();
    let types = slots.iter().map(|(_, slot)| cx.chunks(slot).map(typed));
    let types: Vec<Vec<_>> = types.collect::<Result<_, OpError>>()?;
    let names = super::shared_names(&types, Some(&args.label))?;
    let mut writer = Writer::new(cx.store);
    let mut kept = 0;
    for (name, slot) in slots {
        for chunk in cx.chunks(&slot)? {
            cx.go_on()?;
            let chunk = chunk?.select(&names)?;
            kept += chunk.rows() as u64;
            let labels = StringArray::from_iter_values(std::iter::repeat_n(name, chunk.rows()));
            writer.push(chunk.with_column(&args.label, Arc::new(labels))?)?;
        }
    }
    cx.counts.insert("kept".into(), kept);
    Ok(vec![(String::new(), Output::Artifact(writer.finish()?))])
}
