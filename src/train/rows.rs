//! Rows of a dataset as training reads them: prompt, replies, pictures, by the columns of the language's SFT and preference rows.

use std::sync::Arc;

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::table::Table;

/// A picture of a row, a video or a frame of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Medium {
    /// BLAKE3 of the file, 64 hex digits.
    pub digest: String,
    /// Media type.
    pub media: String,
}

impl Medium {
    /// Says whether it is a file that holds a video.
    pub fn is_video(&self) -> bool {
        self.media.starts_with("video/")
    }
}

/// One row before encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct TextRow {
    /// Its `id`, or its ordinal.
    pub name: String,
    /// System prompt of its own.
    pub system: Option<String>,
    /// What is said before the reply: role and text of each message, the prompt last.
    pub messages: Vec<(String, String)>,
    /// What the model is to say: one text, or better and worse; none where a conversation ends without a reply.
    pub replies: Vec<String>,
    /// Pictures in order.
    pub images: Vec<Medium>,
    /// Videos in order: each a file, or its frames.
    pub videos: Vec<Vec<Medium>>,
    /// A text per image token.
    pub cells: Option<Arc<Vec<String>>>,
    /// Phrases of the prompt, each with its label.
    pub phrases: Vec<(String, String)>,
}

/// Which columns are read.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    /// Joined with a newline; absent or empty texts are left out.
    pub prompt: Vec<&'a str>,
    /// One reply each.
    pub replies: Vec<&'a str>,
    /// A list of `role` and `content` that is read instead where there is such a column and no first prompt column.
    pub messages: Option<&'a str>,
    /// A list of texts, one per image token.
    pub cells: Option<&'a str>,
    /// A list of `phrase` and `label`.
    pub phrases: Option<&'a str>,
}

impl Columns<'_> {
    /// `instruction`, `input` → `output`; or `messages`.
    pub fn sft() -> Self {
        Columns { messages: Some("messages"), ..Columns::of(vec!["instruction", "input"], vec!["output"]) }
    }

    /// `prompt`, joined → each of `replies`.
    pub fn of<'a>(prompt: Vec<&'a str>, replies: Vec<&'a str>) -> Columns<'a> {
        Columns { prompt, replies, messages: None, cells: None, phrases: None }
    }

    /// `prompt` → `chosen`, `rejected`.
    pub fn pairs() -> Self {
        Columns::of(vec!["prompt"], vec!["chosen", "rejected"])
    }

    /// Says whether the rows of a table are whole conversations.
    pub fn conversations(&self, table: &Table) -> bool {
        let there = |name: &&str| table.column(name).is_ok();
        self.messages.as_ref().is_some_and(there) && !self.prompt.first().is_some_and(there)
    }
}

/// Reads all rows of a table. The first prompt column and all reply columns must be there, or the messages; `input`, `system`,
/// `images`, `image`, `videos`, `video` and `id` are read where they are.
///
/// # Errors
/// `E0301` naming the column that is not there.
pub fn read(table: &Table, columns: &Columns) -> Result<Vec<TextRow>, OpError> {
    let optional = |name: &str| table.column(name).ok();
    let talk = columns.messages.filter(|_| columns.conversations(table)).map(|name| table.column(name)).transpose()?;
    let texts = talk.is_none();
    let prompts =
        columns.prompt.iter().filter(|_| texts).enumerate().filter_map(|(i, name)| match (i, table.column(name)) {
            (_, Ok(column)) => Some(Ok(column)),
            (0, Err(e)) => Some(Err(e)),
            _ => None,
        });
    let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
    let replies =
        columns.replies.iter().filter(|_| texts).map(|name| table.column(name)).collect::<Result<Vec<_>, _>>()?;
    let cells = columns.cells.map(|name| table.column(name)).transpose()?;
    let phrases = columns.phrases.map(|name| table.column(name)).transpose()?;
    let (id, system) = (optional("id"), optional("system"));
    let images: Vec<_> = ["images", "image"].iter().filter_map(|name| optional(name)).collect();
    let videos: Vec<_> = ["videos", "video"].iter().filter_map(|name| optional(name)).collect();
    let text = |cell: Cell| cell.text().into_owned();
    let mut said_of_cells: Option<Arc<Vec<String>>> = None;
    let rows = (0..table.rows()).map(|row| {
        let said: Vec<String> =
            prompts.iter().map(|c| text(Cell::read(c.as_ref(), row))).filter(|t| !t.is_empty()).collect();
        let media = |columns: &[&arrow::array::ArrayRef]| -> Vec<Medium> {
            columns.iter().flat_map(|c| media_of(&Cell::read(c.as_ref(), row))).collect()
        };
        let mut messages = match talk {
            Some(column) => conversation(&Cell::read(column.as_ref(), row)),
            None => asked(&said.join("\n")),
        };
        let mut replies: Vec<String> = replies.iter().map(|c| text(Cell::read(c.as_ref(), row))).collect();
        replies.extend(messages.pop_if(|(role, _)| role == "assistant").map(|(_, reply)| reply));
        let own_system = messages.first().filter(|(role, _)| role == "system").map(|(_, text)| text.clone());
        messages.drain(..usize::from(own_system.is_some()));
        TextRow {
            name: id
                .map(|c| text(Cell::read(c.as_ref(), row)))
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| row.to_string()),
            system: own_system.or_else(|| {
                let system = system.map(|c| text(Cell::read(c.as_ref(), row)));
                system.filter(|s| !s.is_empty())
            }),
            messages,
            replies,
            images: media(&images),
            videos: videos.iter().flat_map(|c| videos_of(&Cell::read(c.as_ref(), row))).collect(),
            cells: cells.and_then(|c| match Cell::read(c.as_ref(), row) {
                Cell::List(texts) if !texts.is_empty() => {
                    let texts: Vec<String> = texts.into_iter().map(text).collect();
                    // Neighbours on the same picture share one copy.
                    if said_of_cells.as_deref() != Some(&texts) {
                        said_of_cells = Some(Arc::new(texts));
                    }
                    said_of_cells.clone()
                }
                _ => None,
            }),
            phrases: phrases.map_or_else(Vec::new, |c| pairs_of(&Cell::read(c.as_ref(), row), "phrase", "label")),
        }
    });
    Ok(rows.collect())
}

/// Reads what `train.logps` adds to pairs: the log-probabilities of both replies, in nats.
///
/// # Errors
/// `E0301` naming the column that is not there, `E0302` the row that has no number in it.
pub fn references(table: &Table) -> Result<Vec<(f64, f64)>, OpError> {
    let numbers = |name: &str| -> Result<Vec<f64>, OpError> {
        let column = table.column(name).map_err(|e| {
            e.help("`reference: \"columns\"` reads what `other |> train.logps(pairs: …)` adds to the pairs")
        })?;
        let number = |row: usize| {
            let found = Cell::read(column.as_ref(), row).as_f64().filter(|logp| logp.is_finite() && *logp <= 0.0);
            let odd = || format!("{}: `{name}` is no log-probability", table.place(row));
            found.ok_or_else(|| {
                OpError::new("E0302", odd()).help("it is a sum of nats, at most 0, as `train.logps` makes it")
            })
        };
        (0..table.rows()).map(number).collect()
    };
    Ok(numbers("logp_chosen")?.into_iter().zip(numbers("logp_rejected")?).collect())
}

/// Returns a conversation of one message.
pub fn asked(prompt: &str) -> Vec<(String, String)> {
    vec![("user".to_owned(), prompt.to_owned())]
}

/// Returns role and text of each message of a cell; what a tool says is an observation.
fn conversation(cell: &Cell) -> Vec<(String, String)> {
    let role = |role: String| if role == "tool" { "observation".to_owned() } else { role };
    pairs_of(cell, "role", "content").into_iter().map(|(from, said)| (role(from), said)).collect()
}

/// Returns two texts of each record of a list.
fn pairs_of(cell: &Cell, first: &str, second: &str) -> Vec<(String, String)> {
    let Cell::List(records) = cell else { return Vec::new() };
    let field = |record: &Cell, name: &str| record.field(name).map(|c| c.text().into_owned()).unwrap_or_default();
    records.iter().map(|record| (field(record, first), field(record, second))).collect()
}

/// Returns the pictures of a cell: a list of them, or one.
fn media_of(cell: &Cell) -> Vec<Medium> {
    match cell {
        Cell::List(items) => items.iter().flat_map(media_of).collect(),
        Cell::Record(_) => {
            let field = |name: &str| cell.field(name).map(|c| c.text().into_owned()).unwrap_or_default();
            vec![Medium { digest: field("digest"), media: field("media") }]
        }
        _ => Vec::new(),
    }
}

/// Returns the videos of a cell: one, a list of them, or the frames of one as a list of pictures.
pub fn videos_of(cell: &Cell) -> Vec<Vec<Medium>> {
    match cell {
        Cell::List(items) if !items.iter().any(|item| matches!(item, Cell::List(_))) => {
            let (files, frames): (Vec<Medium>, Vec<Medium>) = media_of(cell).into_iter().partition(Medium::is_video);
            let frames = Some(frames).filter(|frames| !frames.is_empty());
            files.into_iter().map(|file| vec![file]).chain(frames).collect()
        }
        Cell::List(items) => items.iter().flat_map(videos_of).collect(),
        _ => media_of(cell).into_iter().map(|medium| vec![medium]).collect(),
    }
}

/// Reads the pictures of a column.
///
/// # Errors
/// `E0301` when the column is not there.
pub fn pictures(table: &Table, column: &str) -> Result<Vec<Vec<Medium>>, OpError> {
    let column = table.column(column)?;
    Ok((0..table.rows()).map(|row| media_of(&Cell::read(column.as_ref(), row))).collect())
}
