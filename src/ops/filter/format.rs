//! `filter.format`: answers in the form that was asked for.

use std::sync::LazyLock;

use rayon::prelude::*;
use regex::Regex;
use serde_json::Value as Json;

use crate::base::OpError;
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::{self, Reason, pooled};
use crate::spec::{OpSpec, RowExpr};

/// The operator.
pub static FORMAT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows whose text has every form that is demanded of it.
op filter.format(
  d: Dataset[{ ..r }],
  ## The text.
  of: Col,
  ## When each form is demanded. letter: one bare A-Z. points: `[(x, y), …]` in 0..1. box: `[x0, y0, x1, y1]` in 0..1. number: digits, perhaps with sign and
  ## decimals. yes_no: yes or no. steps: lines `1. …`, `2. …` without gaps. json: an object or array.
  demand: { letter: Where?, points: Where?, box: Where?, number: Where?, yes_no: Where?, steps: Where?, json: Where? } = {},
  ## A JSON schema that the text must satisfy; of its keywords type, properties, required, items, enum and additionalProperties: false.
  schema: Json? = none,
  ## A regular expression that must match somewhere in the text.
  pattern: Regex? = none,
  ## What happens to rows without text.
  empty: enum { drop, keep } = "drop",
) -> Dataset[{ ..r }]"#,
        takes_where: true,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    of: String,
    #[serde(default)]
    demand: serde_json::Map<String, Json>,
    schema: Option<Json>,
    pattern: Option<String>,
    empty: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let mut demands: Vec<(Form, RowExpr)> = Vec::new();
    for (name, when) in args.demand.iter().filter(|(_, when)| !when.is_null()) {
        let form = Form::named(name).ok_or_else(|| OpError::new("E0210", format!("there is no form `{name}`")))?;
        demands.push((form, serde_json::from_value(when.clone())?));
    }
    let pattern = args.pattern.as_ref().map(|p| Regex::new(p)).transpose();
    let pattern = pattern.map_err(|e| OpError::new("E0612", format!("argument `pattern`: {e}")))?;
    if let Some(schema) = &args.schema {
        known_keywords(schema)?;
    }
    rows::sift(cx, |cx, d| {
        let reasons = judged(cx, &d, &args, &demands, pattern.as_ref())?;
        Ok((d, reasons))
    })
}

fn judged(
    cx: &Context,
    d: &Table,
    args: &Args,
    demands: &[(Form, RowExpr)],
    pattern: Option<&Regex>,
) -> Result<Vec<Option<Reason>>, OpError> {
    let scope = rows::in_scope(cx, d)?;
    let when = |(form, when): &(Form, RowExpr)| Ok((*form, rows::condition(when, d, cx.threads)?));
    let demands = demands.iter().map(when).collect::<Result<Vec<_>, OpError>>()?;
    let texts = d.texts(std::slice::from_ref(&args.of))?;
    let judge = |row: usize| -> Option<Reason> {
        let text = texts[row].as_str();
        if text.trim().is_empty() {
            return (args.empty == "drop").then(|| Reason::new("empty", format!(".{} is empty", args.of)));
        }
        for (form, _) in demands.iter().filter(|(_, when)| when[row]) {
            if let Some(fault) = form.fault(text) {
                return Some(Reason::new(fault, format!(".{}: {fault}: {}", args.of, short(text))));
            }
        }
        if let Some(pattern) = pattern.filter(|p| !p.is_match(text)) {
            let why = format!(".{} does not match {pattern}: {}", args.of, short(text));
            return Some(Reason::new("another pattern", why));
        }
        let schema = args.schema.as_ref()?;
        let fault = match serde_json::from_str::<Json>(text) {
            Ok(value) => violation(&value, schema, "$")?,
            Err(e) => format!("no JSON: {e}"),
        };
        Some(Reason::new("another schema", format!(".{}: {fault}", args.of)))
    };
    let judge = |row: usize| if scope[row] { judge(row) } else { None };
    pooled(cx.threads, || (0..d.rows()).into_par_iter().with_min_len(64).map(judge).collect())
}

#[derive(Clone, Copy)]
enum Form {
    Letter,
    Points,
    Box,
    Number,
    YesNo,
    Steps,
    Json,
}

impl Form {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "letter" => Form::Letter,
            "points" => Form::Points,
            "box" => Form::Box,
            "number" => Form::Number,
            "yes_no" => Form::YesNo,
            "steps" => Form::Steps,
            "json" => Form::Json,
            _ => return None,
        })
    }

    /// Says what is wrong with a text of this form.
    fn fault(self, text: &str) -> Option<&'static str> {
        static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[+-]?\d+(\.\d+)?$").expect("a constant"));
        let fits = |fits: bool, fault: &'static str| (!fits).then_some(fault);
        match self {
            Form::Letter => fits(matches!(text.as_bytes(), [b'A'..=b'Z']), "not one bare letter A-Z"),
            Form::Points => match points(text) {
                None => Some("not of the form [(x, y), …]"),
                Some(points) => fits(points.iter().flatten().all(|v| (0.0..=1.0).contains(v)), "points outside 0..1"),
            },
            Form::Box => match numbers(text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or("")) {
                Some(b) if b.len() == 4 => {
                    let inside = b.iter().all(|v| (0.0..=1.0).contains(v)) && b[0] < b[2] && b[1] < b[3];
                    fits(inside, "not a box within 0..1")
                }
                _ => Some("not of the form [x0, y0, x1, y1]"),
            },
            Form::Number => fits(NUMBER.is_match(text), "not a number"),
            Form::YesNo => fits(["yes", "no"].contains(&text.to_lowercase().as_str()), "neither yes nor no"),
            Form::Steps => fits(steps(text), "not lines 1. 2. 3. without gaps"),
            Form::Json => match serde_json::from_str::<Json>(text) {
                Ok(Json::Object(_) | Json::Array(_)) => None,
                _ => Some("not a JSON object or array"),
            },
        }
    }
}

/// Reads `[(x, y), …]`; blanks after commas and inside brackets do not matter.
fn points(text: &str) -> Option<Vec<Vec<f64>>> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut points = Vec::new();
    loop {
        let (point, after) = rest.strip_prefix('(')?.split_once(')')?;
        let point = numbers(point).filter(|p| p.len() == 2)?;
        points.push(point);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => return rest.is_empty().then_some(points),
        }
    }
}

fn numbers(text: &str) -> Option<Vec<f64>> {
    text.split(',').map(|n| n.trim().parse::<f64>().ok().filter(|n| n.is_finite())).collect()
}

fn steps(text: &str) -> bool {
    let mut lines = text.trim_end().lines().enumerate();
    lines.all(|(i, line)| {
        let rest = line.trim().strip_prefix(&format!("{}.", i + 1));
        rest.is_some_and(|r| !r.trim().is_empty() && !r.starts_with(|c: char| c.is_ascii_digit()))
    })
}

fn short(text: &str) -> String {
    let mut out: String = text.chars().take(60).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    format!("{out:?}")
}

/// Refuses a schema with a keyword that [`violation`] would pass over.
fn known_keywords(schema: &Json) -> Result<(), OpError> {
    const KNOWN: [&str; 8] =
        ["type", "properties", "required", "items", "enum", "additionalProperties", "title", "description"];
    let Json::Object(map) = schema else {
        return Err(OpError::new("E0612", format!("argument `schema`: expected an object, found {schema}")));
    };
    if let Some(unknown) = map.keys().find(|k| !KNOWN.contains(&k.as_str())) {
        return Err(OpError::new("E0612", format!("argument `schema`: keyword `{unknown}` is not supported"))
            .help(format!("supported are {}", KNOWN.join(", "))));
    }
    let properties = map.get("properties").and_then(Json::as_object).into_iter().flat_map(|p| p.values());
    properties.chain(map.get("items")).try_for_each(known_keywords)
}

/// Says where a value violates a schema.
fn violation(value: &Json, schema: &Json, at: &str) -> Option<String> {
    if let Some(ty) = schema.get("type") {
        let is = |ty: &Json| match ty.as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("number") => value.is_number(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some("null") => value.is_null(),
            _ => false,
        };
        let fits = ty.as_array().map_or_else(|| is(ty), |any| any.iter().any(is));
        if !fits {
            return Some(format!("{at} is not of type {ty}"));
        }
    }
    if let Some(allowed) = schema.get("enum").and_then(Json::as_array).filter(|a| !a.contains(value)) {
        return Some(format!("{at} is not one of {}", Json::Array(allowed.clone())));
    }
    if let Json::Object(fields) = value {
        let properties = schema.get("properties").and_then(Json::as_object);
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        if let Some(name) = required.into_iter().find(|r| !fields.contains_key(*r)) {
            return Some(format!("{at} lacks `{name}`"));
        }
        for (name, field) in fields {
            match properties.and_then(|p| p.get(name)) {
                Some(schema) => {
                    if let Some(fault) = violation(field, schema, &format!("{at}.{name}")) {
                        return Some(fault);
                    }
                }
                None if schema.get("additionalProperties") == Some(&Json::Bool(false)) => {
                    return Some(format!("{at} has `{name}`, which the schema does not know"));
                }
                None => {}
            }
        }
    }
    if let (Json::Array(items), Some(schema)) = (value, schema.get("items")) {
        let mut faults = items.iter().enumerate().filter_map(|(i, v)| violation(v, schema, &format!("{at}[{i}]")));
        return faults.next();
    }
    None
}
