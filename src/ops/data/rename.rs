//! `data.rename`: other names for columns.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::base::OpError;
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Columns, Effect, OpSpec};

/// The operator.
pub static RENAME: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Renames columns, all at once, so that two may swap their names: `data.rename(question: .instruction)`.
op data.rename(
  d: Dataset[{ ..r }],
  ## `new: .old`
  ..columns: Col,
) -> Dataset[{ ..r }]"#,
        effect: Effect::RowMap,
        columns: Columns::Rename,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    columns: Map<String, Json>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    rows::each(cx, "d", |_, d| renamed(&d, &args))
}

fn renamed(d: &Table, args: &Args) -> Result<Table, OpError> {
    let mut columns = d.columns();
    for old in args.columns.values() {
        d.column(old.as_str().unwrap_or_default())?;
    }
    for (name, _) in &mut columns {
        if let Some((new, _)) = args.columns.iter().find(|(_, old)| old.as_str() == Some(name)) {
            name.clone_from(new);
        }
    }
    let mut seen = BTreeSet::new();
    if let Some((name, _)) = columns.iter().find(|(n, _)| !seen.insert(n.clone())) {
        return Err(
            OpError::new("E0303", format!("column `.{name}` exists already")).help("drop it first with `data.drop`")
        );
    }
    Table::new(columns, d.rows())
}
