//! Points written in text as `[(0.42, 0.31), …]`, in unit coordinates.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Why the points of a text could not move along.
#[derive(Clone, Debug, PartialEq)]
pub enum Stuck {
    /// This point leaves the picture.
    Outside(f64, f64),
    /// This is no point in unit coordinates.
    NotUnit(f64, f64),
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Outside(x, y) => write!(f, "point ({x}, {y}) leaves the picture"),
            Self::NotUnit(x, y) => write!(f, "point ({x}, {y}) is not in unit coordinates"),
        }
    }
}

const POINT: &str = r"\(\s*-?\d+(?:\.\d+)?\s*,\s*-?\d+(?:\.\d+)?\s*\)";

static LIST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!(r"\[\s*{POINT}(?:\s*,\s*{POINT})*\s*\]")).expect("a constant"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"-?\d+(?:\.(\d+))?").expect("a constant"));

/// Returns all points in a text.
pub fn read(text: &str) -> Vec<(f64, f64)> {
    LIST.find_iter(text).flat_map(|list| pairs(list.as_str())).collect()
}

/// Rewrites all points in a text, everything around them stays. Numbers keep their decimals: as many as the most exact of their list has, and at least two.
///
/// # Errors
/// [`Stuck`] when a point is not in unit coordinates, or `to` has no place for it.
pub fn rewrite(text: &str, to: impl Fn(f64, f64) -> Option<(f64, f64)>) -> Result<String, Stuck> {
    let mut stuck = None;
    let out = LIST.replace_all(text, |found: &Captures<'_>| {
        let list = &found[0];
        let decimals = NUMBER.captures_iter(list).filter_map(|n| n.get(1)).map(|d| d.len()).max().unwrap_or(0).max(2);
        let moved: Vec<String> = pairs(list)
            .map(|(x, y)| {
                let unit = (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y);
                let place = if unit { to(x, y).ok_or(Stuck::Outside(x, y)) } else { Err(Stuck::NotUnit(x, y)) };
                match place {
                    Ok((x, y)) => format!("({x:.decimals$}, {y:.decimals$})"),
                    Err(why) => {
                        stuck.get_or_insert(why);
                        String::new()
                    }
                }
            })
            .collect();
        format!("[{}]", moved.join(", "))
    });
    let out = out.into_owned();
    stuck.map_or(Ok(out), Err)
}

fn pairs(list: &str) -> impl Iterator<Item = (f64, f64)> {
    let numbers: Vec<f64> = NUMBER.find_iter(list).filter_map(|n| n.as_str().parse().ok()).collect();
    (0..numbers.len() / 2).map(move |i| (numbers[2 * i], numbers[2 * i + 1]))
}
