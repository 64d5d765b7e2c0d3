//! The row methods and properties of the prelude.

use std::borrow::Cow;

use arrow::datatypes::DataType;

use super::arrow_type::list_of;
use super::cell::{Cell, type_of};

use super::transforms;
use crate::base::Digest;

macro_rules! methods {
    ($($variant:ident $name:literal $arity:literal $property:literal)*) => {
        /// A row method of the prelude.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Method { $($variant),* }

        impl Method {
            /// Returns the method of a name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// Returns how many arguments it takes besides its receiver.
            pub fn arity(self) -> usize {
                match self { $(Self::$variant => $arity),* }
            }

            /// Says whether it is written without parentheses.
            pub fn is_property(self) -> bool {
                match self { $(Self::$variant => $property),* }
            }
        }
    };
}

methods! {
    Len "len" 0 true
    Words "words" 0 true
    Chars "chars" 0 true
    Alnum "alnum" 0 true
    Width "width" 0 true
    Height "height" 0 true
    Trim "trim" 0 false
    Lower "lower" 0 false
    Upper "upper" 0 false
    Contains "contains" 1 false
    Starts "starts" 1 false
    Ends "ends" 1 false
    Before "before" 1 false
    After "after" 1 false
    Split "split" 1 false
    Count "count" 1 false
    Lookup "lookup" 1 false
    Digest "digest" 0 false
    Letter "letter" 0 false
    ParenLetter "paren_letter" 0 false
    Index0Letter "index0_letter" 0 false
    Index1Letter "index1_letter" 0 false
    IndexIn "index_in" 1 false
    InlineOptions "inline_options" 0 false
    StripLabels "strip_labels" 0 false
    DropLastInstruction "drop_last_instruction" 0 false
}

impl Method {
    /// Returns the type of its result, given those of its receiver and its first argument.
    pub(super) fn result(self, recv: &DataType, arg: Option<&DataType>, constant: Option<&Cell<'_>>) -> DataType {
        match self {
            Method::Len
            | Method::Words
            | Method::Chars
            | Method::Alnum
            | Method::Width
            | Method::Height
            | Method::Count => DataType::Int64,
            Method::Contains | Method::Starts | Method::Ends => DataType::Boolean,
            Method::Split | Method::InlineOptions => list_of(DataType::Utf8),
            Method::StripLabels => match recv {
                DataType::List(_) => list_of(DataType::Utf8),
                _ => DataType::Utf8,
            },
            Method::Lookup => match (constant, arg) {
                (Some(Cell::Record(fields)), _) => fields.first().map_or(DataType::Utf8, |(_, v)| type_of(v)),
                (_, Some(DataType::Struct(fields))) => fields.first().map_or(DataType::Utf8, |f| f.data_type().clone()),
                _ => DataType::Utf8,
            },
            _ => DataType::Utf8,
        }
    }
}

/// Calls a method on a value.
///
/// Lengths of text are counted in Unicode scalar values, words are separated by white space. `.before(s)` and `.after(s)` cut at the first `s` and return
/// the whole text where there is none.
pub(super) fn call<'a>(method: Method, recv: Cell<'a>, mut args: Vec<Cell<'a>>) -> Result<Cell<'a>, String> {
    let arg = if args.is_empty() { Cell::None } else { args.swap_remove(0) };
    match (method, recv) {
        (Method::Len, Cell::List(items)) => Ok(Cell::Int(items.len() as i64)),
        (Method::Len | Method::Chars, Cell::Str(s)) => Ok(Cell::Int(s.chars().count() as i64)),
        (Method::Alnum, Cell::Str(s)) => Ok(Cell::Int(s.chars().filter(|c| c.is_alphanumeric()).count() as i64)),
        (Method::Words, Cell::Str(s)) => Ok(Cell::Int(s.split_whitespace().count() as i64)),
        (Method::Width, picture @ Cell::Record(_)) => media(&picture, "width"),
        (Method::Height, picture @ Cell::Record(_)) => media(&picture, "height"),
        (Method::Trim, Cell::Str(s)) => Ok(Cell::Str(match s {
            Cow::Borrowed(s) => Cow::Borrowed(s.trim()),
            Cow::Owned(s) => Cow::Owned(s.trim().to_owned()),
        })),
        (Method::Lower, Cell::Str(s)) => Ok(owned(s.to_lowercase())),
        (Method::Upper, Cell::Str(s)) => Ok(owned(s.to_uppercase())),
        (Method::Contains, Cell::List(items)) => Ok(Cell::Bool(items.contains(&arg))),
        (Method::Contains, Cell::Str(s)) => Ok(Cell::Bool(s.contains(text(&arg)?))),
        (Method::Starts, Cell::Str(s)) => Ok(Cell::Bool(s.starts_with(text(&arg)?))),
        (Method::Ends, Cell::Str(s)) => Ok(Cell::Bool(s.ends_with(text(&arg)?))),
        (Method::Before, Cell::Str(s)) => Ok(match s.split_once(text(&arg)?) {
            Some((before, _)) => owned(before.to_owned()),
            None => Cell::Str(s),
        }),
        (Method::After, Cell::Str(s)) => Ok(match s.split_once(text(&arg)?) {
            Some((_, after)) => owned(after.to_owned()),
            None => Cell::Str(s),
        }),
        (Method::Split, Cell::Str(s)) => Ok(match text(&arg)? {
            "" => return Err("the separator is empty".to_owned()),
            separator => Cell::List(s.split(separator).map(|p| owned(p.to_owned())).collect()),
        }),
        (Method::Count, Cell::Str(s)) => match text(&arg)? {
            "" => Err("the text to count is empty".to_owned()),
            part => Ok(Cell::Int(s.matches(part).count() as i64)),
        },
        (Method::Lookup, key @ (Cell::Str(_) | Cell::Int(_) | Cell::Bool(_))) => match &arg {
            Cell::Record(_) => Ok(arg.field(&key.text()).cloned().unwrap_or(Cell::None)),
            other => Err(format!("expected a record, found {}", other.kind())),
        },
        (Method::Digest, Cell::Str(s)) => Ok(owned(Digest::of(s.as_bytes()).hex())),
        (Method::Digest, picture @ Cell::Record(_)) => media(&picture, "digest"),
        (Method::Letter, Cell::Str(s)) => transforms::letter(&s).map(owned),
        (Method::ParenLetter, Cell::Str(s)) => transforms::paren_letter(&s).map(owned),
        (Method::Index0Letter, index) => transforms::index_letter(&index, 0).map(owned),
        (Method::Index1Letter, index) => transforms::index_letter(&index, 1).map(owned),
        (Method::IndexIn, value) => match &arg {
            Cell::List(items) => transforms::index_in(&value, items).map(owned),
            other => Err(format!("expected a list, found {}", other.kind())),
        },
        (Method::InlineOptions, Cell::Str(s)) => {
            Ok(Cell::List(transforms::inline_options(&s).into_iter().map(owned).collect()))
        }
        (Method::StripLabels, Cell::Str(s)) => Ok(owned(transforms::strip_label(&s).to_owned())),
        (Method::StripLabels, Cell::List(items)) => {
            let strip = |c: &Cell<'a>| text(c).map(|t| owned(transforms::strip_label(t).to_owned()));
            items.iter().map(strip).collect::<Result<_, _>>().map(Cell::List)
        }
        (Method::DropLastInstruction, Cell::Str(s)) => Ok(owned(transforms::drop_last_instruction(&s).to_owned())),
        (_, Cell::None) => Err("the value is `none`; test with `== none` or replace it with `??`".to_owned()),
        (_, other) => Err(format!("{} has no such method", other.kind())),
    }
}

fn owned<'a>(text: String) -> Cell<'a> {
    Cell::Str(Cow::Owned(text))
}

fn text<'c>(cell: &'c Cell<'_>) -> Result<&'c str, String> {
    cell.as_str().ok_or_else(|| format!("expected Str, found {}", cell.kind()))
}

fn media<'a>(picture: &Cell<'a>, field: &str) -> Result<Cell<'a>, String> {
    picture.field(field).cloned().ok_or_else(|| format!("a record has no `{field}`"))
}
