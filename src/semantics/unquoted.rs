//! Texts without their quotes that read as a division or a field: `Qwen/Qwen2-VL`, `data/rows.jsonl`, `rows.jsonl`.

use super::check::{Checker, Cx};
use crate::base::codes::E0101;
use crate::base::{Diagnostic, Span};
use crate::spec::Type;
use crate::syntax::ast::{BinaryOp, Expr, ExprKind};

/// Ends of names of files that a recipe may name.
const FILES: &[&str] = &[
    "jsonl",
    "json",
    "csv",
    "tsv",
    "parquet",
    "arrow",
    "txt",
    "md",
    "html",
    "tar",
    "zip",
    "gz",
    "png",
    "jpg",
    "jpeg",
    "webp",
    "mp4",
    "safetensors",
    "gguf",
    "bin",
    "pt",
    "py",
    "sh",
    "yaml",
    "yml",
    "rb2",
];

/// What stands together in a text without quotes.
#[derive(Default)]
struct Parts<'e> {
    /// Names at the start of each part, with their places.
    roots: Vec<(&'e str, Span)>,
    /// The text itself; `None` where a number is not written as it would be shown.
    text: Option<String>,
    divided: bool,
    file: bool,
}

/// Takes an expression apart that may be a text without quotes: names and numbers, joined by `/`, `-` and `.` without blanks.
fn parts(e: &Expr) -> Option<Parts<'_>> {
    match &e.kind {
        ExprKind::Ident(name) | ExprKind::TypeName(name) => {
            Some(Parts { roots: vec![(name, e.span)], text: Some(name.clone()), ..Parts::default() })
        }
        ExprKind::Number(numbers, whole) => {
            let shown = |v: &f64| if *whole { format!("{v}") } else { format!("{v:?}") };
            let text: String = numbers.iter().map(|(v, unit)| shown(v) + unit.as_deref().unwrap_or("")).collect();
            let exact = text.len() == (e.span.end - e.span.start) as usize;
            Some(Parts { text: exact.then_some(text), ..Parts::default() })
        }
        ExprKind::Field(base, name) => {
            let inner = parts(base)?;
            let glued = base.span.end + 1 == name.span.start;
            let file = FILES.contains(&name.text.as_str());
            let text = inner.text.map(|t| format!("{t}.{}", name.text));
            glued.then_some(Parts { text, file, ..inner })
        }
        ExprKind::Binary { op: op @ (BinaryOp::Div | BinaryOp::Sub), op_span, left, right } => {
            let (a, b) = (parts(left)?, parts(right)?);
            let glued = left.span.end == op_span.start && op_span.end == right.span.start;
            let sign = if *op == BinaryOp::Div { "/" } else { "-" };
            let text = a.text.zip(b.text).map(|(a, b)| format!("{a}{sign}{b}"));
            let roots = a.roots.into_iter().chain(b.roots).collect();
            let divided = a.divided || b.divided || *op == BinaryOp::Div;
            glued.then_some(Parts { roots, text, divided, file: b.file })
        }
        _ => None,
    }
}

/// Says whether a place takes any text, of the recipe or of each row.
fn takes_text(ty: &Type) -> bool {
    match ty {
        Type::Str | Type::Prompt => true,
        Type::Optional(t) | Type::RowFn(t) => takes_text(t),
        Type::Union(ts) => ts.iter().any(takes_text),
        _ => false,
    }
}

impl Checker<'_> {
    /// Reports a text without its quotes, if an expression is one; `want` is what its place takes, where that is known.
    pub(super) fn without_quotes(&mut self, e: &Expr, want: Option<&Type>, cx: &Cx) -> bool {
        let joined = matches!(e.kind, ExprKind::Binary { op: BinaryOp::Div | BinaryOp::Sub, .. });
        let field = matches!(e.kind, ExprKind::Field(..));
        if !(joined || field) || want.is_some_and(|want| !takes_text(want)) {
            return false;
        }
        let Some(parts) = parts(e) else { return false };
        let known = parts.roots.iter().filter(|(name, _)| self.is_name(name, cx)).count();
        let text = match (joined, want) {
            // No arithmetic of this kind gives a text.
            (true, Some(_)) => !parts.roots.is_empty(),
            (true, None) => {
                parts.divided && (parts.file || known == 0 && parts.roots.len() > 1 && self.far(&parts, cx))
            }
            (false, _) => parts.file && want.is_some() && known == 0,
        };
        if !text {
            return false;
        }
        let d = Diagnostic::new(E0101, e.span, "a text stands between double quotes", "without quotes");
        self.report(match parts.text.map(|t| format!("\"{t}\"")) {
            Some(written) => d.help(format!("write `{written}`")).fix(e.span, written),
            None => d.help("put it between quotes: `\"…\"`"),
        });
        true
    }

    /// Says whether none of some names is that of a value, misspelt.
    fn far(&self, parts: &Parts, cx: &Cx) -> bool {
        let known = || cx.locals.iter().map(|(n, _)| n.as_str()).chain(self.names[cx.module].values.keys().copied());
        parts.roots.iter().all(|(name, _)| crate::base::phrase::nearest(name, known()).is_none())
    }
}
