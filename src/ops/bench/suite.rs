//! `bench.suite` and its items: several benchmarks under names.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use crate::base::OpError;
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::{Benchmark, Item, item};
use crate::spec::{Effect, OpSpec};

/// Names benchmarks.
pub static SUITE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Names benchmarks; the names stand in tables and label the axis of a sweep.
op bench.suite(of: { ..any }) -> Suite"#,
        effect: Effect::Value,
        ..OpSpec::BASE
    },
    run: None,
};

/// All items of some benchmarks as rows.
pub static ITEMS: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## All questions of some benchmarks with their pictures, each once: what training rows must not contain.
op bench.items(..of: Benchmark) -> Dataset[{ id: Str, benchmark: Str, question: Str, images: [Image] }]"#,
        effect: Effect::RowExpand,
        ..OpSpec::BASE
    },
    run: Some(items),
};

fn items(cx: &mut Context) -> Result<Outputs, OpError> {
    let mut rows: Vec<(String, Item)> = Vec::new();
    for (slot, artifact) in &cx.inputs {
        let name = slot.strip_prefix("of.").unwrap_or(slot).to_owned();
        let bench = Benchmark::load(cx.store, artifact)?;
        rows.extend(bench.firsts().map(|(_, item)| (name.clone(), item.clone())));
    }
    let text = |f: &dyn Fn(&(String, Item)) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|r| Some(f(r))).collect::<StringArray>())
    };
    let images = item::picture_lists(rows.iter().map(|(_, i)| i.images.as_slice()))?;
    let columns = vec![
        ("id".to_owned(), text(&|(name, i)| format!("{name}/{}", i.id))),
        ("benchmark".to_owned(), text(&|(name, _)| name.clone())),
        ("question".to_owned(), text(&|(_, i)| i.question.clone())),
        ("images".to_owned(), images),
    ];
    Ok(Context::rows(Table::new(columns, rows.len())?))
}
