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
    for section in sections {
        let title = section.lines().next().unwrap();
        let place = Place::new();
        let all = blocks(section);
        let at = all.iter().position(|b| b.language == "rb2").expect(title);
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
