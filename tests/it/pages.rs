//! The pages for authors are true: each recipe of the cookbook writes what stands under it, each recipe of the tour is checked as it says.

use std::fs;
use std::path::Path;

use crate::engine::Place;

/// A fenced block: its language, the file that it is named after, its text.
pub struct Block<'t> {
    pub language: &'t str,
    pub file: Option<&'t str>,
    pub text: String,
}

pub fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some("") => open = false,
            Some(head) => {
                let (language, file) = head.split_once(' ').map_or((head, None), |(l, f)| (l, Some(f)));
                found.push(Block { language, file, text: String::new() });
                open = true;
            }
            None if open => {
                let text = &mut found.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
            None => {}
        }
    }
    found
}

/// Runs a command. Returns its exit code and all that it said.
pub fn said(place: &Place, args: &[&str]) -> (i32, String) {
    let out = place.command(args).env("NO_COLOR", "1").output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn each_recipe_of_the_cookbook_writes_what_stands_under_it() {
    let text = page("recipes.md");
    let sections: Vec<&str> = text.split("\n## ").skip(1).collect();
    assert!(sections.len() >= 12, "{} recipes", sections.len());
    sections.into_iter().for_each(writes_what_stands_under_it);
}

#[test]
fn the_first_benchmark_of_the_page_of_evaluation_writes_what_stands_under_it() {
    let text = page("evaluation.md");
    let own = text.split("\n## ").find(|section| section.starts_with("A benchmark of your own\n")).unwrap();
    writes_what_stands_under_it(own);
}

/// Writes the files of a section, runs the recipe after them, and compares what it writes with what stands below.
fn writes_what_stands_under_it(section: &str) {
    let title = section.lines().next().unwrap();
    let place = Place::new();
    let all = blocks(section);
    let at = all.iter().position(|b| b.language == "rb2" && b.file.is_none()).expect(title);
    for input in &all[..at] {
        place.write(input.file.expect(title), &input.text);
    }
    place.write("recipe.rb2", &all[at].text);
    assert_eq!(said(&place, &["fmt", "--check", "recipe.rb2"]).0, 0, "{title}: not in `rbpipe fmt`'s layout");
    assert_eq!(said(&place, &["check", "recipe.rb2"]), (0, "no problems\n".to_owned()), "{title}");
    let (ended, words) = said(&place, &["run", "recipe.rb2"]);
    assert_eq!(ended, 0, "{title}: {words}");
    assert!(!all[at + 1..].is_empty(), "{title} shows nothing");
    for output in &all[at + 1..] {
        let file = output.file.expect(title);
        assert_eq!(place.read(file), output.text, "{title}: {file}");
    }
    assert_eq!(said(&place, &["run", "recipe.rb2", "--no-exec"]).0, 0, "{title}: a second run executes something");
}

#[test]
fn each_recipe_of_the_tour_is_checked_as_it_says() {
    let text = page("language.md");
    let all = blocks(&text);
    let mut wrong = 0;
    for (n, block) in all.iter().enumerate().filter(|(_, b)| b.language == "rb2") {
        let place = Place::new();
        place.write("recipe.rb2", &block.text);
        assert_eq!(said(&place, &["fmt", "--check", "recipe.rb2"]).0, 0, "{}", block.text);
        let (ended, words) = said(&place, &["check", "recipe.rb2"]);
        match all.get(n + 1).filter(|next| next.language == "text") {
            Some(next) => {
                let bare = |s: &str| s.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned();
                assert_eq!((ended, bare(&words)), (1, bare(&next.text)), "{}", block.text);
                wrong += 1;
            }
            None => assert_eq!((ended, &*words), (0, "no problems\n"), "{}", block.text),
        }
    }
    assert!(wrong >= 3, "a tour shows mistakes too");
}

#[test]
fn the_page_of_the_first_model_shows_its_recipe() {
    let recipe = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/first.rb2")).unwrap();
    let text = page("first-model.md");
    let shown: Vec<_> = blocks(&text).into_iter().filter(|b| b.language == "rb2").collect();
    assert!(shown.len() >= 5);
    shown.iter().for_each(|block| assert!(recipe.contains(block.text.trim_end()), "{}", block.text));
}

/// Takes out what differs from run to run: times and the date of a record.
fn timeless(text: &str) -> String {
    let time = regex::Regex::new(r"\d+\.\d+ ?s\b|made \d{4}-[0-9T:.-]+Z|\b[0-9a-f]{12,64}\b").unwrap();
    let gap = regex::Regex::new(r" {2,}").unwrap();
    text.lines().map(|l| gap.replace_all(&time.replace_all(l, "…"), "  ").trim_end().to_owned() + "\n").collect()
}

/// Plays a page: writes its files, runs its commands one after the other in one folder, and returns the page with what they say.
fn played(text: &str, place: &Place) -> String {
    let mut out = String::new();
    let mut folder = String::new();
    let inside =
        |folder: &str, file: &str| if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\n```") {
        let (head, after) = after.split_once('\n').unwrap();
        let (body, after) = after.split_once("```").unwrap();
        out += &format!("{before}\n```{head}\n");
        match head.split_once(' ') {
            Some((_, file)) => {
                place.write_quietly(&inside(&folder, file), body);
                out += body;
            }
            None if head == "console" => {
                for command in body.lines().filter_map(|l| l.strip_prefix("$ ")) {
                    out += &format!("$ {command}\n");
                    let words: Vec<&str> = command.split(' ').collect();
                    match words[..] {
                        ["cd", to] => folder = to.to_owned(),
                        ["cat", file] => out += &place.read(&inside(&folder, file)),
                        ["rbpipe", ..] => {
                            let mut run = place.command(&words[1..]);
                            let ran = run.current_dir(place.path(&folder)).env("NO_COLOR", "1").output().unwrap();
                            let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
                            out += &said.lines().map(|l| l.trim_end().to_owned() + "\n").collect::<String>();
                        }
                        _ => panic!("no command of a tutorial: {command}"),
                    }
                }
            }
            None => out += body,
        }
        out += "```";
        rest = after;
    }
    out + rest
}

/// `RBPIPE_UPDATE_PAGES=1 cargo test … -- tutorial` writes what the commands say now.
#[test]
fn the_tutorial_shows_what_its_commands_say() {
    let text = page("tutorial.md");
    let now = played(&text, &Place::new());
    if std::env::var_os("RBPIPE_UPDATE_PAGES").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tutorial.md"), &now).unwrap();
    }
    assert_eq!(timeless(&text), timeless(&now), "docs/tutorial.md");
    for piece in ["no problems", "did you mean `.stars`?", "too few tickets are left", "nothing was kept"] {
        assert!(now.contains(piece), "the tutorial shows no `{piece}`");
    }
}
