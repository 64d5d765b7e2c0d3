//! What is in a dataset, told by its rows some at a time.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use rayon::prelude::*;
use serde_json::{Map, Value as Json, json};
use xxhash_rust::xxh3::xxh3_128;

use super::arrow_type;
use super::cell::Cell;
use super::dedup::text;
use super::spread::Spread;
use super::table::Table;
use crate::base::OpError;

/// Counts the tokens of a text.
pub type Tokens<'t> = &'t (dyn Fn(&str) -> Result<usize, OpError> + Sync);

/// What is known of the rows so far. Beside counts it holds 16 bytes for each different text of a column, and for each row unlike those before.
#[derive(Default)]
pub struct Profile {
    rows: usize,
    columns: Vec<Column>,
    by: Vec<(String, BTreeMap<String, u64>)>,
    /// Rows by their texts.
    wordings: HashSet<u128>,
}

impl Profile {
    /// Begins to count the values of the columns `by`.
    pub fn new(by: &[String]) -> Self {
        Self { by: by.iter().map(|name| (name.clone(), BTreeMap::new())).collect(), ..Self::default() }
    }

    /// Looks at the next rows; each time they have the same columns.
    ///
    /// # Errors
    /// Those of `tokens`.
    pub fn add(&mut self, rows: &Table, tokens: Option<Tokens<'_>>) -> Result<(), OpError> {
        let columns = rows.columns();
        if self.columns.is_empty() {
            self.columns = columns.iter().map(|(name, array)| Column::new(name, array)).collect();
            self.by.retain(|(name, _)| rows.column(name).is_ok());
        }
        self.rows += rows.rows();
        self.columns.par_iter_mut().zip(&columns).try_for_each(|(column, (_, array))| column.add(array, tokens))?;
        for (name, counts) in &mut self.by {
            rows.texts(std::slice::from_ref(name))?.into_iter().for_each(|v| *counts.entry(v).or_default() += 1);
        }
        let worded = |(name, array): &(String, ArrayRef)| name != "id" && *array.data_type() == DataType::Utf8;
        let wording: Vec<String> = columns.iter().filter(|c| worded(c)).map(|(name, _)| name.clone()).collect();
        let texts = rows.texts(&wording)?;
        self.wordings.par_extend(texts.par_iter().map(|text| xxh3_128(text::normalise(text).as_bytes())));
        Ok(())
    }

    /// Returns what was found: `{"rows", "columns": {NAME: {"type", "absent", "distinct", "characters", "tokens", "values", "pictures"}}, "by",
    /// "rows with the texts of another"}`; of a column what it has.
    pub fn to_json(&self) -> Json {
        let columns: Map<String, Json> = self.columns.iter().map(|c| (c.name.clone(), c.to_json())).collect();
        let by: Map<String, Json> = self.by.iter().map(|(name, counts)| (name.clone(), json!(counts))).collect();
        let repeated = self.rows - self.wordings.len();
        json!({ "rows": self.rows, "columns": columns, "by": by, "rows with the texts of another": repeated })
    }
}

/// One column.
#[derive(Default)]
struct Column {
    name: String,
    ty: String,
    absent: usize,
    /// Hashes of its texts.
    texts: HashSet<u128>,
    characters: Spread,
    tokens: Spread,
    values: Spread,
    /// Digests of its pictures, hashed.
    pictures: HashSet<u128>,
    width: Spread,
    height: Spread,
    sizes: BTreeMap<String, u64>,
}

impl Column {
    fn new(name: &str, array: &ArrayRef) -> Self {
        Self { name: name.to_owned(), ty: arrow_type::text(array.data_type()), ..Self::default() }
    }

    fn add(&mut self, array: &ArrayRef, tokens: Option<Tokens<'_>>) -> Result<(), OpError> {
        self.absent += array.null_count();
        if let Some(array) = array.as_string_opt::<i32>() {
            let texts: Vec<&str> = array.iter().flatten().collect();
            self.texts.par_extend(texts.par_iter().map(|text| xxh3_128(text.as_bytes())));
            texts.iter().for_each(|text| self.characters.add(text.chars().count() as f64));
            if let Some(tokens) = tokens {
                let counts: Vec<usize> = texts.par_iter().map(|text| tokens(text)).collect::<Result<_, _>>()?;
                counts.into_iter().for_each(|n| self.tokens.add(n as f64));
            }
            return Ok(());
        }
        for row in 0..array.len() {
            let cell = Cell::read(array.as_ref(), row);
            match cell.as_f64() {
                Some(number) if number.is_finite() => self.values.add(number),
                Some(_) => {}
                None => self.measure(&cell),
            }
        }
        Ok(())
    }

    /// Looks at the sizes of the pictures in a cell.
    fn measure(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::List(items) => items.iter().for_each(|item| self.measure(item)),
            Cell::Record(_) => {
                if let (Some(Cell::Int(w)), Some(Cell::Int(h))) = (cell.field("width"), cell.field("height")) {
                    self.width.add(*w as f64);
                    self.height.add(*h as f64);
                    *self.sizes.entry(format!("{w} x {h}")).or_default() += 1;
                    let digest = cell.field("digest").and_then(Cell::as_str);
                    self.pictures.extend(digest.map(|digest| xxh3_128(digest.as_bytes())));
                }
            }
            _ => {}
        }
    }

    fn to_json(&self) -> Json {
        let mut about = json!({ "type": self.ty, "absent": self.absent });
        if let Some(characters) = self.characters.to_json() {
            about["distinct"] = self.texts.len().into();
            about["characters"] = characters;
        }
        for (name, spread) in [("tokens", &self.tokens), ("values", &self.values)] {
            if let Some(spread) = spread.to_json() {
                about[name] = spread;
            }
        }
        if !self.pictures.is_empty() {
            let (width, height) = (self.width.to_json(), self.height.to_json());
            about["pictures"] =
                json!({ "distinct": self.pictures.len(), "width": width, "height": height, "sizes": self.sizes });
        }
        about
    }
}
