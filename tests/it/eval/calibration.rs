//! Calibration: temperatures and errors worked by hand, and from replies with probabilities to table, page and calibrated model.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use rbpipe::eval::calibration::{Guess, among, calibration, scaled, temperature};
use serde_json::{Value as Json, json};

use crate::browser::Browser;

/// `n` guesses between two options at confidence `p`, `right` of each ten right, spread evenly; ten clusters.
fn guesses(n: usize, p: f64, right: usize) -> Vec<Guess> {
    let one = |i: usize| Guess {
        p: vec![p, 1.0 - p],
        right: usize::from(i % 10 >= right),
        cluster: format!("c{}", i / 10 % 10),
    };
    (0..n).map(one).collect()
}

fn close(a: f64, b: f64, within: f64) {
    assert!((a - b).abs() <= within, "{a} is not {b}");
}

#[test]
fn temperatures_are_those_of_the_odds() {
    // At confidence p and accuracy a, 1/t is the ratio of their log odds.
    let odds = |p: f64| (p / (1.0 - p)).ln();
    for (p, right) in [(0.9, 8), (0.6, 8), (0.99, 6), (0.7, 7)] {
        let of = guesses(1000, p, right);
        let t = temperature(&of);
        close(1.0 / t, odds(right as f64 / 10.0) / odds(p), 1e-6);
        close(scaled(&of[0].p, t)[0], right as f64 / 10.0, 1e-6);
        let found = calibration(&of).unwrap();
        close(found.accuracy, right as f64 / 10.0, 1e-12);
        close(found.raw.ece, (p - right as f64 / 10.0).abs(), 1e-9);
        let held_out = found.held_out.unwrap();
        close(held_out.ece, 0.0, 1e-6);
        assert!(held_out.nll <= found.raw.nll + 1e-9);
        assert_eq!(found.raw.bins.iter().map(|b| b.n).sum::<usize>(), 1000);
        let bin = &found.raw.bins[0];
        assert!(bin.from <= bin.confidence + 1e-9 && bin.low < bin.accuracy && bin.accuracy < bin.high);
    }
    // What no temperature mends ends at the bound instead of nowhere.
    assert!(temperature(&guesses(100, 0.9, 10)) < 0.1 && temperature(&guesses(100, 0.9, 2)) > 19.0);
    assert!(scaled(&[1.0, 0.0], 3.0).iter().all(|p| p.is_finite()));
    assert_eq!(calibration(&[]), None);
    let one: Vec<Guess> = guesses(40, 0.8, 7).into_iter().map(|g| Guess { cluster: "same".into(), ..g }).collect();
    assert_eq!(calibration(&one).unwrap().held_out, None, "one cluster leaves nothing to fit on");
    // Brier and NLL of one guess, by hand.
    let single = calibration(&guesses(1, 0.8, 10)).unwrap().raw;
    close(single.brier, 0.08, 1e-12);
    close(single.nll, -(0.8f64.ln()), 1e-12);
}

#[test]
fn tokens_of_a_server_weigh_the_options() {
    let options = |of: &[&str]| of.iter().map(|o| (*o).to_owned()).collect::<Vec<String>>();
    let tokens = |of: &[(&str, f64)]| of.iter().map(|(t, p)| ((*t).to_owned(), p.ln())).collect::<Vec<_>>();
    let letters = options(&["A", "B", "C"]);
    // Forms of one option add up; a small letter is a word, not an option; what is not listed is no likelier than what is.
    let p = among(&letters, &tokens(&[("A", 0.4), (" A", 0.1), ("(B", 0.2), ("a", 0.25), ("The", 0.05)])).unwrap();
    for (found, want) in p.iter().zip([0.5 / 0.75, 0.2 / 0.75, 0.05 / 0.75]) {
        close(*found, want, 1e-12);
    }
    let p = among(&options(&["yes", "no"]), &tokens(&[("Yes", 0.6), ("NO.", 0.2), (" yes", 0.2)])).unwrap();
    close(p[0], 0.8, 1e-12);
    assert_eq!(among(&letters, &tokens(&[("The", 0.9), ("Let", 0.1)])), None, "it answers in other words");
    assert_eq!(among(&letters, &[("A".to_owned(), -9999.0)]), None, "nothing is left of it");
}

const RECIPE: &str = r#"
recipe "sure"
import std.{data, bench, read, mark, total, eval, model, fuse, report}
schema Reply { id: Str, reply: Str, option_p: [Float] }
let asked = bench.json("items.jsonl")
  |> bench.sample(id: .id, kind: .kind, question: .question, options: .options, key: .key, cluster: .scene)
  |> bench.ask(choice: "Letter?", yes_no: "Yes?", number: "How many?")
  |> bench.read(choice: read.choice(), yes_no: read.yes_no(), number: read.number())
  |> bench.mark(choice: mark.letter(), yes_no: mark.yes_no(), number: mark.mra())
  |> bench.total(headline: total.micro())
let scores = sweep m in { weak: data.jsonl("weak.jsonl", as: Reply), strong: data.jsonl("strong.jsonl", as: Reply) } { eval.score(m, on: asked) }
output facts = scores.at(m: "strong") to "out/strong.json"
output page = report.page(scores, title: "Sure") to "out/page.html"
output numbers = report.page(scores, title: "Sure") to "out/page.json"
let gained = sweep m in { weak: data.jsonl("weak.jsonl", as: Reply), strong: data.jsonl("strong.jsonl", as: Reply) }, b in { asked } { eval.score(m, on: b) }
output gain = gained.table(rows: "b", cols: "m", gain: "strong") to "out/gain.md"
output gain_csv = gained.table(rows: "b", cols: "m", gain: "strong") to "out/gain.csv"
output gain_json = gained.table(rows: "b", cols: "m", gain: "strong") to "out/gain.json"
MORE
"#;

/// What a reply claims of each option and whether it is right: the confidence is 0.9 where 6 to 8 of ten are right.
fn replies(right: usize) -> String {
    let line = |i: usize| {
        let good = (i * 7) % 10 < right;
        let (kind, key) = (i % 3, i % 2);
        let at = if good { key } else { 1 - key };
        let (reply, p) = match kind {
            0 => ("AB"[at..=at].to_owned(), if at == 0 { json!([0.9, 0.1, 0.0]) } else { json!([0.1, 0.9, 0.0]) }),
            1 => (["yes", "no"][at].to_owned(), if at == 0 { json!([0.9, 0.1]) } else { json!([0.1, 0.9]) }),
            _ => (if good { "3" } else { "9" }.to_owned(), json!([])),
        };
        format!("{}\n", json!({ "id": i.to_string(), "reply": reply, "option_p": p }))
    };
    (0..300).map(line).collect()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new(more: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let item = |i: usize| {
            let (kind, options, key) = match i % 3 {
                0 => ("choice", json!(["cup", "can", "box"]), ["A", "B"][i % 2]),
                1 => ("yes_no", json!([]), ["yes", "no"][i % 2]),
                _ => ("number", json!([]), "3"),
            };
            format!(
                "{}\n",
                json!({ "id": i.to_string(), "kind": kind, "question": format!("Q{i}?"), "options": options, "key": key, "scene": format!("s{}", i / 6) })
            )
        };
        place.write("items.jsonl", &(0..300).map(item).collect::<String>());
        place.write("weak.jsonl", &replies(6));
        place.write("strong.jsonl", &replies(8));
        place.write("recipe.rb2", &RECIPE.replace("MORE", more));
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join("out").join(name)).unwrap()
    }

    fn run(&self) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
        command.args(["run", "recipe.rb2"]).current_dir(self.0.path()).env("NO_COLOR", "1");
        let out = command.env("RBPIPE_CACHE", self.0.path().join("cache")).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code().unwrap_or(-1), text)
    }
}

#[test]
fn replies_with_probabilities_become_a_diagram_and_a_gain() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/models/tiny-base");
    let more = format!(
        "let tiny = model.hf(\"{model}\")\nlet sure = model.calibrated(tiny, by: scores.at(m: \"weak\"))\n\
         let tiers = model.classifier(tiny, into: [\"safe\", \"high\"], column: \"tier\", prompt: \"Risk?\")\n\
         output pair = fuse.two_tier(sure, expert: tiny, classify: tiers, when: .tier == \"high\") to \"out/pair\""
    );
    let place = Place::new(&more);
    let (code, text) = place.run();
    assert_eq!(code, 0, "{text}");
    let facts: Json = serde_json::from_str(&place.read("strong.json")).unwrap();
    let found = &facts["calibration"];
    assert_eq!((found["n"].as_u64(), found["raw"]["bins"].as_array().unwrap().len()), (Some(200), 1), "{found}");
    close(found["raw"]["ece"].as_f64().unwrap(), 0.1, 1e-9);
    let nll = |of: &str| found[of]["nll"].as_f64().unwrap();
    assert!(found["held_out"]["ece"].as_f64().unwrap() < 0.09 && nll("held_out") < nll("raw"), "{found}");

    // The gain is that of the paired bootstrap, in every form of the table.
    let gain: Json = serde_json::from_str(&place.read("gain.json")).unwrap();
    let over = gain["gain"]["over"][0]["difference"].clone();
    let of = |key: &str| over[key].as_f64().unwrap();
    close(of("value"), 0.2, 0.01);
    assert!(of("low") > 0.1 && of("low") < of("value") && of("value") < of("high") && of("n") == 300.0, "{over}");
    assert_eq!(gain["gain"]["over"][1], Json::Null, "no gain over itself");
    let line = format!(
        "| gain of strong | {:+.1} [{:+.1}, {:+.1}] ***",
        100.0 * of("value"),
        100.0 * of("low"),
        100.0 * of("high")
    );
    assert!(place.read("gain.md").contains(&line), "no {line}: {}", place.read("gain.md"));
    assert!(
        place.read("gain.csv").lines().last().unwrap().starts_with("gain of strong,weak,"),
        "{}",
        place.read("gain.csv")
    );

    // The fused model carries the temperature of its half, and still knows that the router is its base.
    let fusion: Json = serde_json::from_str(&place.read("pair/fusion.json")).unwrap();
    let temperatures: BTreeMap<String, f64> = serde_json::from_value(fusion["temperatures"].clone()).unwrap();
    assert_eq!((fusion["router"].as_str(), temperatures.len()), (Some("base"), 1), "{fusion}");
    // Nine of ten claimed and six of ten right: the log odds are 5.4 times too large.
    close(temperatures["base"], 9f64.ln() / 1.5f64.ln(), 0.7);

    let page: Json = serde_json::from_str(&place.read("page.json")).unwrap();
    assert_eq!(page["calibration"]["weak"]["n"], 200);
    if let Some(browser) = Browser::find() {
        let seen = browser.open(&place.0.path().join("out/page.html"));
        assert_eq!(seen.console, Vec::<String>::new());
        assert!(seen.dom.contains("data-ready=\"yes\""));
        let part = |id: &str| {
            seen.dom.split(&format!("id=\"{id}\"")).nth(1).unwrap().split("</section>").next().unwrap().to_owned()
        };
        assert_eq!(part("reliability").matches("<svg").count(), 2);
        assert!(part("reliability").contains("ECE 10.0") && part("gains").contains("over weak"));
        assert!(part("one").contains("probabilities: A 0."));
    }
}

#[test]
fn what_cannot_be_calibrated_says_why() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/models/tiny-base");
    let hf = format!("let tiny = model.hf(\"{model}\")\n");
    for (more, weak, code, words) in [
        (
            format!("{hf}output w = model.calibrated(tiny, by: eval.published(source: \"x\", a: 50%)) to \"out/w\""),
            None,
            3,
            "no probabilities of options",
        ),
        (String::new(), Some(r#""option_p":[0.9,0.1]"#), 3, "no probability for each of its options"),
        (
            "output bad = gained.table(rows: \"b\", cols: \"m\", gain: \"storng\") to \"out/x.md\"".into(),
            None,
            1,
            "did you mean \"strong\"?",
        ),
    ] {
        let place = Place::new(&more);
        if let Some(p) = weak {
            let text =
                replies(6).replacen(r#""option_p":[0.9,0.1,0.0]"#, p, 1).replacen(r#""option_p":[0.1,0.9,0.0]"#, p, 1);
            place.write("weak.jsonl", &text);
        }
        let (found, text) = place.run();
        assert!(found == code && text.contains(words), "{found}: {text}");
    }
}
