//! The declaration of a user's `op`: one dataset in, one out, plain values beside it.

use super::check::{Checker, Cx, Site};
use super::written::{Home, Position, Vars};
use crate::base::codes::{E0202, E0213, E0303, E0304, E0305};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Class, Effect, Row, Type, user_op};
use crate::syntax::ast::{Name, RowPart, TypeArg, TypeExpr, TypeExprKind, UserOp};

impl<'a> Checker<'a> {
    /// Checks the declaration of a user's operator.
    pub(super) fn user_op(&mut self, module: usize, op: &'a UserOp) {
        self.rows_of_op(module, op);
        let mut vars = Vars::new(Home::Module(module), true);
        let names: Vec<&Name> = op.params.iter().map(|p| &p.name).collect();
        self.local_names(module, &names);
        let name = &op.name.text;
        for (i, param) in op.params.iter().enumerate() {
            let ty = self.written(&param.ty, &mut vars, Position::Param);
            match (i, self.solver.resolve(&ty)) {
                (0, Type::Dataset(row)) => self.own_columns(&row, param.ty.span),
                (0, other) => self.not_rows(&other, param.ty.span, "the first parameter of an `op`"),
                (_, other) => self.plain_parameter(&other, &param.name),
            }
            self.parameter(param, &ty, name, module);
        }
        vars.rows_of_first();
        if op.params.is_empty() {
            let message = format!("`{name}` takes no rows");
            self.report(
                Diagnostic::new(E0304, op.name.span, message, "no parameter")
                    .help("an `op` turns rows into rows: `op f(d: Dataset[{ text: Str, ..r }]) -> …`; read files with `data.jsonl`"),
            );
        }
        let result = self.written(&op.result, &mut vars, Position::Result);
        match self.solver.resolve(&result) {
            Type::Dataset(row) => {
                self.own_columns(&row, op.result.span);
                self.own_rest(op);
            }
            other => self.not_rows(&other, op.result.span, "the result of an `op`"),
        }
        if let Some(files) = &op.files {
            let want = Type::List(Box::new(Type::Str));
            self.expect(files, &want, &Cx::of(module), &Site::new(format!("`files` of `{name}`"), None));
        }
        if let Some((text, span)) = op.runs.as_ref().and_then(|r| Some((r.plain()?, r.span)))
            && let Err(why) = user_op::words(&text)
        {
            let d = Diagnostic::new(E0304, span, format!("this is no command: {why}"), "cannot be run");
            self.report(d.help("write it as in a shell, without its expansions: `runs \"python3 mine.py --fast\"`"));
        }
        self.op_words(op);
    }

    /// Says whether calls take `bad`: what happens to rows that the operator gives up.
    pub(super) fn own_bad(&self, op: &UserOp) -> bool {
        user_op::effect(op.words.iter().map(|w| w.text.as_str())) != Effect::Reduce
    }

    /// Says whether calls take a seed.
    pub(super) fn own_seed(&self, op: &UserOp) -> bool {
        user_op::class(op.words.iter().map(|w| w.text.as_str())) == Class::Sampled
    }

    fn op_words(&mut self, op: &UserOp) {
        let classes: Vec<&str> = user_op::CLASSES.iter().map(|(w, _)| *w).collect();
        let effects: Vec<&str> = user_op::EFFECTS.iter().map(|(w, _)| *w).collect();
        let kinds = [("class", classes.as_slice()), ("effect", &effects), ("format of rows", user_op::FORMATS)];
        let mut seen: Vec<(&str, &Name)> = Vec::new();
        for word in &op.words {
            let Some((kind, _)) = kinds.iter().find(|(_, words)| words.contains(&word.text.as_str())) else {
                let all: Vec<&str> = kinds.iter().flat_map(|(_, words)| words.iter().copied()).collect();
                let message = format!("`{}` is no class, effect or format of an `op`", word.text);
                let d = Diagnostic::new(E0213, word.span, message, "unknown word");
                self.report(match phrase::nearest(&word.text, all.iter().copied()) {
                    Some(near) => d.help(format!("did you mean `{near}`?")).fix(word.span, near),
                    None => d.help(format!("the words are {}", phrase::quoted(&all))),
                });
                continue;
            };
            if let Some((_, first)) = seen.iter().find(|(k, _)| k == kind) {
                let message = format!("`{}` and `{}` are both a {kind}", first.text, word.text);
                self.report(
                    Diagnostic::new(E0202, word.span, message, "again here")
                        .also(first.span, "first here")
                        .help("keep one of them"),
                );
            }
            seen.push((kind, word));
        }
    }

    fn own_columns(&mut self, row: &Row, span: Span) {
        if row.get(user_op::ROW).is_some() {
            let message = format!("`{}` is the name that rbpipe gives rows", user_op::ROW);
            self.report(
                Diagnostic::new(E0303, span, message, "taken")
                    .help("leave it out: every row has it on the way in, and must have it on the way out"),
            );
        }
        for (name, ty) in &row.fields {
            let ty = self.solver.resolve(ty);
            if !is_cell(&ty) {
                let shown = self.show(&ty);
                let d = Diagnostic::new(E0304, span, format!("a column cannot be {shown}"), format!("column `{name}`"));
                self.report(d.help(
                    "columns hold Str, Int, Float, Bool, quantities, Image, Video, Json, enums, lists and records",
                ));
            }
        }
    }

    fn not_rows(&mut self, found: &Type, span: Span, what: &str) {
        if *found == Type::Error {
            return;
        }
        let shown = self.show(found);
        self.report(
            Diagnostic::new(E0304, span, format!("{what} is a dataset; this is {shown}"), shown)
                .help("name the columns that pass through the process: `Dataset[{ text: Str, ..r }]`"),
        );
    }

    fn plain_parameter(&mut self, found: &Type, name: &Name) {
        if let Type::Dataset(_) = found {
            let d = Diagnostic::new(E0304, name.span, "an `op` takes one dataset", "a second one");
            return self.report(d.help(
                "put the rows together before, `data.concat(a: first, b: second)`, or let the program read the other file: `files [\"other.jsonl\"]`",
            ));
        }
        if !is_plain(found) {
            let shown = self.show(found);
            let message = format!("`{}` reaches the process as JSON, which {shown} cannot be", name.text);
            self.report(Diagnostic::new(E0304, name.span, message, shown).help(
                "parameters beyond the rows are numbers, texts, enums, lists and records of these, or a Secret; join other rows before",
            ));
        }
    }

    /// The other columns ride along by row: only those that came in, and not through a reduction.
    fn own_rest(&mut self, op: &UserOp) {
        let Some((rest, span)) = tail(&op.result) else { return };
        let first = op.params.first().and_then(|p| tail(&p.ty)).map(|(name, _)| name);
        let effect = user_op::effect(op.words.iter().map(|w| w.text.as_str()));
        if effect == Effect::Reduce {
            let d = Diagnostic::new(E0305, span, "a reduction has no row to take other columns from", "other columns");
            self.report(d.help(format!("leave `..{rest}` out of the result, or take the word `reduce` away")));
        } else if first.as_deref() != Some(rest.as_str()) {
            let d = Diagnostic::new(E0305, span, format!("`..{rest}` is not what came in"), "unknown rest");
            self.report(d.help(format!("write `..{rest}` into the type of the first parameter too")));
        }
    }
}

/// The written row variable of a dataset type.
fn tail(ty: &TypeExpr) -> Option<(String, Span)> {
    let TypeExprKind::Named { args, .. } = &ty.kind else { return None };
    let TypeArg::Type(TypeExpr { kind: TypeExprKind::Row(row), .. }) = args.first()? else { return None };
    row.parts.iter().find_map(|p| match p {
        RowPart::Tail(name) if name.text.starts_with(|c: char| c.is_lowercase()) => {
            Some((name.text.clone(), name.span))
        }
        _ => None,
    })
}

fn is_cell(ty: &Type) -> bool {
    match ty {
        Type::Image | Type::Video | Type::Json | Type::Box | Type::Point | Type::Error => true,
        Type::Optional(inner) | Type::List(inner) => is_cell(inner),
        Type::Record(row) => row.tail.is_none() && row.fields.iter().all(|(_, t)| is_cell(t)),
        Type::Tuple(items) => items.iter().all(is_cell),
        other => is_scalar(other),
    }
}

fn is_plain(ty: &Type) -> bool {
    match ty {
        Type::Secret | Type::Json | Type::Error => true,
        Type::Optional(inner) | Type::List(inner) | Type::Range(inner) => is_plain(inner),
        Type::Record(row) => row.fields.iter().all(|(_, t)| is_plain(t)),
        Type::Tuple(items) | Type::Union(items) => items.iter().all(is_plain),
        other => is_scalar(other),
    }
}

fn is_scalar(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Int | Type::Float | Type::Bool | Type::Str | Type::Dim(_) | Type::Enum(_) | Type::Prompt | Type::Regex
    )
}
