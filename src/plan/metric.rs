//! Expressions over numbers that are known only after running: what `expect` and `warn` ask.

use serde_json::{Value as Json, json};

use super::artifact::Artifact;

/// Facts of a score that can be asked after running.
pub(super) const SCORE_FACTS: &[&str] = &[
    "value",
    "low",
    "high",
    "n",
    "unparsed",
    "compat",
    "skill",
    "chance",
    "majority",
    "floor",
    "consensus",
    "consistency",
];

/// A number or Bool known only after running.
#[derive(Clone, Debug, PartialEq)]
pub enum Metric {
    /// Known now.
    Const(Json),
    /// A fact of an artifact: `value`, `rows`, `low`, …
    Meta {
        /// Whose.
        of: Artifact,
        /// Which, as a key of the artifact's `meta`.
        path: String,
    },
    /// The mean of some.
    Mean(Vec<Metric>),
    /// The mean over the values of a group: a fact of a score whose keys are the values.
    Group {
        /// Whose.
        of: Artifact,
        /// Which group.
        group: String,
    },
    /// `or and == != < <= > >= in not_in + - * /`
    Binary(String, Box<Metric>, Box<Metric>),
    /// `- not`
    Unary(String, Box<Metric>),
}

impl Metric {
    /// Collects the artifacts that this reads.
    pub fn artifacts(&self, out: &mut Vec<Artifact>) {
        match self {
            Metric::Const(_) => {}
            Metric::Meta { of, .. } | Metric::Group { of, .. } => {
                if !out.contains(of) {
                    out.push(of.clone());
                }
            }
            Metric::Mean(of) => of.iter().for_each(|m| m.artifacts(out)),
            Metric::Binary(_, a, b) => {
                a.artifacts(out);
                b.artifacts(out);
            }
            Metric::Unary(_, a) => a.artifacts(out),
        }
    }

    /// Computes the value; `meta` looks a fact of an artifact up.
    ///
    /// # Errors
    /// A sentence saying which fact is missing or which operands do not fit.
    pub fn value(&self, meta: &dyn Fn(&Artifact, &str) -> Option<Json>) -> Result<Json, String> {
        match self {
            Metric::Const(v) => Ok(v.clone()),
            Metric::Meta { of, path } => meta(of, path).filter(|v| !v.is_null()).ok_or_else(|| missing(of, path, meta)),
            Metric::Group { of, group } => {
                let path = format!("groups.{group}");
                let Some(Json::Object(values)) = meta(of, &path) else { return Err(missing(of, &path, meta)) };
                let scores = values.values().map(|e| number(&e["value"])).collect::<Result<Vec<f64>, _>>()?;
                Ok(json!(scores.iter().sum::<f64>() / scores.len().max(1) as f64))
            }
            Metric::Mean(of) => {
                let mut sum = 0.0;
                for m in of {
                    sum += number(&m.value(meta)?)?;
                }
                Ok(json!(sum / of.len().max(1) as f64))
            }
            Metric::Unary(op, a) => {
                let a = a.value(meta)?;
                Ok(if op == "not" { json!(!truth(&a)?) } else { json!(-number(&a)?) })
            }
            Metric::Binary(op, a, b) => {
                let a = a.value(meta)?;
                match (op.as_str(), &a) {
                    ("or", Json::Bool(true)) | ("and", Json::Bool(false)) => return Ok(a),
                    _ => {}
                }
                binary(op, &a, &b.value(meta)?)
            }
        }
    }

    /// Prints the expression with the values it had, for the message of a failed `expect`: `0.41 >= 0.52`.
    pub fn with_values(&self, meta: &dyn Fn(&Artifact, &str) -> Option<Json>) -> String {
        match self {
            Metric::Binary(op, a, b) => {
                format!("{} {} {}", a.with_values(meta), op.replace('_', " "), b.with_values(meta))
            }
            Metric::Unary(op, a) => format!("{op} {}", a.with_values(meta)),
            other => match other.value(meta) {
                Ok(Json::Number(n)) if n.is_f64() => format!("{:.4}", n.as_f64().unwrap_or(0.0)),
                Ok(v) => v.to_string(),
                Err(_) => "?".into(),
            },
        }
    }
}

/// Says which fact is missing, and why if the artifact knows.
fn missing(of: &Artifact, path: &str, meta: &dyn Fn(&Artifact, &str) -> Option<Json>) -> String {
    let kind = of.kind.to_lowercase();
    if let Some(group) = path.strip_prefix("groups.").map(|p| p.split('.').next().unwrap_or(p)) {
        let known: Vec<String> = match meta(of, "groups") {
            Some(Json::Object(groups)) => groups.keys().map(|g| format!("`{g}`")).collect(),
            _ => Vec::new(),
        };
        return format!(
            "the {kind} has no `{group}` among its groups and their values; its groups are {}",
            known.join(", ")
        );
    }
    match meta(of, "interval") {
        Some(Json::String(why)) if why == "one cluster" && matches!(path, "low" | "high") => {
            format!("the {kind} has no `{path}`: its items are one cluster, which has no interval")
        }
        _ => format!("the {kind} has no number `{path}`"),
    }
}

fn number(v: &Json) -> Result<f64, String> {
    v.as_f64().ok_or_else(|| format!("{v} is not a number"))
}

fn truth(v: &Json) -> Result<bool, String> {
    v.as_bool().ok_or_else(|| format!("{v} is not a Bool"))
}

fn binary(op: &str, a: &Json, b: &Json) -> Result<Json, String> {
    // A difference of two accuracies is compared with a written number: what binary floats add in the last bits must not decide.
    const SLACK: f64 = 1e-12;
    Ok(match op {
        "or" => json!(truth(a)? || truth(b)?),
        "and" => json!(truth(a)? && truth(b)?),
        "==" | "!=" => {
            let same = match (a.as_f64(), b.as_f64()) {
                (Some(x), Some(y)) => (x - y).abs() <= SLACK,
                _ => a == b,
            };
            json!(same == (op == "=="))
        }
        "<" => json!(number(a)? < number(b)?),
        "<=" => json!(number(a)? <= number(b)? + SLACK),
        ">" => json!(number(a)? > number(b)?),
        ">=" => json!(number(a)? + SLACK >= number(b)?),
        "in" | "not_in" => {
            let inside = match b {
                Json::Array(items) => items.contains(a),
                range => {
                    let x = number(a)?;
                    range["from"].as_f64().is_none_or(|f| x + SLACK >= f)
                        && range["to"].as_f64().is_none_or(|t| x <= t + SLACK)
                }
            };
            json!(inside == (op == "in"))
        }
        "+" => json!(number(a)? + number(b)?),
        "-" => json!(number(a)? - number(b)?),
        "*" => json!(number(a)? * number(b)?),
        "/" => json!(number(a)? / number(b)?),
        _ => return Err(format!("`{op}` cannot be computed on numbers known after running")),
    })
}
