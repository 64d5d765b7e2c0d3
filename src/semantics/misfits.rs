//! What to say when a value does not fit its place: one code and one next step for each way of not fitting.

use super::check::{Checker, Cx, Site};
use super::infer::Misfit;
use crate::base::codes::{E0120, E0210, E0211, E0213, E0302, E0304, E0308, E0601, E0702};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Dim, Row, Type, units};
use crate::syntax::ast::{Expr, ExprKind, ItemKind, UnaryOp};

/// Reports why `e`, of type `have`, cannot stand for `want`.
pub(super) fn report(this: &mut Checker, e: &Expr, have: &Type, want: &Type, misfit: Misfit, site: &Site, cx: &Cx) {
    let (shown, wanted) = (this.show(have), this.show(want));
    let d = match misfit {
        Misfit::Unit(dim) => unit(e, have, dim, &shown, site),
        Misfit::Variant(bad, variants) => variant(e.span, &bad, &variants, site, matches!(e.kind, ExprKind::Str(_))),
        Misfit::Optional if *have == Type::None => {
            Diagnostic::new(E0308, e.span, format!("{} cannot be absent; it is {wanted}", site.what), "`none` here")
                .help("leave the argument out to take its default, or give a value")
        }
        Misfit::Optional => {
            Diagnostic::new(E0308, e.span, format!("{} may be absent, and {} asks for {wanted}", shown, site.what), "may be absent")
                .help("say what stands for an absent value: `… ?? \"\"`, or keep only rows that have it: `filter.rule(where: … != none)`")
        }
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
            let d = Diagnostic::new(E0210, e.span, format!("{} has no field `{name}`", site.what), "has a field too many");
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
                    "keep only rows that have it, `filter.rule(where: .{name} != none)`, after declaring it `{name}: {b}`, or derive one with `?? …`"
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
        Misfit::Type => mismatch(e, have, want, &shown, &wanted, site),
    };
    let d = match site.decl {
        Some(decl) => d.also(decl, "declared here"),
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

/// Returns a number literal, with its sign.
pub(super) fn literal(e: &Expr) -> Option<f64> {
    match &e.kind {
        ExprKind::Number(parts, _) if parts.len() == 1 => Some(parts[0].0),
        ExprKind::Paren(inner) => literal(inner),
        ExprKind::Unary { op: UnaryOp::Neg, value } => Some(-literal(value)?),
        _ => None,
    }
}

/// Returns how a plain number would read with the units of a dimension.
pub(super) fn with_units(value: f64, dim: Dim) -> Vec<String> {
    match dim {
        // 0.9 and 90 both mean ninety percent.
        Dim::Ratio | Dim::Points => {
            let shown = if value.abs() <= 1.0 && value != 0.0 { (value * 1e6).round() / 1e4 } else { value };
            vec![format!("{shown}{}", units::spellings(dim)[0])]
        }
        _ => units::spellings(dim).iter().map(|u| format!("{value}{u}")).collect(),
    }
}

fn unit(e: &Expr, have: &Type, dim: Dim, shown: &str, site: &Site) -> Diagnostic {
    let plain = matches!(have, Type::Int | Type::Float);
    let what = if plain { format!("a plain {shown}") } else { shown.to_owned() };
    let message = if plain && dim == Dim::Duration {
        format!("a Duration needs a unit ({})", site.what)
    } else {
        format!("expected {dim:?} for {}, found {what}", site.what)
    };
    let d =
        Diagnostic::new(E0120, e.span, message, if plain { "no unit".to_owned() } else { format!("this is {shown}") });
    match literal(e).filter(|_| plain) {
        Some(value) => {
            let ways = with_units(value, dim);
            match ways.as_slice() {
                [] => d.help(format!("give it as {dim:?}")),
                [one] => d.help(format!("write `{one}`")).fix(e.span, one.clone()),
                many => {
                    let quoted: Vec<String> = many.iter().map(|w| format!("`{w}`")).collect();
                    d.help(format!("did you mean {}?", quoted.join(" or ")))
                }
            }
        }
        None if plain => {
            let unit = units::spellings(dim).first().copied().unwrap_or("");
            d.help(format!("multiply it by a unit, `… * 1{unit}`, or give it a unit where it is written"))
        }
        None => {
            let unit = units::spellings(dim).first().copied().unwrap_or("");
            d.help(format!("write a number of {dim:?}, such as `8{unit}`"))
        }
    }
}

/// A text that is none of the variants of an enum.
pub(super) fn variant(span: Span, bad: &str, variants: &[String], site: &Site, literal: bool) -> Diagnostic {
    let d = Diagnostic::new(E0213, span, format!("`{bad}` is not a variant of {}", site.what), "no such variant");
    let near = phrase::nearest(bad, variants.iter().map(String::as_str));
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

fn mismatch(e: &Expr, have: &Type, want: &Type, shown: &str, wanted: &str, site: &Site) -> Diagnostic {
    let label = match have {
        Type::Dataset(_) => "a dataset",
        Type::Record(_) => "a record",
        _ => shown,
    };
    let d = Diagnostic::new(E0304, e.span, format!("{} asks for {wanted}; this is {shown}", site.what), label);
    let help = match (have, want) {
        (Type::Dim(_), Type::Int | Type::Float) => {
            "give a plain number; a quantity divided by one of its own dimension is a Float: `n / 1rows`".to_owned()
        }
        (Type::Float, Type::Int) => match literal(e) {
            Some(v) if v.fract() == 0.0 => format!("write `{v}`"),
            _ => "give a whole number".to_owned(),
        },
        (Type::Str, Type::Enum(variants)) => {
            format!("give one of its variants as a literal: \"{}\"", variants.join("\", \""))
        }
        (Type::Record(row), Type::Dataset(_)) if row.fields.iter().any(|(_, t)| matches!(t, Type::Dataset(_))) => {
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
        (Type::Int | Type::Float | Type::Dim(_), Type::Range(_)) => match literal(e) {
            Some(_) => "a range has two ends, or one: `3..5`, `3..`, `..5`".to_owned(),
            None => "give a range: `a..b`, `a..` or `..b`".to_owned(),
        },
        (Type::Text(_) | Type::Str, Type::Field(_)) => match &e.kind {
            ExprKind::Str(text) => match text.plain() {
                Some(t) => format!("a column is written with a point: `.{t}`"),
                None => "a column is written with a point: `.name`".to_owned(),
            },
            _ => "a column is written with a point: `.name`".to_owned(),
        },
        (_, Type::List(_)) => "put it in brackets: `[…]`".to_owned(),
        _ => format!("give a value of type {wanted}"),
    };
    d.help(help)
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
        format!("keep {} in the `{}`", phrase::quoted(missing), step.name)
    } else {
        if let Some(origin) = steps.last() {
            d = d.also(origin.span, "the rows come from here");
        }
        remedy(this, have, want, site)
    };
    d.help(help)
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
