//! `data.layout`: rows in the shape that training tools expect of files.

use std::borrow::Cow;

use arrow::datatypes::{DataType, Field, Fields};

use crate::base::OpError;
use crate::data::arrow_type::list_of;
use crate::data::cell::{self, Cell};
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static LAYOUT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Shapes rows before an `output` to a file. The question is `.instruction`, a newline and `.input` where there is one; for dpo it is `.prompt`.
## One `<image>` for each picture is put before a question that has none.
op data.layout(
  d: Dataset[{ ..r }],
  ## alpaca: `.instruction .input .output`. sharegpt: `.conversations` of `from, value`. messages: `.messages` of `role, content`.
  ## dpo: `.conversations` and the answers `.chosen .rejected` as `from, value`.
  to: enum { alpaca, sharegpt, messages, dpo },
) -> Dataset[{ ..r }]"#,
        effect: Effect::RowMap,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    to: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    rows::each(cx, "d", |_, d| shaped(&d, &args.to))
}

fn shaped(d: &Table, to: &str) -> Result<Table, OpError> {
    Ok(match to {
        "alpaca" => {
            let input = match d.column("input") {
                Ok(_) => d.texts(&["input".to_owned()])?,
                Err(_) => vec![String::new(); d.rows()],
            };
            let questions = with_placeholders(d, d.texts(&["instruction".to_owned()])?)?;
            d.column("output")?;
            put(&put(d, "instruction", &texts(&questions), &DataType::Utf8)?, "input", &texts(&input), &DataType::Utf8)?
        }
        "sharegpt" => turns(d, "conversations", ("from", "value"), ("human", Some("gpt")))?,
        "messages" => turns(d, "messages", ("role", "content"), ("user", Some("assistant")))?,
        _ => {
            let mut out = turns(d, "conversations", ("from", "value"), ("human", None))?;
            for name in ["chosen", "rejected"] {
                let answers = d.texts(&[name.to_owned()])?;
                let cells: Vec<Cell<'_>> = answers.iter().map(|a| turn(("from", "value"), "gpt", a)).collect();
                out = put(&out, name, &cells, &turn_type(("from", "value")))?;
            }
            out
        }
    })
}

/// Adds a column of turns: the question, and the answer where `answerer` is given.
fn turns(
    d: &Table,
    column: &str,
    keys: (&'static str, &'static str),
    (asker, answerer): (&str, Option<&str>),
) -> Result<Table, OpError> {
    let question = if answerer.is_none() {
        d.texts(&["prompt".to_owned()])?
    } else {
        let mut questions = d.texts(&["instruction".to_owned()])?;
        if d.column("input").is_ok() {
            for (question, input) in questions.iter_mut().zip(d.texts(&["input".to_owned()])?) {
                if !input.is_empty() {
                    question.push('\n');
                    question.push_str(&input);
                }
            }
        }
        questions
    };
    let question = with_placeholders(d, question)?;
    let answer = answerer.map(|_| d.texts(&["output".to_owned()])).transpose()?;
    let cells: Vec<Cell<'_>> = (0..d.rows())
        .map(|row| {
            let asked = turn(keys, asker, &question[row]);
            let answered = answer.as_ref().zip(answerer).map(|(a, who)| turn(keys, who, &a[row]));
            Cell::List([asked].into_iter().chain(answered).collect())
        })
        .collect();
    put(d, column, &cells, &list_of(turn_type(keys)))
}

fn turn<'a>(keys: (&'static str, &'static str), who: &str, text: &'a str) -> Cell<'a> {
    let who = Cell::Str(Cow::Owned(who.to_owned()));
    Cell::Record(vec![(Cow::Borrowed(keys.0), who), (Cow::Borrowed(keys.1), Cell::Str(Cow::Borrowed(text)))])
}

fn turn_type(keys: (&str, &str)) -> DataType {
    DataType::Struct(Fields::from(vec![
        Field::new(keys.0, DataType::Utf8, true),
        Field::new(keys.1, DataType::Utf8, true),
    ]))
}

fn texts(texts: &[String]) -> Vec<Cell<'_>> {
    texts.iter().map(|t| Cell::Str(Cow::Borrowed(t))).collect()
}

fn put(d: &Table, name: &str, cells: &[Cell<'_>], ty: &DataType) -> Result<Table, OpError> {
    let array = cell::column(cells, ty)
        .map_err(|m| OpError::new("E0612", format!("{}: column `{name}`: {}", d.place(m.row), m.message)))?;
    d.with_column(name, array)
}

/// Tools count `<image>` in the text against the pictures of the row.
fn with_placeholders(d: &Table, questions: Vec<String>) -> Result<Vec<String>, OpError> {
    if d.column("images").is_err() {
        return Ok(questions);
    }
    let count = |cell: &Cell<'_>| match cell {
        Cell::List(items) => items.len(),
        _ => 0,
    };
    let counts: Vec<usize> = d.cells("images")?.iter().map(count).collect();
    let mut out = questions;
    for (row, (question, pictures)) in out.iter_mut().zip(counts).enumerate() {
        let have = question.matches("<image>").count();
        if have == 0 {
            question.insert_str(0, &"<image>".repeat(pictures));
        } else if have != pictures {
            let message = format!("{}: the question has {have} `<image>`, the row {pictures} pictures", d.place(row));
            return Err(OpError::new("E0612", message));
        }
    }
    Ok(out)
}
