//! Numbers and their units: what a literal is, and how one without the right unit is written.

use super::check::{Checker, Cx, Site};
use crate::base::codes::E0120;
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Dim, Type, foreign, units};
use crate::syntax::ast::{Expr, ExprKind, UnaryOp};

impl Checker<'_> {
    /// The type of a number; `want` is what its place asks for, if that is known.
    pub(super) fn number(
        &mut self,
        parts: &[(f64, Option<String>)],
        int: bool,
        span: Span,
        want: Option<&Type>,
        cx: &Cx,
    ) -> Type {
        match units::number(parts) {
            Ok((Some(dim), _)) => Type::Dim(dim),
            Ok((None, _)) if int => Type::Int,
            Ok((None, _)) => Type::Float,
            Err(unit) if units::to_base(1.0, &unit).is_some() => {
                let message = format!("`{unit}` is of another dimension than the rest of the number");
                let d = Diagnostic::new(E0120, span, message, "mixed units");
                self.report(d.help("glue only units of one dimension, as in `2h30m`"));
                Type::Error
            }
            Err(unit) => {
                // `2nd` may have been meant as a name, which was refused where it is declared.
                if let [(amount, Some(unit))] = parts
                    && self.names[cx.module].missing.contains(format!("{amount}{unit}").as_str())
                {
                    return Type::Error;
                }
                let d = Diagnostic::new(E0120, span, format!("there is no unit `{unit}`"), "unknown unit");
                self.report(no_unit(d, parts, &unit, span, want));
                Type::Error
            }
        }
    }
}

/// What a unit that does not exist means.
fn no_unit(d: Diagnostic, parts: &[(f64, Option<String>)], unit: &str, span: Span, want: Option<&Type>) -> Diagnostic {
    let amount = parts.first().map_or(0.0, |(amount, _)| *amount);
    let at = Span { start: span.end.saturating_sub(unit.len() as u32), ..span };
    let alone = parts.len() == 1;
    if let (true, Some((factor, counted))) = (alone, thousands(unit)) {
        let whole = amount * factor;
        if whole.fract() != 0.0 || whole.abs() >= 9e15 {
            return d.help("write all digits, and the unit behind them, as in `20_000rows`");
        }
        let whole = phrase::grouped(whole);
        let dims = want.map_or_else(Vec::new, dims);
        let units: Vec<&str> = match counted {
            Some(unit) => vec![unit],
            None if dims.is_empty() => vec!["rows", "tok"],
            None => dims.iter().filter(|d| counts(**d)).flat_map(|d| units::spellings(*d)).copied().collect(),
        };
        return match units.as_slice() {
            [one] => d.help(format!("write all digits: `{whole}{one}`")).fix(span, format!("{whole}{one}")),
            [] => d.help(format!("write all digits: `{whole}`")),
            several => {
                let ways: Vec<String> = several.iter().map(|u| format!("`{whole}{u}`")).collect();
                d.help(format!("write all digits, and the unit behind them: {}", ways.join(", ")))
            }
        };
    }
    match unit {
        "e" | "E" => return d.help("an exponent has digits: `1e-5`"),
        "epochs" | "epoch" | "x" | "times" | "gpus" | "gpu" | "cpus" | "workers" | "words" | "word" | "chars"
        | "characters" | "images" | "frames" | "fps" | "beams" | "bits" | "f" | "F" | "L" | "l" | "f32" | "f64"
            if want.is_none_or(|want| dims(want).is_empty()) =>
        {
            let d = d.help(format!("such a number has no unit: write `{amount}`"));
            return if alone { d.fix(at, "") } else { d };
        }
        _ => {}
    }
    let known = foreign::ours(foreign::UNITS, unit).or(units::names().find(|n| n.eq_ignore_ascii_case(unit)));
    match known.or_else(|| phrase::nearest(unit, units::names())) {
        Some(near) => {
            let d = d.help(format!("did you mean `{near}`?"));
            // A letter that may be a factor is not thrown away.
            let factor = unit.starts_with(['k', 'K', 'M', 'G']) && !near.starts_with(['K', 'M', 'G']);
            if alone && !factor { d.fix(at, near) } else { d }
        }
        None => d.help(format!("units are {}", phrase::quoted(&units::names().collect::<Vec<_>>()))),
    }
}

/// `k`, `Krows` and `Mtok`: the factor, and the unit of what is counted, if one follows.
fn thousands(unit: &str) -> Option<(f64, Option<&'static str>)> {
    if units::to_base(1.0, unit).is_some() || foreign::ours(foreign::UNITS, unit).is_some() {
        return None;
    }
    let (factor, rest) = match (unit.get(..1)?, unit.get(1..)?) {
        ("k" | "K", rest) => (1e3, rest),
        ("M", rest) => (1e6, rest),
        ("m", rest) if !rest.is_empty() => (1e6, rest),
        ("B" | "b" | "G" | "g", rest) if !rest.is_empty() => (1e9, rest),
        _ => return None,
    };
    if rest.is_empty() {
        return Some((factor, None));
    }
    let theirs = rest.to_ascii_lowercase();
    let ours = units::names().find(|n| *n == theirs).or_else(|| foreign::ours(foreign::UNITS, &theirs))?;
    let (dim, _) = units::to_base(1.0, ours)?;
    counts(dim).then_some((factor, Some(ours)))
}

/// Says whether a dimension counts things.
fn counts(dim: Dim) -> bool {
    matches!(dim, Dim::Rows | Dim::Tokens | Dim::Steps | Dim::Pixels)
}

/// Returns a number literal, with its sign.
pub(super) fn literal(e: &Expr) -> Option<f64> {
    match &e.kind {
        ExprKind::Number(parts, _) if parts.len() == 1 => Some(parts[0].0),
        ExprKind::Paren(inner) => literal(inner),
        ExprKind::Unary { op: UnaryOp::Neg, value } => Some(-literal(value)?),
        _ => None,
    }
}

/// Says whether a plain literal has a decimal point.
fn decimal(e: &Expr) -> bool {
    matches!(&e.kind, ExprKind::Number(_, whole) if !whole)
}

/// Returns how a plain number would read with the units of a dimension.
pub(super) fn with_units(value: f64, dim: Dim) -> Vec<String> {
    match dim {
        // 0.9 and 90 both mean ninety percent.
        Dim::Ratio | Dim::Points => {
            let shown = if value.abs() <= 1.0 && value != 0.0 { (value * 1e6).round() / 1e4 } else { value };
            vec![format!("{shown}{}", units::spellings(dim)[0])]
        }
        _ => units::spellings(dim).iter().map(|u| format!("{value}{u}")).collect(),
    }
}

/// The dimensions that a place takes: a union of units has several.
pub(super) fn dims(want: &Type) -> Vec<Dim> {
    let mut all = match want {
        Type::Union(ts) => ts.iter().flat_map(dims).collect(),
        Type::Optional(t) | Type::Metric(t) => dims(t),
        Type::Dim(d) => vec![*d],
        _ => Vec::new(),
    };
    all.dedup();
    all
}

/// The ways to write a number with one of some dimensions.
pub(super) fn ways(value: f64, dims: &[Dim]) -> Vec<String> {
    // A share is small or has a fraction; a number of steps or rows is whole.
    let fits = |dim: &&Dim| match dim {
        Dim::Ratio if dims.len() > 1 => value.fract() != 0.0 || value <= 1.0,
        dim if counts(**dim) => value.fract() == 0.0,
        _ => true,
    };
    dims.iter().filter(fits).flat_map(|d| with_units(value, *d)).collect()
}

/// A plain number where one with a unit is asked for, or one of another dimension.
pub(super) fn unit(e: &Expr, have: &Type, dims: &[Dim], shown: &str, site: &Site) -> Diagnostic {
    let plain = matches!(have, Type::Int | Type::Float);
    let what = if plain { format!("a plain {shown}") } else { shown.to_owned() };
    let names: Vec<String> = dims.iter().map(|d| format!("{d:?}")).collect();
    let message = if plain && dims == [Dim::Duration] {
        format!("a Duration needs a unit ({})", site.what)
    } else {
        format!("expected {} for {}, found {what}", names.join(" or "), site.what)
    };
    let label = if plain { "no unit".to_owned() } else { format!("this is {shown}") };
    let d = Diagnostic::new(E0120, e.span, message, label);
    let first = |dim: &Dim| units::spellings(*dim).first().copied().unwrap_or("");
    let quoted = |ways: &[String]| ways.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" or ");
    let impossible = |value: f64| dims.iter().map(|dim| dim.impossible(value)).collect::<Option<Vec<_>>>();
    match literal(e) {
        Some(value) if plain && value < 0.0 && impossible(value).is_some() => {
            d.help("it is never below 0; where there is to be no limit, leave it out")
        }
        // `1.5` is one and a half, or one and a half percent.
        Some(value) if plain && dims == [Dim::Ratio] && decimal(e) && (1.0..10.0).contains(&value) => d.help(format!(
            "did you mean {}?",
            quoted(&[format!("{}%", (value * 1e6).round() / 1e4), format!("{value}%")])
        )),
        Some(value) if plain => match ways(value, dims).as_slice() {
            [] => d.help(format!("give it as {}", names.join(" or "))),
            [one] => d.help(format!("write `{one}`")).fix(e.span, one.clone()),
            many => d.help(format!("did you mean {}?", quoted(many))),
        },
        None if plain => {
            let unit = dims.first().map_or("", first);
            d.help(format!("multiply it by a unit, `… * 1{unit}`, or give it a unit where it is written"))
        }
        given => {
            // The number stays: what is wrong is its unit.
            let kept = given.map(|value| ways(value, dims)).filter(|ways| !ways.is_empty());
            let examples = kept.unwrap_or_else(|| dims.iter().map(|d| format!("8{}", first(d))).collect());
            d.help(format!("write a number of {}, such as {}", names.join(" or "), quoted(&examples)))
        }
    }
}
