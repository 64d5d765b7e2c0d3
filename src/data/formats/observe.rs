//! Looks at every row of an input as it lies there, without a schema, and says what each column holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use serde_json::Value as Json;

use super::{columnar, csv, files, jsonl, webdataset};
use crate::base::OpError;
use crate::data::arrow_type;
use crate::spec::observed::{Column, Columns};
use crate::spec::{Row, Type};

/// A column with more different texts is not few-valued.
const FEW: usize = 20;
/// A longer text is no name of a group.
const SHORT: usize = 40;
/// A record with more fields is a map, whose keys are data.
const FIELDS: usize = 40;

/// Looks at the rows of some inputs.
#[derive(Default)]
pub struct Observer {
    rows: u64,
    columns: BTreeMap<String, Seen>,
}

/// What was seen of one column.
#[derive(Default)]
struct Seen {
    there: u64,
    types: Vec<Type>,
    texts: Texts,
}

/// The texts of a column.
#[derive(Default)]
struct Texts {
    count: u64,
    different: BTreeSet<String>,
    many: bool,
    /// Rows by their words.
    words: BTreeMap<u64, u64>,
}

impl Observer {
    /// Looks at the rows of a JSON, CSV, Parquet or Arrow file, or at the samples of a WebDataset shard, by its ending; returns whether it is one of
    /// these. `separator` is that of CSV; which member of a sample a column is follows from the columns that are `declared`.
    ///
    /// # Errors
    /// `E0501` when it is missing, `E0503` when it is damaged, `E0612` when the separator is no single byte.
    pub fn file(&mut self, path: &Path, separator: Option<&str>, declared: &[String]) -> Result<bool, OpError> {
        match files::ending(path).as_str() {
            "jsonl" | "json" | "ndjson" => self.lines(path)?,
            "csv" => self.separated(path, separator.unwrap_or(","))?,
            "tsv" => self.separated(path, separator.unwrap_or("\t"))?,
            "parquet" | "arrow" => columnar::batches(path, &mut |batch| {
                self.rows += batch.num_rows() as u64;
                let fields = batch.schema();
                fields.fields().iter().zip(batch.columns()).for_each(|(f, a)| self.array(f.name(), a));
            })?,
            "tar" => webdataset::look(path, declared, &mut |sample| self.sample(&sample))?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Looks at a chunk of a dataset that has been read.
    pub fn chunk(&mut self, rows: usize, columns: &[(String, std::sync::Arc<dyn Array>)]) {
        self.rows += rows as u64;
        columns.iter().for_each(|(name, array)| self.array(name, array));
    }

    /// Says what each column holds.
    pub fn finish(self) -> Columns {
        let rows = self.rows;
        self.columns.into_iter().map(|(name, seen)| (name, seen.column(rows))).collect()
    }

    fn lines(&mut self, path: &Path) -> Result<(), OpError> {
        jsonl::feed(path, "", &mut |rows, _| {
            // A broken line is the loader's to speak of.
            rows.iter().filter_map(|row| row.value.as_ref().ok()).for_each(|value| self.row(value));
            Ok(())
        })
    }

    fn sample(&mut self, columns: &[(String, webdataset::Held)]) {
        self.rows += 1;
        for (name, held) in columns {
            let seen = self.column(name);
            match held {
                webdataset::Held::Value(Json::Null) => continue,
                webdataset::Held::Value(value) => seen.value(value),
                webdataset::Held::Text(text) => seen.text(text.trim_end_matches(['\r', '\n'])),
                webdataset::Held::Medium(ty) => seen.add(ty.clone()),
                webdataset::Held::Bytes => seen.add(Type::Json),
            }
            seen.there += 1;
        }
    }

    fn row(&mut self, value: &Json) {
        let Json::Object(fields) = value else { return };
        self.rows += 1;
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let seen = self.column(name);
            seen.there += 1;
            seen.value(value);
        }
        // A column that is null in all rows is there too.
        for (name, _) in fields.iter().filter(|(_, value)| value.is_null()) {
            self.column(name);
        }
    }

    fn separated(&mut self, path: &Path, separator: &str) -> Result<(), OpError> {
        csv::records(path, separator, &mut |header, record| {
            self.rows += 1;
            for (name, text) in header.iter().zip(record) {
                let seen = self.column(name);
                if text.is_empty() {
                    continue;
                }
                seen.there += 1;
                seen.text(text);
            }
        })
    }

    fn array(&mut self, name: &str, array: &dyn Array) {
        let ty = kind(array.data_type());
        let seen = self.column(name);
        let there = array.len() - array.logical_null_count();
        if there == 0 {
            return;
        }
        seen.there += there as u64;
        if ty == Type::Str
            && let Ok(texts) = cast(array, &DataType::Utf8)
        {
            texts.as_string::<i32>().iter().flatten().for_each(|text| seen.texts.add(text));
        }
        seen.add(ty);
    }

    fn column(&mut self, name: &str) -> &mut Seen {
        if !self.columns.contains_key(name) {
            self.columns.insert(name.to_owned(), Seen::default());
        }
        self.columns.get_mut(name).unwrap_or_else(|| unreachable!("it was put there"))
    }
}

impl Seen {
    fn value(&mut self, value: &Json) {
        if let Json::String(text) = value {
            self.texts.add(text);
        }
        self.add(type_of(value));
    }

    /// A field that is text whatever it means: a schema may read it as what it looks like.
    fn text(&mut self, text: &str) {
        self.texts.add(text);
        self.add(match serde_json::from_str::<Json>(text.trim()) {
            Ok(value @ (Json::Number(_) | Json::Array(_) | Json::Object(_))) => type_of(&value),
            _ if matches!(text.trim(), "true" | "True" | "TRUE" | "false" | "False" | "FALSE") => Type::Bool,
            _ => Type::Str,
        });
    }

    fn add(&mut self, ty: Type) {
        match self.types.iter_mut().find(|known| kin(known, &ty)) {
            Some(known) if *known == ty => {}
            Some(known) => *known = unify(std::mem::replace(known, Type::Json), ty),
            None => self.types.push(ty),
        }
    }

    fn column(self, rows: u64) -> Column {
        let absent = rows.saturating_sub(self.there);
        let mut types: Vec<String> = self.types.into_iter().map(|ty| settled(ty).to_string()).collect();
        types.sort();
        types.dedup();
        let texts = self.texts;
        let few = !texts.many && texts.count == self.there && texts.count >= 2 * texts.different.len() as u64;
        let words = (texts.count > 0 && !few).then(|| percentile(&texts.words));
        Column {
            absent: share(absent, rows),
            ty: if types.is_empty() { "none".to_owned() } else { types.join(" | ") },
            values: if few { texts.different.into_iter().collect() } else { Vec::new() },
            words,
        }
    }
}

impl Texts {
    fn add(&mut self, text: &str) {
        self.count += 1;
        *self.words.entry(word_count(text)).or_default() += 1;
        if self.many || self.different.contains(text) {
            return;
        }
        self.many = self.different.len() == FEW || text.chars().count() > SHORT;
        if self.many {
            self.different.clear();
        } else {
            self.different.insert(text.to_owned());
        }
    }
}

/// Counts words: what stands between blanks; where a script has none between its words, as many as its letters usually make: two of Chinese and
/// Japanese, four of Thai, Lao, Khmer and Burmese.
fn word_count(text: &str) -> u64 {
    if text.is_ascii() {
        return text.split_ascii_whitespace().count() as u64;
    }
    let (mut words, mut halves, mut quarters, mut inside) = (0, 0, 0, false);
    for c in text.chars() {
        match c {
            '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
                halves += 1
            }
            '\u{0e01}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => quarters += 1,
            // Marks of East Asian texts end what stands before them, and are none themselves.
            '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' => {}
            c if c.is_whitespace() => {}
            _ => {
                words += u64::from(!inside);
                inside = true;
                continue;
            }
        }
        inside = false;
    }
    words + u64::div_ceil(halves, 2) + u64::div_ceil(quarters, 4)
}

/// A share in ten-thousandths that is 0 or 1 only where none or all are meant.
fn share(part: u64, all: u64) -> f64 {
    if part == 0 || all == 0 {
        return 0.0;
    }
    if part == all {
        return 1.0;
    }
    (part as f64 / all as f64 * 1e4).round().clamp(1.0, 9999.0) / 1e4
}

/// The least number that 99 of 100 do not exceed.
fn percentile(counts: &BTreeMap<u64, u64>) -> u64 {
    let all: u64 = counts.values().sum();
    let mut so_far = 0;
    for (words, rows) in counts {
        so_far += rows;
        if so_far * 100 >= all * 99 {
            return *words;
        }
    }
    0
}

/// The type of a value. [`Type::Error`] stands for what nobody has seen yet: the items of an empty list.
fn type_of(value: &Json) -> Type {
    match value {
        Json::Null => Type::None,
        Json::Bool(_) => Type::Bool,
        Json::Number(n) if n.is_i64() || n.is_u64() => Type::Int,
        Json::Number(_) => Type::Float,
        Json::String(_) => Type::Str,
        Json::Array(items) => Type::List(Box::new(items.iter().map(type_of).fold(Type::Error, unify))),
        Json::Object(fields) if fields.len() > FIELDS => Type::Json,
        Json::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), type_of(value))).collect();
            Type::Record(Row { fields, tail: None })
        }
    }
}

/// The type of an Arrow array, in the words of the language.
fn kind(ty: &DataType) -> Type {
    match ty {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::Str,
        DataType::Dictionary(_, value) => kind(value),
        DataType::Boolean => Type::Bool,
        ty if ty.is_integer() => Type::Int,
        ty if ty.is_floating() => Type::Float,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Type::List(Box::new(kind(item.data_type())))
        }
        DataType::Struct(_) if arrow_type::is_media(ty) => Type::Image,
        DataType::Struct(fields) if fields.len() <= FIELDS => {
            // Whether a field may be absent is not looked at.
            let field =
                |f: &arrow::datatypes::FieldRef| (f.name().clone(), Type::Optional(Box::new(kind(f.data_type()))));
            Type::Record(Row { fields: fields.iter().map(field).collect(), tail: None })
        }
        _ => Type::Json,
    }
}

/// Says whether two types are told as one.
fn kin(a: &Type, b: &Type) -> bool {
    let number = |t: &Type| matches!(t, Type::Int | Type::Float);
    number(a) && number(b) || std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// The type of what is of one type or the other.
fn unify(a: Type, b: Type) -> Type {
    match (a, b) {
        (a, b) if a == b => a,
        (Type::Error, other) | (other, Type::Error) => other,
        (Type::None, other) | (other, Type::None) => optional(other),
        (Type::Optional(a), b) | (b, Type::Optional(a)) => match b {
            Type::Optional(b) => optional(unify(*a, *b)),
            b => optional(unify(*a, b)),
        },
        (Type::Int, Type::Float) | (Type::Float, Type::Int) => Type::Float,
        (Type::List(a), Type::List(b)) => Type::List(Box::new(unify(*a, *b))),
        (Type::Record(a), Type::Record(mut b)) => {
            let mut fields = Vec::with_capacity(a.fields.len());
            for (name, ty) in a.fields {
                let ty = match b.fields.iter().position(|(n, _)| *n == name) {
                    Some(at) => unify(ty, b.fields.remove(at).1),
                    None => optional(ty),
                };
                fields.push((name, ty));
            }
            fields.extend(b.fields.into_iter().map(|(name, ty)| (name, optional(ty))));
            if fields.len() > FIELDS { Type::Json } else { Type::Record(Row { fields, tail: None }) }
        }
        _ => Type::Json,
    }
}

fn optional(ty: Type) -> Type {
    match ty {
        Type::Optional(_) | Type::Json | Type::None => ty,
        ty => Type::Optional(Box::new(ty)),
    }
}

/// The type as it can be written: what was never seen may be anything, and so may a record whose fields have no plain names.
fn settled(ty: Type) -> Type {
    match ty {
        Type::Error | Type::None => Type::Json,
        Type::Optional(inner) => optional(settled(*inner)),
        Type::List(item) => Type::List(Box::new(settled(*item))),
        Type::Record(row) if row.fields.iter().all(|(name, _)| plain(name)) => {
            let mut fields: Vec<_> = row.fields.into_iter().map(|(name, ty)| (name, settled(ty))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Type::Record(Row { fields, tail: None })
        }
        Type::Record(_) => Type::Json,
        other => other,
    }
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, text: &str) -> Columns {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        let mut observer = Observer::default();
        assert!(observer.file(&path, None, &[]).expect("rows"));
        observer.finish()
    }

    fn told(columns: &Columns) -> Vec<String> {
        let one = |(n, c): (&String, &Column)| format!("{n}: {} {} {:?} {:?}", c.ty, c.absent, c.values, c.words);
        columns.iter().map(one).collect()
    }

    #[test]
    fn lines_and_arrays_are_seen_as_they_lie_there() {
        let rows = [
            r#"{"id": "a", "n": 1, "tags": [], "risk": "low", "box": {"x": 1}, "gone": null}"#,
            r#"{"id": "b", "n": 1.5, "tags": ["t"], "risk": "low", "box": {"x": 2, "y": 1}}"#,
            r#"{"id": 3, "n": 2, "tags": ["t", null], "risk": "high", "box": {"x": 2}}"#,
            r#"{"id": "d e", "risk": "high", "odd": {"a b": 1}}"#,
        ];
        let expected = [
            "box: { x: Int, y: Int? } 0.25 [] None",
            "gone: none 1 [] None",
            "id: Int | Str 0 [] Some(2)",
            "n: Float 0.25 [] None",
            "odd: Json 0.75 [] None",
            r#"risk: Str 0 ["high", "low"] None"#,
            "tags: [Str?] 0.25 [] None",
        ];
        assert_eq!(told(&seen("rows.jsonl", &rows.join("\n"))), expected);
        assert_eq!(told(&seen("rows.json", &format!("\u{feff} [\n{}\n]", rows.join(",\n")))), expected);
    }

    #[test]
    fn fields_of_separated_values_are_seen_as_what_they_look_like() {
        let columns = seen("rows.csv", "id,n,ok,list\nx,1,true,\"[1, 2]\"\ny,,false,[]\nx,3,true,\n");
        let expected = [
            r#"id: Str 0 [] Some(1)"#,
            "list: [Int] 0.3333 [] Some(2)",
            "n: Int 0.3333 [] Some(1)",
            "ok: Bool 0 [] Some(1)",
        ];
        assert_eq!(told(&columns), expected);
    }

    #[test]
    fn shares_are_nothing_or_all_only_where_that_is_meant() {
        assert_eq!(
            [share(0, 9), share(1, 1_000_000), share(999_999, 1_000_000), share(3, 3)],
            [0.0, 0.0001, 0.9999, 1.0]
        );
    }

    #[test]
    fn many_long_or_single_texts_are_no_values() {
        let few = |texts: &[String]| {
            let rows: Vec<String> = texts.iter().map(|t| serde_json::json!({ "t": t }).to_string()).collect();
            !seen("rows.jsonl", &rows.join("\n"))["t"].values.is_empty()
        };
        let twice = |n: usize| (0..2 * n).map(|i| (i % n).to_string()).collect::<Vec<_>>();
        assert!(few(&twice(FEW)) && !few(&twice(FEW + 1)));
        assert!(!few(&twice(3)[..4]), "most stand there once");
        assert!(!few(&vec!["x".repeat(SHORT + 1); 9]) && few(&vec!["x".repeat(SHORT); 9]));
    }

    #[test]
    fn words_are_counted_where_no_blanks_part_them() {
        let cases = [
            ("", 0),
            ("put the cup away", 4),
            ("naïve café", 2),
            ("把杯子放到盘子左边。", 5),
            ("杯子 cup 在哪里？", 4),
            ("カップを棚に置く", 4),
            ("วางถ้วยไว้บนชั้น", 4),
            ("컵을 선반 위에", 3),
        ];
        for (text, words) in cases {
            assert_eq!(word_count(text), words, "{text}");
        }
    }
}
