//! Judges against a real server on this machine that speaks the protocol and fails as servers do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use image::{Rgb, RgbImage};
use rbpipe::data::table::Table;
use rbpipe::engine::node::context::Output;
use rbpipe::ops::judge::{agree::AGREE, agreement::AGREEMENT, prefer::PREFER, rank::RANK, score::SCORE};
use serde_json::{Value as Json, json};

use crate::chat_server::{Act, Server, text_of};
use crate::workbench::{Workbench, column, texts};

fn rows(bench: &Workbench, count: usize) -> Table {
    RgbImage::from_pixel(8, 8, Rgb([9, 9, 9])).save(bench.folder().join("p.png")).expect("a picture");
    let rows: Vec<Json> = (0..count)
        .map(|i| json!({ "id": format!("r{i}"), "prompt": format!("question {i}"), "chosen": "good", "rejected": "bad", "images": ["p.png"], "plans": ["one", "two", "three"] }))
        .collect();
    let columns = [
        ("id", "Str"),
        ("prompt", "Str"),
        ("chosen", "Str"),
        ("rejected", "Str"),
        ("images", "[Image]"),
        ("plans", "[Str]"),
    ];
    bench.table(&columns, &rows, None)
}

fn common(url: &str, more: Json) -> Json {
    let mut args =
        json!({ "by": "test-model", "key": { "secret": "judge_key" }, "url": url, "images": "images", "prompt": null });
    if let (Json::Object(args), Json::Object(more)) = (&mut args, more) {
        args.extend(more);
    }
    args
}

fn score_args(url: &str) -> Json {
    common(
        url,
        json!({ "on": ["prompt", "chosen"], "rubric": "6 is best", "scale": { "from": 1, "to": 6 }, "keep": { "from": 3.0, "to": null } }),
    )
}

fn bench() -> Workbench {
    let mut bench = Workbench::new();
    bench.secrets.insert("judge_key".into(), "s3cret-text".into());
    bench.with = json!({ "at_most": 4, "retries": 4 });
    bench
}

#[test]
fn passing_failures_are_retried_and_answers_remembered() {
    let bench = bench();
    // Five rows meet a failure each, on their first try; a row that met two garbled answers would be set aside.
    let failures = [
        ("question 5", Act::Fail(429, "retry-after: 0\r\n", r#"{"error":{"message":"slow down"}}"#)),
        ("question 6", Act::Fail(500, "", "oops")),
        ("question 7", Act::Cut),
        ("question 8", Act::Text("no JSON at all".into())),
        ("question 9", Act::Text("```json\n{\"reason\": \"fine\", \"score\": 9}\n```".into())),
    ];
    let met = Mutex::new(Vec::new());
    let server = Server::new(move |n, body| {
        let text = text_of(body);
        let failure = failures.iter().find(|(question, _)| text.contains(question));
        let mut met = met.lock().expect("no test thread panicked");
        match failure.filter(|(question, _)| !met.contains(question)) {
            Some((question, act)) => {
                met.push(*question);
                act.clone()
            }
            None => Act::Say(json!({ "reason": "fine", "score": 2 + n % 2 * 3 })),
        }
    });
    let d = rows(&bench, 12);
    let made = bench.run(&SCORE, score_args(&server.url), &[("d", &d)]).expect("score");
    assert_eq!(made.counts["kept"] + made.counts["dropped"], 12, "{:?} {:?}", made.counts, made.fates);
    assert!(column(&made.table, "judged").iter().all(|s| s == 5.0));
    let asked = server.requests();
    assert_eq!(asked.len(), 12 + 5, "every failure is asked again, once");
    let (head, body) = &asked[0];
    assert!(head.starts_with("POST /v1/chat/completions ") && head.contains("Bearer s3cret-text"));
    assert_eq!((&body["model"], &body["temperature"]), (&json!("test-model"), &json!(0)));
    assert!(
        body["messages"][1]["content"][0]["image_url"]["url"]
            .as_str()
            .is_some_and(|u| u.starts_with("data:image/png;base64,"))
    );
    let fields: Vec<&String> =
        body["response_format"]["json_schema"]["schema"]["properties"].as_object().expect("fields").keys().collect();
    assert_eq!(fields, ["reason", "score"], "the reason comes before the verdict");
    // Again: nothing is asked, nothing changes.
    let again = bench.run(&SCORE, score_args(&server.url), &[("d", &d)]).expect("score");
    assert_eq!(again.table, made.table);
    assert_eq!((again.counts["remembered"], again.counts["tokens"], server.requests().len()), (12, 0, asked.len()));
}

#[test]
fn failures_that_do_not_pass_are_told() {
    let malformed = r#"{"object":"error","message":"no such field","code":400}"#;
    // server, with, error class, words in the message
    let cases: [(Act, Json, &str, &str); 4] = [
        (Act::Fail(401, "", r#"{"error":{"message":"bad key s3cret-text"}}"#), json!({}), "bug", "refused"),
        (Act::Fail(404, "", r#"{"detail":"no such model"}"#), json!({}), "bug", "no such model"),
        (Act::Fail(400, "", malformed), json!({}), "bug", "no such field"),
        (Act::Say(json!({ "reason": "r", "score": 4 })), json!({ "spend": 1500 }), "budget", "tokens"),
    ];
    for (act, with, class, words) in cases {
        let mut bench = bench();
        bench.with = with;
        let server = Server::new(move |_, _| act.clone());
        let d = rows(&bench, 20);
        let error = bench.run(&SCORE, score_args(&server.url), &[("d", &d)]).err().expect(words);
        assert_eq!(error.class, class, "{error:?}");
        assert!(error.message.contains(words), "{error:?}");
        assert!(!error.message.contains("s3cret-text"), "{error:?}");
    }
    let bench = Workbench::new();
    let missing = bench.run(&SCORE, score_args("http://127.0.0.1:1"), &[("d", &rows(&bench, 1))]).err();
    assert_eq!(missing.map(|e| e.code), Some("E0701"));
}

#[test]
fn a_budget_stops_and_a_larger_one_goes_on() {
    let mut bench = bench();
    bench.with = json!({ "at_most": 1, "spend": 2500 });
    let server = Server::new(|_, _| Act::Say(json!({ "reason": "r", "score": 4 })));
    let d = rows(&bench, 30);
    let error = bench.run(&SCORE, score_args(&server.url), &[("d", &d)]).err().expect("a budget");
    assert_eq!(error.class, "budget");
    let first = server.requests().len();
    assert!((5..25).contains(&first), "{first}");
    bench.with = json!({ "at_most": 1, "spend": 9000 });
    let made = bench.run(&SCORE, score_args(&server.url), &[("d", &d)]).expect("score");
    assert_eq!((made.table.rows(), server.requests().len()), (30, 30), "none is asked twice");
}

#[test]
fn money_is_a_budget_at_the_prices_of_tokens() {
    // The prices of questions and answers; what is spent depends on both.
    let ask = |with: Json| {
        let mut bench = bench();
        bench.with = with;
        let server = Server::new(|_, _| Act::Say(json!({ "reason": "r", "score": 4 })));
        let d = rows(&bench, 30);
        let made = bench.run(&SCORE, score_args(&server.url), &[("d", &d)]);
        (made.map(|made| made.counts), server.requests().len())
    };
    let (by_tokens, few) = ask(json!({ "at_most": 1, "spend": 2500 }));
    let over = ask(json!({ "at_most": 1, "money": 2.5, "price_in": 1000.0, "price_out": 1000.0 }));
    assert_eq!(
        (by_tokens.err().expect("a budget").class, over.1),
        ("budget", few),
        "a thousandth a token is the same bound"
    );
    let over = over.0.err().expect("a budget");
    assert!(over.class == "budget" && over.message.contains("of 2.5 are spent"), "{over:?}");
    assert!(over.help.is_some_and(|help| help.contains("money")));
    let spent = |price_in: f64, price_out: f64| {
        let (counts, asked) = ask(json!({ "money": 1000.0, "price_in": price_in, "price_out": price_out }));
        assert_eq!(asked, 30);
        let counts = counts.expect("scores");
        (counts["money, millionths"], counts["tokens"])
    };
    let ((asked, tokens), (answered, _), (both, _)) = (spent(1.0, 0.0), spent(0.0, 1.0), spent(1.0, 1.0));
    assert!(asked > answered && answered > 0);
    assert_eq!((asked + answered, both), (tokens, tokens));
    for with in [json!({ "money": 1.0 }), json!({ "money": 1.0, "price_in": 1.0 }), json!({ "price_out": 1.0 })] {
        assert_eq!(ask(with).0.err().map(|e| e.code), Some("E0211"));
    }
    assert_eq!(ask(json!({ "money": -1.0, "price_in": 1.0, "price_out": 1.0 })).0.err().map(|e| e.code), Some("E0214"));
}

#[test]
fn one_bad_answer_sets_its_row_aside() {
    let bench = bench();
    let server = Server::new(|_, body| {
        if text_of(body).contains("question 3") {
            Act::Text("nonsense".into())
        } else {
            Act::Say(json!({ "reason": "r", "consistent": 5, "concise": 4 }))
        }
    });
    let args = common(&server.url, json!({ "on": ["prompt", "chosen"], "keep": { "from": 0.7, "to": null } }));
    let made = bench.run(&AGREE, args, &[("d", &rows(&bench, 6))]).expect("agree");
    assert_eq!(texts(&made.table, "id"), ["r0", "r1", "r2", "r4", "r5"]);
    assert!(column(&made.table, "agree").iter().all(|a| a == 0.75));
    assert_eq!(made.counts["judge_failed"], 1);
    assert_eq!(made.fates[0].what, "quarantined");
}

#[test]
fn equal_questions_are_asked_once() {
    let bench = bench();
    let server = Server::new(|n, _| Act::Say(json!({ "reason": "r", "score": 1 + n % 6 })));
    let mut args = score_args(&server.url);
    args["on"] = json!(["chosen"]);
    args["keep"] = Json::Null;
    let made = bench.run(&SCORE, args, &[("d", &rows(&bench, 9))]).expect("score");
    assert_eq!((made.counts["asked"], server.requests().len()), (1, 1));
    assert_eq!(column(&made.table, "judged"), vec![json!(1.0); 9]);
}

#[test]
fn a_dead_server_is_no_empty_result() {
    let mut bench = bench();
    bench.with = json!({ "at_most": 4, "retries": 0 });
    let error =
        bench.run(&SCORE, score_args("http://127.0.0.1:9"), &[("d", &rows(&bench, 3))]).err().expect("an error");
    assert_eq!(error.class, "flaky");
    assert!(error.message.contains("none of 3 questions"), "{error:?}");
}

#[test]
fn a_server_that_goes_down_is_left_and_asked_the_rest_later() {
    let down = [
        ("500: out of memory", "log", Act::Fail(500, "", "out of memory")),
        ("429: quota", "quota allows", Act::Fail(429, "retry-after: 0\r\n", r#"{"error":{"message":"quota"}}"#)),
        ("Garbled", "log", Act::Fail(200, "", "<html>a proxy</html>")),
        ("Network", "reaches it", Act::Cut),
    ];
    for (words, help, act) in down {
        let mut bench = bench();
        bench.with = json!({ "at_most": 2, "retries": 1 });
        let mended = Arc::new(AtomicBool::new(false));
        let up = Arc::clone(&mended);
        let server = Server::new(move |n, _| {
            let well = n < 6 || up.load(Ordering::SeqCst);
            if well { Act::Say(json!({ "reason": "fine", "score": 4 })) } else { act.clone() }
        });
        let d = rows(&bench, 40);
        let error = bench.run(&SCORE, score_args(&server.url), &[("d", &d)]).err().expect("a server that is down");
        assert_eq!(error.class, "server", "{error:?}");
        assert!(
            error.message.contains("10 questions in a row failed") && error.message.contains("6 of 16"),
            "{error:?}"
        );
        assert!(error.message.to_lowercase().contains(&words.to_lowercase()), "{error:?}");
        assert!(error.help.as_ref().is_some_and(|h| h.contains(help) && h.contains("run again")), "{error:?}");
        let before = server.requests().len();
        assert!((6 + 20..=6 + 22).contains(&before), "each of ten is asked twice, and no more: {before}");
        mended.store(true, Ordering::SeqCst);
        let made = bench.run(&SCORE, score_args(&server.url), &[("d", &d)]).expect("a score");
        assert_eq!((made.table.rows(), made.counts["remembered"]), (40, 6));
        assert_eq!(server.requests().len() - before, 34, "the rest alone is asked");
    }
}

#[test]
fn rows_that_a_server_always_fails_on_are_no_server_that_is_down() {
    let mut bench = bench();
    bench.with = json!({ "at_most": 1, "retries": 0 });
    let server = Server::new(move |_, body| {
        let number: usize = text_of(body)
            .split("question ")
            .nth(1)
            .and_then(|t| t.split_whitespace().next()?.parse().ok())
            .expect("its number");
        if number % 10 == 9 { Act::Say(json!({ "reason": "fine", "score": 4 })) } else { Act::Fail(500, "", "oops") }
    });
    let made = bench.run(&SCORE, score_args(&server.url), &[("d", &rows(&bench, 30))]).expect("a score");
    assert_eq!((made.table.rows(), made.counts["judge_failed"]), (3, 27), "nine in a row are not ten");
}

#[test]
fn preference_is_asked_in_both_orders() {
    let bench = bench();
    // Right about question 0, fond of the first place in question 1, wrong about the rest.
    let server = Server::new(|_, body| {
        let text = text_of(body);
        let good_first = text.find("good") < text.find("bad");
        let verdict = match () {
            () if text.contains("question 0") => {
                if good_first {
                    "a"
                } else {
                    "b"
                }
            }
            () if text.contains("question 1") => "a",
            () => {
                if good_first {
                    "b"
                } else {
                    "a"
                }
            }
        };
        Act::Say(json!({ "reason": "r", "verdict": verdict }))
    });
    let args = |least: f64| {
        common(
            &server.url,
            json!({ "better": "chosen", "worse": "rejected", "both_orders": true, "keep": { "from": least, "to": null } }),
        )
    };
    let d = rows(&bench, 3);
    let made = bench.run(&PREFER, args(1.0), &[("pairs", &d)]).expect("prefer");
    assert_eq!((texts(&made.table, "id"), made.counts["flips"]), (vec!["r0".to_owned()], 1));
    let made = bench.run(&PREFER, args(0.5), &[("pairs", &d)]).expect("prefer");
    assert_eq!(column(&made.table, "preferred"), [json!(1.0), json!(0.5)]);
}

#[test]
fn ranks_make_pairs_and_verdicts_agree() {
    let bench = bench();
    let server = Server::new(|_, _| Act::Say(json!({ "reason": "r", "best": 1, "worst": 3 })));
    let made = bench
        .run(&RANK, common(&server.url, json!({ "candidates": "plans" })), &[("d", &rows(&bench, 2))])
        .expect("rank");
    assert_eq!(made.table.rows(), 2);
    assert!(texts(&made.table, "chosen").iter().zip(texts(&made.table, "rejected")).all(|(a, b)| *a != b));

    // A candidate that is not there is asked for again, like any reply that does not fit.
    let server = Server::new(|_, body| {
        let (best, worst) = match text_of(body) {
            text if text.contains("question 1") => (9, 1),
            text if text.contains("Only the JSON object") => (2, 3),
            _ => (2, 4),
        };
        Act::Say(json!({ "reason": "r", "best": best, "worst": worst }))
    });
    let (made, fates, _) = bench
        .outputs(&RANK, common(&server.url, json!({ "candidates": "plans" })), &[("d", &rows(&bench, 2))])
        .expect("rank");
    let [(_, Output::Table(made))] = made.as_slice() else { panic!("expected rows") };
    assert_eq!((texts(made, "id"), server.requests().len()), (vec!["r0".to_owned()], 4));
    assert_eq!((fates.len(), fates[0].what.as_str()), (1, "quarantined"));
    assert!(fates[0].why.contains("`best` is 9, not in 1..3"), "{}", fates[0].why);

    let verdicts = [("a", "a", 20), ("a", "b", 5), ("b", "a", 10), ("b", "b", 15)];
    let rows: Vec<Json> = verdicts.iter().flat_map(|(x, y, n)| vec![json!({ "x": x, "y": y }); *n]).collect();
    let d = bench.table(&[("x", "Str"), ("y", "Str")], &rows, None);
    let (made, ..) = bench.outputs(&AGREEMENT, json!({ "a": "x", "b": "y" }), &[("d", &d)]).expect("agreement");
    let [(_, Output::Artifact(report))] = made.as_slice() else { panic!("expected a report") };
    // By hand: equal 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5, kappa 0.4.
    assert!((report.meta["kappa"].as_f64().expect("kappa") - 0.4).abs() < 1e-12);
    assert!((report.meta["bias"]["a"].as_f64().expect("bias") + 0.1).abs() < 1e-12);
    assert!(report.files.contains_key("report.html"));
}
