//! Columns of a table whose numbers were published elsewhere.

use serde_json::json;

use crate::base::OpError;
use crate::engine::Context;
use crate::eval::compare::{Cell, Layout};
use crate::eval::stored::Stored;

/// Adds the scores of the argument `published` as labels of the axis that becomes columns. A row that a source says nothing about is a hole.
///
/// # Errors
/// E0604 where the table has no axis for columns, or a label is there already.
pub(super) fn add(cx: &Context, layout: &mut Layout, cells: &mut Vec<Cell>) -> Result<(), OpError> {
    let labels: Vec<String> = cx.args["published"].as_object().into_iter().flat_map(|p| p.keys().cloned()).collect();
    if labels.is_empty() {
        return Ok(());
    }
    let place = |name: &Option<String>| layout.axes.iter().position(|a| Some(a) == name.as_ref());
    let [rows, cols] = match (place(&layout.rows), place(&layout.cols), layout.axes.len()) {
        (Some(rows), Some(cols), 2) if rows != cols => [rows, cols],
        _ => {
            return Err(OpError::new("E0604", "published numbers become columns of a table over two axes")
                .help("name both: `.table(rows: \"b\", cols: \"m\", published: …)`"));
        }
    };
    for label in labels {
        if layout.labels[cols].contains(&label) {
            return Err(OpError::new("E0604", format!("the table has a column `{label}` already")));
        }
        let meta = &cx.input(&format!("published.{label}"))?.meta;
        for row in &layout.labels[rows] {
            let value = meta["groups"]["benchmark"][row].as_f64();
            let score = value.map(|value| Stored {
                meta: json!({ "value": value, "source": meta["source"], "headline": "published" }),
                ..Stored::default()
            });
            let mut names = vec![String::new(); 2];
            (names[rows], names[cols]) = (row.clone(), label.clone());
            cells.push(Cell { labels: names, score: score.ok_or_else(|| "not published".to_owned()) });
        }
        layout.labels[cols].push(label);
    }
    Ok(())
}
