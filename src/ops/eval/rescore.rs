//! `eval.score`: scores replies that are there already; no model is needed.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::args::Pixels;
use super::asked::save;
use super::given::{Given, Twice};
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::Benchmark;
use crate::eval::coords::{Coords, Space};
use crate::eval::score::score;
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static SCORE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Scores replies that were made elsewhere. `id` is the item's, as a text or a whole number; `reply` is a text, or a list of texts where a
## question was asked several times. Items without a reply count as failed. A benchmark that asks in several orders of its options takes
## replies to the first order alone, without `total.all_rotations`, unless a column `rotation` says which is meant.
##
## Further columns that it reads where they are there, as `score.items` has them: `epoch`, which repeat a row is; `outcome` (`truncated`,
## `refused`); `note`, why there is no reply; `option_p`, the options' probabilities in their order (of yes and no), by which calibration is
## measured.
op eval.score(
  ## One row per item, or per item and repeat: its id and the raw reply.
  replies: Dataset[{ id: Str? | Int? | Float?, reply: Str? | Int? | Float? | [Str?], ..r }],
  on: Benchmark,
  ## How the model wrote coordinates.
  coord_space: enum { auto, unit, norm1000, pixel_input, pixel_original } = "auto",
  ## Which coordinate it wrote first.
  coord_order: enum { xy, yx } = "xy",
  ## Pixels of a picture as the model saw it, for `coord_space: "pixel_input"`.
  pixels: Range[Pixels] = 3_136px..12_845_056px,
  ## Several rows about one item that no `epoch` tells apart: an error, the first or the last counts, or each is a repeat.
  twice: enum { fail, first, last, repeat } = "fail",
  ## Rows about no item of the benchmark, and rows without an id: an error, or left out and counted.
  strays: enum { fail, skip } = "fail",
) -> Score"#,
        version: 6,
        effect: Effect::Score,
        ..OpSpec::BASE
    },
    run: Some(run),
};

/// Which coordinate comes first.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Xy,
    Yx,
}

/// What happens to rows about no item.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Strays {
    Fail,
    Skip,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    #[derive(Deserialize)]
    struct Args {
        coord_space: Space,
        coord_order: Order,
        pixels: Pixels,
        twice: Twice,
        strays: Strays,
    }
    let args: Args = cx.args()?;
    let mut bench = Benchmark::load(cx.store, cx.input("on")?)?;
    let mut given = Given::read(&cx.table("replies")?, &bench, args.twice)?;
    let told = given.told();
    let wrong =
        args.twice == Twice::Fail && !given.twice.is_empty() || args.strays == Strays::Fail && !given.strays.is_empty();
    if wrong {
        return Err(misfit(&bench, &given, &told));
    }
    told.iter().for_each(|text| cx.say(text));
    let mut facts = json!({});
    for (name, names) in [("no reply", &given.missing), ("twice", &given.twice), ("strays", &given.strays)] {
        if !names.is_empty() {
            cx.counts.insert(name.to_owned(), names.len() as u64);
            facts[name.replace(' ', "_")] = json!(names.len());
        }
    }
    let answers = std::mem::take(&mut given.answers);
    if bench.items.len() > bench.questions() && !given.rotated {
        bench.declare.also.retain(|t| !over_rotations(t));
        if over_rotations(&bench.declare.headline) {
            return Err(OpError::new(
                "E0302",
                "the headline is over all rotations of the options, and there is one reply to each question",
            )
            .help("ask every rotation with `eval.run`, give a column `rotation`, or total by `total.micro()`"));
        }
    }
    let coords = Coords { space: args.coord_space, yx: args.coord_order == Order::Yx, pixels: args.pixels.bounds() };
    let scores = score(&bench, answers, coords, cx.store)?;
    if let Some(compat) = &scores.compat_answered {
        facts["compat_answered"] = json!(compat.value);
    }
    save(cx, &bench, &scores, &facts)
}

fn misfit(bench: &Benchmark, given: &Given, told: &[String]) -> OpError {
    let mut help = Vec::new();
    if !given.twice.is_empty() {
        help.push(
            "`twice: \"last\"` or `\"first\"` keeps one, `\"repeat\"` takes each as a repeat of its question"
                .to_owned(),
        );
    }
    if !given.strays.is_empty() {
        help.push("`strays: \"skip\"` leaves replies to no item out".to_owned());
        let ids: Vec<String> = bench.firsts().take(3).map(|(_, item)| format!("`{}`", item.id)).collect();
        help.push(format!("the ids of the benchmark are {}, …", ids.join(", ")));
    }
    OpError::new("E0302", told.join("; ")).help(help.join("; "))
}

/// Says whether a total asks for replies in every rotation.
fn over_rotations(total: &Json) -> bool {
    total["verb"] == "total.all_rotations" || total["args"].get("inner").is_some_and(over_rotations)
}
