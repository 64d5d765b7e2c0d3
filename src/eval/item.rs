//! One question of a benchmark, and how questions lie in a table.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::base::{Digest, OpError};
use crate::data;
use crate::data::arrow_type::image_type;
use crate::data::table::Table;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// One option letter.
    Choice,
    /// All letters of the right options.
    Choices,
    /// A number.
    Number,
    /// Yes or no.
    YesNo,
    /// A few words.
    Text,
    /// Points in the first picture.
    Point,
    /// Free text for a judge.
    Judge,
    /// A better and a worse reply, of which a model finds one likelier: nothing is asked.
    Pair,
}

impl ItemKind {
    /// Says whether its items have options.
    pub fn has_options(self) -> bool {
        matches!(self, ItemKind::Choice | ItemKind::Choices)
    }

    /// Returns its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            ItemKind::Choice => "choice",
            ItemKind::Choices => "choices",
            ItemKind::Number => "number",
            ItemKind::YesNo => "yes_no",
            ItemKind::Text => "text",
            ItemKind::Point => "point",
            ItemKind::Judge => "judge",
            ItemKind::Pair => "pair",
        }
    }

    /// Reads the name of a kind that questions may have.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Choice, Self::Choices, Self::Number, Self::YesNo, Self::Text, Self::Point, Self::Judge]
            .into_iter()
            .find(|k| k.name() == name)
    }

    /// Reads the name that a stored item bears.
    fn stored(name: &str) -> Option<Self> {
        Self::parse(name).or_else(|| (name == Self::Pair.name()).then_some(Self::Pair))
    }
}

/// A picture by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// BLAKE3 of the file.
    pub digest: Digest,
    /// Media type.
    pub media: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl Picture {
    /// Returns the picture of a row; none where its digest is no digest.
    pub fn of(row: &data::pictures::picture::Picture) -> Option<Self> {
        let side = |n: i64| u32::try_from(n).ok();
        let (width, height) = (side(row.width)?, side(row.height)?);
        Some(Self { digest: Digest::parse(&row.digest)?, media: row.media.clone(), width, height })
    }
}

/// One question, in one order of its options.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Unique in the benchmark together with `rotation`.
    pub id: String,
    /// By how many places the options are rotated; 0 is the order of the source.
    pub rotation: u32,
    /// What is asked for.
    pub kind: ItemKind,
    /// The question as the source has it.
    pub question: String,
    /// Option texts; only for one choice or several.
    pub options: Vec<String>,
    /// The question prints the options already.
    pub options_in_question: bool,
    /// The right answer: a letter or several, a number, `yes`, a text; empty for points.
    pub key: String,
    /// Pictures shown.
    pub images: Vec<Picture>,
    /// Where each picture goes, in characters of the question; `None` is before it.
    pub offsets: Option<Vec<usize>>,
    /// Target area of a point.
    pub mask: Option<Picture>,
    /// Target area as vertices, fractions of the picture.
    pub polygon: Option<String>,
    /// Items that share something (a picture, a scene) and so are not independent.
    pub cluster: Option<String>,
    /// Groups for drill-down and nested means.
    pub groups: Vec<(String, String)>,
    /// The twin's id, or a name that twins share.
    pub pair: Option<String>,
    /// What guessing would score.
    pub chance: f64,
}

impl Item {
    /// Returns a group's value; `kind` is a group of every item.
    pub fn group(&self, name: &str) -> Option<&str> {
        match self.groups.iter().find(|(n, _)| n == name) {
            Some((_, value)) => Some(value),
            None if name == "kind" => Some(self.kind.name()),
            None => None,
        }
    }
}

/// Lays items out as a table.
pub fn to_table(items: &[Item]) -> Result<Table, OpError> {
    let text =
        |f: &dyn Fn(&Item) -> Option<String>| -> ArrayRef { Arc::new(items.iter().map(f).collect::<StringArray>()) };
    let groups = |i: &Item| {
        let map: serde_json::Map<String, Json> =
            i.groups.iter().map(|(k, v)| (k.clone(), Json::String(v.clone()))).collect();
        Some(Json::Object(map).to_string())
    };
    let offsets = |i: &Item| i.offsets.as_ref().map(|o| serde_json::json!(o).to_string());
    let rotation: Int64Array = items.iter().map(|i| Some(i64::from(i.rotation))).collect();
    let printed: BooleanArray = items.iter().map(|i| Some(i.options_in_question)).collect();
    let chance: Float64Array = items.iter().map(|i| Some(i.chance)).collect();
    let columns: Vec<(String, ArrayRef)> = vec![
        ("id".into(), text(&|i| Some(i.id.clone()))),
        ("rotation".into(), Arc::new(rotation)),
        ("kind".into(), text(&|i| Some(i.kind.name().into()))),
        ("question".into(), text(&|i| Some(i.question.clone()))),
        ("options".into(), text_lists(items.iter().map(|i| i.options.as_slice()))?),
        ("options_in_question".into(), Arc::new(printed)),
        ("key".into(), text(&|i| Some(i.key.clone()))),
        ("images".into(), picture_lists(items.iter().map(|i| i.images.as_slice()))?),
        ("offsets".into(), text(&offsets)),
        ("mask".into(), pictures(items.iter().map(|i| i.mask.as_ref()))?),
        ("polygon".into(), text(&|i| i.polygon.clone())),
        ("cluster".into(), text(&|i| i.cluster.clone())),
        ("groups".into(), text(&groups)),
        ("pair".into(), text(&|i| i.pair.clone())),
        ("chance".into(), Arc::new(chance)),
    ];
    Table::new(columns, items.len())
}

/// Reads items back from the table of [`to_table`].
pub fn from_table(table: &Table) -> Result<Vec<Item>, OpError> {
    let columns = Columns { table };
    let mut items = Vec::with_capacity(table.rows());
    for row in 0..table.rows() {
        let kind = columns.text("kind", row)?.unwrap_or_default();
        let groups: Vec<(String, String)> = match columns.text("groups", row)? {
            Some(text) => serde_json::from_str::<serde_json::Map<String, Json>>(&text)?
                .into_iter()
                .map(|(k, v)| (k, v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
                .collect(),
            None => Vec::new(),
        };
        let offsets = columns.text("offsets", row)?.map(|t| serde_json::from_str(&t)).transpose()?;
        items.push(Item {
            id: columns.text("id", row)?.unwrap_or_default(),
            rotation: columns.typed(table.column("rotation")?.as_primitive_opt::<Int64Type>(), "rotation")?.value(row)
                as u32,
            kind: ItemKind::stored(&kind)
                .ok_or_else(|| OpError::new("E0503", format!("`{kind}` is no kind of item")))?,
            question: columns.text("question", row)?.unwrap_or_default(),
            options: columns.texts("options", row)?,
            options_in_question: columns
                .typed(table.column("options_in_question")?.as_boolean_opt(), "options_in_question")?
                .value(row),
            key: columns.text("key", row)?.unwrap_or_default(),
            images: columns.pictures("images", row)?,
            offsets,
            mask: columns.picture("mask", row)?,
            polygon: columns.text("polygon", row)?,
            cluster: columns.text("cluster", row)?,
            groups,
            pair: columns.text("pair", row)?,
            chance: columns.typed(table.column("chance")?.as_primitive_opt::<Float64Type>(), "chance")?.value(row),
        });
    }
    Ok(items)
}

/// Reads cells of a table by column name.
pub struct Columns<'a> {
    /// The table.
    pub table: &'a Table,
}

impl Columns<'_> {
    fn typed<'b, T>(&self, array: Option<&'b T>, name: &str) -> Result<&'b T, OpError> {
        array.ok_or_else(|| OpError::new("E0304", format!("column `.{name}` has another type than items have")))
    }

    /// Returns a text cell.
    pub fn text(&self, name: &str, row: usize) -> Result<Option<String>, OpError> {
        let array = self.typed(self.table.column(name)?.as_string_opt::<i32>(), name)?;
        Ok(array.is_valid(row).then(|| array.value(row).to_owned()))
    }

    /// Returns a number cell.
    pub fn number(&self, name: &str, row: usize) -> Result<Option<f64>, OpError> {
        let array = self.typed(self.table.column(name)?.as_primitive_opt::<Float64Type>(), name)?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }

    /// Returns an integer cell.
    pub fn integer(&self, name: &str, row: usize) -> Result<Option<i64>, OpError> {
        let array = self.typed(self.table.column(name)?.as_primitive_opt::<Int64Type>(), name)?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }

    /// Returns a cell that is a list of texts.
    pub fn texts(&self, name: &str, row: usize) -> Result<Vec<String>, OpError> {
        let list = self.typed(self.table.column(name)?.as_list_opt::<i32>(), name)?;
        if list.is_null(row) {
            return Ok(Vec::new());
        }
        let values = list.value(row);
        let texts = self.typed(values.as_string_opt::<i32>(), name)?;
        Ok(texts.iter().map(|t| t.unwrap_or_default().to_owned()).collect())
    }

    /// Returns a cell that is a picture.
    pub fn picture(&self, name: &str, row: usize) -> Result<Option<Picture>, OpError> {
        let array = self.typed(self.table.column(name)?.as_struct_opt(), name)?;
        if array.is_null(row) { Ok(None) } else { picture_at(array, row) }
    }

    /// Returns a cell that is a list of pictures.
    pub fn pictures(&self, name: &str, row: usize) -> Result<Vec<Picture>, OpError> {
        let list = self.typed(self.table.column(name)?.as_list_opt::<i32>(), name)?;
        if list.is_null(row) {
            return Ok(Vec::new());
        }
        let values = list.value(row);
        let array = self.typed(values.as_struct_opt(), name)?;
        (0..array.len()).filter_map(|i| picture_at(array, i).transpose()).collect()
    }
}

/// Reads a picture cell; `None` where it has no digest.
fn picture_at(array: &StructArray, row: usize) -> Result<Option<Picture>, OpError> {
    let wrong = || OpError::new("E0304", "a picture cell lacks its digest, type or size");
    let text = |name: &str| array.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).ok_or_else(wrong);
    let size =
        |name: &str| array.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(wrong);
    let digests = text("digest")?;
    if array.is_null(row) || digests.is_null(row) {
        return Ok(None);
    }
    Ok(Some(Picture {
        digest: Digest::parse(digests.value(row)).ok_or_else(wrong)?,
        media: text("media")?.value(row).to_owned(),
        width: size("width")?.value(row) as u32,
        height: size("height")?.value(row) as u32,
    }))
}

/// Returns a column of pictures.
pub fn pictures<'a>(cells: impl Iterator<Item = Option<&'a Picture>>) -> Result<ArrayRef, OpError> {
    let cells: Vec<Option<&Picture>> = cells.collect();
    Ok(Arc::new(picture_struct(&cells)?))
}

/// Returns a column of lists of pictures.
pub fn picture_lists<'a>(cells: impl Iterator<Item = &'a [Picture]>) -> Result<ArrayRef, OpError> {
    let cells: Vec<&[Picture]> = cells.collect();
    let flat: Vec<Option<&Picture>> = cells.iter().flat_map(|c| c.iter().map(Some)).collect();
    let values = picture_struct(&flat)?;
    let field = Arc::new(Field::new("item", image_type(), true));
    let offsets = OffsetBuffer::from_lengths(cells.iter().map(|c| c.len()));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(values), None)?))
}

/// Returns a column of lists of texts.
fn text_lists<'a>(cells: impl Iterator<Item = &'a [String]>) -> Result<ArrayRef, OpError> {
    let cells: Vec<&[String]> = cells.collect();
    let values: StringArray = cells.iter().flat_map(|c| c.iter().map(|t| Some(t.as_str()))).collect();
    let field = Arc::new(Field::new("item", DataType::Utf8, true));
    let offsets = OffsetBuffer::from_lengths(cells.iter().map(|c| c.len()));
    Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(values), None)?))
}

fn picture_struct(cells: &[Option<&Picture>]) -> Result<StructArray, OpError> {
    let DataType::Struct(fields) = image_type() else {
        return Err(OpError::new("E0612", "pictures are structs"));
    };
    let digests: StringArray = cells.iter().map(|p| p.map(|p| p.digest.hex())).collect();
    let media: StringArray = cells.iter().map(|p| p.map(|p| p.media.clone())).collect();
    let width: Int64Array = cells.iter().map(|p| p.map(|p| i64::from(p.width))).collect();
    let height: Int64Array = cells.iter().map(|p| p.map(|p| i64::from(p.height))).collect();
    let origin = digests.clone();
    let nulls = NullBuffer::from(cells.iter().map(Option::is_some).collect::<Vec<_>>());
    let columns: Vec<ArrayRef> =
        vec![Arc::new(digests), Arc::new(media), Arc::new(width), Arc::new(height), Arc::new(origin)];
    Ok(StructArray::try_new(fields, columns, Some(nulls))?)
}
