//! The page about a run, as `rbpipe report` writes it.

use std::fs;

use crate::browser::Browser;
use crate::engine::Place;

const RECIPE: &str = r#"recipe "told"
import std.{data, filter}
schema Row { id: Str, text: Str, n: Int }
let rows = data.jsonl("rows.jsonl", as: Row, bad: "skip")
let kept = rows |> filter.rule(where: .n > 1)
warn kept.rows > 1rows else "few <rows> are left"
output good = kept to "out/kept.jsonl"
output n = data.count(kept) to "out/n.json"
"#;

#[test]
fn a_run_is_told_on_one_page() {
    let place = Place::new();
    place.write("recipe.rb2", RECIPE);
    place.write(
        "rows.jsonl",
        "{\"id\": \"a\", \"text\": \"x\", \"n\": 3}\n{\"id\": \"b\", \"text\": \"y\", \"n\": 1}\n",
    );
    let report = |args: &[&str]| {
        let out = place.command(&[&["report", "recipe.rb2"], args].concat()).output().unwrap();
        (out.status.code().unwrap(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (code, said) = report(&[]);
    assert!(code == 5 && said.contains("no run of this recipe is on record"), "{said}");
    assert_eq!(place.run(&[]).code, 0);
    assert_eq!(report(&[]), (0, "out/recipe-run.html\n".to_owned()));
    let page = place.read("out/recipe-run.html");
    for part in [
        "exit code 0",
        "few &lt;rows&gt; are left",
        "1 &gt; 1",
        "kept 1, read 2",
        "fill=\"#dff1e4\"",
        "n.json",
        "let kept = rows",
        "Ran on ",
        concat!("rbpipe ", env!("CARGO_PKG_VERSION")),
        "no result was recorded",
        "3 executed, 0 from the cache",
    ] {
        assert!(page.contains(part), "{part:?} is not on the page:\n{page}");
    }
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org/2000/svg").count()
    );

    assert!(!page.contains("edited since"));
    place.write_quietly("recipe.rb2", &place.read("recipe.rb2").replace(".n > 1", ".n > 2"));
    assert_eq!(report(&["-o", "edited.html"]).0, 0);
    let page = place.read("edited.html");
    assert!(page.contains("edited since") && page.contains("as it is now"), "what ran is not what there is: {page}");
    assert!(page.contains("where: .n &gt; 1") && !page.contains("where: .n &gt; 2"), "the page shows what ran: {page}");
    assert_eq!(place.run(&[]).code, 0);
    assert_eq!(report(&["-o", "edited.html"]).0, 0);
    let page = place.read("edited.html");
    assert!(!page.contains("edited since") && page.contains("where: .n &gt; 2"), "{page}");
    assert!(page.contains("<td>arg `where` changed: .n &gt; 1 → .n &gt; 2</td>"), "why it was executed: {page}");
    fs::remove_file(place.path("rows.jsonl")).unwrap();
    assert_eq!(place.run(&[]).code, 1, "an input is missing: no run");
    assert_eq!(report(&["-o", "other.html"]).0, 0);
    if let Some(browser) = Browser::find() {
        let seen = browser.open(&place.path("out/recipe-run.html"));
        assert!(seen.console.is_empty(), "{:?}", seen.console);
        assert!(seen.dom.contains("3 of 3"), "the filter counts the nodes");
    }
}

/// A recipe of a thousand nodes, one of which fails.
fn thousand() -> String {
    let mut text = "recipe \"many\"\nimport std.{data, filter}\nschema Row { id: Str, text: Str, n: Int }\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\nlet bad = data.jsonl(\"bad.jsonl\", as: Row)\n".to_owned();
    for i in 0..995 {
        text += &format!("let n{i} = rows |> filter.rule(where: .n < {})\n", i + 1);
    }
    let all: Vec<String> = (0..995).map(|i| format!("s{i}: n{i}")).collect();
    text + &format!(
        "output all = data.concat({}) to \"out/all.jsonl\"\noutput worse = bad |> filter.rule(where: .n > 0) to \"out/worse.jsonl\"\n",
        all.join(", ")
    )
}

#[test]
fn a_thousand_nodes_are_told_on_one_page_that_can_be_read() {
    let place = Place::new();
    place.write("recipe.rb2", &thousand());
    place.write("bad.jsonl", "{\"id\": \"a\", \"text\": \"t\", \"n\": \"no number\"}\n");
    assert_eq!(place.run(&[]).code, 3);
    let out = place.command(&["report", "recipe.rb2", "-o", "page.html"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let page = place.read("page.html");
    assert!(page.len() < 3 << 20, "{} bytes for a thousand nodes", page.len());
    let far = page.replace("http://www.w3.org/", "");
    assert!(!far.contains("http://") && !far.contains("https://"), "the page asks for nothing from elsewhere");
    let Some(browser) = Browser::find() else { return };
    let seen = browser.open(&place.path("page.html"));
    assert!(seen.console.is_empty(), "{:?}", seen.console);
    assert!(seen.dom.contains("999 of 999"), "the filter counts the nodes");
    // What failed comes before what did not, so that nobody has to look for it among a thousand.
    let at = |text: &str| seen.dom.find(text).unwrap_or_else(|| panic!("no {text}"));
    assert!(at("no number") < at("<td>n500<"), "the failure stands first");
}
