//! `bench.ask`, `bench.read`, `bench.mark`: what is sent, how the reply is read, what it is worth; by kind of item.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::base::OpError;
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::{Declaration, ItemKind};
use crate::spec::{Columns, Effect, OpSpec};

const VERB: OpSpec = OpSpec { effect: Effect::RowMap, columns: Columns::FromFile, ..OpSpec::BASE };

/// The asking text.
pub static ASK: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Says what is sent for each kind of item. A text without `{question}` and `{options}` follows both on a line of its own.
op bench.ask(
  d: Dataset[{ ..r }],
  ## The text by kind: `choice: "…"`, `point: "…"`; slots `{question} {options} {images} {coord_hint}`.
  ..by: Prompt,
  system: Prompt? = none,
  ## How options are printed: `A. text` or `(A) text`.
  option_style: Str = "A. text",
  ## Decoding unless the run says otherwise.
  generate: { max_tokens: Tokens?, stop: [Str]? }? = none,
) -> Dataset[{ ..any }]"#,
        ..VERB
    },
    run: Some(ask),
};

/// The readers.
pub static READ: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Says how a reply is read for each kind of item; of a list the first reader that yields a legal value wins.
op bench.read(d: Dataset[{ ..r }], ..by: Reader | [Reader]) -> Dataset[{ ..any }]"#,
        ..VERB
    },
    run: Some(read),
};

/// The marks.
pub static MARK: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Says what the value read from a reply is worth for each kind of item, 0 to 1.
op bench.mark(d: Dataset[{ ..r }], ..by: Marker) -> Dataset[{ ..any }]"#,
        ..VERB
    },
    run: Some(mark),
};

#[derive(Deserialize)]
struct Args {
    #[serde(default)]
    by: BTreeMap<String, Json>,
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    option_style: Option<String>,
    #[serde(default)]
    generate: Json,
}

fn ask(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    declare(cx, &args, |declare| {
        for (kind, text) in &args.by {
            let text =
                text.as_str().ok_or_else(|| OpError::new("E0304", format!("the text for `{kind}` is no text")))?;
            declare.ask.insert(kind.clone(), text.to_owned());
        }
        declare.system.clone_from(&args.system);
        declare.option_style = args.option_style.clone().unwrap_or_else(|| "A. text".into());
        declare.generate = args.generate.clone();
        Ok(())
    })
}

fn read(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    declare(cx, &args, |declare| {
        declare.read.extend(args.by.clone());
        Ok(())
    })
}

fn mark(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    declare(cx, &args, |declare| {
        declare.mark.extend(args.by.clone());
        Ok(())
    })
}

/// Passes the items on with a changed declaration.
fn declare(
    cx: &Context,
    args: &Args,
    change: impl FnOnce(&mut Declaration) -> Result<(), OpError>,
) -> Result<Outputs, OpError> {
    check_kinds(args.by.keys())?;
    let mut artifact = cx.input("d")?.clone();
    if artifact.meta.get("benchmark").is_none() {
        return Err(OpError::new("E0304", "these are no items yet: `bench.sample` comes first"));
    }
    let mut declaration = Declaration::of(&artifact)?;
    change(&mut declaration)?;
    artifact.meta["benchmark"] = serde_json::to_value(&declaration)?;
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}

/// Refuses names that are no kind of item.
pub(super) fn check_kinds<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), OpError> {
    for name in names {
        if ItemKind::parse(name).is_none() {
            return Err(OpError::new("E0210", format!("`{name}` is no kind of item"))
                .help("kinds are choice, number, yes_no, text, point and judge"));
        }
    }
    Ok(())
}
