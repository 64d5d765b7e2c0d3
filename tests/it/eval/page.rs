//! The report page about four simulated models and ten benchmarks, opened from the disk in a real browser.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rbpipe::engine::Artifact;
use rbpipe::engine::artifact::Kind;
use rbpipe::engine::storage::dataset;
use rbpipe::eval::Item;
use serde_json::{Value as Json, json};

use super::tabletop::{Room, answered, declare, declared, right};
use crate::bench::rows;
use crate::browser::Browser;

/// A number in 0..1 that an item and a model decide.
fn luck(item: &Item, model: &str) -> f64 {
    let digest = rbpipe::base::Digest::of(format!("{model} {} {}", item.id, item.question).as_bytes());
    f64::from(u32::from_le_bytes([digest.0[0], digest.0[1], digest.0[2], digest.0[3]])) / f64::from(u32::MAX)
}

/// What a simulated model says: right with probability `skill`, unreadable with probability `mute`, else a favourite answer.
fn said(room: &Room, item: &Item, model: &str, skill: f64, mute: f64) -> String {
    if luck(item, &format!("{model} mute")) < mute {
        return "I look at <b>the picture</b> </script><script>document.title = 'broken'</script> & cannot say".into();
    }
    if luck(item, model) < skill {
        return right(room, item);
    }
    match item.kind {
        rbpipe::eval::ItemKind::Point => "[(0.50, 0.50)]".into(),
        rbpipe::eval::ItemKind::YesNo => "yes".into(),
        rbpipe::eval::ItemKind::Number => "2".into(),
        _ => "A".into(),
    }
}

fn trained(room: &Room, seed: u32, accuracy: bool) -> Artifact {
    let mut log = String::new();
    for step in 1..=240u32 {
        let noise = f64::from((step * 7919 + seed * 104_729) % 101) / 101.0 - 0.5;
        let loss = 0.35 + 1.9 * (-f64::from(step) / 60.0).exp() + 0.12 * noise;
        let mut line = json!({ "step": step, "loss": loss });
        if step % 40 == 0 {
            line["eval_loss"] = json!(loss + 0.08);
        }
        if accuracy {
            line["rewards/accuracies"] = json!(0.5 + 0.4 * (1.0 - (-f64::from(step) / 80.0).exp()) + 0.1 * noise);
        }
        writeln!(log, "{line}").unwrap();
    }
    let file = room.store.put(log.as_bytes()).unwrap();
    Artifact { kind: Kind::Model, meta: json!({}), files: BTreeMap::from([("training/log.jsonl".to_owned(), file)]) }
}

fn history() -> Json {
    let step = |op: &str, label: Option<&str>, from: &[usize], rows: (Option<u64>, u64), reasons: Json| json!({ "op": op, "label": label, "from": from, "rows_in": rows.0, "rows_out": rows.1, "counts": {}, "reasons": reasons });
    let why = |of: &str, n: u64| json!([["dropped", of, n]]);
    json!([
        step("data.jsonl", Some("ego4d"), &[], (None, 1200), json!([["quarantined", "no JSON", 8]])),
        step("data.jsonl", Some("lvis"), &[], (None, 900), json!([])),
        step("data.concat", None, &[0, 1], (Some(2100), 2100), json!([])),
        step("filter.rule", None, &[2], (Some(2100), 1950), why("the rule does not hold", 150)),
        step("dedup.minhash", None, &[3], (Some(1950), 1420), why("a near copy of …", 530)),
        step("augment.geometry", None, &[4], (Some(1420), 1420), json!([["changed", "turned by … degrees", 710]])),
        step("cot.questions", None, &[5], (Some(1420), 2840), json!([])),
    ])
}

#[test]
fn a_page_opens_in_a_browser() {
    let room = Room::new();
    let models = [("base", 0.12, 0.35), ("control", 0.35, 0.08), ("sft", 0.55, 0.02), ("final", 0.68, 0.0)];
    let (mut cells, mut inputs, mut names) = (serde_json::Map::new(), Vec::new(), Vec::new());
    let mut questions = 0;
    for (name, sample, kinds, headline) in declared() {
        let bench = declare(&room, name, &sample, kinds, &headline);
        questions += bench.meta["n"].as_u64().unwrap();
        for (model, skill, mute) in models {
            let score = answered(&room, &bench, |item| said(&room, item, model, skill, mute));
            let slot = format!("scores.cells.{model}|{name}");
            cells.insert(format!("{model}|{name}"), json!({ "$input": slot }));
            inputs.push((slot, score));
        }
        names.push(name);
    }
    let facts = &inputs[3].1.meta;
    let letters = facts["answers"].as_array().unwrap().iter().find(|h| h["of"] == "letter").unwrap();
    let sum = |key: &str| letters["bars"].as_array().unwrap().iter().map(|b| b[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("right"), 140);
    assert_eq!(sum("said") + letters["unreadable"].as_u64().unwrap(), 140);
    assert!(sum("hit") > 90 && facts["floor"].as_f64() >= facts["chance"].as_f64(), "{letters}");

    let source = |i: usize| if i % 2 == 0 { "ego4d" } else { "lvis" };
    let data: Vec<Json> = (0..40).map(|i| json!({ "id": i.to_string(), "source": source(i) })).collect();
    let data = rows(Json::Array(data));
    inputs.push(("data".to_owned(), dataset::save(&room.store, &data).unwrap()));
    inputs.push(("models.sft".to_owned(), trained(&room, 1, false)));
    inputs.push(("models.final".to_owned(), trained(&room, 2, true)));
    let grid = json!({ "axes": ["m", "b"], "labels": { "m": models.map(|m| m.0), "b": names }, "cells": cells });
    let args = json!({ "scores": grid, "over": [], "baseline": "control", "title": "Simulated models", "theme": "auto",
        "$history": { "data": history() } });
    let given: Vec<(&str, &Artifact)> = inputs.iter().map(|(s, a)| (s.as_str(), a)).collect();
    let page = room.run("report.page", args, &given).unwrap();
    let html = room.store.read(page.files["report.html"].digest).unwrap();
    let path = std::env::var_os("RBPIPE_TEST_PAGE").map_or_else(|| room.path("page.html"), Into::into);
    std::fs::write(&path, &html).unwrap();
    let text = String::from_utf8(html).unwrap();
    assert!(!text.contains("<script>document.title"), "what a model wrote became a tag");
    for far in ["http://", "https://", "//cdn"] {
        let found = text.replace("http://www.w3.org/", "").matches(far).count();
        assert_eq!(found, 0, "the page names something on the network: {far}");
    }

    let Some(browser) = Browser::find() else { return };
    let seen = browser.open(&path);
    assert_eq!(seen.console, Vec::<String>::new());
    assert!(seen.dom.contains("data-ready=\"yes\""), "the page's script did not come to its end");
    assert!(seen.dom.contains("<title>Simulated models</title>"));
    let part = |from: &str, to: &str| {
        let start = seen.dom.find(from).unwrap_or_else(|| panic!("no {from}"));
        let end = start + seen.dom[start..].find(to).unwrap();
        seen.dom[start..end].to_owned()
    };
    assert!(part("id=\"finding\"", "</p>").contains("final"), "{}", part("id=\"finding\"", "</p>"));
    assert_eq!(part("id=\"table\"", "</table>").matches("<tr").count(), 12, "a head, ten benchmarks, the mean");
    assert_eq!(
        part("id=\"slopes\"", "</section>").matches("class=\"slope\"").count(),
        11,
        "ten benchmarks and the mean"
    );
    assert!(part("id=\"formats\"", "</table>").matches("<td").count() >= 10 * 9);
    assert!(part("id=\"funnel\"", "</section>").contains("a near copy of …"));
    assert_eq!(part("id=\"curves\"", "</section>").matches("<svg").count(), 3);
    assert!(part("id=\"hist\"", "</section>").contains("class=\"right\""));
    assert!(part("id=\"one\"", "</section>").contains("<img src=\"data:image/"));
    assert!(part("<header", "</header>").contains(&format!("4 models · 10 benchmarks · {questions} questions")));

    // Clicked through: sorting, filters, search, keys, models, the other theme.
    let clicked = room.path("clicked.html");
    std::fs::write(&clicked, text.replace("</body>", &format!("<script>{CLICKS}</script></body>"))).unwrap();
    let seen = browser.open(&clicked);
    assert_eq!(seen.console, Vec::<String>::new());
    let told = seen.dom.split("id=\"told\">").nth(1).unwrap_or_else(|| panic!("no clicks: {}", seen.dom.len()));
    let told: Json = serde_json::from_str(told.split("</pre>").next().unwrap()).unwrap();
    let numbers = |key: &str| serde_json::from_value::<Vec<f64>>(told[key].clone()).unwrap();
    assert!(
        numbers("down").windows(2).all(|w| w[0] >= w[1]) && numbers("up").windows(2).all(|w| w[0] <= w[1]),
        "{told}"
    );
    assert!(
        numbers("rows")[0] > numbers("rows")[1] && numbers("rows")[1] >= numbers("rows")[2],
        "filters narrow: {told}"
    );
    assert!(numbers("drawn")[0] < 60.0, "only what is seen is in the page: {told}");
    assert!(told["next"] != told["first"] && told["theme"] == "dark" && told["sort"] == "ascending", "{told}");
}

/// Over seeds models are means with their spread, and the samples show what each run said.
#[test]
fn a_page_over_seeds_shows_means_and_every_reply() {
    let room = Room::new();
    let (mut cells, mut inputs, mut names) = (serde_json::Map::new(), Vec::new(), Vec::new());
    for (name, sample, kinds, headline) in declared().into_iter().take(2) {
        let bench = declare(&room, name, &sample, kinds, &headline);
        for (model, skill) in [("base", 0.3), ("final", 0.7)] {
            for seed in ["1", "2"] {
                let (place, voice) = (format!("{model}|{seed}|{name}"), format!("{model} under {seed}"));
                let score = answered(&room, &bench, |item| said(&room, item, &voice, skill, 0.1));
                cells.insert(place.clone(), json!({ "$input": place }));
                inputs.push((place, score));
            }
        }
        names.push(name);
    }
    let labels = json!({ "m": ["base", "final"], "seed": ["1", "2"], "b": names });
    let args = json!({ "scores": { "axes": ["m", "seed", "b"], "labels": labels, "cells": cells }, "over": ["seed"],
        "title": "Seeds", "theme": "auto" });
    let given: Vec<(&str, &Artifact)> = inputs.iter().map(|(s, a)| (s.as_str(), a)).collect();
    let page = room.run("report.page", args, &given).unwrap();
    let text = String::from_utf8(room.store.read(page.files["report.html"].digest).unwrap()).unwrap();
    let facts = text.split("id=\"payload\">").nth(1).unwrap().split("</script>").next().unwrap();
    let facts: Json = serde_json::from_str(facts).unwrap();
    let runs = json!(["base, 1", "base, 2", "final, 1", "final, 2"]);
    assert_eq!((&facts["models"], &facts["runs"]), (&json!(["base", "final"]), &runs));
    let cell = &facts["table"]["rows"][0]["cells"][1];
    let values: Vec<f64> = cell["runs"]["values"].as_array().unwrap().iter().map(|v| v[1].as_f64().unwrap()).collect();
    assert!(values.len() == 2 && (cell["value"].as_f64().unwrap() - (values[0] + values[1]) / 2.0).abs() < 1e-12);
    assert!(facts["table"]["rows"][0]["cells"][1]["delta"]["test"] == "t over runs", "{cell}");
    let marks = facts["samples"][names[0]]["marks"].as_object().unwrap();
    assert_eq!(
        marks.keys().collect::<Vec<_>>(),
        runs.as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect::<Vec<_>>()
    );
    let groups = facts["groups"][names[0]].as_object().unwrap();
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["base", "final"]);

    let Some(browser) = Browser::find() else { return };
    let path = room.path("seeds.html");
    std::fs::write(&path, &text).unwrap();
    let seen = browser.open(&path);
    assert_eq!(seen.console, Vec::<String>::new());
    let table = seen.dom.split("id=\"table\"").nth(1).unwrap().split("</table>").next().unwrap();
    assert!(
        table.matches("2 runs").count() == 6 && table.contains("sd "),
        "two rows and the mean of two models: {table}"
    );
    let one = seen.dom.split("id=\"one\"").nth(1).unwrap();
    assert!(one.contains("base, 2") && one.contains("final, 1"), "each run's reply");
}

/// What a reader does with the page; it writes down what then stands there.
const CLICKS: &str = r##"
const told = {}, at = id => document.getElementById(id), head = i => document.querySelectorAll("#table button.sort")[i];
const column = () => [...document.querySelectorAll("#table tr:not(.mean)")].slice(1).map(tr => parseFloat(tr.children[2].querySelector("b").textContent));
head(2).click(); told.down = column(); head(2).click(); told.up = column(); told.sort = head(2).parentNode.getAttribute("aria-sort");
at("smodel").value = "base"; at("smodel").dispatchEvent(new Event("change"));
const many = () => parseInt(at("count").textContent.replace(/\s/g, ""));
told.rows = [many()];
for (const f of ["wrong", "unparsed"]) { document.querySelector(`[data-f=${f}]`).click(); told.rows.push(many()) }
for (const f of ["wrong", "unparsed"]) document.querySelector(`[data-f=${f}]`).click();
told.drawn = [document.querySelectorAll("#list .row").length];
told.first = at("one").textContent.slice(0, 80);
at("list").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", cancelable: true }));
told.next = at("one").textContent.slice(0, 80);
document.documentElement.dataset.theme = "light"; at("theme").click(); told.theme = document.documentElement.dataset.theme;
const pre = document.createElement("pre"); pre.id = "told"; pre.textContent = JSON.stringify(told); document.body.append(pre);
"##;
