//! Units: what may be glued to a number, its dimension, and how much of the base unit it is.

use super::types::Dim;

/// A unit as written, its dimension, and the pair (factor, divisor) that leads to the base unit exactly.
type Unit = (&'static str, Dim, f64, f64);

const UNITS: &[Unit] = &[
    ("%", Dim::Ratio, 1.0, 100.0),
    ("pt", Dim::Points, 1.0, 100.0),
    ("ms", Dim::Duration, 1.0, 1000.0),
    ("s", Dim::Duration, 1.0, 1.0),
    ("m", Dim::Duration, 60.0, 1.0),
    ("h", Dim::Duration, 3600.0, 1.0),
    ("d", Dim::Duration, 86400.0, 1.0),
    ("B", Dim::Bytes, 1.0, 1.0),
    ("KB", Dim::Bytes, 1e3, 1.0),
    ("MB", Dim::Bytes, 1e6, 1.0),
    ("GB", Dim::Bytes, 1e9, 1.0),
    ("TB", Dim::Bytes, 1e12, 1.0),
    ("KiB", Dim::Bytes, 1024.0, 1.0),
    ("MiB", Dim::Bytes, 1_048_576.0, 1.0),
    ("GiB", Dim::Bytes, 1_073_741_824.0, 1.0),
    ("TiB", Dim::Bytes, 1_099_511_627_776.0, 1.0),
    ("tok", Dim::Tokens, 1.0, 1.0),
    ("steps", Dim::Steps, 1.0, 1.0),
    ("rows", Dim::Rows, 1.0, 1.0),
    ("px", Dim::Pixels, 1.0, 1.0),
    ("deg", Dim::Angle, 1.0, 1.0),
];

/// Returns the names of all units.
pub fn names() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|u| u.0)
}

/// Returns the dimension of a unit and `amount` of it in the base unit.
pub fn to_base(amount: f64, unit: &str) -> Option<(Dim, f64)> {
    UNITS.iter().find(|u| u.0 == unit).map(|&(_, dim, factor, divisor)| (dim, amount * factor / divisor))
}

/// Returns a number as written, in base units: its parts are glued, as in `2h30m`. A number without a unit has no dimension.
///
/// # Errors
/// The unit that does not exist, or that is not of the dimension of the first one.
pub fn number(parts: &[(f64, Option<String>)]) -> Result<(Option<Dim>, f64), String> {
    let mut dim = None;
    let mut sum = 0.0;
    for (amount, unit) in parts {
        let Some(unit) = unit else {
            sum += amount;
            continue;
        };
        let (d, value) = to_base(*amount, unit).ok_or_else(|| unit.clone())?;
        if dim.is_some_and(|known| known != d) {
            return Err(unit.clone());
        }
        dim = Some(d);
        sum += value;
    }
    Ok((dim, sum))
}

/// Returns how a plain number would be written in a dimension: the first is the likeliest.
pub fn spellings(dim: Dim) -> &'static [&'static str] {
    match dim {
        Dim::Duration => &["h", "m", "s"],
        Dim::Bytes => &["GiB", "MB"],
        Dim::Ratio => &["%"],
        Dim::Tokens => &["tok"],
        Dim::Steps => &["steps"],
        Dim::Rows => &["rows"],
        Dim::Pixels => &["px"],
        Dim::Angle => &["deg"],
        Dim::Points => &["pt"],
        Dim::Rate => &[],
    }
}
