//! The formatter on made-up recipes: every construct of the grammar, blanks and comments anywhere. Nothing but blanks changes, and it settles.
//!
//! 1,000 recipes by default; `RBPIPE_LAYOUT=100000` makes as many, `RBPIPE_LAYOUT_FROM=N` starts at recipe N.

use rbpipe::base::SourceId;
use rbpipe::syntax;

use crate::random::Random;

/// A recipe in the making: tokens, and where an item starts.
struct Maker {
    random: Random,
    tokens: Vec<String>,
    starts: Vec<usize>,
    depth: usize,
}

const NAMES: &[&str] = &["a", "rows", "files", "env", "x_1", "strict_numerics", "row_map", "_"];
/// Words that are names only after a point or before a colon.
const WORDS: &[&str] = &["a", "to", "schema", "in", "with", "output", "let", "if", "not", "none", "n"];
const TYPES: &[&str] = &["Int", "Dataset", "S", "Str"];
const NUMBERS: &[&str] = &["0", "20_000", "1e-5", "2.5", "95%", "8192tok", "2h30m", "24GiB", "589_824px", "5pt"];
const STRINGS: &[&str] = &[
    "\"\"",
    "\"a b\"",
    "\"{x} # no comment\"",
    "\"\\\"\\n\"",
    "\"é 漢\"",
    "r\"\\d+ \"",
    "\"\"\"one\n  two  \n\n    three\"\"\"",
    "\"\"\"\n    # text\n    let x = 1\n  \"\"\"",
];
const COMMENTS: &[&str] = &[
    "#",
    "# why",
    "## What it is.",
    "#!/usr/bin/env rbpipe",
    "# allow W0201: later",
    "#close",
    "# \"half",
    "# { [ ( é",
    "#\tx   ",
];

impl Maker {
    fn t(&mut self, token: &str) -> &mut Self {
        self.tokens.push(token.to_owned());
        self
    }

    fn one(&mut self, of: &[&str]) -> &mut Self {
        let token = *self.random.pick(of);
        self.t(token)
    }

    fn chance(&mut self, of: usize) -> bool {
        self.random.below(of) == 0
    }

    /// From `least` to two times with commas, and perhaps one more comma.
    fn list(&mut self, least: usize, each: fn(&mut Self)) {
        let n = least + self.random.below(3 - least);
        for i in 0..n {
            if i > 0 {
                self.t(",");
            }
            each(self);
        }
        if n > 0 && self.chance(3) {
            self.t(",");
        }
    }

    fn column(&mut self) {
        if self.chance(4) {
            self.t("\"level-1\"");
        } else {
            self.one(WORDS);
        }
    }

    fn item(&mut self) {
        self.starts.push(self.tokens.len());
        match self.random.below(13) {
            0 => {
                self.t("recipe").t("\"r\"");
                if self.chance(2) {
                    self.t("requires").t("\">=0.1\"");
                }
                if self.chance(2) {
                    self.t("strict_numerics");
                }
            }
            1 => match self.random.below(4) {
                0 => {
                    self.t("import").t("\"./x.rb2\"").t("as").one(NAMES);
                }
                1 => {
                    self.t("import").t("std.eval.embodied17").t("as").one(NAMES);
                }
                2 => {
                    self.t("import").t("std.data");
                }
                _ => {
                    self.t("import").t("std").t(".{");
                    self.list(1, |m| {
                        m.one(NAMES);
                        if m.chance(3) {
                            m.t("as").one(NAMES);
                        }
                    });
                    self.t("}");
                }
            },
            2 => {
                self.t("param").one(NAMES).t(":");
                self.ty();
                if self.chance(2) {
                    self.t("in");
                    self.loose();
                }
                if self.chance(2) {
                    self.t("=");
                    self.expr();
                }
            }
            3 => {
                self.t("secret").one(NAMES).t("from").one(&["env", "file", "cmd"]).t("\"VAR\"");
            }
            4 => {
                self.t("schema").one(TYPES);
                self.row();
            }
            5 => {
                self.t("fn").one(NAMES);
                self.params();
                self.t("->");
                self.ty();
                self.t("=");
                if self.chance(2) {
                    self.t("{");
                    for _ in 0..1 + self.random.below(2) {
                        self.t("let");
                        self.bound();
                    }
                    self.t("=>");
                    self.expr();
                    self.t("}");
                } else {
                    self.expr();
                }
            }
            6 => {
                self.t("op").one(NAMES);
                self.params();
                self.t("->");
                self.ty();
                self.t("runs").t("\"python3 x.py\"");
                if self.chance(2) {
                    self.t("files").t("[").t("\"x.py\"").t("]");
                }
                if self.chance(2) {
                    self.t("env").t("\"requirements.lock\"");
                }
                if self.chance(2) {
                    self.t("deterministic").t("row_subset");
                }
            }
            7 | 8 => {
                self.one(&["let", "stage"]);
                self.bound();
                if self.chance(3) {
                    self.with();
                }
            }
            9 | 10 => {
                // A point after an item's word would make a field of it.
                self.one(&["expect", "warn"]).t("(");
                self.expr();
                self.t(")");
                if self.chance(2) {
                    self.t("else").t("\"too few\"");
                }
            }
            11 => {
                self.t("output").one(NAMES).t("=");
                self.expr();
                if self.chance(2) {
                    self.t("to").t("\"out/x.jsonl\"");
                }
            }
            _ => {
                self.t("profile").one(NAMES);
                self.record();
                if self.chance(3) {
                    self.with();
                }
            }
        }
    }

    fn bound(&mut self) {
        self.one(NAMES);
        if self.chance(4) {
            self.t(":");
            self.ty();
        }
        self.t("=");
        self.expr();
    }

    fn with(&mut self) {
        self.t("with");
        if self.chance(4) {
            self.one(NAMES);
        } else {
            self.record();
        }
    }

    fn params(&mut self) {
        self.t("(");
        self.list(0, |m| {
            m.one(WORDS).t(":");
            m.ty();
            if m.chance(4) {
                m.t("in");
                m.loose();
            }
            if m.chance(3) {
                m.t("=");
                m.expr();
            }
        });
        self.t(")");
    }

    fn ty(&mut self) {
        self.depth += 1;
        for i in 0..1 + usize::from(self.chance(4)) {
            if i > 0 {
                self.t("|");
            }
            match self.random.below(if self.depth > 3 { 1 } else { 7 }) {
                2 => {
                    self.t("enum").t("{");
                    self.list(1, Self::column);
                    self.t("}");
                }
                3 => {
                    self.t("[");
                    self.ty();
                    self.t("]");
                }
                4 => self.row(),
                5 => {
                    self.t("(");
                    self.ty();
                    self.t(",");
                    self.ty();
                    self.t(")");
                }
                6 => {
                    self.one(TYPES).t("[");
                    self.ty();
                    self.t("]");
                }
                _ => {
                    self.one(TYPES);
                }
            }
            if self.chance(4) {
                self.t("?");
            }
        }
        self.depth -= 1;
    }

    fn row(&mut self) {
        self.t("{");
        for _ in 0..self.random.below(4) {
            if self.chance(4) {
                self.t("..").one(&["r", "S"]);
            } else {
                self.column();
                self.t(":");
                self.ty();
            }
            if self.chance(2) {
                self.t(",");
            }
        }
        self.t("}");
    }

    fn expr(&mut self) {
        self.loose();
        for _ in 0..self.random.below(5).saturating_sub(3) {
            self.t("|>").one(&["data.shuffle", "f", "a.to"]);
            self.call();
        }
    }

    /// An expression without a pipe.
    fn loose(&mut self) {
        self.depth += 1;
        if self.depth > 3 {
            self.leaf();
        } else {
            match self.random.below(12) {
                0 => {
                    self.tight();
                    self.one(&["or", "and", "==", "<=", ">", "in", "??", "+", "-", "*", "/"]);
                    self.tight();
                }
                1 => {
                    self.tight();
                    self.t("not").t("in");
                    self.tight();
                }
                2 => {
                    self.t("not");
                    self.tight();
                }
                3 => {
                    // A half-open range is no positional argument, and would take a brace that follows.
                    self.t("(");
                    self.tight();
                    self.t("..");
                    if self.chance(2) {
                        self.tight();
                    }
                    self.t(")");
                }
                4 => {
                    self.t("if");
                    self.expr();
                    self.t("then");
                    self.expr();
                    self.t("else");
                    self.expr();
                }
                _ => self.tight(),
            }
        }
        self.depth -= 1;
    }

    /// An operand.
    fn tight(&mut self) {
        if self.chance(8) {
            self.t("-");
        }
        self.leaf();
        for _ in 0..self.random.below(4).saturating_sub(2) {
            match self.random.below(3) {
                0 => self.call(),
                1 => self.dotted(),
                _ => {
                    self.t("[");
                    self.expr();
                    self.t("]");
                }
            }
        }
    }

    /// `.column`, in one piece.
    fn dotted(&mut self) {
        let column = if self.chance(5) { "\"level-1\"" } else { *self.random.pick(WORDS) };
        self.t(&format!(".{column}"));
    }

    fn leaf(&mut self) {
        let deep = self.depth > 2;
        match self.random.below(if deep { 5 } else { 9 }) {
            0 => {
                self.one(NUMBERS);
            }
            1 => {
                self.one(STRINGS);
            }
            2 => self.dotted(),
            3 => {
                self.one(&["true", "false", "none", "Int"]);
            }
            5 => {
                self.t("(");
                self.expr();
                if self.chance(3) {
                    self.t(",");
                    self.expr();
                }
                self.t(")");
            }
            6 => self.record(),
            7 => {
                self.t("[");
                self.list(0, Self::expr);
                self.t("]");
            }
            8 => {
                self.t("sweep");
                if self.chance(3) {
                    self.t("(").one(NAMES).t(",").one(NAMES).t(")");
                } else {
                    self.one(NAMES);
                }
                self.t("in");
                self.loose();
                if self.chance(3) {
                    self.t("where");
                    self.loose();
                }
                self.t("{");
                self.expr();
                self.t("}");
            }
            _ => {
                self.one(NAMES);
            }
        }
    }

    fn call(&mut self) {
        self.depth += 1;
        self.t("(");
        self.list(0, |m| match m.random.below(4) {
            0 => m.spread(),
            1 => m.expr(),
            _ => {
                m.one(WORDS).t(":");
                m.expr();
            }
        });
        self.t(")");
        self.depth -= 1;
    }

    fn spread(&mut self) {
        self.t("..");
        match self.random.below(3) {
            0 => {
                self.t("(");
                self.expr();
                self.t(")");
            }
            _ => {
                self.one(NAMES);
            }
        }
    }

    fn record(&mut self) {
        self.depth += 1;
        self.t("{");
        self.list(0, |m| match m.random.below(5) {
            0 => m.spread(),
            1 => {
                m.one(NAMES);
            }
            _ => {
                m.column();
                m.t(":");
                m.expr();
            }
        });
        self.t("}");
        self.depth -= 1;
    }

    /// The tokens with blanks, line breaks and comments between them, often where nobody would put them.
    fn text(&mut self) -> String {
        let wild = 2 + self.random.below(30);
        let mut out = String::new();
        for i in 0..self.tokens.len() {
            let starts = self.starts.contains(&i);
            let mut fresh = out.is_empty();
            if starts && !fresh {
                out.push_str(*self.random.pick(&["\n", "\n\n", "\n\n\n\n", "  \n\t\n"]));
                fresh = true;
            } else if !fresh {
                out.push_str(*self.random.pick(&[" ", " ", "  ", "\t"]));
            }
            while self.chance(wild) {
                if self.chance(2) && !out.is_empty() {
                    out.push_str(*self.random.pick(&["\n  ", "\n ", "\n\n\n      "]));
                    fresh = false;
                } else {
                    out.push_str(*self.random.pick(COMMENTS));
                    out.push_str(*self.random.pick(&["\n", "\n\n"]));
                    fresh = true;
                    if !starts {
                        out.push(' ');
                        fresh = false;
                    }
                }
            }
            if starts && !fresh {
                out.push('\n');
            }
            out.push_str(&self.tokens[i]);
        }
        if self.chance(3) {
            out.push_str("  ");
            out.push_str(*self.random.pick(COMMENTS));
        }
        out.push_str(*self.random.pick(&["", "\n", "\n\n  \n"]));
        out
    }
}

/// A made-up recipe whose items are one line each, and the same with line breaks inside its calls.
fn flat_and_broken(seed: u64) -> (String, String) {
    let mut maker = Maker { random: Random(seed), tokens: Vec::new(), starts: Vec::new(), depth: 0 };
    for _ in 0..1 + maker.random.below(4) {
        maker.item();
    }
    let (mut flat, mut broken) = (String::new(), String::new());
    let mut open: Vec<&str> = Vec::new();
    let tokens = maker.tokens.clone();
    for (i, token) in tokens.iter().enumerate() {
        let before = i.checked_sub(1).map_or("", |b| tokens[b].as_str());
        let within_call = open.last() == Some(&"(") && before == ",";
        let blank = if maker.starts.contains(&i) { "\n" } else { " " };
        flat += blank;
        broken += if within_call && maker.chance(2) { *maker.random.pick(&["\n", "\n      ", "\n\n"]) } else { blank };
        flat += token;
        broken += token;
        match token.as_str() {
            // The axes of a sweep are no call, and neither is what binds like them.
            "(" if i + 1 < tokens.len() && !called(before) => open.push("no call"),
            "(" | "[" | "{" | ".{" => open.push(token),
            ")" | "]" | "}" => drop(open.pop()),
            _ => {}
        }
    }
    (flat, broken)
}

/// Says whether a bracket behind a token has the arguments of a call.
fn called(before: &str) -> bool {
    let word = before.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    word && !matches!(
        before,
        "" | "sweep" | "in" | "and" | "or" | "not" | "if" | "then" | "else" | "where" | "to" | "expect" | "warn" | ".."
    )
}

#[test]
fn breaks_inside_calls_do_not_depend_on_how_they_were_written() {
    for seed in 0..1_000 {
        let (flat, broken) = flat_and_broken(seed);
        let of = |text: &str| syntax::format(text).unwrap_or_else(|e| panic!("{seed}: {text}\n{e:?}"));
        // An empty line between two parts is the author's.
        let dense =
            |text: &str| of(text).lines().filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect::<String>();
        assert_eq!(dense(&flat), dense(&broken), "recipe {seed}:\n{flat}\n--- and\n{broken}");
    }
}

/// Returns a made-up recipe.
fn made(seed: u64) -> String {
    let mut maker = Maker { random: Random(seed), tokens: Vec::new(), starts: Vec::new(), depth: 0 };
    for _ in 0..1 + maker.random.below(4) {
        maker.item();
    }
    maker.text()
}

/// What a text says: its tree without places, its comments, and whether it has problems.
fn meaning(text: &str) -> (String, Vec<String>, bool) {
    let (file, problems) = syntax::parse(SourceId(0), text);
    let tree = format!("{:?}\n{:?}", file.doc, file.items);
    let comments = file.comments.iter().map(|c| c.text.trim_end().to_owned()).collect();
    (without_places(&tree), comments, problems.has_errors())
}

fn without_places(tree: &str) -> String {
    let mut pieces = tree.split("Span {");
    let first = pieces.next().unwrap_or_default();
    pieces.fold(first.to_owned(), |all, piece| all + piece.split_once('}').map_or("", |(_, rest)| rest))
}

fn wrong(text: &str) -> Option<String> {
    let (tree, comments, broken) = meaning(text);
    if broken {
        let first =
            syntax::parse(SourceId(0), text).1.sorted().into_iter().find(|d| d.code.0.starts_with('E')).unwrap();
        return Some(format!("it does not parse: {} {:?}", first.message, first.primary));
    }
    let Ok(once) = syntax::format(text) else { return Some("the formatter refuses it".into()) };
    let (tree_after, comments_after, broken) = meaning(&once);
    if broken {
        return Some(format!("its layout does not parse:\n{once}"));
    }
    if comments != comments_after {
        return Some(format!("comments {comments:?} became {comments_after:?}:\n{once}"));
    }
    if tree != tree_after {
        let at = tree.bytes().zip(tree_after.bytes()).take_while(|(a, b)| a == b).count();
        let near =
            |t: &str| String::from_utf8_lossy(&t.as_bytes()[at.saturating_sub(60)..t.len().min(at + 60)]).into_owned();
        return Some(format!("its layout means something else, {} became {}:\n{once}", near(&tree), near(&tree_after)));
    }
    match syntax::format(&once) {
        Ok(twice) if twice == once => None,
        Ok(twice) => Some(format!("it does not settle:\n{once}\n--- then\n{twice}")),
        Err(_) => Some(format!("the formatter refuses its own layout:\n{once}")),
    }
}

#[test]
fn made_up_recipes_keep_what_they_say_and_settle() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (from, count) = (number("RBPIPE_LAYOUT_FROM", 0), number("RBPIPE_LAYOUT", 1_000));
    let mut failed = 0;
    for seed in from..from + count {
        let text = made(seed);
        if let Some(why) = wrong(&text) {
            failed += 1;
            if failed <= 5 {
                eprintln!("recipe {seed}: {why}\n--- of\n{text}\n");
            }
        }
    }
    assert_eq!(failed, 0, "of {count} recipes");
}
