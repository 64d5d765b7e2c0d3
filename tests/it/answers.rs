//! Replies that a server is held to, that are begun for a model, that a judge marks, and that come from and go to FlagEvalMM's files.

use std::fs;

use serde_json::{Value as Json, json};

use crate::chat_server::{Act, Server};
use crate::engine::Place;

/// The question of a request, whatever follows it.
fn asked(body: &Json) -> String {
    let user = body["messages"].as_array().unwrap().iter().rfind(|m| m["role"] == "user").unwrap();
    user["content"].as_array().unwrap().iter().rfind(|p| p["type"] == "text").unwrap()["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn number_of(text: &str) -> usize {
    text.split(|c: char| !c.is_ascii_digit()).find_map(|w| w.parse().ok()).unwrap()
}

/// What is right, by kind: a choice, yes or no, a number, a text.
const RIGHT: [&str; 4] = ["B", "yes", "7", "a cup"];

fn place(recipe: &str, url: &str) -> Place {
    let place = Place::new();
    let row = |i: usize| {
        let kind = ["choice", "yes_no", "number", "text"][i % 4];
        let key = RIGHT[i % 4];
        json!({ "id": format!("q{i}"), "kind": kind, "q": format!("Question {i}?"),
                "o": if i % 4 == 0 { json!(["red", "green", "blue"]) } else { json!([]) }, "a": key })
    };
    place.write("items.jsonl", &(0..16).map(|i| format!("{}\n", row(i))).collect::<String>());
    place.write_quietly("recipe.rb2", &recipe.replace("URL", url));
    place
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

const RECIPE: &str = r#"
recipe "held"
import std.{bench, read, mark, total, eval, model}
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: .kind, question: .q, options: .o, key: .a)
  |> bench.ask(choice: "{question}\n{options}", yes_no: "{question}", number: "{question}", text: "{question}", generate: { stop: ["END"] })
  |> bench.read(choice: read.choice(), yes_no: read.yes_no(), number: read.number(), text: read.text())
  |> bench.mark(choice: mark.letter(), yes_no: mark.yes_no(), number: mark.near(abs: 0.1), text: mark.text_equal())
  |> bench.total(headline: total.micro())
let s = eval.run(model.server("URL", name: "m"MODEL), on: asked RUN) with { at_most: 4 }
output score = s to "out/score.json"
output items = s.items to "out/items.jsonl"
"#;

/// A server is asked to hold each reply to what its question allows; one that does not is told from one that does.
#[test]
fn replies_are_held_to_what_a_question_allows() {
    let strict = Server::new(|_, body| {
        let n = number_of(&asked(body));
        match n % 4 {
            // Question 4 is answered by a server that ignores the schema and says 200 all the same.
            0 if n == 4 => Act::Text("I think that the answer is B.".into()),
            0 => Act::Say(json!({ "answer": "B" })),
            1 => Act::Say(json!({ "answer": "yes" })),
            2 => Act::Say(json!({ "answer": 7 })),
            _ => Act::Text("A cup.".into()),
        }
    });
    let place = place(&RECIPE.replace("MODEL", ", answers: \"listed\"").replace("RUN", ""), &strict.url);
    let ran = place.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for (_, body) in strict.requests() {
        let n = number_of(&asked(&body));
        let answer = &body["response_format"]["json_schema"]["schema"]["properties"]["answer"];
        let want = match n % 4 {
            0 => json!({ "type": "string", "enum": ["A", "B", "C"] }),
            1 => json!({ "type": "string", "enum": ["yes", "no"] }),
            2 => json!({ "type": "number" }),
            _ => Json::Null,
        };
        assert_eq!(*answer, want, "question {n}");
        assert_eq!(asked(&body).contains("JSON object"), n % 4 != 3, "{}", asked(&body));
    }
    let score: Json = serde_json::from_str(&place.read("out/score.json")).unwrap();
    assert_eq!((score["value"].as_f64(), score["listed"]["outside"].as_u64()), (Some(1.0), Some(1)), "{score}");
    let items = lines(&place.read("out/items.jsonl"));
    let strange: Vec<&str> = items.iter().filter(|i| !i["note"].is_null()).map(|i| i["id"].as_str().unwrap()).collect();
    assert_eq!(strange, ["q4"], "{items:?}");
    assert_eq!(items[0]["reply"], r#"{"answer":"B"}"#, "the raw reply stays as it came");

    // A server that knows no schema is asked for JSON alone, by the word that it wants to see.
    let plain = Server::new(|_, body| match body["response_format"]["type"].as_str() {
        Some("json_schema") => {
            Act::Fail(400, "", r#"{"error": {"message": "response_format json_schema is not supported"}}"#)
        }
        _ => {
            let said = RIGHT[number_of(&asked(body)) % 4];
            Act::Say(json!({ "answer": said }))
        }
    });
    place.write_quietly(
        "recipe.rb2",
        &RECIPE.replace("URL", &plain.url).replace("MODEL", ", answers: \"listed\"").replace("RUN", ""),
    );
    let ran = place.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let score: Json = serde_json::from_str(&place.read("out/score.json")).unwrap();
    // The numbers come as texts there: outside the schema, and read all the same.
    assert_eq!((score["value"].as_f64(), score["listed"]["outside"].as_u64()), (Some(1.0), Some(4)), "{score}");
}

#[test]
fn what_cannot_go_together_is_said() {
    let server = Server::new(|_, _| Act::Text("B".into()));
    for (model, run, words) in [
        ("", ", confidence: true", "goes with no `confidence`"),
        (", prefill: \"<answer>\"", "", "goes with no `prefill`"),
    ] {
        let model = format!(", answers: \"listed\"{model}");
        let place = place(&RECIPE.replace("MODEL", &model).replace("RUN", run), &server.url);
        let ran = place.run(&[]);
        assert!(ran.code != 0 && ran.stderr.contains(words), "{}", ran.stderr);
    }
    assert!(server.requests().is_empty(), "nothing was asked");
}

/// A reply that is begun for the model is gone on with, and read without what it was begun with.
#[test]
fn a_reply_is_begun_for_the_model() {
    let server = Server::new(|_, body| {
        let n = number_of(&asked(body));
        let value = RIGHT[n % 4];
        // Half of them send back what the reply was begun with.
        Act::Text(format!("{}{value}</answer> and more", if n % 8 < 4 { "<think></think><answer>" } else { "" }))
    });
    let model = ", prefill: \"<think></think><answer>\", stop: [\"</answer>\"]";
    let place = place(&RECIPE.replace("MODEL", model).replace("RUN", ""), &server.url);
    let ran = place.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for (_, body) in server.requests() {
        let last = body["messages"].as_array().unwrap().last().unwrap();
        assert_eq!(*last, json!({ "role": "assistant", "content": "<think></think><answer>" }));
        assert_eq!((&body["add_generation_prompt"], &body["continue_final_message"]), (&json!(false), &json!(true)));
        assert_eq!(body["stop"], json!(["END", "</answer>"]), "the benchmark's and the model's");
    }
    let score: Json = serde_json::from_str(&place.read("out/score.json")).unwrap();
    assert_eq!(
        (score["value"].as_f64(), score["prefill"].as_str()),
        (Some(1.0), Some("<think></think><answer>")),
        "{score}"
    );
    let items = lines(&place.read("out/items.jsonl"));
    assert!(items.iter().all(|i| !i["reply"].as_str().unwrap().starts_with("<think>")), "{items:?}");
}

const JUDGED: &str = r#"
recipe "judged"
import std.{data, bench, read, mark, total, eval, judge}
schema Reply { id: Str, reply: Str }
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: .kind, question: .q, options: .o, key: .a)
  |> bench.ask(choice: "{question}\n{options}", yes_no: "{question}", number: "{question}", judge: "{question}")
  |> bench.read(choice: read.choice(), yes_no: read.yes_no(), number: read.number(), judge: read.text())
  |> bench.mark(choice: mark.letter(), yes_no: mark.yes_no(), number: mark.near(abs: 0.1), judge: mark.text_equal())
  |> bench.total(headline: total.micro())
let said = eval.score(data.jsonl("replies.jsonl", as: Reply), on: asked)
let judged = judge.replies(said, on: asked, by: "judge", url: "URL") with { at_most: 1, spend: SPENDtok }
output before = said to "out/before.json"
output score = judged to "out/score.json"
output items = judged.items to "out/items.jsonl"
"#;

/// Sixteen questions, each fourth of them open-ended.
fn judged(spend: &str, url: &str) -> Place {
    let place = place(&JUDGED.replace("SPEND", spend), url);
    place.write("items.jsonl", &place.read("items.jsonl").replace("\"text\"", "\"judge\""));
    place
}

/// Open-ended replies are marked by a judge, once each, within its budget; the others keep their marks.
#[test]
fn a_judge_marks_open_ended_replies() {
    let server = Server::new(|_, body| {
        let text = asked(body);
        let verdict = if text.contains("a small mug") {
            "correct"
        } else if text.contains("hm") {
            "invalid"
        } else {
            "incorrect"
        };
        Act::Say(json!({ "reason": format!("because of {verdict}"), "verdict": verdict }))
    });
    let place = judged("1000", &server.url);
    let reply = |i: usize| {
        let text = if i % 4 == 3 {
            ["a small mug", "hm", "a plate", "a small mug"][i / 4]
        } else {
            ["B", "no", "7", ""][i % 4]
        };
        format!("{}\n", json!({ "id": format!("q{i}"), "reply": text }))
    };
    place.write("replies.jsonl", &(0..16).map(reply).collect::<String>());
    let ran = place.run(&[]);
    assert!(ran.code != 0 && ran.stderr.contains("raise `with { spend: … }`"), "the budget holds: {}", ran.stderr);
    let paid = server.requests().len();
    assert!((1..4).contains(&paid), "{paid} were asked");
    place.write_quietly("recipe.rb2", &JUDGED.replace("URL", &server.url).replace("SPEND", "100_000"));
    let ran = place.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(server.requests().len(), 4, "each verdict is paid for once");
    let [before, score] =
        ["before", "score"].map(|n| serde_json::from_str::<Json>(&place.read(&format!("out/{n}.json"))).unwrap());
    // Of sixteen eight are right by rule; the judge adds two of four.
    assert_eq!((before["value"].as_f64(), score["value"].as_f64()), (Some(0.5), Some(0.625)), "{score}");
    assert_eq!(score["judge"]["verdicts"], json!({ "correct": 2, "incorrect": 1, "invalid": 1 }));
    assert_eq!(score["unparsed"].as_f64(), Some(1.0 / 16.0), "{score}");
    assert_eq!(score["groups"]["kind"]["judge"]["value"].as_f64(), Some(0.5), "{score}");
    let items = lines(&place.read("out/items.jsonl"));
    let third = items.iter().find(|i| i["id"] == "q3").unwrap();
    assert_eq!(
        (third["rule"].as_str(), third["note"].as_str()),
        (Some("judge"), Some("judge: because of correct")),
        "{third}"
    );
    assert_eq!(items.iter().find(|i| i["id"] == "q0").unwrap()["rule"], "single", "{:?}", items[0]);
}

const FLAG: &str = r#"
recipe "flag"
import std.{data, bench, read, mark, total, eval}
schema Old { question_id: Json, answer: Json }
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "choice", question: .q, options: ["red", "green", "blue"], key: .a, groups: { skill: .skill })
  |> bench.ask(choice: "{question}\n{options}")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())
  |> bench.compat(choice: read.choice_flagevalmm())
let grid = sweep m in { old: eval.from_flagevalmm(data.jsonl("erqa/erqa.json", as: Old)) } { eval.score(m, on: asked) }
let old = grid.at(m: "old")
output score = old to "out/score.json"
output items = old.items to "out/items.jsonl"
output table = grid.table(show: ["compat"]) to "out/table.md"
output files = eval.to_flagevalmm(old, task: "erqa") to "out/erqa"
"#;

/// A run of FlagEvalMM is scored again: its own number stands beside ours, and its files come out as they went in.
#[test]
fn a_run_of_flagevalmm_is_scored_again() {
    let place = Place::new();
    let keys = ["A", "B", "C", "A", "B", "C"];
    let item = |(i, a): (usize, &&str)| {
        let skill = ["near", "far"][i % 2];
        json!({ "id": i.to_string(), "q": format!("Question {i}?"), "a": a, "skill": skill })
    };
    place.write("items.jsonl", &keys.iter().enumerate().map(|i| format!("{}\n", item(i))).collect::<String>());
    let usage = json!({ "prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10 });
    let answers = [
        json!("A"),
        json!("<answer>B</answer>"),
        json!("Error code 400: too many images"),
        json!({ "inference_0": "A", "inference_1": "Answer: B", "inference_2": "A" }),
        json!("Can not answer because of the rules"),
        json!("The answer is (C)."),
    ];
    let row = |(i, answer): (usize, &Json)| {
        let id = if i % 2 == 0 { json!(i) } else { json!(i.to_string()) };
        json!({ "question_id": id, "question": format!("Question {i}?"), "answer": answer, "reason": "", "usage": usage })
    };
    let run: Vec<Json> = answers.iter().enumerate().map(row).collect();
    place.write("erqa/erqa.json", &serde_json::to_string_pretty(&run).unwrap());
    place.write_quietly("recipe.rb2", &FLAG);
    let ran = place.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let score: Json = serde_json::from_str(&place.read("out/score.json")).unwrap();
    // Ours: A, B in its tags, two of three, C of six. FlagEvalMM's rules lose the tags; without the two that were not answered four are left.
    let near =
        |value: &Json, want: f64| assert!((value.as_f64().unwrap() - want).abs() < 1e-12, "{value} is not {want}");
    near(&score["value"], (1.0 + 1.0 + 2.0 / 3.0 + 1.0) / 6.0);
    near(&score["compat"], (1.0 + 2.0 / 3.0 + 1.0) / 6.0);
    near(&score["compat_answered"], (1.0 + 2.0 / 3.0 + 1.0) / 4.0);
    let table = place.read("out/table.md");
    assert!(table.contains("compat 44.4 (66.7 without failures)"), "{table}");

    let written = |name: &str| serde_json::from_str::<Json>(&place.read(&format!("out/erqa/erqa{name}.json"))).unwrap();
    let [back, evaluated, result] = ["", "_evaluated", "_result"].map(written);
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(back[i]["question_id"], json!(i.to_string()));
        let said = &back[i]["answer"];
        assert_eq!(said, answer);
    }
    assert_eq!(evaluated[0]["correct"], json!(true));
    assert_eq!((&evaluated[1]["correct"], &evaluated[1]["raw_answer"]), (&json!(false), &json!("<answer>B</answer>")));
    assert_eq!(
        (&evaluated[3]["num_inferences"], &evaluated[3]["inference_scores"]),
        (&json!(3), &json!([1.0, 0.0, 1.0]))
    );
    assert_eq!(evaluated[5]["question_type"], "multiple-choice");
    assert_eq!((result["accuracy"].as_f64(), result["profile"].as_str()), (Some(66.67), Some("compat")));
    assert_eq!(result["reject_info"], json!({ "reject_rate": 25.0, "reject_number": 2, "total_question": 8 }));

    // What was written is read again, to the same score.
    fs::copy(place.path("out/erqa/erqa.json"), place.path("erqa/erqa.json")).unwrap();
    fs::remove_file(place.path("recipe.rb2.lock")).unwrap();
    let before = place.read("out/items.jsonl");
    assert_eq!(place.run(&[]).code, 0);
    let told = |text: &str| {
        lines(text)
            .iter()
            .map(|i| (i["id"].clone(), i["epoch"].clone(), i["score"].clone(), i["compat"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&place.read("out/items.jsonl")), told(&before));
}

#[test]
fn a_judge_that_fails_leaves_no_score() {
    let server = Server::new(|_, _| Act::Text("I would rather not say.".into()));
    let place = judged("100_000", &server.url);
    let reply = |i: usize| format!("{}\n", json!({ "id": format!("q{i}"), "reply": "a mug" }));
    place.write("replies.jsonl", &(0..16).map(reply).collect::<String>());
    let ran = place.run(&[]);
    assert!(ran.code != 0, "{}", ran.stderr);
    assert!(!place.path("out/score.json").exists(), "a missing verdict is not `wrong`");
}

/// Before anybody is asked a table says what a benchmark of so many questions could show.
#[test]
fn a_benchmark_is_planned_without_a_model() {
    let place = Place::new();
    place.write(
        "items.jsonl",
        &(0..100).map(|i| format!("{}\n", json!({ "id": i.to_string(), "q": "?", "a": "yes" }))).collect::<String>(),
    );
    place.write("none.jsonl", "{\"id\": \"0\", \"reply\": null}\n");
    place.write_quietly(
        "recipe.rb2",
        r#"recipe "plan"
import std.{data, bench, read, mark, total, eval}
schema Reply { id: Str, reply: Str? }
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: "yes_no", question: .q, key: .a)
  |> bench.ask(yes_no: "{question}")
  |> bench.read(yes_no: read.yes_no())
  |> bench.mark(yes_no: mark.yes_no())
  |> bench.total(headline: total.micro())
let nobody = sweep m in { nobody: data.jsonl("none.jsonl", as: Reply) } { eval.score(m, on: asked) }
output table = nobody.table(show: ["n", "detectable"], see: 5pt) to "out/table.md"
"#,
    );
    let ran = place.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // 2.80·sqrt(2·¼·½/100) = 14.0 points; 5 points take 100·(14/5)² = 784.
    let table = place.read("out/table.md");
    assert!(table.contains("| 100 | 14.0 | 784 |") && table.contains("correlate by 0.5"), "{table}");
}
