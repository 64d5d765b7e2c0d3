//! `cot.questions`: questions with exact answers, made from annotated scenes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, Fields};
use rayon::prelude::*;

use super::asked::{self, Made};
use crate::base::OpError;
use crate::data::arrow_type::image_type;
use crate::data::arrow_type::list_of;
use crate::data::cell::Cell;
use crate::data::draw::{Draw, Keyer, RowKey};
use crate::data::scenes::grounding;
use crate::data::scenes::inquiry::{Ask, Drawing, Inquiry};
use crate::data::scenes::questions;
use crate::data::scenes::scene::Scene;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Class, Effect, OpSpec};

/// The operator.
pub static QUESTIONS: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Makes questions with exact answers from annotated scenes: what a model can be pre-trained on before anybody has written a question.
##
## "cell": the grid cell of a named object. "point": a point on it. "what": the object at a point. "side", "depth": left or
## right, in front of or behind another object. "whether": whether such a relation holds. "touch": whether two objects stand
## right beside each other. "closer": which of two to four is closest to the camera, or farthest. "nearest": the object nearest to
## another in the picture. "edge": the object farthest to one side. "stacked": what is on an object, or under it. "color". "count":
## the number of a kind, zero included. "total": of objects. "mark": whether there is a hazard mark. "free": a point on the table
## beside an object. "between": the point between two. "risk": of grasping an object, high right beside a hazard mark, low where there is one
## elsewhere, else safe. "option": the letter before the name of an object, in a list. Each kind has one or two wordings.
## Objects are called by their name or, where that is clear, by their noun; those that no words tell apart are not asked for.
##
## `.cells` says for every cell of a grid over the picture what is there, one text a cell, row by row: the object that covers most
## of it, or "table", with the cell's column as a letter and its row as a digit. `.phrases` lists the words of the question that
## speak of a place, a name that only one object has or a point, each with the name of its cell as `label`.
op cot.questions(
  scenes: Dataset[{
    image: Image, objects: [{ label: Str, box: Box, attributes: [Str] }],
    relations: [{ subject: Int, predicate: Str, object: Int }], ..r
  }],
  ## Kinds of question.
  ask: [enum {
    cell, point, what, side, depth, whether, touch, closer, nearest, edge, stacked, color, count, total, mark, free, between, risk,
    option
  }] =
    ["point", "what", "side", "depth", "touch", "count", "mark"],
  ## Questions drawn for each scene, at most; kinds take turns.
  per_scene: Int = 8,
  ## Cells along each side of the grid of `.cells`.
  grid: Int = 8,
  ## Share of questions with a closed set of answers that list these as lettered options and ask for the letter.
  letters: Ratio = 0%,
  ## In many wordings: several more for each kind, options and hints about the form of the answer in several layouts, sometimes
  ## a sentence before the question. For a model that is to understand words that it was not trained on.
  varied: Bool = false,
) -> Dataset[{ id: Str, kind: Str, instruction: Str, input: Str, output: Str, images: [Image], cells: [Str],
  phrases: [{ phrase: Str, label: Str }] }]"#,
        class: Class::Sampled,
        effect: Effect::RowExpand,
        version: 6,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    ask: Vec<Ask>,
    per_scene: usize,
    grid: usize,
    letters: f64,
    varied: bool,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let mut args: Args = cx.args()?;
    args.ask.sort_unstable();
    args.ask.dedup();
    let mut labels: BTreeSet<String> = BTreeSet::new();
    asked::scenes(cx, |_, scenes| {
        let objects = scenes.into_iter().flat_map(|s| s.objects).filter(|o| !o.is_mark());
        labels.extend(objects.map(|o| o.label));
        Ok(())
    })?;
    let drawing = Drawing {
        asks: args.ask,
        most: args.per_scene,
        grid: args.grid.max(1),
        letters: args.letters,
        varied: args.varied,
        labels: labels.into_iter().collect(),
    };
    let stream = cx.stream;
    let of_scene = |(scene, key): (&Scene, &RowKey)| {
        let mut draw = Draw::new(stream, *key);
        let picture = scene.image.cell();
        let cells: Vec<Cell<'static>> = grounding::cells(scene, drawing.grid).into_iter().map(text).collect();
        let row = |(n, q): (usize, Inquiry)| {
            [
                text(format!("{}-{n}", &scene.image.digest[..12.min(scene.image.digest.len())])),
                text(q.kind.to_owned()),
                text(q.question),
                text(String::new()),
                text(q.answer),
                Cell::List(vec![picture.clone()]),
                Cell::List(cells.clone()),
                Cell::List(q.phrases.into_iter().map(phrase).collect()),
            ]
        };
        questions::questions(scene, &drawing, &mut draw).into_iter().enumerate().map(row).collect::<Vec<_>>()
    };
    let text = || DataType::Utf8;
    let columns = [
        ("id", text()),
        ("kind", text()),
        ("instruction", text()),
        ("input", text()),
        ("output", text()),
        ("images", list_of(image_type())),
        ("cells", list_of(text())),
        ("phrases", list_of(phrase_type())),
    ];
    let mut made = Made::new(cx.store, columns);
    let mut keyer = Keyer::default();
    let mut all = 0;
    asked::scenes(cx, |rows, scenes| {
        let keys = keyer.keys(rows, &["image", "objects", "relations"])?;
        let drawn: Vec<_> = pooled(cx.threads, || scenes.par_iter().zip(&keys).map(of_scene).collect())?;
        all += scenes.len() as u64;
        made.push(drawn.into_iter().flatten())
    })?;
    let (questions, rows) = made.finish()?;
    cx.counts.extend([("scenes".to_owned(), all), ("questions".to_owned(), questions)]);
    Ok(rows)
}

fn phrase((phrase, label): (String, String)) -> Cell<'static> {
    Cell::Record(vec![(Cow::Borrowed("phrase"), text(phrase)), (Cow::Borrowed("label"), text(label))])
}

fn phrase_type() -> DataType {
    DataType::Struct(Fields::from_iter(["phrase", "label"].map(|name| Field::new(name, DataType::Utf8, true))))
}

fn text(s: String) -> Cell<'static> {
    Cell::Str(Cow::Owned(s))
}
