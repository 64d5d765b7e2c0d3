//! Strings: what may be interpolated, and prompts with their slots.

use super::check::{Checker, Cx};
use crate::base::codes::{E0101, E0201, E0217, E0304, E0308, E0601, E0702, W0203};
use crate::base::{Diagnostic, phrase};
use crate::spec::{Dim, Type, prelude};
use crate::syntax::ast::{Expr, ExprKind, ItemKind, Name, StrLit, StrPart};

impl Checker<'_> {
    /// The type of a string. One with slots that are no names here is a prompt.
    pub(super) fn string(&mut self, text: &StrLit, cx: &Cx) -> Type {
        if text.raw {
            self.pattern(text);
            return Type::Regex;
        }
        self.idle_braces(text, cx);
        if let Some(plain) = text.plain() {
            return Type::Text(vec![plain]);
        }
        let mut prompt = false;
        for part in &text.parts {
            if let StrPart::Name(name) = part {
                let slot = prelude::SLOTS.contains(&name.text.as_str());
                prompt |= if slot && !self.is_name(&name.text, cx) { true } else { self.interpolated(name, cx) };
            }
        }
        if prompt { Type::Prompt } else { Type::Str }
    }

    /// A string where a prompt is asked for: slots are filled for each row and are never names.
    pub(super) fn prompt(&mut self, text: &StrLit, cx: &Cx) -> Type {
        for part in &text.parts {
            let StrPart::Name(name) = part else { continue };
            if !prelude::SLOTS.contains(&name.text.as_str()) {
                self.interpolated(name, cx);
                continue;
            }
            if self.is_name(&name.text, cx) {
                let mut d = Diagnostic::new(
                    E0217,
                    name.span,
                    format!("`{{{}}}` is a slot of the prompt, and there is a value of that name", name.text),
                    "slot or value?",
                )
                .help(format!(
                    "rename the value, for instance `{}_text`; slots are {}",
                    name.text,
                    phrase::quoted(prelude::SLOTS)
                ));
                if let Some(&at) = self.names[cx.module].places.get(name.text.as_str()) {
                    d = d.also(at, "the value");
                }
                self.mark(cx.module, &name.text);
                self.report(d);
            }
        }
        Type::Prompt
    }

    /// A pattern that is none.
    pub(super) fn pattern(&mut self, text: &StrLit) {
        let Some(Err(why)) = text.plain().map(|t| regex::Regex::new(&t)) else { return };
        let why = match why {
            regex::Error::Syntax(told) => {
                told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
            other => other.to_string(),
        };
        let d = Diagnostic::new(E0101, text.span, format!("this is no pattern: {why}"), "a regular expression");
        if why.contains("look-around") {
            return self
                .report(d.help("say it as two conditions: `.column.matches(r\"…\") and not .column.matches(r\"…\")`"));
        }
        if why.contains("backreferences") {
            return self.report(d.help("a pattern cannot repeat what it found; an `op` of your own can"));
        }
        self.report(d.help("mend it; a character that means itself takes a backslash: `\\(`, `\\.`, `\\[`"));
    }

    /// W0203: `{seed + 1}` and `${HOME}` stay as they are.
    fn idle_braces(&mut self, text: &StrLit, cx: &Cx) {
        for part in &text.parts {
            let StrPart::Text(t) = part else { continue };
            for (at, _) in t.match_indices('{') {
                let Some(inner) = t[at + 1..].split('}').next().filter(|i| t[at + 1..].len() > i.len()) else {
                    continue;
                };
                let word =
                    &inner[..inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len())];
                let rest = inner[word.len()..].trim_start();
                if inner
                    .strip_prefix('.')
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
                {
                    let message = format!("`{{{inner}}}` is not replaced in a text");
                    let help = format!(
                        "columns are joined to a text, `\"…\" + {inner}`, or given to the operator by its own argument"
                    );
                    self.report(Diagnostic::new(W0203, text.span, message, "stays as it is").help(help));
                    return;
                }
                let shell = t[..at].ends_with('$') && !word.is_empty() && rest.is_empty();
                let known = !word.is_empty() && self.is_name(word, cx);
                let help = if shell {
                    "the environment is not read by a recipe; make it a param, `param root: Str`, and write `{root}`"
                } else if known && rest.starts_with(['+', '-', '*', '/', '[', '(', ':', '?', '|']) {
                    self.mark(cx.module, word);
                    "only a name is replaced: give the value one, `let x = …`, and write `{x}`; a brace as a character is written `\\{`"
                } else {
                    continue;
                };
                let message = format!("`{{{inner}}}` is not replaced in a text");
                self.report(Diagnostic::new(W0203, text.span, message, "stays as it is").help(help));
                return;
            }
        }
    }

    /// Says whether a name is known nowhere, nor a misspelt one.
    fn is_nothing(&self, name: &str, cx: &Cx) -> bool {
        let names = &self.names[cx.module];
        let known = names.values.keys().chain(names.imports.keys()).copied();
        let known: Vec<&str> =
            known.chain(cx.locals.iter().map(|(n, _)| n.as_str())).chain(prelude::SLOTS.iter().copied()).collect();
        !names.missing.contains(name) && !known.contains(&name) && phrase::nearest(name, known).is_none()
    }

    /// Checks one interpolated name; returns whether it brings slots along.
    fn interpolated(&mut self, name: &Name, cx: &Cx) -> bool {
        if self.is_nothing(&name.text, cx) {
            let (span, message) = (name.span, format!("there is no `{}` here", name.text));
            let (name, slots) = (&name.text, prelude::SLOTS.join(", "));
            let help = format!(
                "declare it, `let {name} = …`; a prompt has the slots {slots}; a column is joined to a text, `\"…\" + .{name}`; a brace is written `\\{{`"
            );
            self.report(Diagnostic::new(E0201, span, message, "unknown name").help(help));
            return false;
        }
        let e = Expr { kind: ExprKind::Ident(name.text.clone()), span: name.span };
        let ty = self.infer(&e, cx);
        let d = match self.solver.resolve(&ty) {
            Type::Prompt => return true,
            Type::Str
            | Type::Text(_)
            | Type::Enum(_)
            | Type::Int
            | Type::Dim(Dim::Ratio)
            | Type::Error
            | Type::Var(_) => {
                return false;
            }
            Type::Secret => {
                let d = Diagnostic::new(E0702, name.span, "a Secret cannot become text", "would be written out")
                    .help("pass it only to a parameter of type Secret, such as `key:`");
                match self.names[cx.module].values.get(name.text.as_str()) {
                    Some(ItemKind::Secret { name, .. }) => d.also(name.span, "declared secret here"),
                    _ => d,
                }
            }
            Type::Metric(_) | Type::Score | Type::Loss => Diagnostic::new(
                E0601,
                name.span,
                "a text cannot hold a value known only after running",
                "known only after running",
            )
            .help("show it in a report, or test it with `expect … else \"…\"`"),
            Type::Optional(_) => {
                Diagnostic::new(E0308, name.span, format!("`{}` may be absent", name.text), "may be absent")
                    .help(format!("bind a fallback first: `let {0}_text = {0} ?? \"…\"`", name.text))
            }
            other => {
                let shown = self.show(&other);
                Diagnostic::new(
                    E0304,
                    name.span,
                    format!("only Str, Int and Ratio can stand in a text; `{}` is {shown}", name.text),
                    shown,
                )
                .help("write the text out, or bind one with `let … = if … then \"…\" else \"…\"`")
            }
        };
        self.report(d);
        false
    }
}
