//! `cot.fail_fix`: preference pairs, a right answer against a minimally wrong one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;

use crate::base::{Digest, OpError};
use crate::data::cell::{self, Cell};
use crate::data::dedup::texts::{Collector, Held, IN_MEMORY, Texts as _};
use crate::data::draw::{Draw, Keyer, RowKey};
use crate::data::pictures::picture::Picture;
use crate::data::scenes::mistake::{Edit, wrong};
use crate::data::table::Table;
use crate::engine::node::context::Fate;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
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
    let has: Vec<String> = cx.chunks("d")?.types().map(|(name, _)| name.to_owned()).collect();
    let mut question = vec!["instruction".to_owned()];
    let mut read = vec!["instruction", "output", "images"];
    for column in ["input", "id"] {
        if has.iter().any(|name| name == column) {
            read.push(column);
            if column == "input" {
                question.push(column.to_owned());
            }
        }
    }
    let all = Asked::read(cx, &question)?;
    let mut keyer = Keyer::default();
    let mut pairs = Pairs::default();
    let out = rows::each(cx, "d", |cx, chunk| {
        let keys = keyer.keys(&chunk, &read)?;
        let table = made(cx, &args, &all, &chunk, &keys, &mut pairs)?;
        all.check()?;
        Ok(table)
    })?;
    cx.counts.extend([
        ("read".to_owned(), all.rows() as u64),
        ("pairs".to_owned(), pairs.made),
        ("no_edit".to_owned(), pairs.unfit),
    ]);
    Ok(out)
}

/// How many pairs were made, and of how many rows none could be.
#[derive(Default)]
struct Pairs {
    made: u64,
    unfit: u64,
}

/// Question and answer of each row, and which rows show the same pictures.
struct Asked {
    prompts: Held,
    answers: Held,
    /// The number of each row's pictures.
    shows: Vec<u32>,
    /// The rows of each number.
    of_pictures: Vec<Vec<u32>>,
}

impl Asked {
    fn read(cx: &Context, question: &[String]) -> Result<Self, OpError> {
        let collector = || Collector::new(&cx.scratch, IN_MEMORY / 2);
        let (mut prompts, mut answers) = (collector(), collector());
        let (mut shows, mut of_pictures) = (Vec::new(), Vec::<Vec<u32>>::new());
        let mut numbers: HashMap<Digest, u32> = HashMap::new();
        let wanted = |name: &str, _: &_| ["output", "images"].contains(&name) || question.iter().any(|q| q == name);
        for chunk in cx.chunks("d")?.only(wanted) {
            let chunk = chunk?;
            prompts.push(chunk.text_array(question)?)?;
            answers.push(chunk.text_array(&["output".to_owned()])?)?;
            for cell in chunk.cells("images")? {
                let shown: Vec<String> = Picture::all(&cell).into_iter().map(|p| p.digest).collect();
                let number = *numbers.entry(Digest::of(shown.join(" ").as_bytes())).or_insert(of_pictures.len() as u32);
                of_pictures.resize_with(of_pictures.len().max(number as usize + 1), Vec::new);
                of_pictures[number as usize].push(shows.len() as u32);
                shows.push(number);
            }
        }
        Ok(Self { prompts: prompts.finish()?, answers: answers.finish()?, shows, of_pictures })
    }

    fn rows(&self) -> usize {
        self.shows.len()
    }

    /// Returns the answers to other questions about the pictures of a row.
    fn others(&self, row: usize, prompt: &str) -> Vec<String> {
        let other = |&r: &usize| r != row && self.prompts.with(r, |p| p.trim() != prompt);
        let rows = self.of_pictures[self.shows[row] as usize].iter().map(|&r| r as usize);
        rows.filter(other).map(|r| self.answers.with(r, str::to_owned)).collect()
    }

    fn check(&self) -> Result<(), OpError> {
        self.prompts.check().and_then(|()| self.answers.check())
    }
}

/// Makes the pairs of some rows.
fn made(
    cx: &mut Context,
    args: &Args,
    all: &Asked,
    d: &Table,
    keys: &[RowKey],
    pairs: &mut Pairs,
) -> Result<Table, OpError> {
    let mut rows: Vec<u32> = Vec::new();
    let mut made: [Vec<Cell<'static>>; 5] = Default::default();
    for row in 0..d.rows() {
        let at = d.before + row;
        let mut draw = Draw::new(cx.stream, keys[row]);
        let [prompt, answer] = [&all.prompts, &all.answers].map(|texts| texts.with(at, str::to_owned));
        let prompt = prompt.trim();
        let others = all.others(at, prompt);
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let mut edits = args.edits.clone();
        let mut found = 0;
        while found < args.per_row && !edits.is_empty() {
            let edit = edits.remove(draw.below(edits.len()));
            let Some(rejected) = wrong(edit, prompt, &answer, &others, &mut draw) else { continue };
            found += 1;
            rows.push(row as u32);
            let texts = [
                format!("{}/{}", d.name(row), edit.name()),
                prompt.to_owned(),
                answer.clone(),
                rejected,
                edit.name().to_owned(),
            ];
            made.iter_mut().zip(texts).for_each(|(column, s)| column.push(Cell::Str(Cow::Owned(s))));
        }
        if found == 0 {
            pairs.unfit += 1;
            cx.fates.push(Fate { row: d.name(row), what: "dropped".into(), why: "no edit fits its answer".into() });
        }
    }
    pairs.made += rows.len() as u64;
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
    Table::new(columns, rows.len())
}
