//! What to say when a value does not fit its place: one code and one next step for each way of not fitting.

use super::check::{Checker, Cx, Site};
use super::infer::Misfit;
use super::misdeclared::Kind;
use super::numbers::{self, literal};
use crate::base::codes::{E0210, E0211, E0213, E0302, E0304, E0308, E0601, E0702};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Dim, Row, Type, foreign, units};
use crate::syntax::ast::{Expr, ExprKind, ItemKind};

/// Reports why `e`, of type `have`, cannot stand for `want`.
pub(super) fn report(this: &mut Checker, e: &Expr, have: &Type, want: &Type, misfit: Misfit, site: &Site, cx: &Cx) {
    // In `with` a value may be known only after running, which is no part of what is asked for.
    let want = match want {
        Type::Metric(inner) if site.what.ends_with("in `with`") => inner,
        other => other,
    };
    let (shown, wanted) = (this.show(have), this.show(want));
    let d = match misfit {
        Misfit::Unit(dim) => {
            let dims = numbers::dims(want);
            let dims = if dims.is_empty() { vec![dim] } else { dims };
            numbers::unit(e, have, &dims, &shown, site)
        }
        Misfit::Variant(bad, variants) => variant(e.span, &bad, &variants, site, matches!(e.kind, ExprKind::Str(_))),
        Misfit::Optional if *have == Type::None => {
            Diagnostic::new(E0308, e.span, format!("{} cannot be absent; it is {wanted}", site.what), "`none` here")
                .help("give a value; an argument with a default may be left out")
        }
        Misfit::Optional => Diagnostic::new(
            E0308,
            e.span,
            format!("{} may be absent, and {} asks for {wanted}", shown, site.what),
            "may be absent",
        )
        .help(or_else(e, have))
        .fallback(e, have),
        Misfit::Secret => secret(this, e, site, cx),
        Misfit::Metric => Diagnostic::new(
            E0601,
            e.span,
            format!("{} must be known before anything runs; this is {shown}", site.what),
            "known only after running",
        )
        .help("use `expect` to stop on such a number, or make it a `param`"),
        Misfit::Extra(name) => {
            let known: Vec<&str> = match want {
                Type::Record(row) => row.fields.iter().map(|(n, _)| n.as_str()).collect(),
                _ => Vec::new(),
            };
            let d =
                Diagnostic::new(E0210, e.span, format!("{} has no field `{name}`", site.what), "has a field too many");
            match phrase::nearest(&name, known.iter().copied()) {
                Some(near) => d.help(format!("did you mean `{near}`?")),
                None => d.help(format!("its fields are {}", phrase::quoted(&known))),
            }
        }
        Misfit::Missing(names) => match (rows_of(have), rows_of(want)) {
            (Some(have), Some(want)) => unfit_rows(this, e, &have, &want, &names, site, cx),
            _ => Diagnostic::new(
                E0211,
                e.span,
                format!("the record for {} lacks {}", site.what, phrase::quoted(&names)),
                "not complete",
            )
            .help(format!("add `{}: …`", names[0])),
        },
        Misfit::Column(name, have_column, want_column, inner) => {
            let (a, b) = (this.show(&have_column), this.show(&want_column));
            let dataset = matches!(have, Type::Dataset(_));
            let what = if dataset { "column" } else { "field" };
            match *inner {
                Misfit::Optional => Diagnostic::new(
                    E0308,
                    e.span,
                    format!("{what} `{name}` may be absent, and {} asks for {b}", site.what),
                    format!("`{name}` is {a}"),
                )
                .help(format!(
                    "keep only rows that have it before, `filter.rule(where: .{name} != none)`, or derive one with `?? …`"
                )),
                Misfit::Unit(_) | Misfit::Variant(..) | Misfit::Type if !dataset => {
                    let site = Site { what: format!("`{name}` in {}", site.what), ..site.clone() };
                    return report(this, e, &have_column, &want_column, *inner, &site, cx);
                }
                _ => Diagnostic::new(
                    E0304,
                    e.span,
                    format!("{what} `{name}` is {a}, and {} asks for {b}", site.what),
                    format!("`{name}: {a}`"),
                )
                .help(format!("make another one of type {b}: `data.derive(…)`, `data.rename(…)`, or mend the schema")),
            }
        }
        Misfit::Type => mismatch(this, e, have, want, site, cx),
    };
    let d = match site.decl {
        Some(decl) => d.also(decl, "declared here"),
        None => d,
    };
    let d = match this.declared_in_a_file(e, cx) {
        Some((place, name)) => d.also(place, format!("`{name}` is declared here")),
        None => d,
    };
    this.report(d);
}

fn rows_of(ty: &Type) -> Option<Row> {
    match ty {
        Type::Dataset(row) => Some(row.clone()),
        Type::Optional(t) => rows_of(t),
        Type::Union(ts) => ts.iter().find_map(rows_of),
        _ => None,
    }
}

/// A text that is none of the variants of an enum.
pub(super) fn variant(span: Span, bad: &str, variants: &[String], site: &Site, literal: bool) -> Diagnostic {
    let d = Diagnostic::new(E0213, span, format!("`{bad}` is not a variant of {}", site.what), "no such variant");
    let theirs = foreign::ours(foreign::VARIANTS, bad).filter(|ours| variants.iter().any(|v| v == ours));
    let near = theirs.or_else(|| phrase::nearest(bad, variants.iter().map(String::as_str)));
    let all: Vec<String> = variants.iter().map(|v| format!("\"{v}\"")).collect();
    match near {
        Some(near) => {
            let d = d.help(format!("did you mean \"{near}\"? It is one of {}", all.join(", ")));
            if literal { d.fix(span, format!("\"{near}\"")) } else { d }
        }
        None => d.help(format!("it is one of {}", all.join(", "))),
    }
}

fn secret(this: &Checker, e: &Expr, site: &Site, cx: &Cx) -> Diagnostic {
    let d = Diagnostic::new(E0702, e.span, format!("a Secret cannot go into {}", site.what), "a secret")
        .help("pass it only to a parameter of type Secret, such as `key:`; the key of a result holds its name, never its text");
    match &e.kind {
        ExprKind::Ident(name) => match this.names[cx.module].values.get(name.as_str()) {
            Some(ItemKind::Secret { name, .. }) => d.also(name.span, "declared secret here"),
            _ => d,
        },
        _ => d,
    }
}

fn mismatch(this: &mut Checker, e: &Expr, have: &Type, want: &Type, site: &Site, cx: &Cx) -> Diagnostic {
    let (shown, wanted) = (this.show(have), this.show(want));
    let label = match have {
        Type::Dataset(_) => "a dataset",
        Type::Record(_) => "a record",
        _ => &shown,
    };
    let d = Diagnostic::new(E0304, e.span, format!("{} asks for {wanted}; this is {shown}", site.what), label);
    if let Some((help, fix)) = text_instead(this, e, have, want, cx) {
        let d = d.help(help);
        return match fix {
            Some(fix) => d.fix(e.span, fix),
            None => d,
        };
    }
    let whole = |v: f64| v.fract() == 0.0 && v.abs() < 9e15;
    let fix = match (have, want, &e.kind) {
        (Type::Dim(Dim::Ratio), Type::Float, ExprKind::Number(parts, _)) => match parts.as_slice() {
            [(v, _)] => Some(format!("{:?}", v / 100.0)),
            _ => None,
        },
        (Type::Dim(_), Type::Int, ExprKind::Number(parts, true)) => match parts.as_slice() {
            [(v, Some(_))] if whole(*v) => Some(format!("{v}")),
            _ => None,
        },
        (Type::Int | Type::Float, Type::Str, ExprKind::Number(..)) if !site.callee.is_empty() => {
            number_text(e).map(|n| match have {
                Type::Float if !n.contains('.') => format!("\"{n}.0\""),
                _ => format!("\"{n}\""),
            })
        }
        (Type::Float, Type::Int, _) => literal(e).filter(|v| whole(*v)).map(|v| format!("{v}")),
        (Type::Int, Type::Bool, _) => match literal(e) {
            Some(0.0) => Some("false".to_owned()),
            Some(1.0) => Some("true".to_owned()),
            _ => None,
        },
        (_, Type::Field(_), ExprKind::List(items)) => match items.as_slice() {
            [Expr { kind: ExprKind::Col(name), .. }] => Some(format!(".{}", name.text)),
            _ => None,
        },
        (_, Type::List(_), ExprKind::Col(name)) => Some(format!("[.{}]", name.text)),
        (_, Type::List(element), ExprKind::Str(text)) if matches!(**element, Type::Str | Type::Enum(_)) => {
            text.plain().map(|t| format!("[\"{t}\"]"))
        }
        (_, Type::List(_), ExprKind::Ident(name)) => Some(format!("[{name}]")),
        (_, Type::List(_), ExprKind::Tuple(items)) => numbers(items).map(|all| format!("[{}]", all.join(", "))),
        (_, Type::Range(_), ExprKind::List(items) | ExprKind::Tuple(items)) if items.len() == 2 => {
            let unit = |dim: &Dim| units::spellings(*dim).first().copied().unwrap_or_default();
            let unit = match want {
                Type::Range(inner) => match &**inner {
                    Type::Dim(dim) => unit(dim),
                    _ => "",
                },
                _ => "",
            };
            let bare = |n: &String| n.ends_with(|c: char| c.is_ascii_digit());
            let glued = |n: &String| if bare(n) { format!("{n}{unit}") } else { n.clone() };
            numbers(items).map(|all| all.iter().map(glued).collect::<Vec<_>>().join(".."))
        }
        _ => None,
    };
    if let Some(fix) = fix {
        return d.help(format!("write `{fix}`")).fix(e.span, fix);
    }
    let help = match (have, want) {
        (Type::Dim(_), Type::Int | Type::Float) => {
            "give a plain number; a quantity divided by one of its own dimension is a Float: `n / 1rows`".to_owned()
        }
        (Type::Float | Type::Str | Type::Text(_) | Type::Bool, Type::Int) => "give a whole number, such as `8`".to_owned(),
        (Type::List(_), Type::Record(row)) if !row.fields.is_empty() && row.fields.len() < 16 => {
            let names: Vec<&str> = row.fields.iter().map(|(n, _)| n.as_str()).collect();
            format!("give a record with some of {}: `{{ {}: … }}`", phrase::quoted(&names), names[0])
        }
        (Type::Str, Type::Enum(variants)) => {
            format!("give one of its variants as a literal: \"{}\"", variants.join("\", \""))
        }
        (_, Type::Enum(variants)) => format!("give one of \"{}\"", variants.join("\", \"")),
        (Type::Record(row), want)
            if takes_rows(want) && row.fields.iter().any(|(_, t)| matches!(t, Type::Dataset(_))) =>
        {
            let parts: Vec<&str> =
                row.fields.iter().filter(|(_, t)| matches!(t, Type::Dataset(_))).map(|(n, _)| n.as_str()).collect();
            format!(
                "this is a record of datasets; name the one that is meant: {}",
                phrase::quoted(&parts.iter().map(|p| format!(".{p}")).collect::<Vec<_>>())
            )
        }
        (Type::Dataset(_), Type::Model(_)) => {
            "give the model first and the rows by name, as in `model |> train.sft(data: rows)`".to_owned()
        }
        (Type::Model(_), want) if takes_rows(want) => {
            "give rows; a model is trained with `train.sft` and measured with `eval.run`".to_owned()
        }
        (Type::Benchmark | Type::Suite | Type::Score, want) if takes_rows(want) => "its rows are `.items`".to_owned(),
        (Type::Dataset(_), Type::Benchmark) => {
            "a benchmark is made of rows with `bench.sample`, `bench.ask`, `bench.read`, `bench.mark` and `bench.total`"
                .to_owned()
        }
        (Type::List(element), want)
            if !matches!(want, Type::List(_)) && !site.what.starts_with("`path`") && this.solver.fits(element, want).is_ok() => {
            match want {
                Type::Model(_) | Type::Benchmark => {
                    "give one of them; for each of several: `sweep x in { a, b } { … }`, a record with names".to_owned()
                }
                _ => "give one of them; for each of several: `sweep x in [1, 2] { … }`".to_owned(),
            }
        }
        (Type::Grid(..), _) => "take one cell of the grid: `.at(axis: \"label\")`".to_owned(),
        (Type::Reader, Type::Marker) => "a marker is one of `mark.…`, such as `mark.letter()`".to_owned(),
        (Type::Marker, Type::Reader) => "a reader is one of `read.…`, such as `read.choice()`".to_owned(),
        (_, Type::Total) => "give one of `total.…`, such as `total.micro()`".to_owned(),
        (Type::Int | Type::Float | Type::Dim(_), want) if takes_range(want) => match number_text(e) {
            Some(n) => {
                let n = with_unit_of_range(e, want).unwrap_or(n);
                format!("a range has two ends, or one: `..{n}` is at most that, `{n}..` at least")
            }
            None => "give a range: `a..b`, `a..` or `..b`".to_owned(),
        },
        (_, Type::Model(Some(family))) if family == "reward" => {
            "load one with `model.reward(\"name\")`: a model with a value head".to_owned()
        }
        (Type::List(_) | Type::Tuple(_), Type::Str) if site.what.starts_with("`path`") => {
            "a glob reads several files, `\"rows/*.jsonl\"`; or read each and join them with `data.concat(a: …, b: …)`"
                .to_owned()
        }
        (Type::Suite, Type::Benchmark) => {
            "run over it: `sweep b in suite { eval.run(m, on: b) }`, or name one of its benchmarks: `e17.blink`".to_owned()
        }
        (_, Type::Benchmark) => {
            "give a benchmark: one of `import std.eval.embodied17 as e17`, such as `e17.blink`, or one made with `bench.sample` and what follows it".to_owned()
        }
        (Type::Record(_), Type::Field(_)) if site.callee == "data.rename" => {
            "each new name is an argument of its own, with the old column as its value: `data.rename(new: .old)`".to_owned()
        }
        (_, Type::Field(_)) => "name one column, with a point: `.name`".to_owned(),
        (_, Type::Grid(..)) => {
            "a grid is what a sweep gives: `sweep m in { base, tuned }, b in suite { eval.run(m, on: b) }`".to_owned()
        }
        (_, Type::List(element)) if takes_range(element) => "list the ranges: `[-15deg..15deg]`".to_owned(),
        (_, Type::List(element)) if takes_rows(element) => "list the datasets: `[a, b]`".to_owned(),
        (_, Type::List(_)) => "put it in brackets: `[…]`".to_owned(),
        (_, Type::Bool) => "compare it: `… == …`, `… > …`, `… != \"\"`".to_owned(),
        (_, Type::Regex) => "give a pattern: `r\"…\"`".to_owned(),
        (_, Type::Schema(_)) => "name a schema: `schema Row { id: Str, … }`, then `as: Row`".to_owned(),
        (_, Type::Secret) => "declare it, `secret key from env \"VARIABLE\"`, and give its name: `key`".to_owned(),
        (_, want) if takes_rows(want) => "give rows, such as the result of `data.jsonl(…)`".to_owned(),
        _ => match asked_for(this, site) {
            Some(said) => format!("give {wanted}: {said}"),
            None => format!("give {wanted}"),
        },
    };
    d.help(help)
}

/// What the documentation of an operator says of one of its arguments, in a sentence.
fn asked_for(this: &Checker, site: &Site) -> Option<String> {
    let name = site.what.strip_prefix('`')?.split('`').next()?;
    let op = this.catalogue.get(&site.callee)?;
    let doc = op.signature.params.iter().find(|p| p.name.text == name)?.doc.as_ref()?;
    let first = doc.lines().next()?;
    let end = first.find(['.', ':']).unwrap_or(first.len());
    let mut letters = first[..end].chars();
    let start = letters.next()?.to_lowercase().to_string();
    Some(start + letters.as_str())
}

/// Plain literals as they would be written.
fn numbers(items: &[Expr]) -> Option<Vec<String>> {
    items
        .iter()
        .map(|item| match &item.kind {
            ExprKind::Number(parts, _) => {
                Some(parts.iter().map(|(v, unit)| format!("{v}{}", unit.as_deref().unwrap_or(""))).collect::<String>())
            }
            _ => None,
        })
        .collect()
}

/// A plain number with the unit that the ends of a range have.
fn with_unit_of_range(e: &Expr, want: &Type) -> Option<String> {
    match want {
        Type::Range(inner) => match (numbers::ways(literal(e)?, &numbers::dims(inner)).as_slice(), &e.kind) {
            ([one], ExprKind::Number(parts, _)) if parts.iter().all(|(_, unit)| unit.is_none()) => Some(one.clone()),
            _ => None,
        },
        Type::Optional(t) => with_unit_of_range(e, t),
        Type::Union(ts) => ts.iter().find_map(|t| with_unit_of_range(e, t)),
        _ => None,
    }
}

fn takes_range(ty: &Type) -> bool {
    match ty {
        Type::Range(_) => true,
        Type::Optional(t) => takes_range(t),
        Type::Union(ts) => ts.iter().any(takes_range),
        _ => false,
    }
}

/// A literal number as it is written, without its sign.
pub(super) fn number_text(e: &Expr) -> Option<String> {
    numbers(std::slice::from_ref(e)).map(|all| all.concat())
}

fn takes_rows(ty: &Type) -> bool {
    match ty {
        Type::Dataset(_) => true,
        Type::Optional(t) => takes_rows(t),
        Type::Union(ts) => ts.iter().any(takes_rows),
        _ => false,
    }
}

/// A text where something else is asked for: what is most likely meant, and how to write it.
fn text_instead(this: &Checker, e: &Expr, have: &Type, want: &Type, cx: &Cx) -> Option<(String, Option<String>)> {
    let ExprKind::Str(text) = &e.kind else { return None };
    if !matches!(have, Type::Text(_) | Type::Str) {
        return None;
    }
    let t = text.plain()?;
    if let Type::Field(_) = want {
        let t = t.strip_prefix('.').filter(|t| plain_name(t)).map_or(t.clone(), str::to_owned);
        let written = if plain_name(&t) { format!(".{t}") } else { format!(".\"{t}\"") };
        return Some((format!("a column is written with a point: `{written}`"), Some(written)));
    }
    if let Type::List(element) = want
        && let Type::Field(_) = **element
    {
        let t = t.strip_prefix('.').unwrap_or(&t).to_owned();
        let written = if plain_name(&t) { format!("[.{t}]") } else { format!("[.\"{t}\"]") };
        return Some((format!("columns are a list, each with a point: `{written}`"), Some(written)));
    }
    if *want == Type::Bool && cx.row.is_some() {
        let columns: Vec<String> = cx.row.iter().flat_map(|r| this.solver.row(r).fields).map(|(n, _)| n).collect();
        let written = pointed(&t.replace('\'', "\""), &columns);
        let condition = crate::syntax::parse_expr(crate::syntax::BUILTIN_SOURCE, &written)
            .is_ok_and(|e| matches!(e.kind, ExprKind::Binary { .. } | ExprKind::Call { .. } | ExprKind::Unary { .. }));
        if condition && written.contains('.') {
            return Some((format!("a condition is written without quotes: `{written}`"), Some(written)));
        }
    }
    let names = &this.names[cx.module];
    if matches!(want, Type::Schema(_)) && names.schemas.contains_key(t.as_str()) {
        return Some((format!("a schema is named without quotes: `{t}`"), Some(t)));
    }
    if matches!(want, Type::Secret) {
        return Some((
            "a secret is never written into a recipe: declare it, `secret key from env \"VARIABLE\"`, and give its name: `key`"
                .to_owned(),
            None,
        ));
    }
    if names.values.contains_key(t.as_str()) || cx.locals.iter().any(|(n, _)| *n == t) {
        return Some((format!("a value is named without quotes: `{t}`"), Some(t)));
    }
    if let Type::Model(family) = want {
        if t.contains("://") {
            let help = format!("a model behind an address is `model.server(\"{t}\", name: \"name\")`");
            return Some((help, None));
        }
        // A repository has an owner; a name alone is what a server calls a model.
        if family.is_none() && !t.contains(['/', '.']) {
            let help =
                format!("load it: `model.hf(\"owner/{t}\")`, or `model.server(\"http://host:8000\", name: \"{t}\")`");
            return Some((help, None));
        }
        let loader = if family.as_deref() == Some("reward") { "model.reward" } else { "model.hf" };
        return Some((format!("load it: `{loader}(\"{t}\")`"), Some(format!("{loader}(\"{t}\")"))));
    }
    if takes_rows(want) {
        let reader = match t.rsplit_once('.').map(|(_, end)| end) {
            Some("csv" | "tsv") => "data.csv",
            Some("parquet") => "data.parquet",
            Some("arrow") => "data.arrow",
            _ => "data.jsonl",
        };
        return Some((format!("read it first: `{reader}(\"{t}\", as: Row)`"), None));
    }
    let numeric = matches!(want, Type::Int | Type::Float | Type::Dim(_) | Type::Bool | Type::Range(_))
        || matches!(want, Type::Union(ts) if ts.iter().all(|t| matches!(t, Type::Dim(_) | Type::Int | Type::Float | Type::Range(_))));
    let parsed = crate::syntax::parse_expr(crate::syntax::BUILTIN_SOURCE, &t).ok();
    let plain = |e: &Expr| {
        matches!(e.kind, ExprKind::Number(..) | ExprKind::Bool(_) | ExprKind::Range(..) | ExprKind::Unary { .. })
    };
    let bare = numeric && parsed.as_ref().is_some_and(plain);
    let dims = numbers::dims(want);
    if let Some(value) = parsed.as_ref().and_then(numbers::literal).filter(|_| bare && !dims.is_empty())
        && t.ends_with(|c: char| c.is_ascii_digit())
    {
        let ways = numbers::ways(value, &dims);
        let quoted: Vec<String> = ways.iter().map(|w| format!("`{w}`")).collect();
        let fix = if let [one] = ways.as_slice() { Some(one.clone()) } else { None };
        return Some((format!("write it without quotes, and with its unit: {}", quoted.join(" or ")), fix));
    }
    bare.then(|| (format!("write it without quotes: `{t}`"), Some(t)))
}

/// A condition with a point before each column, as it is written here.
fn pointed(text: &str, columns: &[String]) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let mut quoted = false;
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let word = &rest[..end];
        if !quoted && columns.iter().any(|column| column == word) && !out.ends_with('.') {
            out.push('.');
        }
        quoted ^= c == '"';
        let taken = if word.is_empty() { c.len_utf8() } else { word.len() };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

fn plain_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// E0302: which columns are needed, which are there, and what would take these rows.
fn unfit_rows(
    this: &mut Checker,
    e: &Expr,
    have: &Row,
    want: &Row,
    missing: &[String],
    site: &Site,
    cx: &Cx,
) -> Diagnostic {
    let names = |row: &Row| row.fields.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    let required: Vec<String> =
        want.fields.iter().filter(|(_, t)| !matches!(t, Type::Optional(_))).map(|(n, _)| n.clone()).collect();
    let has = if have.fields.is_empty() { "none that is known".to_owned() } else { phrase::quoted(&names(have)) };
    let callee = if site.callee.is_empty() { site.what.clone() } else { format!("`{}`", site.callee) };
    let message = format!("{callee} needs columns {}; this dataset has {has}", phrase::quoted(&required));
    let mut d = Diagnostic::new(E0302, e.span, message, format!("no {}", phrase::quoted(missing)));
    let steps = this.lineage(e, cx.module);
    let lost = missing.iter().find_map(|column| {
        steps
            .windows(2)
            .find(|w| w[0].after.get(column).is_none() && w[1].after.get(column).is_some())
            .map(|w| (column, &w[0]))
    });
    let help = if let Some((column, step)) = lost {
        d = d.also(step.span, format!("`.{column}` was dropped here"));
        let verb = if step.name.ends_with(".drop") { "take" } else { "keep" };
        let place = if verb == "take" { "out of" } else { "in" };
        format!("{verb} {} {place} the `{}`", phrase::quoted(missing), step.name)
    } else {
        if let Some(origin) = steps.last() {
            d = d.also(origin.span, "the rows come from here");
        }
        let known = have.fields.iter().map(|(name, _)| name.as_str());
        if let [column] = missing
            && let Some(near) = phrase::nearest(column, known)
        {
            this.guess(Kind::Column, column, near, e.span);
        }
        remedy(this, have, want, site)
    };
    d.help(help)
}

/// What stands for an absent value of a type, as it is written.
pub(super) fn fallback(have: &Type) -> Option<&'static str> {
    let inner = match have {
        Type::Optional(inner) => inner,
        other => other,
    };
    Some(match inner {
        Type::Str | Type::Text(_) | Type::Prompt => "\"\"",
        Type::Int => "0",
        Type::Float => "0.0",
        Type::Bool => "false",
        Type::List(_) => "[]",
        _ => return None,
    })
}

fn or_else(e: &Expr, have: &Type) -> String {
    let name = match &e.kind {
        ExprKind::Col(name) => format!(".{}", name.text),
        ExprKind::Ident(name) => name.clone(),
        _ => "…".to_owned(),
    };
    let value = fallback(have).unwrap_or("…");
    let keep = if name.starts_with('.') {
        format!(", or keep only rows that have it: `filter.rule(where: {name} != none)`")
    } else {
        String::new()
    };
    format!("say what stands for an absent value: `({name} ?? {value})`{keep}")
}

/// Adds the fix that goes with an absent value.
pub(super) trait Fallback {
    /// Wraps the expression in `(… ?? value)`, where that can be told.
    fn fallback(self, e: &Expr, have: &Type) -> Self;
}

impl Fallback for Diagnostic {
    fn fallback(self, e: &Expr, have: &Type) -> Self {
        match (&e.kind, fallback(have)) {
            (ExprKind::Col(name), Some(value)) => self.fix(e.span, format!("(.{} ?? {value})", name.text)),
            _ => self,
        }
    }
}

/// Looks through the catalogue for what takes such rows, and for what makes them fit.
fn remedy(this: &mut Checker, have: &Row, want: &Row, site: &Site) -> String {
    let have_type = Type::Dataset(have.clone());
    let module = site.callee.rsplit_once('.').map(|(m, _)| m.to_owned());
    let catalogue = this.catalogue;
    let mut ways = Vec::new();
    if let Some(module) = module {
        for op in catalogue.operators.iter().filter(|op| op.name != site.callee) {
            if op.name.rsplit_once('.').map(|(m, _)| m) != Some(module.as_str()) {
                continue;
            }
            for param in &op.signature.params {
                let ty = this.signature_type(&param.ty);
                if named_columns(&ty) && this.solver.fits(&have_type, &ty).is_ok() {
                    ways.push(format!("pass it to `{}({}: …)`", op.name, param.name.text));
                    break;
                }
            }
            if !ways.is_empty() {
                break;
            }
        }
    }
    for op in &catalogue.operators {
        let Some(first) = op.signature.params.first() else { continue };
        let ty = this.signature_type(&first.ty);
        if !named_columns(&ty) || this.solver.fits(&have_type, &ty).is_err() {
            continue;
        }
        if let Type::Dataset(result) = this.signature_type(&op.signature.result)
            && want.fields.iter().all(|(n, t)| matches!(t, Type::Optional(_)) || result.get(n).is_some())
        {
            ways.push(format!("make such rows of it with `{}(…)`", op.name));
            break;
        }
    }
    if ways.is_empty() {
        let missing: Vec<&String> = want
            .fields
            .iter()
            .filter(|(n, t)| !matches!(t, Type::Optional(_)) && have.get(n).is_none())
            .map(|(n, _)| n)
            .collect();
        return match missing.first() {
            Some(name) => format!(
                "rename or derive them: `data.rename({name}: .…)`, `data.derive({name}: …)`; or add them to the schema"
            ),
            None => "give rows that have these columns".to_owned(),
        };
    }
    ways.join(", or ")
}

/// Says whether a dataset parameter asks for particular columns.
fn named_columns(ty: &Type) -> bool {
    match ty {
        Type::Dataset(row) => row.fields.iter().any(|(_, t)| !matches!(t, Type::Optional(_))),
        Type::Optional(t) => named_columns(t),
        Type::Union(ts) => ts.iter().any(named_columns),
        _ => false,
    }
}
