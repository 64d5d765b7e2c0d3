//! The forms of items: names, types and clauses that stand where they cannot.

use super::Case;
use super::words::{describe, short};
use crate::base::{Diagnostic, Span, codes};
use crate::syntax::grammar::{RESERVED, Rule};
use crate::syntax::scan::Kind;

/// What other languages call the types of this one.
const TYPES: &[(&str, &str)] = &[
    ("int", "Int"),
    ("integer", "Int"),
    ("float", "Float"),
    ("double", "Float"),
    ("number", "Float"),
    ("str", "Str"),
    ("string", "Str"),
    ("text", "Str"),
    ("bool", "Bool"),
    ("boolean", "Bool"),
    ("image", "Image"),
    ("video", "Video"),
    ("json", "Json"),
    ("dataset", "Dataset"),
    ("model", "Model"),
];

impl Case<'_> {
    pub(super) fn item_form(&self, found: &str, before: &str, open: Option<usize>) -> Option<Diagnostic> {
        match self.word(0) {
            "let" | "stage" => self.bound_name(found, before).or_else(|| self.bound_value(found, before)),
            "param" => self.bound_name(found, before).or_else(|| self.param(found, before)),
            "fn" | "op" => self.bound_name(found, before).or_else(|| self.function(found, before, open)),
            "output" => self.bound_name(found, before).or_else(|| self.output(found)),
            "secret" => self.bound_name(found, before).or_else(|| self.secret(found, before)),
            "import" => self.import(found, before),
            "schema" => self.schema(found, before),
            "profile" => self.bound_name(found, before).or_else(|| {
                (self.found == 2 && matches!(found, ":" | "=")).then(|| {
                    let problem = self.says(self.here(), "the params of a profile follow its name", "not needed");
                    let problem = problem.help("write `profile name { param: value } with { gpus: 8 }`");
                    if self.word(3) == "{" { problem.fix(self.here(), "") } else { problem }
                })
            }),
            "recipe" if found == "{" => {
                let problem = self.says(self.here(), "a recipe has no braces: its items follow", "a block");
                Some(problem.help("remove the braces; each item begins at the start of a line"))
            }
            "recipe" if self.found == 1 && self.tokens.get(1).is_some_and(|t| t.kind != Kind::Str) => {
                let problem = self.says(self.here(), "the name of a recipe is a text", "without quotes");
                Some(problem.help(format!("write `recipe \"{found}\"`")).fix(self.here(), format!("\"{found}\"")))
            }
            "recipe" if before == "requires" && self.tokens.get(self.found).is_some_and(|t| t.kind == Kind::Number) => {
                let written = format!("\">={found}\"");
                let problem = self.says(self.here(), "the versions that a recipe needs are a text", "a number");
                Some(problem.help(format!("write `{written}`")).fix(self.here(), written))
            }
            "expect" | "warn" if found == ":" && self.found == 2 && self.tokens[1].kind == Kind::Str => {
                let problem = self.says(self.span_of(1), "the condition stands first", "the message");
                Some(problem.help(format!("write `{} condition else {}`", self.word(0), short(before))))
            }
            "expect" | "warn" if found == "," && open.is_none() => {
                let problem = self.says(self.here(), "the message stands after `else`", "a comma");
                Some(problem.help("write `expect condition else \"message\"`").fix(self.here(), " else"))
            }
            _ => None,
        }
    }

    /// The name behind the item's word, when it can be none.
    fn bound_name(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        if self.found == 1 {
            let (message, name) = match token.kind {
                Kind::TypeName => ("names of values start with a small letter", snake(found)),
                Kind::Str => ("a name stands without quotes", found.trim_matches('"').to_owned()),
                Kind::Number => ("a name starts with a letter", format!("_{found}")),
                _ => return None,
            };
            let problem = self.says(self.here(), message, "expected a name");
            let fits = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            let help = problem.help(format!("write `{name}`"));
            return Some(if fits && token.kind != Kind::Number { help.fix(self.here(), name) } else { help });
        }
        // `let clean-rows = …`
        if self.found == 2 && found == "-" && self.touches(1) && self.touches(2) {
            let whole = self.span_of(1).to(self.span_of(3));
            let name = format!("{before}_{}", self.word(3));
            let problem = self.says(whole, "a name holds no `-`", "expected a name");
            return Some(problem.help(format!("write `{name}`")).fix(whole, name));
        }
        None
    }

    fn bound_value(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        let (item, name) = (self.word(0), self.word(1));
        let outside = self.open_bracket().is_none();
        if found == "to" && outside && self.ends_value(self.found - 1) {
            let problem = self.says(self.here(), format!("a `{item}` is not published"), "no part of it");
            return Some(
                problem.help(format!("leave the path out, and publish it: `output {name}_files = {name} to \"path\"`")),
            );
        }
        if found == "|>" && outside && (0..self.found).any(|i| self.word(i) == "with") {
            let problem = self.says(self.here(), "`with` stands behind the last step", "a step behind it");
            return Some(problem.help("write `value |> module.operator(…) with { … }`"));
        }
        if self.found == 2 && found == "{" && item == "stage" {
            let problem = self.says(self.here(), "a stage is a value, not a block", "expected `=`");
            return Some(
                problem.help(format!("write `stage {name} = model |> train.sft(data: rows, …) with {{ … }}`")),
            );
        }
        if self.found == 1 && matches!(found, "(" | "{" | "[") {
            let problem = self.says(self.here(), "a `let` names one value", "expected a name");
            let help = "name the whole and read its parts: `let parts = …`, then `parts.train` and `parts.validation`";
            return Some(problem.help(help));
        }
        if self.found == 2 && found == "==" {
            let problem = self.says(self.here(), "`=` names a value, `==` compares", "expected `=`");
            return Some(problem.help(format!("write `{} {before} = …`", self.word(0))).fix(self.here(), "="));
        }
        if self.found == 2 && matches!(before, "mut" | "const" | "var" | "static") {
            let (word, at) = (self.span_of(1), self.gap_before(1).to(self.span_of(1)));
            let problem = self.says(word, "a name has one value for good", "not needed");
            return Some(problem.help(format!("write `let {found} = …`")).fix(at, ""));
        }
        if self.found == 3 && before == ":" && matches!(token.kind, Kind::Number | Kind::Str) {
            let colon = self.span_of(2);
            let problem = self.says(colon, format!("`{}` is named with `=`", self.word(1)), "expected `=`");
            return Some(
                problem.help(format!("write `{} {} = {}`", self.word(0), self.word(1), short(found))).fix(colon, " ="),
            );
        }
        if self.found == 2 && !matches!(token.kind, Kind::Punct | Kind::Close) {
            let gap = self.gap_before(self.found);
            let problem = self.says(gap, format!("`=` is missing after `{before}`"), "expected `=` here");
            return Some(problem.help(format!("write `{} {before} = {}`", self.word(0), short(found))).fix(gap, " ="));
        }
        if found == ":" && self.open_bracket().is_none() && self.expects(&[Rule::kw_with, Rule::with_, Rule::EOI]) {
            let problem = self.says(self.here(), "the type stands before the value", "expected the end of the item");
            return Some(problem.help(format!("write `{} {}: Type = …`", self.word(0), self.word(1))));
        }
        None
    }

    fn param(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let name = self.word(1);
        if self.found == 2 && found == "=" {
            let value = self.tokens.get(3).map(|t| (t.kind, self.word(3)));
            let ty = value.and_then(|(kind, word)| type_of(kind, word));
            let gap = self.gap_before(self.found);
            let problem = self.says(gap, "a param has a type", "expected `:` and a type here");
            let shown = ty.unwrap_or("Type");
            let problem = problem.help(format!("write `param {name}: {shown} = …`"));
            return Some(match ty {
                Some(ty) => problem.fix(gap, format!(": {ty}")),
                None => problem,
            });
        }
        if self.found == 2 && self.tokens.get(2).is_some_and(|t| t.kind == Kind::TypeName) {
            let gap = self.gap_before(self.found);
            let problem = self.says(gap, "a colon is missing between a param and its type", "expected `:` here");
            return Some(problem.help(format!("write `param {name}: {found}`")).fix(gap, ":"));
        }
        if found == ":" && self.found > 3 && self.open_bracket().is_none() {
            let problem = self.says(self.here(), "the default stands after `=`", "expected `=`");
            return Some(problem.help(format!("write `param {name}: Type = …`")).fix(self.here(), " ="));
        }
        if found == "," && self.open_bracket().is_none() && (0..self.found).any(|i| self.word(i) == "=") {
            let problem = self.says(self.here(), "a param has one default", "another value");
            return Some(problem.help(
                "its range stands before the default, `param n: Int in 1..9 = 5`; several values at once are a `sweep x in [1, 2] { … }`",
            ));
        }
        let number = self.tokens.get(self.found).is_some_and(|t| t.kind == Kind::Number);
        if number && matches!(before, "[" | "(") {
            let ty = self.word(3);
            let problem = self.says(self.here(), "the range of a param stands after `in`", "expected a type");
            return Some(problem.help(format!("write `param {name}: {ty} in 1..10 = …`")));
        }
        None
    }

    fn function(&self, found: &str, before: &str, open: Option<usize>) -> Option<Diagnostic> {
        let params = open == Some(2);
        if params && self.expects(&[Rule::colon]) && matches!(found, ")" | "," | "=") {
            let problem = self.says(
                self.gap_before(self.found),
                format!("the parameter `{before}` has no type"),
                "expected `:` and a type here",
            );
            return Some(
                problem.help(format!("write `{before}: Type`, as in `{before}: Int` or `{before}: Dataset[Row]`")),
            );
        }
        if open.is_none() && found == "{" && self.expects(&[Rule::eq]) {
            let gap = self.gap_before(self.found);
            let problem = self.says(gap, "`=` is missing before the body of the function", "expected `=` here");
            let block = (self.found..self.tokens.len()).any(|i| self.word(i) == "=>");
            let problem = problem.help("write `fn f(a: Int) -> Int = a + 1`; a block is `= { let x = … => x }`");
            return Some(if block { problem.fix(gap, " =") } else { problem });
        }
        if open.is_none() && found == ":" && self.word(0) == "fn" && self.expects(&[Rule::eq]) {
            let problem = self.says(self.here(), "the body of a function stands after `=`", "expected `=`");
            return Some(problem.help("write `fn f(a: Int) -> Int = a + 1`").fix(self.here(), " ="));
        }
        let runs = self.word(0) == "op" && open.is_none();
        if runs
            && self.expects(&[Rule::kw_runs])
            && matches!(found, "=" | "run" | "cmd" | "exec" | "{" | "{:" | ":" | "with")
        {
            let problem = self.says(self.here(), "the command of an operator stands after `runs`", "expected `runs`");
            let help = "write `op name(d: Dataset[Row]) -> Dataset[Row] runs \"python3 file.py\"`";
            let text = self.tokens.get(self.found + 1).is_some_and(|t| t.kind == Kind::Str);
            let problem = problem.help(help);
            return Some(if text { problem.fix(self.here(), "runs") } else { problem });
        }
        if runs && let Some(problem) = self.command(found) {
            return Some(problem);
        }
        if runs && matches!(before, "files" | "env") && self.expects(&[Rule::lbrack]) {
            let problem = self.says(self.here(), "the files of an operator are a list", "expected `[`");
            return Some(problem.help(format!("write `files [{}]`", short(found))));
        }
        if runs && before == "files" && self.tokens.get(self.found).is_some_and(|t| t.kind == Kind::Str) {
            let problem = self.says(self.here(), "the files of an operator are a list", "expected `[`");
            return Some(
                problem.help(format!("write `files [{}]`", short(found))).fix(self.here(), format!("[{found}]")),
            );
        }
        if self.expects(&[Rule::arrow]) && self.word(0) == "op" {
            let problem = self.says(self.here(), "an operator says what it gives", "expected `->` and a type");
            return Some(problem.help(format!("write `op {}(…) -> Dataset[Row] runs \"command\"`", self.word(1))));
        }
        if self.expects(&[Rule::arrow]) {
            let problem = Diagnostic::new(
                codes::E0101,
                self.here(),
                format!("expected the result type, found {}", describe(found)),
                "expected `->` here",
            );
            let problem = problem.help(format!("write what it returns: `fn {}(…) -> Type = …`", self.word(1)));
            return Some(if found == "=>" { problem.fix(self.here(), "->") } else { problem });
        }
        let block =
            open.is_some_and(|o| self.word(o) == "{") && self.expects(&[Rule::kw_let, Rule::fat_arrow, Rule::local]);
        let binds = |word: &str| matches!(word, "stage" | "param" | "expect" | "output" | "warn");
        let opens = self.found.checked_sub(2).map_or("", |i| self.word(i));
        let word = if binds(before) && opens == "{" { before } else { found };
        if binds(word) && (block || word == before) {
            let message = format!("a block holds only `let`, no `{word}`");
            let at = if word == before { self.span_of(self.found - 1) } else { self.here() };
            return Some(self.says(at, message, "inside a function").help(if word == "stage" {
                "write `let`; a stage is the `stage` that calls the function"
            } else {
                "write it outside of the function"
            }));
        }
        if found == "with" && self.found > 2 && self.ends_value(self.found - 1) {
            let problem =
                Diagnostic::new(codes::E0216, self.here(), "a function's body carries no `with`", "inside a function");
            return Some(problem.help("put it on the `let` or `stage` that calls the function"));
        }
        None
    }

    fn output(&self, found: &str) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        let start = self.span_of(1);
        let before = self.found.checked_sub(1).map_or("", |i| self.word(i));
        if before == "to" && !matches!(token.kind, Kind::Str | Kind::Close) {
            let line = self.line_of(self.found);
            let last = (self.found..self.tokens.len()).take_while(|&i| self.line_of(i) == line).last()?;
            let whole = self.here().to(self.span_of(last));
            let path = &self.text[whole.start as usize..whole.end as usize];
            let problem = self.says(whole, "a path stands between quotes", "expected a string");
            let plain = !path.contains(['"', ' ', '{', '\'']);
            let problem =
                problem.help(if plain { format!("write `to \"{path}\"`") } else { "write `to \"path\"`".to_owned() });
            return Some(if plain { problem.fix(whole, format!("\"{path}\"")) } else { problem });
        }
        if self.found == 2 && found == ":" {
            let typed = (3..self.tokens.len()).find(|&i| self.word(i) == "=");
            let problem = self.says(self.here(), "the value of an output stands after `=`", "expected `=`");
            return Some(match typed {
                Some(eq) => {
                    let ty = self.here().to(self.span_of(eq - 1));
                    problem
                        .help(format!("an output is of the type of its value: write `output {before} = …`"))
                        .fix(ty, "")
                }
                None => problem.help(format!("write `output {before} = …`")).fix(self.here(), " ="),
            });
        }
        if self.found == 2 && matches!(found, "to" | "|>" | "." | "(") {
            let at = Span { end: start.start, ..start };
            let problem = self.says(start, "an output has a name of its own", "expected a name and `=`");
            let name = if self.word(1) == "raw" { "rows" } else { "result" };
            return Some(
                problem.help(format!("write `output {name} = {} …`", self.word(1))).fix(at, format!("{name} = ")),
            );
        }
        if self.open_bracket().is_some() || !self.ends_value(self.found.checked_sub(1)?) {
            return None;
        }
        if token.kind == Kind::Str {
            let gap = self.gap_before(self.found);
            let problem = self.says(self.here(), "`to` is missing before the path", "expected `to`");
            return Some(problem.help(format!("write `to {}`", short(found))).fix(gap, " to"));
        }
        if found == "+" && self.tokens[self.found - 1].kind == Kind::Str {
            let problem = self.says(self.here(), "the path of an output is one text", "put together");
            return Some(problem.help("names are put into it between braces: `to \"out/{name}.jsonl\"`"));
        }
        if found == "," && token.kind == Kind::Punct && self.tokens[self.found - 1].kind == Kind::Str {
            let problem = self.says(self.here(), "an output has one path", "another one");
            return Some(problem.help("publish the value again under another name: `output again = … to \"path\"`"));
        }
        if matches!(found, "->" | "=>" | "as" | "into" | ">") {
            let problem = self.says(self.here(), "the path of an output stands after `to`", "expected `to`");
            let path = self.tokens.get(self.found + 1).is_some_and(|t| t.kind == Kind::Str);
            let problem = problem.help("write `output name = value to \"path\"`");
            return Some(if path { problem.fix(self.here(), "to") } else { problem });
        }
        (found == "with").then(|| {
            self.says(self.here(), "`with` stands on a `let` or `stage`, not on an output", "expected `to`")
                .help("name the value first: `let x = … with { … }`, then `output name = x to \"path\"`")
        })
    }

    fn secret(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        if before == "from" && matches!(token.kind, Kind::TypeName | Kind::Str) {
            let bare = found.trim_matches('"');
            let problem = self.says(self.here(), "say where the secret comes from", "expected `env`, `file` or `cmd`");
            let whole = format!("env \"{bare}\"");
            return Some(problem.help(format!("write `secret {} from {whole}`", self.word(1))).fix(self.here(), whole));
        }
        if matches!(before, "env" | "file") && matches!(token.kind, Kind::TypeName | Kind::Word) {
            let problem = self.says(self.here(), "where a secret comes from is a text", "without quotes");
            return Some(
                problem.help(format!("write `{before} \"{found}\"`")).fix(self.here(), format!("\"{found}\"")),
            );
        }
        (self.found == 2 && found == "=").then(|| {
            self.says(self.here(), "a secret is never written into a recipe", "expected `from`")
                .help(format!("write `secret {before} from env \"VARIABLE\"`, and set the variable"))
        })
    }

    fn import(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let file = self.tokens.get(1).is_some_and(|t| t.kind == Kind::Str);
        if file && found.is_empty() && self.expects(&[Rule::kw_as]) {
            let stem = self.word(1).trim_matches('"').rsplit('/').next().unwrap_or_default();
            let stem = snake(stem.strip_suffix(".rb2").unwrap_or(stem));
            let problem = self.says(self.here(), "an imported file gets a name", "expected `as` here");
            let help = problem.help(format!("write `import {} as {stem}`", self.word(1)));
            let plain =
                !stem.is_empty() && stem.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            return Some(if plain { help.fix(self.here(), format!(" as {stem}")) } else { help });
        }
        let alias = self.found.checked_sub(2).is_some_and(|i| self.word(i) == "as");
        if alias && found == "-" && self.touches(self.found - 1) && self.touches(self.found) {
            let mut last = self.found + 1;
            while self.word(last + 1) == "-" && self.touches(last) && self.touches(last + 1) {
                last += 2;
            }
            let whole = self.span_of(self.found - 1).to(self.span_of(last));
            let name = self.text[whole.start as usize..whole.end as usize].replace('-', "_");
            let problem = self.says(whole, "a name holds no `-`", "expected a name");
            return Some(problem.help(format!("write `{name}`")).fix(whole, name));
        }
        if before == "hub" && self.tokens.get(self.found).is_some_and(|t| t.kind == Kind::Str) {
            let name = found.trim_matches('"');
            let problem =
                self.says(self.span_of(self.found - 1), "a package of the hub is named in the text", "not here");
            return Some(
                problem.help(format!("write `import \"hub:{name}@1.0#lib.rb2\" as tools`: owner, name and versions")),
            );
        }
        if file && found == "." {
            let problem = self.says(self.here(), "a file is imported as a whole", "expected `as`");
            return Some(problem.help(format!("write `import {} as tools`, then `tools.name`", self.word(1))));
        }
        if before == "." && matches!(found, "(" | "[") {
            let problem = self.says(self.here(), "several modules stand in braces", "expected `{`");
            return Some(problem.help("write `import std.{data, filter}`"));
        }
        if before == "." && found == "*" {
            let problem = self.says(self.here(), "an import names what it brings in", "expected a name");
            return Some(problem.help("write `import std.{data, filter, train}`"));
        }
        if found == "/" || found == ":" {
            let problem = self.says(self.here(), "the parts of a library's name are joined with `.`", "expected `.`");
            return Some(problem.help("write `import std.data`").fix(self.here(), "."));
        }
        let listed = found == "," && self.open_bracket().is_none() && self.word(1) == "std";
        listed.then(|| {
            self.says(self.here(), "several modules stand in braces", "a comma")
                .help("write `import std.{data, filter}`")
        })
    }

    fn schema(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        if self.found == 1 && token.kind == Kind::Word && !RESERVED.contains(&found) {
            let name = camel(found);
            let problem = self.says(self.here(), "the name of a schema starts with a capital", "expected a type name");
            return Some(problem.help(format!("write `{name}`")).fix(self.here(), name));
        }
        if self.found == 2 && matches!(found, "=" | ":") {
            let problem = self.says(self.here(), "the columns of a schema follow its name", "not needed");
            return Some(problem.help("write `schema Name { field: Type }`").fix(self.here(), ""));
        }
        if self.found == 2 && matches!(found, "(" | "extends" | "inherits") {
            let parent = self.found + 1;
            let last = if found == "(" { self.found + 2 } else { parent };
            let (name, opens) = (self.word(parent), self.word(last + 1) == "{");
            let whole = self.here().to(self.span_of(last + 1));
            let problem =
                self.says(self.here(), "a schema takes the columns of another one in with `..`", "no part of it");
            let problem = problem.help(format!("write `schema {before} {{ ..{name}, … }}`"));
            return Some(if opens { problem.fix(whole, format!("{{ ..{name},")) } else { problem });
        }
        if found == "=" && self.open_bracket().is_some() && !self.expects(&[Rule::colon]) {
            let problem = self.says(self.here(), "a column has no default", "expected `,` or the next column");
            return Some(problem.help(
                "let it be absent, `name: Type?`, and say what stands for it where it is read: `(.name ?? \"\")`",
            ));
        }
        if found == "?" && self.word(self.found + 1) == ":" && self.open_bracket().is_some() {
            let last = (self.found + 2..self.tokens.len()).find(|&i| matches!(self.word(i), "," | "}"))?;
            let ty = self.span_of(self.found + 2).to(self.span_of(last - 1));
            let written = &self.text[ty.start as usize..ty.end as usize];
            let problem = self.says(self.here(), "`?` stands behind the type", "behind the name");
            let whole = self.here().to(ty);
            return Some(problem.help(format!("write `{before}: {written}?`")).fix(whole, format!(": {written}?")));
        }
        if before == "enum" && matches!(found, "(" | "[") {
            let problem = self.says(self.here(), "the values of an enum stand in braces", "expected `{`");
            return Some(problem.help("write `enum { safe, low, high }`"));
        }
        if !self.expects(&[Rule::colon]) || self.open_bracket().is_none() {
            return None;
        }
        let gap = self.gap_before(self.found);
        if matches!(found, "," | "}" | "?") {
            let problem = self.says(gap, format!("the column `{before}` has no type"), "expected `:` and a type here");
            return Some(problem.help(format!("write `{before}: Str`")));
        }
        let starts = matches!(token.kind, Kind::TypeName | Kind::Word | Kind::Open) && found != "(";
        starts.then(|| {
            self.says(gap, format!("a colon is missing between `{before}` and its type"), "expected `:` here")
                .help(format!("write `{before}: {}`", short(found)))
                .fix(gap, ":")
        })
    }

    /// Types as other languages write them.
    pub(super) fn foreign_type(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        let is_type = self.expects(&[Rule::type_, Rule::tprim, Rule::named_t, Rule::tname, Rule::enum_]);
        if is_type
            && token.kind == Kind::Word
            && !RESERVED.contains(&found)
            && !self.expects(&[Rule::primary, Rule::expr])
        {
            let known = TYPES.iter().find(|(theirs, _)| *theirs == found).map(|(_, ours)| (*ours).to_owned());
            let next = self.word(self.found + 1);
            if matches!(found, "required" | "optional" | "nullable")
                && self.tokens.get(self.found + 1).is_some_and(|t| t.kind == Kind::TypeName)
            {
                let written = if found == "required" { next.to_owned() } else { format!("{next}?") };
                let whole = self.here().to(self.span_of(self.found + 1));
                let problem = self.says(self.here(), "a value that may be absent has a `?` behind its type", "no type");
                return Some(problem.help(format!("write `{written}`")).fix(whole, written));
            }
            let problem = self.says(self.here(), "the name of a type starts with a capital", "expected a type");
            let holds = match found {
                "list" | "array" | "vec" | "sequence" | "tuple" => Some("a list of texts is `[Str]`"),
                "dict" | "map" | "object" | "any" => {
                    Some("a record is `{ a: Str, b: Int }`, anything at all is `Json`")
                }
                "enum" if next == "(" || next == "[" => {
                    Some("the values of an enum stand in braces: `enum { safe, low }`")
                }
                _ => None,
            };
            if let Some(help) = holds {
                return Some(problem.help(help));
            }
            return Some(match known {
                Some(name) => problem.help(format!("write `{name}`")).fix(self.here(), name),
                None => problem.help("types are `Int`, `Float`, `Str`, `Bool`, `Rows`, `Dataset[Row]` and others, and the schemas of the file"),
            });
        }
        if is_type && found == "?" && self.tokens.get(self.found + 1).is_some_and(|t| t.kind == Kind::TypeName) {
            let ty = self.word(self.found + 1);
            let whole = self.here().to(self.span_of(self.found + 1));
            let problem = self.says(self.here(), "`?` stands after the type", "before the type");
            return Some(problem.help(format!("write `{ty}?`")).fix(whole, format!("{ty}?")));
        }
        let named = self.found.checked_sub(1).is_some_and(|i| self.tokens[i].kind == Kind::TypeName);
        if found == "<" && named && self.touches(self.found - 1) {
            let close = (self.found..self.tokens.len()).find(|&i| self.word(i) == ">" || self.word(i) == ">=")?;
            let whole = self.here().to(self.span_of(close));
            let inner = &self.text[self.here().end as usize..self.tokens[close].start];
            let problem = self.says(self.here(), "what a type holds stands in square brackets", "expected `[`");
            let problem = problem.help(format!("write `{before}[{inner}]`"));
            return Some(if self.word(close) == ">" { problem.fix(whole, format!("[{inner}]")) } else { problem });
        }
        None
    }

    /// `with` and `sweep` in the wrong clothes.
    pub(super) fn clauses(&self, found: &str, before: &str, open: Option<usize>) -> Option<Diagnostic> {
        if open.is_some() && (found == "with" && self.word(self.found + 1) == "{" || before == "with" && found == "{") {
            let with = if found == "with" { self.found } else { self.found - 1 };
            let problem =
                self.says(self.span_of(with), "`with` stands after the call, not in it", "inside of the brackets");
            return Some(problem.help("write `let x = … |> train.sft(…) with { … }`"));
        }
        let named = self.found.checked_sub(1).is_some_and(|i| self.tokens[i].kind == Kind::TypeName);
        if named && found == ":" && open.is_some() {
            let (span, name) = (self.span_of(self.found - 1), snake(before));
            let problem = self.says(span, "names of arguments and fields are written small", "starts with a capital");
            return Some(problem.help(format!("write `{name}: …`")).fix(span, name));
        }
        if before == "with" && matches!(found, "(" | "[") {
            let problem = self.says(self.here(), "the options of `with` stand in braces", "expected `{`");
            return Some(problem.help("write `with { gpus: 1 }`"));
        }
        if before == "sweep" && matches!(found, "{" | "(" | "[") {
            let problem = self.says(self.here(), "a sweep names what changes", "expected a name");
            return Some(problem.help("write `sweep lr in [1e-5, 1e-4] { … }`; a second axis follows after a comma"));
        }
        let sweeps = (0..self.found).rev().find(|&i| self.word(i) == "sweep")?;
        if found == "in" && self.word(sweeps + 1) == "(" && self.found == sweeps + 3 {
            let at = self.span_of(sweeps + 1);
            let problem = self.says(at, "the axes of a sweep stand without parentheses", "not needed");
            return Some(problem.help("write `sweep x in [1, 2], y in suite { … }`"));
        }
        let axes = (sweeps..self.found).any(|i| self.word(i) == "in")
            && !(sweeps..self.found).any(|i| self.word(i) == "{" && self.closes_at(i).is_none());
        if axes
            && self.expects(&[Rule::kw_where, Rule::lbrace, Rule::comma])
            && matches!(found, ":" | "=>" | "->" | "then" | "do" | "")
        {
            let problem = self.says(self.here(), "the body of a sweep stands in braces", "expected `{`");
            return Some(problem.help("write `sweep x in [1, 2] { … }`"));
        }
        None
    }
}

/// Returns the type that another language calls so.
pub(super) fn type_named(theirs: &str) -> Option<&'static str> {
    TYPES.iter().find(|(name, _)| *name == theirs).map(|(_, ours)| *ours)
}

/// The type of a literal, where it tells it.
fn type_of(kind: Kind, word: &str) -> Option<&'static str> {
    match kind {
        Kind::Str => Some("Str"),
        Kind::Word => matches!(word, "true" | "false").then_some("Bool"),
        Kind::Number => {
            let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '_' | '.'));
            match unit {
                "" if word.contains('.') => Some("Float"),
                "" => Some("Int"),
                "rows" => Some("Rows"),
                "tok" => Some("Tokens"),
                "steps" => Some("Steps"),
                "px" => Some("Pixels"),
                "%" => Some("Ratio"),
                "deg" => Some("Angle"),
                "pt" => Some("Points"),
                "ms" | "s" | "m" | "h" | "d" => Some("Duration"),
                "B" | "KB" | "MB" | "GB" | "TB" | "KiB" | "MiB" | "GiB" | "TiB" => Some("Bytes"),
                exponent if exponent.starts_with('e') => Some("Float"),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `CleanRows` as `clean_rows`, `MAX_ROWS` as `max_rows`.
pub(super) fn snake(name: &str) -> String {
    if !name.chars().any(|c| c.is_ascii_lowercase()) {
        return name.to_ascii_lowercase();
    }
    let mut out = String::with_capacity(name.len() + 2);
    for (i, c) in name.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 && !out.ends_with('_') {
            out.push('_');
        }
        out.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    out
}

/// `clean_rows` as `CleanRows`.
fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|c| c.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    name.split('_').map(capital).collect()
}
