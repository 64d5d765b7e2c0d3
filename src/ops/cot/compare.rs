//! `cot.compare`: questions with exact answers about two pictures, made from annotated scenes.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use rayon::prelude::*;

use super::asked::{self, Made};
use crate::base::OpError;
use crate::data::arrow_type::image_type;
use crate::data::arrow_type::list_of;
use crate::data::cell::Cell;
use crate::data::draw::{Draw, Keyer, RowKey};
use crate::data::gather::{IN_MEMORY, gather};
use crate::data::scenes::comparison::{Compare, Comparing, comparisons};
use crate::data::scenes::inquiry::Inquiry;
use crate::data::scenes::scene::{self, Scene};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Class, Effect, OpSpec};

/// The operator.
pub static COMPARE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Makes questions with exact answers about two pictures. Each scene is put before another one, which is drawn.
##
## "more": which picture has more of a kind. "shows": which one shows an object that the other lacks. "mark": which one shows a hazard
## mark. "shift": on which side of its place in the first picture an object stands in the second.
##
## The pictures stand before the text, or, in varied words, at the `<image>` in it.
op cot.compare(
  scenes: Dataset[{
    image: Image, objects: [{ label: Str, box: Box, attributes: [Str] }],
    relations: [{ subject: Int, predicate: Str, object: Int }], ..r
  }],
  ## Kinds of question.
  ask: [enum { more, shows, mark, shift }] = ["more", "shows", "mark", "shift"],
  ## Questions drawn for each pair, at most; kinds take turns.
  per_pair: Int = 2,
  ## Share of questions that list their answers as lettered options and ask for the letter.
  letters: Ratio = 0%,
  ## In many wordings and layouts, as in `cot.questions`.
  varied: Bool = false,
) -> Dataset[{ id: Str, kind: Str, instruction: Str, input: Str, output: Str, images: [Image] }]"#,
        class: Class::Sampled,
        effect: Effect::RowExpand,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    ask: Vec<Compare>,
    per_pair: usize,
    letters: f64,
    varied: bool,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let mut args: Args = cx.args()?;
    args.ask.sort_unstable();
    args.ask.dedup();
    let comparing = Comparing { asks: args.ask, most: args.per_pair, letters: args.letters, varied: args.varied };
    let mut keyer = Keyer::default();
    let mut keys: Vec<RowKey> = Vec::new();
    asked::scenes(cx, |rows, _| {
        keys.extend(keyer.keys(rows, &["image", "objects", "relations"])?);
        Ok(())
    })?;
    drop(keyer);
    if keys.len() == 1 {
        return Err(OpError::new("E0612", "one scene alone cannot be compared").help("give two scenes or more"));
    }
    let stream = cx.stream;
    let draw = |first: usize| {
        let mut draw = Draw::new(stream, keys[first]);
        let second = (first + 1 + draw.below(keys.len() - 1)) % keys.len();
        (draw, second)
    };
    let of_pair = |(first, pair): (usize, &[Scene])| {
        let mut draw = draw(first).0;
        let pair = [&pair[0], &pair[1]];
        let short = |digest: &str| digest[..12.min(digest.len())].to_owned();
        let id = pair.map(|s| short(&s.image.digest)).join("-");
        let images = Cell::List(pair.iter().map(|s| s.image.cell()).collect());
        let row = |(n, q): (usize, Inquiry)| {
            let [id, kind, question, input, answer] =
                [format!("{id}-{n}"), q.kind.to_owned(), q.question, String::new(), q.answer]
                    .map(|text| Cell::Str(Cow::Owned(text)));
            [id, kind, question, input, answer, images.clone()]
        };
        comparisons(pair, &comparing, &mut draw).into_iter().enumerate().map(row).collect::<Vec<_>>()
    };
    let text = || DataType::Utf8;
    let columns = [
        ("id", text()),
        ("kind", text()),
        ("instruction", text()),
        ("input", text()),
        ("output", text()),
        ("images", list_of(image_type())),
    ];
    let mut made = Made::new(cx.store, columns);
    // Each scene, and behind it the one that it is compared with.
    let order: Vec<u32> = (0..keys.len()).flat_map(|first| [first as u32, draw(first).1 as u32]).collect();
    let (mut done, mut scenes) = (0, Vec::new());
    gather(
        || cx.chunks("scenes"),
        &order,
        &cx.scratch,
        IN_MEMORY,
        |table| {
            cx.go_on()?;
            scenes.extend(scene::read(&table)?);
            let pairs = scenes.len() / 2;
            let drawn: Vec<_> = pooled(cx.threads, || {
                (0..pairs).into_par_iter().map(|n| of_pair((done + n, &scenes[2 * n..2 * n + 2]))).collect()
            })?;
            made.push(drawn.into_iter().flatten())?;
            scenes.drain(..2 * pairs);
            done += pairs;
            Ok(())
        },
    )?;
    let (questions, rows) = made.finish()?;
    cx.counts.extend([("scenes".to_owned(), keys.len() as u64), ("questions".to_owned(), questions)]);
    Ok(rows)
}
