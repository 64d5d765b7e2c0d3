//! The documentation of operators as Markdown, made from their declarations.

use std::fmt::Write as _;

use super::catalogue::{Catalogue, Operator};
use super::{Class, Effect, Pool};

/// Returns all modules in documentation order: `data`, `filter`, …
pub fn modules(catalogue: &Catalogue) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for module in catalogue.operators.iter().map(module_of) {
        if !found.contains(&module) {
            found.push(module);
        }
    }
    found
}

/// Returns a list of all operators, module by module, each with the first sentence of its documentation.
pub fn contents(catalogue: &Catalogue) -> String {
    let mut text = String::new();
    for module in modules(catalogue) {
        let _ = writeln!(text, "{}{module}", if text.is_empty() { "" } else { "\n" });
        for op in catalogue.operators.iter().filter(|op| module_of(op) == module) {
            let _ = writeln!(text, "  {:<24} {}", op.name, summary(&op.doc));
        }
    }
    text
}

/// Returns the page of a module with all its operators; none if there is no such module.
pub fn module(catalogue: &Catalogue, name: &str) -> Option<String> {
    let operators: Vec<&Operator> = catalogue.operators.iter().filter(|op| module_of(op) == name).collect();
    if operators.is_empty() {
        return None;
    }
    let mut text = format!("# {name}\n\n| operator | in a sentence |\n|---|---|\n");
    for op in &operators {
        let _ = writeln!(text, "| `{}` | {} |", op.name, summary(&op.doc).replace('|', "\\|"));
    }
    for op in operators {
        let _ = write!(text, "\n#{}", operator(op));
    }
    Some(text)
}

/// Returns the page of an operator: what it does, how it is called, what may be assumed of its result.
pub fn operator(op: &Operator) -> String {
    let spec = op.spec;
    let mut text = format!("# {}\n\n", op.name);
    if !op.doc.is_empty() {
        let _ = writeln!(text, "{}\n", op.doc);
    }
    let written = spec.signature.trim().lines().skip_while(|line| line.trim_start().starts_with("##"));
    let _ = writeln!(text, "```rb2\n{}\n```\n", written.collect::<Vec<_>>().join("\n").trim());
    if spec.effect == Effect::Value {
        text.push_str("A plain value, known before anything runs.\n");
        example(op, &mut text);
        return text;
    }
    let _ = writeln!(text, "- {}", class(spec.class));
    let _ = writeln!(text, "- {}, {}; version {}.", effect(spec.effect), pool(spec.pool), spec.version);
    if spec.takes_where {
        text.push_str("- Takes `where: …` too: rows for which it is false pass by untouched.\n");
    }
    if !spec.with.is_empty() {
        let options: Vec<String> = spec.with.iter().map(|option| format!("`{option}`")).collect();
        let _ = writeln!(text, "- `with` options beyond the common ones: {}.", options.join(", "));
    }
    example(op, &mut text);
    text
}

fn example(op: &Operator, text: &mut String) {
    if let Some(example) = op.example {
        let _ = writeln!(text, "\n`recipes/operators/{}.rb2`:\n\n```rb2\n{}\n```", op.name, example.trim_end());
    }
}

fn module_of(op: &Operator) -> &str {
    op.name.rsplit_once('.').map_or("", |(module, _)| module)
}

/// Returns the first sentence of a documentation.
pub fn summary(doc: &str) -> String {
    let paragraph = doc.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    paragraph[..paragraph.find(". ").map_or(paragraph.len(), |at| at + 1)].to_owned()
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Deterministic => "Deterministic: the same inputs give the same bytes.",
        Class::Numeric => "Numeric: the same on one kind of processor, else up to rounding.",
        Class::Sampled => "Sampled: takes `seed: Int`, by default the recipe's; one seed gives one result.",
        Class::External => "External: depends on a server; its answers are recorded and read again.",
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Source => "Reads files",
        Effect::RowSubset => "Keeps some of the rows",
        Effect::RowMap => "Gives each row once",
        Effect::RowExpand => "Gives any number of rows for each",
        Effect::Reduce => "Makes something else of all rows",
        Effect::Train => "Makes a model",
        Effect::Score => "Scores a model",
        Effect::Value => "A plain value",
    }
}

fn pool(pool: Pool) -> &'static str {
    match pool {
        Pool::Cpu => "on the processor's cores",
        Pool::Engine => "in the tensor engine",
        Pool::Net => "mostly waiting for a server",
    }
}
