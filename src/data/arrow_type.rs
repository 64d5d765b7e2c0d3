//! The Arrow types that columns have: of pictures and lists, what two of them have in common, and how they are named.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields};

/// Returns the Arrow type of an image or video cell: `digest` (hex of the file's BLAKE3), `media` (type), `width`, `height` in pixels, and `origin`, the
/// digest of the picture that it was made from by augmentation (its own otherwise).
pub fn image_type() -> DataType {
    // Asked for each cell of some columns: a copy shares its fields.
    static TYPE: LazyLock<DataType> = LazyLock::new(|| {
        DataType::Struct(Fields::from(vec![
            Field::new("digest", DataType::Utf8, true),
            Field::new("media", DataType::Utf8, true),
            Field::new("width", DataType::Int64, true),
            Field::new("height", DataType::Int64, true),
            Field::new("origin", DataType::Utf8, true),
        ]))
    });
    TYPE.clone()
}

/// Returns the list type that the language's `[T]` lies in.
pub fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// Names an Arrow type in the words of the language.
pub fn text(ty: &DataType) -> String {
    match ty {
        DataType::Utf8 => "Str".into(),
        DataType::Int64 => "Int".into(),
        DataType::Float64 => "Float".into(),
        DataType::Boolean => "Bool".into(),
        DataType::Null => "none".into(),
        DataType::List(item) => format!("[{}]", text(item.data_type())),
        DataType::Struct(_) if *ty == image_type() => "Image".into(),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.name(), text(f.data_type()))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Says whether a type is that of pictures and videos.
pub fn is_media(ty: &DataType) -> bool {
    *ty == image_type()
}

/// Says whether values of a type hold pictures or videos, at any depth.
pub fn holds_media(ty: &DataType) -> bool {
    match ty {
        DataType::List(item) => holds_media(item.data_type()),
        DataType::Struct(fields) => is_media(ty) || fields.iter().any(|f| holds_media(f.data_type())),
        _ => false,
    }
}

/// Returns the type that holds values of both, if there is one.
pub fn unify(a: &DataType, b: &DataType) -> Option<DataType> {
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => Some(DataType::Float64),
        (DataType::List(x), DataType::List(y)) => Some(list_of(unify(x.data_type(), y.data_type())?)),
        (DataType::Struct(x), DataType::Struct(y)) if x.len() == y.len() => {
            let mut fields = Vec::new();
            for field in x {
                let other = y.iter().find(|f| f.name() == field.name())?;
                fields.push(Field::new(field.name(), unify(field.data_type(), other.data_type())?, true));
            }
            Some(DataType::Struct(Fields::from(fields)))
        }
        _ => None,
    }
}
