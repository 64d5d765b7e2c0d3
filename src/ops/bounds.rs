//! Ranges of numbers as operators receive them.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::base::OpError;

/// A range of numbers, both ends included; an open end is unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Json")]
pub struct Bounds {
    /// The least number inside.
    pub from: f64,
    /// The greatest number inside.
    pub to: f64,
}

impl Bounds {
    /// Says whether a number is inside; one that is not a number never is.
    pub fn contain(&self, x: f64) -> bool {
        self.from <= x && x <= self.to
    }

    /// Says how a number is outside; none when it is inside.
    pub fn outside(&self, x: f64) -> Option<&'static str> {
        match () {
            () if self.contain(x) => None,
            () if x < self.from => Some("below the range"),
            () if x > self.to => Some("above the range"),
            () => Some("not a number"),
        }
    }
}

impl TryFrom<Json> for Bounds {
    type Error = OpError;

    /// Reads `{"from": …, "to": …}`; an end may be tagged with its unit, `{"tokens": 8}`.
    fn try_from(value: Json) -> Result<Self, OpError> {
        let end = |name: &str, open: f64| match &value[name] {
            Json::Null => Ok(open),
            Json::Object(tagged) => tagged.values().next().and_then(Json::as_f64).ok_or(()),
            other => other.as_f64().ok_or(()),
        };
        match (end("from", f64::NEG_INFINITY), end("to", f64::INFINITY)) {
            (Ok(from), Ok(to)) if value.is_object() => Ok(Self { from, to }),
            _ => Err(OpError::new("E0612", format!("{value} is no range of numbers"))),
        }
    }
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = |x: f64| if x.is_finite() { x.to_string() } else { String::new() };
        write!(f, "{}..{}", end(self.from), end(self.to))
    }
}
