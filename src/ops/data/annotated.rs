//! What the loaders of annotation files share: one JSON file, rows of a known shape.

use std::path::Path;

use serde_json::Value as Json;

use super::source;
use crate::base::OpError;
use crate::data::formats::load::{Bad, RawRow};
use crate::data::scenes::scene;
use crate::data::schema::{Column, Columns};
use crate::engine::{Context, Outputs};

/// Reads the files that the argument `path` names, each whole as JSON, and makes a table of the rows that `rows` finds in them.
pub fn load(
    cx: &mut Context,
    columns: &[(&str, &str)],
    rows: fn(&Json, &str) -> Result<Vec<RawRow>, OpError>,
) -> Result<Outputs, OpError> {
    #[derive(serde::Deserialize)]
    struct Args {
        path: String,
        media: Option<String>,
        bad: Bad,
    }
    let args: Args = cx.args()?;
    let columns = columns.iter().map(|(name, ty)| Column { name: (*name).into(), ty: (*ty).into() }).collect();
    let args = source::Args { path: args.path, schema: Columns { columns }, media: args.media, bad: args.bad };
    let boxed = args.schema.columns.iter().any(|c| matches!(c.name.as_str(), "objects" | "box"));
    let change = |table| if boxed { scene::within_pictures(table) } else { Ok(table) };
    source::load_changed(cx, &args, change, |file: &Path, name: &str| {
        let text = std::fs::read(file).map_err(|e| OpError::new("E0501", format!("{name}: {e}")))?;
        let json = serde_json::from_slice(&text).map_err(|e| OpError::new("E0503", format!("{name}: no JSON: {e}")))?;
        rows(&json, name)
    })
}
