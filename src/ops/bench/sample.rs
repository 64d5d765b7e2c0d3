//! `bench.sample`: rows of a benchmark to items with a checked key.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Int64Array;
use serde::Deserialize;
use serde_json::Value as Json;

use super::row::{Found, Rows};
use crate::base::{Digest, OpError};
use crate::data::cell::Cell;
use crate::data::table::Table;
use crate::engine::node::context::{Fate, Output};
use crate::engine::storage::dataset;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::marker::key_point;
use crate::eval::{Declaration, Item, ItemKind, Picture, item};
use crate::eval::{letters, polygon, read_choices};
use crate::spec::{Columns, Effect, OpSpec, RowExpr};

/// The operator.
pub static SAMPLE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Makes items of a benchmark's rows. A key that is no legal answer of its kind is an error, so a hidden key is noticed.
op bench.sample(
  d: Dataset[{ ..r }],
  ## Unique name of the item; `.row_number` where rows have none.
  id: Expr,
  ## `choice`, `number`, `yes_no`, `text`, `point` or `judge`; for each row.
  kind: Expr[Str],
  ## A text, or a list of texts that are joined with a blank.
  question: Expr,
  ## Texts of the options.
  options: Expr = [],
  ## The question prints its options already.
  options_in_question: Bool = false,
  ## The right answer: an option letter, a number, yes or no, a text, a point as `[(0.42, 0.31)]` in fractions.
  key: Expr? = none,
  ## Pictures: paths, pictures, lists of them, or `media.*`.
  images: Expr = [],
  ## Target area of a point, white on black.
  mask: Expr? = none,
  ## Target area of a point as vertices in fractions: `[(0.1, 0.2), …]`.
  polygon: Expr? = none,
  ## Items that share this are not independent; the intervals know it.
  cluster: Expr? = none,
  ## Groups for drill-down and nested means.
  groups: Expr? = none,
  ## The twin's id, or a name that twins share.
  pair: Expr? = none,
  ## Asks every rotation of the options (`cyclic`), or one that the id decides (`seeded`). Compat scores are of items in the order of
  ## the source alone.
  permute: enum { none, cyclic, seeded } = "none",
  ## What happens to an item whose picture is not there.
  missing_media: enum { error, skip_and_count } = "error",
  ## The split is one that models are trained on, and that is known.
  allow_train_split: Bool = false,
) -> Dataset[{ ..any }]"#,
        version: 4,
        effect: Effect::RowExpand,
        columns: Columns::FromFile,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(Deserialize)]
struct Args {
    id: RowExpr,
    kind: RowExpr,
    question: RowExpr,
    options: RowExpr,
    options_in_question: bool,
    key: Option<RowExpr>,
    images: RowExpr,
    mask: Option<RowExpr>,
    polygon: Option<RowExpr>,
    cluster: Option<RowExpr>,
    groups: Option<RowExpr>,
    pair: Option<RowExpr>,
    permute: String,
    missing_media: String,
    allow_train_split: bool,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let input = cx.input("d")?.clone();
    let table = numbered(cx.table("d")?)?;
    let rows = Rows::new(&table, &input.meta, cx.store);
    let n = table.rows();
    let none = || vec![None; n];
    let optional = |expr: &Option<RowExpr>, join: &str| match expr {
        Some(expr) => rows.texts(expr, join),
        None => Ok(none()),
    };
    let ids = rows.texts(&args.id, "/")?;
    let kinds = rows.texts(&args.kind, "")?;
    let questions = rows.texts(&args.question, " ")?;
    let options = rows.cells(&args.options)?;
    let keys = optional(&args.key, "; ")?;
    let images = rows.images(&args.images)?;
    let offsets = rows.offsets(&args.images)?;
    let masks: Vec<Found> = match &args.mask {
        Some(mask) => rows.images(mask)?,
        None => vec![Vec::new(); n],
    };
    let polygons = optional(&args.polygon, ", ")?;
    let clusters = optional(&args.cluster, "/")?;
    let pairs = optional(&args.pair, "/")?;
    let groups = groups(&rows, args.groups.as_ref(), n)?;

    let mut items: Vec<Item> = Vec::with_capacity(n);
    let mut illegal: Vec<String> = Vec::new();
    let mut hidden = 0;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut skipped = 0u64;
    for row in 0..n {
        let id = ids[row]
            .clone()
            .filter(|i| !i.is_empty())
            .ok_or_else(|| OpError::new("E0302", format!("row {row} has no id")))?;
        if let Some(first) = seen.insert(id.clone(), row) {
            return Err(OpError::new("E0302", format!("rows {first} and {row} have the same id `{id}`")));
        }
        let kind = kinds[row].clone().unwrap_or_default();
        let kind = ItemKind::parse(&kind).ok_or_else(|| {
            OpError::new(
                "E0213",
                format!(
                    "item `{id}`: `{kind}` is no kind; write choice, choices, number, yes_no, text, point or judge"
                ),
            )
        })?;
        let lost = images[row].iter().chain(&masks[row]).find_map(|f| f.as_ref().err());
        if let Some(path) = lost {
            if args.missing_media == "error" {
                return Err(OpError::new("E0501", format!("item `{id}`: the picture `{path}` is missing or damaged"))
                    .help("correct `media:`, or leave such items out with `missing_media: \"skip_and_count\"`"));
            }
            skipped += 1;
            cx.fates.push(Fate { row: id, what: "dropped".into(), why: format!("`{path}` is missing or damaged") });
            continue;
        }
        let found = |f: &Found| f.iter().filter_map(|p| p.as_ref().ok().cloned()).collect::<Vec<Picture>>();
        let options = if kind.has_options() { texts(&options[row]) } else { Vec::new() };
        let polygon = polygons[row].clone().filter(|_| kind == ItemKind::Point);
        let mut item = Item {
            rotation: 0,
            kind,
            question: questions[row].clone().unwrap_or_default(),
            options_in_question: args.options_in_question,
            key: String::new(),
            images: found(&images[row]),
            offsets: offsets.as_ref().map(|o| o[row].clone()),
            mask: found(&masks[row]).into_iter().next(),
            polygon,
            cluster: clusters[row].clone(),
            groups: groups[row].clone(),
            pair: pairs[row].clone(),
            chance: 0.0,
            options,
            id,
        };
        let raw = keys[row].clone().unwrap_or_default();
        if raw.trim().eq_ignore_ascii_case("hidden") {
            hidden += 1;
        }
        match legal(&item, &raw) {
            Some(key) => item.key = key,
            None => illegal.push(format!("`{}`: {:?}", item.id, raw.chars().take(40).collect::<String>())),
        }
        item.chance = match kind {
            ItemKind::Choice => 1.0 / item.options.len().max(1) as f64,
            // Any set of letters but the empty one.
            ItemKind::Choices => 1.0 / ((1u64 << item.options.len().clamp(1, 26)) - 1) as f64,
            ItemKind::YesNo => 0.5,
            _ => 0.0,
        };
        items.push(item);
    }
    refuse(&illegal, hidden, n)?;
    cx.counts.insert("items".into(), items.len() as u64);
    cx.counts.insert("skipped".into(), skipped);
    let items = permuted(items, &args.permute)?;
    let mut artifact = dataset::save(cx.store, &item::to_table(&items)?)?;
    artifact.meta["benchmark"] =
        serde_json::to_value(Declaration { option_style: "A. text".into(), ..Declaration::default() })?;
    artifact.meta["skipped"] = Json::from(skipped);
    if args.allow_train_split {
        artifact.meta["train_split"] = Json::from(true);
    }
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}

/// Adds `row_number`, from 0 in the order of the files, for benchmarks whose rows have no name.
fn numbered(table: Table) -> Result<Table, OpError> {
    if table.batch.column_by_name("row_number").is_some() {
        return Ok(table);
    }
    let numbers: Int64Array = (0..table.rows() as i64).collect();
    table.with_column("row_number", Arc::new(numbers))
}

fn texts(cell: &Cell) -> Vec<String> {
    match cell {
        Cell::List(items) => items.iter().filter(|i| !matches!(i, Cell::None)).map(|i| i.text().into_owned()).collect(),
        _ => Vec::new(),
    }
}

fn groups(rows: &Rows, expr: Option<&RowExpr>, n: usize) -> Result<Vec<Vec<(String, String)>>, OpError> {
    let mut out = vec![Vec::new(); n];
    match expr {
        None | Some(RowExpr::Lit(Json::Null)) => {}
        Some(RowExpr::Record(fields)) => {
            for (name, expr) in fields {
                for (row, value) in out.iter_mut().zip(rows.texts(expr, "/")?) {
                    row.push((name.clone(), value.unwrap_or_else(|| "none".into())));
                }
            }
        }
        Some(RowExpr::Lit(Json::Object(map))) => {
            for row in &mut out {
                *row = map
                    .iter()
                    .map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
                    .collect();
            }
        }
        Some(_) => return Err(OpError::new("E0304", "`groups` is a record: `{ name: .column }`")),
    }
    Ok(out)
}

/// Returns the key in its normal form, if it is a legal answer to the item.
fn legal(item: &Item, raw: &str) -> Option<String> {
    let text = raw.trim();
    match item.kind {
        ItemKind::Choice => {
            let mut chars = text.chars();
            let (Some(c), None) = (chars.next(), chars.next()) else { return None };
            letters::legal_letter(c, item.options.len()).map(|c| c.to_string())
        }
        ItemKind::Choices => read_choices::list(text, item.options.len()),
        ItemKind::Number => {
            let number: f64 = text.replace(',', "").parse().ok()?;
            number.is_finite().then(|| format!("{number}"))
        }
        ItemKind::YesNo => Some(text.to_ascii_lowercase()).filter(|t| t == "yes" || t == "no"),
        ItemKind::Pair => None,
        ItemKind::Text | ItemKind::Judge => (!text.is_empty()).then(|| text.to_owned()),
        ItemKind::Point => {
            let shape = item.polygon.as_deref().is_none_or(|p| polygon::parse(p).is_some());
            let key = key_point(text).map(|(x, y)| format!("[({x}, {y})]"));
            (shape && (key.is_some() || item.mask.is_some() || item.polygon.is_some())).then(|| key.unwrap_or_default())
        }
    }
}

fn refuse(illegal: &[String], hidden: usize, n: usize) -> Result<(), OpError> {
    if illegal.is_empty() {
        return Ok(());
    }
    if hidden * 2 > n {
        return Err(OpError::new(
            "E0804",
            format!("the answers of {hidden} of {n} items are hidden, so they cannot be scored here"),
        )
        .help("use a split whose answers are published, such as `split: \"val\"`"));
    }
    let first = illegal.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    Err(OpError::new("E0802", format!("{} of {n} keys are no legal answer: {first}", illegal.len())).help(
        "a choice needs a letter of its options (`.paren_letter()`, `.index0_letter()`), choices need one or more (`AC`), a number a finite number, \
             a point a key `[(x, y)]` in fractions, a mask or a polygon",
    ))
}

fn permuted(items: Vec<Item>, how: &str) -> Result<Vec<Item>, OpError> {
    if how == "none" {
        return Ok(items);
    }
    let mut out = Vec::new();
    for item in items {
        if !item.kind.has_options() || item.options.is_empty() {
            out.push(item);
            continue;
        }
        if item.options_in_question {
            return Err(OpError::new(
                "E0302",
                format!("item `{}` prints its options in the question, so they cannot be permuted", item.id),
            ));
        }
        let n = item.options.len();
        if how == "seeded" {
            let by = usize::from(Digest::of(item.id.as_bytes()).0[0]) % n;
            out.push(rotated(&item, by));
        } else {
            out.extend((0..n).map(|by| rotated(&item, by)));
        }
    }
    Ok(out)
}

/// The item with its options moved up by some places, the letters of its key with them.
fn rotated(item: &Item, by: usize) -> Item {
    let n = item.options.len();
    let options = (0..n).map(|i| item.options[(i + by) % n].clone()).collect();
    let moved = |letter: u8| b'A' + ((usize::from(letter - b'A') + n - by) % n) as u8;
    let mut key: Vec<u8> = item.key.bytes().map(moved).collect();
    key.sort_unstable();
    let key = key.into_iter().map(char::from).collect();
    Item { rotation: by as u32, options, key, ..item.clone() }
}
