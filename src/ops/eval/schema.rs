//! What a question allows as an answer, as a JSON schema that a server holds the reply to, and the check of what came.

use serde_json::{Value as Json, json};

use crate::eval::{Item, ItemKind};

/// Returns the schema of an answer to an item: `{"answer": …}`; `None` for kinds without a list of answers.
pub fn schema(item: &Item) -> Option<Json> {
    let letters = || (0..item.options.len()).map(|i| char::from(b'A' + i as u8).to_string()).collect::<Vec<_>>();
    let answer = match item.kind {
        ItemKind::Choice => json!({ "type": "string", "enum": letters() }),
        ItemKind::Choices => json!({ "type": "array", "items": { "type": "string", "enum": letters() } }),
        ItemKind::YesNo => json!({ "type": "string", "enum": ["yes", "no"] }),
        ItemKind::Number => json!({ "type": "number" }),
        ItemKind::Text | ItemKind::Point | ItemKind::Judge | ItemKind::Pair => return None,
    };
    Some(json!({
        "type": "object", "properties": { "answer": answer }, "required": ["answer"], "additionalProperties": false,
    }))
}

/// Returns the line that asks for it: servers that only know "some JSON" need the word, and models do better when they are told.
pub fn asked_for(item: &Item) -> String {
    let example = match item.kind {
        ItemKind::Choice => "\"A\"",
        ItemKind::Choices => "[\"A\"]",
        ItemKind::YesNo => "\"yes\" or \"no\"",
        _ => "a number",
    };
    format!("\nAnswer with a JSON object: {{\"answer\": {example}}}.")
}

/// Says whether a reply is what its schema allows. Some servers ignore a schema and answer 200 all the same.
pub fn fits(schema: &Json, reply: &str) -> bool {
    let Ok(Json::Object(fields)) = serde_json::from_str::<Json>(reply.trim()) else { return false };
    let rule = &schema["properties"]["answer"];
    fields.len() == 1 && fields.get("answer").is_some_and(|answer| allowed(rule, answer))
}

fn allowed(rule: &Json, answer: &Json) -> bool {
    match rule["type"].as_str() {
        Some("number") => answer.is_number(),
        Some("array") => answer.as_array().is_some_and(|all| all.iter().all(|one| allowed(&rule["items"], one))),
        _ => rule["enum"].as_array().is_some_and(|list| list.contains(answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: ItemKind, options: &[&str]) -> Item {
        let options = options.iter().map(|o| (*o).to_owned()).collect();
        Item {
            id: "q".to_owned(),
            rotation: 0,
            kind,
            question: String::new(),
            options,
            options_in_question: false,
            key: String::new(),
            images: Vec::new(),
            offsets: None,
            mask: None,
            polygon: None,
            cluster: None,
            groups: Vec::new(),
            pair: None,
            chance: 0.0,
        }
    }

    #[test]
    fn what_a_schema_allows() {
        for (kind, options, good, bad) in [
            (
                ItemKind::Choice,
                &["a", "b"][..],
                vec![r#"{"answer": "B"}"#, " {\"answer\":\"A\"}\n"],
                vec!["B", r#"{"answer": "C"}"#, r#"{"answer": "b"}"#, r#"{"answer": "A", "why": ""}"#],
            ),
            (
                ItemKind::Choices,
                &["a", "b"][..],
                vec![r#"{"answer": ["A", "B"]}"#],
                vec![r#"{"answer": "A"}"#, r#"{"answer": ["C"]}"#],
            ),
            (
                ItemKind::YesNo,
                &[][..],
                vec![r#"{"answer": "no"}"#],
                vec![r#"{"answer": "maybe"}"#, r#"{"answer": false}"#],
            ),
            (ItemKind::Number, &[][..], vec![r#"{"answer": 3.5}"#], vec![r#"{"answer": "three"}"#, "{", "null"]),
        ] {
            let schema = schema(&item(kind, options)).unwrap();
            assert!(good.iter().all(|reply| fits(&schema, reply)), "{kind:?} {good:?}");
            assert!(!bad.iter().any(|reply| fits(&schema, reply)), "{kind:?} {bad:?}");
        }
        assert_eq!(schema(&item(ItemKind::Point, &[])), None);
    }
}
