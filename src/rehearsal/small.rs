//! Makes a node small: two steps, few rows, the CPU; and, when it keeps no row, less choosy.

use serde_json::{Value as Json, json};

use crate::plan::{Node, serving};
use crate::spec::Effect;

/// Rows that a blend makes.
const BLEND: u64 = 48;
/// Questions that a model is asked of each benchmark.
const QUESTIONS: u64 = 2;
/// Rows held out, where a number of them is asked for.
const HELD_OUT: u64 = 2;

/// Options of `with` that a rehearsal does without.
const ELSEWHERE: &[&str] = &[
    "gpus",
    "gpu_mem",
    "shard",
    "offload",
    "keep_state",
    "attention",
    "mem",
    "disk",
    "timeout",
    "stall",
    "spend",
    "money",
    "price_in",
    "price_out",
    "executor",
    "serve",
    "retries",
    "workers",
];

/// Makes a node small in place. Expectations stop nothing, judges and models behind servers are asked at `judge`.
pub(super) fn make(node: Option<&mut Node>, judge: &str) {
    let Some(node) = node else { return };
    // What it asks of a machine is for the real one; a core is enough for a few rows.
    for option in ELSEWHERE {
        node.with.remove(*option);
    }
    node.with.insert("cpus".into(), json!(1));
    if let Some(gate) = &mut node.gate {
        gate.warn = true;
        return;
    }
    serving::in_process(node);
    let args = &mut node.args;
    let at_most = |value: &mut Json, most: u64| {
        if value.as_u64().is_none_or(|n| n > most) {
            *value = json!(most);
        }
    };
    for name in ["validation", "test"] {
        if args[name]["rows"].as_u64().is_some_and(|n| n > HELD_OUT) {
            args[name]["rows"] = json!(HELD_OUT);
        }
    }
    match node.op.as_str() {
        op if op.starts_with("train.") && node.effect == Effect::Train => {
            at_most(&mut args["max_steps"], 2);
            if args.get("batch").is_some() {
                at_most(&mut args["batch"], 4);
            }
            if args.get("per_device").is_some_and(Json::is_u64) {
                at_most(&mut args["per_device"], 2);
            }
        }
        "eval.run" => {
            at_most(&mut args["rows"], QUESTIONS);
            at_most(&mut args["max_tokens"], 8);
            args["epochs"] = json!(1);
        }
        "data.blend" if args["rows"].is_u64() => at_most(&mut args["rows"], BLEND),
        op if op == serving::SERVER_OP || op.starts_with("judge.") => args["url"] = json!(judge),
        _ => {}
    }
}

/// Returns arguments with which an operator keeps more rows than with these; nothing if it has none that choose.
pub(super) fn easier(op: &str, args: &Json) -> Option<Json> {
    let mut easy = args.clone();
    for (name, value) in easy.as_object_mut()? {
        match name.as_str() {
            "where" if op == "filter.rule" => *value = json!({ "lit": true }),
            "demand" => *value = json!({}),
            "similar" | "threshold" if value.is_number() => *value = json!(1.0),
            _ => {
                // A range that bounds what is kept.
                if let Some(range) = value.as_object_mut().filter(|o| o.len() == 2 && o.contains_key("from")) {
                    range.values_mut().for_each(|end| *end = Json::Null);
                }
            }
        }
    }
    (easy != *args).then_some(easy)
}
