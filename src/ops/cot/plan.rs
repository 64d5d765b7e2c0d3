//! `cot.plan`: episodes compressed into short plans.

use std::borrow::Cow;

use arrow::datatypes::DataType;

use super::asked::Made;
use crate::base::{Digest, OpError};
use crate::data::arrow_type::image_type;
use crate::data::arrow_type::list_of;
use crate::data::cell::Cell;
use crate::data::pictures::picture::Picture;
use crate::data::scenes::answer::numbered;
use crate::data::scenes::episode::{self, Action, Episode};
use crate::engine::node::context::Fate;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static PLAN: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Compresses episodes into plans of a few steps, one row each: the first frame, the goal as a question, the plan as numbered lines.
##
## "interaction" keeps the actions that change the scene and merges navigation into the next of them, whose words say where it ends. If that
## leaves too few steps, navigation comes back, in order; if too many, a pick is merged into the place that follows it. "goal" keeps only what
## brings an object to where it is to be, and adds the rest back until there are enough steps. Episodes that fit neither way are dropped.
## `risk` is "low" where a hazard mark stands in the scene, for episodes do not say how near, else "safe".
op cot.plan(
  ## Episodes as `data.episodes` makes them.
  episodes: Dataset[{
    id: Str, goal: Str, frames: [Image],
    actions: [{ action: Str, object: Str?, receptacle: Str?, relation: Str?, description: Str, changes: Bool }], hazard: Str?, ..r
  }],
  ## How many steps a plan may have.
  steps: Range[Int] = 3..5,
  ## Which actions are kept first.
  criterion: enum { interaction, goal } = "interaction",
) -> Dataset[{ id: Str, instruction: Str, input: Str, output: Str, images: [Image], risk: Str }]"#,
        effect: Effect::RowExpand,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    steps: Steps,
    criterion: String,
}

#[derive(serde::Deserialize)]
struct Steps {
    from: Option<usize>,
    to: Option<usize>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let (least, most) = (args.steps.from.unwrap_or(1), args.steps.to.unwrap_or(usize::MAX));
    let text = |s: String| Cell::Str(Cow::Owned(s));
    let columns = [
        ("id", DataType::Utf8),
        ("instruction", DataType::Utf8),
        ("input", DataType::Utf8),
        ("output", DataType::Utf8),
        ("images", list_of(image_type())),
        ("risk", DataType::Utf8),
    ];
    let mut made = Made::new(cx.store, columns);
    let mut read = 0;
    for chunk in cx.chunks("episodes")? {
        cx.go_on()?;
        let mut rows = Vec::new();
        for episode in episode::read(&chunk?)? {
            read += 1;
            let drop = |why: String| Fate { row: episode.id.clone(), what: "dropped".into(), why };
            let Some(plan) = compress(&episode.actions, least, most, args.criterion == "goal") else {
                let why = format!("{} actions do not compress to {least}..{most} steps", episode.actions.len());
                cx.fates.push(drop(why));
                continue;
            };
            let Some(first) = episode.frames.first() else {
                cx.fates.push(drop("no frame".into()));
                continue;
            };
            let risk = if episode.hazard.is_some() { "low" } else { "safe" };
            rows.push([
                text(format!("plan-{}", episode.id)),
                text(question(&episode)),
                text(String::new()),
                text(numbered(&plan)),
                Cell::List(vec![Picture::cell(first)]),
                text(risk.to_owned()),
            ]);
        }
        made.push(rows)?;
    }
    let (kept, rows) = made.finish()?;
    cx.counts.extend([("read".to_owned(), read), ("kept".to_owned(), kept)]);
    Ok(rows)
}

/// Asks for a plan in one of four wordings, chosen by the episode's name so that a goal is always asked for alike.
fn question(episode: &Episode) -> String {
    let goal = lower_first(episode.goal.trim().trim_end_matches('.'));
    match Digest::of(episode.id.as_bytes()).0[0] % 4 {
        0 => format!("Goal: {goal}. Give a short plan."),
        1 => format!("Task: {goal}. Write a plan of 3 to 5 steps."),
        2 => format!("Plan the steps for this goal: {goal}."),
        _ => format!("How should the robot act so as to {goal}? List the steps."),
    }
}

/// Returns the steps of a plan as sentences; `None` when no number of steps in the range can be reached.
fn compress(actions: &[Action], least: usize, most: usize, goal_first: bool) -> Option<Vec<String>> {
    let mut kept: Vec<bool> = actions.iter().map(|a| a.changes && (a.places || !goal_first)).collect();
    let count = |kept: &[bool]| kept.iter().filter(|k| **k).count();
    // What was left out comes back in order: first what changes the scene, then navigation.
    for changes in [true, false] {
        for (i, action) in actions.iter().enumerate() {
            if count(&kept) < least && !kept[i] && action.changes == changes {
                kept[i] = true;
            }
        }
    }
    // A place says what it places, so the pick before it is understood.
    for i in 0..actions.len().saturating_sub(1) {
        if count(&kept) > most && kept[i] && !actions[i].places && actions[i + 1..].iter().any(|a| a.places) {
            kept[i] = false;
        }
    }
    let plan: Vec<String> =
        actions.iter().zip(&kept).filter(|(_, k)| **k).map(|(a, _)| sentence(&a.description)).collect();
    (least..=most).contains(&plan.len()).then_some(plan)
}

fn sentence(description: &str) -> String {
    let mut letters = description.trim().trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_lowercase(), letters.as_str()))
}
