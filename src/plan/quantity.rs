//! Numbers with units: reading them, and printing them the one canonical way.

use crate::spec::{Dim, Value, units};

/// Returns the value of a number literal: its glued parts, and whether it is written with digits alone.
pub fn number(parts: &[(f64, Option<String>)], whole: bool) -> Option<Value> {
    Some(match units::number(parts).ok()? {
        (Some(dim), n) => Value::Quantity(dim, n),
        (None, n) if whole => Value::Int(n as i64),
        (None, n) => Value::Float(n),
    })
}

/// Prints a value the canonical way: `0.7`, `2e-5`, `8192tok`, `95%`, `cosine`.
pub fn print(value: &Value) -> String {
    match value {
        Value::None => "none".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => float(*f),
        Value::Str(s) | Value::Regex(s) => s.clone(),
        Value::Column(c) => format!(".{c}"),
        Value::Top(n) => format!("top({n})"),
        Value::Quantity(dim, q) => match dim {
            Dim::Ratio => format!("{}%", float(round(q * 100.0))),
            Dim::Points => format!("{}pt", float(round(q * 100.0))),
            Dim::Duration => duration(*q),
            Dim::Bytes => format!("{}B", float(*q)),
            Dim::Tokens => format!("{}tok", float(*q)),
            Dim::Steps => format!("{}steps", float(*q)),
            Dim::Rows => format!("{}rows", float(*q)),
            Dim::Pixels => format!("{}px", float(*q)),
            Dim::Angle => format!("{}deg", float(*q)),
            Dim::Rate => format!("{}B/s", float(*q)),
        },
        other => other.to_json().to_string(),
    }
}

/// Removes the noise that ×100 adds in the last bits.
fn round(x: f64) -> f64 {
    (x * 1e9).round() / 1e9
}

fn float(f: f64) -> String {
    if f != 0.0 && (f.abs() < 1e-3 || f.abs() >= 1e9) { format!("{f:e}") } else { format!("{f}") }
}

fn duration(seconds: f64) -> String {
    if seconds.fract() != 0.0 || seconds < 60.0 {
        return format!("{}s", float(seconds));
    }
    let s = seconds as u64;
    let parts = [(s / 3600, "h"), (s % 3600 / 60, "m"), (s % 60, "s")];
    parts.iter().filter(|(n, _)| *n > 0).map(|(n, u)| format!("{n}{u}")).collect()
}
