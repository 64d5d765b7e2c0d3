//! Rows in the layouts of LLaMA-Factory as conversations, and the entries of its `dataset_info.json`.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::base::{OpError, phrase};
use crate::spec::Type;

/// The columns of a conversation, in order: name and type.
pub const COLUMNS: [(&str, &str); 7] = [
    ("id", "Str"),
    ("messages", "[{ role: Str, content: Str }]"),
    ("images", "[Image]"),
    ("videos", "[Video]"),
    ("system", "Str?"),
    ("tools", "Str?"),
    ("kto_tag", "Bool?"),
];

/// The columns that preference pairs have besides.
pub const OF_PAIRS: [(&str, &str); 3] = [("prompt", "Str"), ("chosen", "Str"), ("rejected", "Str")];

/// What columns of a file can be: the keys of `columns`.
const ROLES: [&str; 13] = [
    "prompt", "query", "response", "history", "messages", "system", "tools", "images", "videos", "audios", "chosen",
    "rejected", "kto_tag",
];
/// What people also call the columns of pictures and videos, LLaVA's rows for one. An entry of `dataset_info.json` names its columns itself.
const ALSO: [(&str, &str); 2] = [("images", "image"), ("videos", "video")];
/// The layouts by name, and the column that only rows in it have.
const TOLD_BY: [(&str, &str); 3] = [("alpaca", "instruction"), ("sharegpt", "conversations"), ("messages", "messages")];
/// What marks the parts of a turn: the keys of `tags`.
const TAGS: [&str; 7] =
    ["role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag"];

/// The layout of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Formatting {
    /// Question and answer in columns.
    #[default]
    Alpaca,
    /// A list of turns.
    Sharegpt,
    /// A list of turns, with the names of OpenAI's.
    Openai,
}

/// An entry of `dataset_info.json`, as it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// A repository of the hub.
    pub hf_hub_url: Option<String>,
    /// A repository of ModelScope.
    pub ms_hub_url: Option<String>,
    /// A repository of Modelers.
    pub om_hub_url: Option<String>,
    /// A folder with a loading script.
    pub script_url: Option<String>,
    /// A file of an object store.
    pub cloud_file_name: Option<String>,
    /// A file or folder beside `dataset_info.json`.
    pub file_name: Option<String>,
    /// The layout of the rows.
    pub formatting: Formatting,
    /// Rows are preference pairs.
    pub ranking: bool,
    /// The configuration of a repository.
    pub subset: Option<String>,
    /// The split of a repository.
    pub split: Option<String>,
    /// A folder of a repository.
    pub folder: Option<String>,
    /// Rows at most.
    pub num_samples: Option<usize>,
    columns: Option<Map<String, Json>>,
    tags: Option<Map<String, Json>>,
}

/// How rows are read: which column is what, and how turns are marked.
#[derive(Clone, Debug)]
pub struct Layout {
    formatting: Formatting,
    pairs: bool,
    /// One of the usual layouts, by its name.
    usual: bool,
    columns: Map<String, Json>,
    tags: Map<String, Json>,
}

impl Entry {
    /// Returns how the entry's rows are read. As in LLaMA-Factory, a block `columns` or `tags` names all there is: what it leaves out is not there.
    ///
    /// # Errors
    /// `E0612` for a key that is none of LLaMA-Factory's.
    pub fn layout(&self) -> Result<Layout, OpError> {
        let openai = self.formatting == Formatting::Openai;
        let columns = match &self.columns {
            Some(columns) => known("columns", columns, &ROLES)?,
            None => object(
                json!({ "prompt": "instruction", "query": "input", "response": "output", "messages": "conversations" }),
            ),
        };
        let tags = match &self.tags {
            Some(tags) => known("tags", tags, &TAGS)?,
            None if openai => Layout::of("messages", false).tags,
            None => Layout::of("sharegpt", false).tags,
        };
        Ok(Layout { formatting: self.formatting, pairs: self.ranking, usual: false, columns, tags })
    }
}

fn object(value: Json) -> Map<String, Json> {
    if let Json::Object(map) = value { map } else { Map::new() }
}

fn known(block: &str, given: &Map<String, Json>, names: &[&str]) -> Result<Map<String, Json>, OpError> {
    match given.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(given.clone()),
        Some(unknown) => {
            let near = phrase::nearest(unknown, names.iter().copied());
            let help =
                near.map_or_else(|| format!("there are {}", names.join(", ")), |n| format!("did you mean `{n}`?"));
            Err(OpError::new("E0612", format!("`{block}` has `{unknown}`, which LLaMA-Factory does not know"))
                .help(help))
        }
    }
}

impl Layout {
    /// Returns the usual layout of a name: `alpaca`, `sharegpt` or `messages`.
    pub fn of(name: &str, pairs: bool) -> Self {
        let (formatting, messages, tags) = match name {
            "alpaca" => (Formatting::Alpaca, "", ["", "", "", "", "", "", ""]),
            "sharegpt" => (
                Formatting::Sharegpt,
                "conversations",
                ["from", "value", "human", "gpt", "observation", "function_call", "system"],
            ),
            _ => (
                Formatting::Openai,
                "messages",
                ["role", "content", "user", "assistant", "tool", "function_call", "system"],
            ),
        };
        let columns = json!({ "prompt": "instruction", "query": "input", "response": "output", "history": "history",
            "messages": messages, "system": "system", "tools": "tools", "images": "images", "videos": "videos",
            "audios": "audios", "chosen": "chosen", "rejected": "rejected", "kto_tag": "kto_tag" });
        let tags = TAGS.iter().zip(tags).map(|(tag, text)| ((*tag).to_owned(), Json::from(text))).collect();
        Self { formatting, pairs, usual: true, columns: object(columns), tags }
    }

    /// Returns the usual layout whose column a row has, and that column, where it lacks the one of this layout.
    pub fn rather(&self, row: &Map<String, Json>) -> Option<(&'static str, &'static str)> {
        let has = |column: &str| row.get(column).is_some_and(|value| !value.is_null());
        let own = if self.formatting == Formatting::Alpaca { self.name("prompt") } else { self.name("messages") };
        if !self.usual || has(own) {
            return None;
        }
        TOLD_BY.into_iter().find(|(_, column)| has(column))
    }

    /// Returns the columns that are read, and as what.
    pub fn reads(&self) -> Vec<(String, Type)> {
        let ty = |role: &str| match role {
            "images" => Type::Image,
            "videos" => Type::Video,
            "kto_tag" => Type::Optional(Box::new(Type::Bool)),
            _ => Type::Str,
        };
        let named = self.columns.iter().filter_map(|(role, name)| Some((name.as_str()?.to_owned(), ty(role))));
        named.chain(ALSO.iter().filter(|_| self.usual).map(|(role, name)| ((*name).to_owned(), ty(role)))).collect()
    }

    /// Makes a row of [`COLUMNS`] (and [`OF_PAIRS`]) of a row of the file; `place` is its id where it has none.
    ///
    /// # Errors
    /// What does not fit, where LLaMA-Factory would drop the row, empty it or train on something else.
    pub fn convert(&self, row: &Json, place: &str) -> Result<Json, String> {
        let Json::Object(row) = row else { return Err("expected an object".to_owned()) };
        let mut talk = match self.formatting {
            Formatting::Alpaca => self.alpaca(row),
            _ => self.turns(row),
        }
        .map_err(|why| match self.rather(row) {
            Some((_, column)) => format!("{why}; `{column}` is there"),
            None => why,
        })?;
        let has = |column: &str| row.get(column).is_some_and(|value| !value.is_null());
        if let Some((role, also)) = ALSO.iter().find(|(role, also)| self.usual && has(role) && has(also)) {
            return Err(format!("has both `{role}` and `{also}`"));
        }
        let media = |role: &str| match self.cell(row, role) {
            None => Ok(Vec::new()),
            Some(Json::Array(items)) => Ok(items.iter().filter(|i| !i.is_null()).cloned().collect()),
            Some(one @ (Json::String(_) | Json::Object(_))) => Ok(vec![one.clone()]),
            Some(_) => Err(format!("column `{}`: expected a path or a list of paths", self.name(role))),
        };
        let (images, videos) = (media("images")?, media("videos")?);
        if let Some(n) = videos.iter().position(Json::is_array) {
            return Err(format!("video {n} is a list of frames: give the frames as `images`"));
        }
        if !media("audios")?.is_empty() {
            return Err(format!("column `{}`: sound is not supported", self.name("audios")));
        }
        let kto = match self.cell(row, "kto_tag") {
            None => Json::Null,
            Some(tag @ Json::Bool(_)) => tag.clone(),
            Some(other) => {
                return Err(format!("column `{}`: expected true or false, found {other}", self.name("kto_tag")));
            }
        };
        let mut out = Map::new();
        if self.pairs {
            let answer = |role: &str| self.answer(row, role);
            let (chosen, rejected) = (answer("chosen")?, answer("rejected")?);
            match talk.messages.last() {
                Some((role, question)) if role == "user" || role == "tool" => {
                    out.insert("prompt".into(), question.clone().into());
                }
                _ => return Err("the conversation of a pair ends with a question".to_owned()),
            }
            out.insert("chosen".into(), chosen.into());
            out.insert("rejected".into(), rejected.into());
        } else if talk.messages.last().is_none_or(|(role, _)| role != "assistant") {
            return Err("the conversation does not end with an answer".to_owned());
        }
        for (marker, media) in [("<image>", &images), ("<video>", &videos)] {
            let placed: usize = talk.messages.iter().map(|(_, text)| text.matches(marker).count()).sum();
            if placed > 0 && placed != media.len() {
                let read =
                    self.unread(row, marker).map(|found| format!("; `{found}` is none of the columns read for them"));
                let (files, read) = (phrase::count(media.len(), "file"), read.unwrap_or_default());
                return Err(format!("the text has {placed} `{marker}`, the row {files} for them{read}"));
            }
        }
        if let Some(system) = self.text(row, "system")?.filter(|s| !s.is_empty()) {
            talk.system = Some(system);
        }
        let tools = match self.cell(row, "tools") {
            None => None,
            Some(Json::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let id = match row.get("id") {
            Some(Json::String(id)) if !id.is_empty() => id.clone(),
            Some(id @ Json::Number(_)) => id.to_string(),
            _ => place.to_owned(),
        };
        let messages = talk.messages.iter().map(|(role, content)| json!({ "role": role, "content": content }));
        out.insert("id".into(), id.into());
        out.insert("messages".into(), messages.collect());
        out.insert("images".into(), images.into());
        out.insert("videos".into(), videos.into());
        out.insert("system".into(), talk.system.into());
        out.insert("tools".into(), tools.filter(|t| !t.is_empty()).into());
        out.insert("kto_tag".into(), kto);
        Ok(Json::Object(out))
    }

    fn name(&self, role: &str) -> &str {
        self.columns.get(role).and_then(Json::as_str).unwrap_or_default()
    }

    /// Returns the value of the column that plays a role.
    fn cell<'r>(&self, row: &'r Map<String, Json>, role: &str) -> Option<&'r Json> {
        let also = ALSO.iter().find(|(of, _)| self.usual && *of == role).map(|(_, name)| *name);
        let named = self.columns.get(role).and_then(Json::as_str);
        // A table without empty cells has empty texts.
        let absent =
            |value: &Json| value.is_null() || value == "" && !["response", "chosen", "rejected"].contains(&role);
        let filled = |column: &str| row.get(column).filter(|value| !absent(value));
        named.and_then(filled).or_else(|| also.and_then(filled))
    }

    /// Returns a column that no role has, and whose name says that it holds what a marker stands for.
    fn unread<'r>(&self, row: &'r Map<String, Json>, marker: &str) -> Option<&'r str> {
        let words: &[&str] = if marker == "<image>" { &["image", "img", "photo", "pic"] } else { &["video", "clip"] };
        let reads = self.reads();
        let read = |column: &str| reads.iter().any(|(name, _)| name == column);
        let speaks = |column: &str| words.iter().any(|word| column.to_lowercase().contains(word));
        row.iter().map(|(column, _)| column.as_str()).find(|column| speaks(column) && !read(column))
    }

    fn text(&self, row: &Map<String, Json>, role: &str) -> Result<Option<String>, String> {
        match self.cell(row, role) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(format!("column `{}`: expected Str, found {other}", self.name(role))),
        }
    }

    fn alpaca(&self, row: &Map<String, Json>) -> Result<Talk, String> {
        let mut talk = Talk::default();
        if let Some(history) = self.cell(row, "history") {
            let wrong = || format!("column `{}`: expected a list of pairs of texts", self.name("history"));
            for pair in history.as_array().ok_or_else(wrong)? {
                match pair.as_array().map(Vec::as_slice) {
                    Some([Json::String(question), Json::String(answer)]) => {
                        talk.say("user", question);
                        talk.say("assistant", answer);
                    }
                    _ => return Err(wrong()),
                }
            }
        }
        let asked: Vec<String> = [self.text(row, "prompt")?, self.text(row, "query")?]
            .into_iter()
            .flatten()
            .filter(|t| !t.is_empty())
            .collect();
        if asked.is_empty() {
            return Err(format!("column `{}` is missing", self.name("prompt")));
        }
        talk.say("user", &asked.join("\n"));
        if !self.pairs {
            let answer = self.text(row, "response")?;
            talk.say("assistant", &answer.ok_or_else(|| format!("column `{}` is missing", self.name("response")))?);
        }
        Ok(talk)
    }

    fn turns(&self, row: &Map<String, Json>) -> Result<Talk, String> {
        let column = self.name("messages");
        let turns = self.cell(row, "messages").ok_or_else(|| format!("column `{column}` is missing"))?;
        let turns = turns.as_array().ok_or_else(|| format!("column `{column}`: expected a list of turns"))?;
        let mut talk = Talk::default();
        for (i, turn) in turns.iter().enumerate() {
            let (role, text) = self.turn(turn).map_err(|why| format!("column `{column}`: turn {i} {why}"))?;
            if role == "system" && i == 0 {
                talk.system = Some(text);
                continue;
            }
            let asks = role == "user" || role == "tool";
            let turn_to_ask = talk.messages.last().is_none_or(|(role, _)| role == "assistant");
            // Results of several tools may follow each other.
            let again = role == "tool" && talk.messages.last().is_some_and(|(role, _)| role == "tool");
            if role == "system" || asks != turn_to_ask && !again {
                return Err(format!("column `{column}`: turn {i} is said by {role}, which does not follow"));
            }
            talk.say(&role, &text);
        }
        Ok(talk)
    }

    /// Reads a turn: who speaks, in the words of the chat templates, and the text.
    fn turn(&self, turn: &Json) -> Result<(String, String), String> {
        let tag = |name: &str| self.tags.get(name).and_then(Json::as_str).unwrap_or_default();
        let field = |name: &str| turn.get(tag(name)).filter(|v| !v.is_null());
        let said =
            field("role_tag").and_then(Json::as_str).ok_or_else(|| format!("has no text `{}`", tag("role_tag")))?;
        let parts = match field("content_tag") {
            Some(Json::String(text)) => Some(text.clone()),
            Some(Json::Array(parts)) => Some(joined(parts)?),
            None => None,
            Some(other) => return Err(format!("has {other} where text is expected")),
        };
        let calls = turn.get("tool_calls").and_then(Json::as_array).filter(|calls| !calls.is_empty());
        let missing = || format!("has no text `{}`", tag("content_tag"));
        let role = ["user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag"]
            .into_iter()
            .find(|name| !tag(name).is_empty() && tag(name) == said);
        match role {
            Some("user_tag") => Ok(("user".into(), parts.ok_or_else(missing)?)),
            Some("assistant_tag") if calls.is_some() => {
                let calls = calls.into_iter().flatten().map(|call| tool_call(call.get("function").unwrap_or(call)));
                let said = parts.filter(|text| !text.is_empty()).into_iter().map(Ok);
                Ok(("assistant".into(), said.chain(calls).collect::<Result<Vec<_>, String>>()?.join("\n")))
            }
            Some("assistant_tag") => Ok(("assistant".into(), parts.ok_or_else(missing)?)),
            Some("observation_tag") => Ok(("tool".into(), parts.ok_or_else(missing)?)),
            Some("function_tag") => {
                let text = parts.ok_or_else(missing)?;
                let call: Json =
                    serde_json::from_str(&text).map_err(|e| format!("calls a tool, and is no JSON: {e}"))?;
                let calls = if let Json::Array(calls) = &call { calls.as_slice() } else { std::slice::from_ref(&call) };
                Ok(("assistant".into(), calls.iter().map(tool_call).collect::<Result<Vec<_>, _>>()?.join("\n")))
            }
            Some("system_tag") => Ok(("system".into(), parts.ok_or_else(missing)?)),
            _ => Err(format!("is said by {said:?}, which no tag names")),
        }
    }

    /// An answer of a pair: text, or a turn of the other party.
    fn answer(&self, row: &Map<String, Json>, role: &str) -> Result<String, String> {
        let column = self.name(role);
        match (self.formatting, self.cell(row, role)) {
            (_, None) => Err(format!("column `{column}` is missing")),
            (_, Some(Json::String(text))) => Ok(text.clone()),
            (Formatting::Alpaca, Some(other)) => Err(format!("column `{column}`: expected Str, found {other}")),
            (_, Some(turn)) => match self.turn(turn).map_err(|why| format!("column `{column}` {why}"))? {
                (role, text) if role == "assistant" => Ok(text),
                (role, _) => Err(format!("column `{column}` is said by {role}")),
            },
        }
    }
}

/// Writes a call as Qwen's template does.
fn tool_call(call: &Json) -> Result<String, String> {
    let name = call.get("name").and_then(Json::as_str).ok_or("calls a tool without a name")?;
    let arguments = match call.get("arguments") {
        Some(Json::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| Json::from(text.as_str())),
        Some(value) => value.clone(),
        None => json!({}),
    };
    Ok(format!("<tool_call>\n{}\n</tool_call>", json!({ "name": name, "arguments": arguments })))
}

/// Joins the parts of a message of OpenAI's; a picture stands as `<image>`, its place among the row's pictures.
fn joined(parts: &[Json]) -> Result<String, String> {
    let part = |part: &Json| match part.get("type").and_then(Json::as_str) {
        Some("text") => Ok(part.get("text").and_then(Json::as_str).unwrap_or_default().to_owned()),
        Some("image" | "image_url") => Ok("<image>".to_owned()),
        Some("video" | "video_url") => Ok("<video>".to_owned()),
        other => Err(format!("has a part of type {}", other.unwrap_or("none"))),
    };
    parts.iter().map(part).collect::<Result<Vec<_>, _>>().map(|parts| parts.concat())
}

#[derive(Default)]
struct Talk {
    system: Option<String>,
    messages: Vec<(String, String)>,
}

impl Talk {
    fn say(&mut self, role: &str, text: &str) {
        self.messages.push((role.to_owned(), text.to_owned()));
    }
}
