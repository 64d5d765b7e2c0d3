//! Pictures of a report that are too many for one page: the others lie beside it, and a page that lost them says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use image::{Rgb, RgbImage};
use serde_json::{Value as Json, json};

use crate::browser::Browser;

const RECIPE: &str = r#"
recipe "many"
import std.{data, bench, read, mark, total, eval, report}
schema Reply { id: Str, reply: Str }
let asked = bench.json("items.jsonl", media: "media")
  |> bench.sample(id: .id, kind: "number", question: .question, key: .key, images: [.image])
  |> bench.ask(number: "How many?")
  |> bench.read(number: read.number())
  |> bench.mark(number: mark.mra())
  |> bench.total(headline: total.micro())
let scores = sweep m in { one: data.jsonl("one.jsonl", as: Reply) }, b in { asked } { eval.score(m, on: b) }
output page = report.page(scores) to "out/NAME.html"
output folder = report.page(scores) to "out/whole"
"#;
const MANY: usize = 903;

fn write(folder: &Path) {
    fs::create_dir(folder.join("media")).unwrap();
    let (mut items, mut replies) = (String::new(), String::new());
    for i in 0..MANY {
        let name = format!("{i}.png");
        RgbImage::from_pixel(4, 3, Rgb([i as u8, (i / 256) as u8, 9])).save(folder.join("media").join(&name)).unwrap();
        let question = format!("Question {i}?");
        items += &format!("{}\n", json!({ "id": i.to_string(), "question": question, "key": "1", "image": name }));
        replies += &format!("{}\n", json!({ "id": i.to_string(), "reply": "1" }));
    }
    fs::write(folder.join("items.jsonl"), items).unwrap();
    fs::write(folder.join("one.jsonl"), replies).unwrap();
    // A page may bear any name: what lies beside it does not hang on that.
    fs::write(folder.join("recipe.rb2"), RECIPE.replace("NAME", "my page")).unwrap();
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn pictures_beyond_the_page_lie_beside_it() {
    let place = tempfile::tempdir().unwrap();
    write(place.path());
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
        command.args(["run", "recipe.rb2"]).current_dir(place.path());
        let out = command.env("RBPIPE_CACHE", place.path().join("cache")).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{text}");
        text
    };
    run();
    let out = place.path().join("out");
    let beside = names(&out.join("report.media"));
    assert_eq!(beside.len(), MANY - 900, "{beside:?}");
    assert_eq!(names(&out.join("whole/report.media")), beside);
    let page = fs::read_to_string(out.join("my page.html")).unwrap();
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 900);
    // One that was removed is written again, as the page itself would be.
    fs::remove_file(out.join("report.media").join(beside.first().unwrap())).unwrap();
    run();
    assert_eq!(names(&out.join("report.media")), beside);

    let Some(browser) = Browser::find() else { return };
    let clicked = out.join("clicked.html");
    fs::write(&clicked, page.replace("</body>", &format!("<script>{LOOK}</script></body>"))).unwrap();
    let looked = || {
        let seen = browser.open(&clicked);
        let told = seen.dom.split("id=\"told\">").nth(1).expect("the page's script did not come to its end");
        serde_json::from_str::<Json>(told.split("</pre>").next().unwrap()).unwrap()
    };
    let told = looked();
    assert_eq!(told["within"], 900, "{told}");
    let linked = told["beside"].as_array().unwrap();
    assert!(linked.len() == 3 && linked.iter().all(|width| *width == 4), "{told}");
    // A page that was moved without its folder.
    fs::remove_dir_all(out.join("report.media")).unwrap();
    let told = looked();
    assert_eq!(told["within"], 900, "{told}");
    let gone = told["beside"].as_array().unwrap();
    assert!(gone.iter().all(|why| why.as_str().unwrap().contains("looks for it in report.media/")), "{told}");
}

/// Goes through all samples; writes down how wide the pictures are that are linked, or what stands in their place.
const LOOK: &str = r##"
const told = { within: 0, beside: [] }, at = id => document.getElementById(id), wait = ms => new Promise(then => setTimeout(then, ms));
(async () => {
  for (let i = 0; i < shown.length; i++) {
    if (source(sample(i).p[0]).startsWith("data:")) { told.within++; continue }
    pick(i);
    const img = at("one").querySelector("img");
    img.loading = "eager";
    for (let n = 0; n < 50 && at("one").contains(img) && !img.naturalWidth; n++) await wait(20);
    told.beside.push(img.naturalWidth || at("one").querySelector(".pics").textContent);
  }
  const pre = document.createElement("pre"); pre.id = "told"; pre.textContent = JSON.stringify(told); document.body.append(pre);
})();
"##;
