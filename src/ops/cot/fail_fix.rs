//! `cot.fail_fix`: preference pairs, a right answer against a minimally wrong one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;

use crate::base::OpError;
use crate::data::cell::{self, Cell};
use crate::data::draw::{Draw, row_keys};
use crate::data::mistake::{Edit, wrong};
use crate::data::picture::Picture;
use crate::data::table::Table;
use crate::engine::context::Fate;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Class, Effect, OpSpec};

/// The operator.
pub static FAIL_FIX: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Makes preference pairs: the right answer of a row against a minimally wrong one, wrong by construction. A row yields up to `per_row` pairs,
## with different edits drawn from those that fit its answer; a row that none fits yields none and is counted.
##
## "swap": yes for no, left for right, another option. "off_by_one": a count. "missing_step", "misordered_step": plans. "neighbour": the answer
## to another question on the same picture (another object's point or name), or the next risk tier. "wrong_place": a point at least 0.3 of the
## picture away from every right one.
op cot.fail_fix(
  d: Dataset[{ instruction: Str, output: Str, images: [Image], ..r }],
  ## The edits to draw from.
  edits: [enum { swap, off_by_one, missing_step, misordered_step, neighbour, wrong_place }] =
    ["swap", "off_by_one", "missing_step", "misordered_step", "neighbour", "wrong_place"],
  ## Pairs made of a row, at most.
  per_row: Int in 1.. = 1,
) -> Dataset[{ id: Str, prompt: Str, images: [Image], chosen: Str, rejected: Str, edit: Str }]"#,
        class: Class::Sampled,
        effect: Effect::RowExpand,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    edits: Vec<Edit>,
    per_row: usize,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let mut args: Args = cx.args()?;
    args.edits.sort_unstable();
    args.edits.dedup();
    let d = cx.table("d")?;
    let mut question = vec!["instruction".to_owned()];
    let mut read = vec!["instruction", "output", "images"];
    for column in ["input", "id"] {
        if d.batch.column_by_name(column).is_some() {
            read.push(column);
            if column == "input" {
                question.push(column.to_owned());
            }
        }
    }
    let prompts = d.texts(&question)?;
    let answers = d.texts(&["output".to_owned()])?;
    let pictures: Vec<Vec<String>> =
        d.cells("images")?.iter().map(|c| Picture::all(c).into_iter().map(|p| p.digest).collect()).collect();
    let mut of_picture: BTreeMap<&[String], Vec<usize>> = BTreeMap::new();
    for (row, shown) in pictures.iter().enumerate() {
        of_picture.entry(shown).or_default().push(row);
    }
    let keys = row_keys(&d, &read)?;
    let mut rows: Vec<u32> = Vec::new();
    let mut made: [Vec<Cell<'static>>; 5] = Default::default();
    let mut unfit = 0;
    for row in 0..d.rows() {
        let mut draw = Draw::new(cx.stream, keys[row]);
        let (prompt, answer) = (prompts[row].trim(), answers[row].as_str());
        let other = |&r: &usize| r != row && prompts[r].trim() != prompt;
        let others: Vec<&str> =
            of_picture[pictures[row].as_slice()].iter().copied().filter(other).map(|r| answers[r].as_str()).collect();
        let mut edits = args.edits.clone();
        let mut found = 0;
        while found < args.per_row && !edits.is_empty() {
            let edit = edits.remove(draw.below(edits.len()));
            let Some(rejected) = wrong(edit, prompt, answer, &others, &mut draw) else { continue };
            found += 1;
            rows.push(row as u32);
            let texts = [
                format!("{}/{}", d.name(row), edit.name()),
                prompt.to_owned(),
                answer.to_owned(),
                rejected,
                edit.name().to_owned(),
            ];
            made.iter_mut().zip(texts).for_each(|(column, s)| column.push(Cell::Str(Cow::Owned(s))));
        }
        if found == 0 {
            unfit += 1;
            cx.fates.push(Fate { row: d.name(row), what: "dropped".into(), why: "no edit fits its answer".into() });
        }
    }
    cx.counts.extend([
        ("read".to_owned(), d.rows() as u64),
        ("pairs".to_owned(), rows.len() as u64),
        ("no_edit".to_owned(), unfit),
    ]);
    let [id, prompt, chosen, rejected, edit] = made;
    let text = |cells: &[Cell<'_>]| cell::column(cells, &DataType::Utf8).map_err(|m| OpError::new("E0612", m.message));
    let images = Arc::clone(d.take(&rows)?.column("images")?);
    let columns = vec![
        ("id".to_owned(), text(&id)?),
        ("prompt".to_owned(), text(&prompt)?),
        ("images".to_owned(), images),
        ("chosen".to_owned(), text(&chosen)?),
        ("rejected".to_owned(), text(&rejected)?),
        ("edit".to_owned(), text(&edit)?),
    ];
    Ok(Context::rows(Table::new(columns, rows.len())?))
}
