//! What the rows of an input were seen to hold, column by column: `rbpipe lock` writes it, lints look at it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::column_type;
use super::types::{Dim, Type};

/// All columns of an input, those that no schema names included.
pub type Columns = BTreeMap<String, Column>;

/// One column of an input as it lies there, before any schema is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The share of rows that lack it or hold null, from 0 to 1: 0 only if none does, 1 only if all do.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub absent: f64,
    /// The types of its values, `Str | Int` where they are mixed, `none` where there is no value.
    #[serde(rename = "type")]
    pub ty: String,
    /// All its values, sorted, where it holds few texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The words that 99 of 100 rows do not exceed, where it holds many texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

impl Column {
    /// Returns the types of its values; [`Type::Json`] for one that this version does not know.
    pub fn types(&self) -> Vec<Type> {
        if self.ty == "none" {
            return Vec::new();
        }
        self.ty.split(" | ").map(|text| column_type::parse(text).unwrap_or(Type::Json)).collect()
    }
}

/// Says whether a loader takes a value of the type `seen` where a schema wants `want`. What cannot be told counts as taken.
pub fn fits(want: &Type, seen: &Type) -> bool {
    match (want, seen) {
        (Type::Json, _) | (_, Type::Json) => true,
        (Type::Optional(want), Type::Optional(seen)) => fits(want, seen),
        (Type::Optional(want), seen) => fits(want, seen),
        (_, Type::Optional(_)) => false,
        (Type::Str | Type::Prompt | Type::Regex | Type::Enum(_), seen) => *seen == Type::Str,
        (Type::Bool, seen) => *seen == Type::Bool,
        (Type::Int | Type::Dim(Dim::Tokens | Dim::Steps | Dim::Rows | Dim::Pixels | Dim::Bytes), seen) => {
            *seen == Type::Int
        }
        (Type::Float | Type::Dim(_), seen) => matches!(seen, Type::Int | Type::Float),
        (Type::Image | Type::Video, seen) => matches!(seen, Type::Str | Type::Record(_) | Type::Image),
        (Type::List(want), Type::List(seen)) => fits(want, seen),
        (Type::Box | Type::Point | Type::Tuple(_), Type::List(_)) => true,
        (Type::List(_) | Type::Box | Type::Point | Type::Tuple(_), _) => false,
        (Type::Record(want), Type::Record(seen)) => want.fields.iter().all(|(name, ty)| match seen.get(name) {
            Some(seen) => fits(ty, seen),
            None => matches!(ty, Type::Optional(_)),
        }),
        (Type::Record(_), _) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_takes_what_fits_and_nothing_else() {
        let cases = [
            ("Str", "Str", true),
            ("Str", "Int", false),
            ("Float", "Int", true),
            ("Int", "Float", false),
            ("Int?", "Int", true),
            ("[Image]", "[Str]", true),
            ("[Image]", "Str", false),
            ("[Str]", "[Str?]", false),
            ("Image", "{ bytes: Str, path: Str? }", true),
            ("{ a: Int, b: Str? }", "{ a: Int }", true),
            ("{ a: Int, b: Str }", "{ a: Int }", false),
            ("enum { a, b }", "Str", true),
            ("Json", "[Int]", true),
            ("Box", "[Float]", true),
        ];
        for (want, seen, taken) in cases {
            let parse = |text| column_type::parse(text).expect(text);
            assert_eq!(fits(&parse(want), &parse(seen)), taken, "{want} of {seen}");
        }
    }
}
