//! `data.concat`: rows of several datasets one after another, labelled.

use std::sync::Arc;

use arrow::array::StringArray;
use serde_json::Value as Json;

use crate::base::OpError;
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
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
    let mut tables = Vec::new();
    for (name, input) in &args.inputs {
        let slot = input["$input"].as_str().map_or_else(|| format!("inputs.{name}"), str::to_owned);
        tables.push((name, cx.table(&slot)?));
    }
    let labels: Vec<&str> = tables.iter().flat_map(|(n, t)| std::iter::repeat_n(n.as_str(), t.rows())).collect();
    let labels = Arc::new(StringArray::from(labels));
    let all: Vec<Table> = tables.into_iter().map(|(_, t)| t).collect();
    let joined = super::shared(&all, Some(&args.label))?;
    cx.counts.insert("kept".into(), joined.rows() as u64);
    Ok(Context::rows(joined.with_column(&args.label, labels)?))
}
