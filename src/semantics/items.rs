//! Items other than plain values: function bodies, user operators, params and profiles, gates and outputs.

use super::accepted::Accepted;
use super::check::{Checker, Cx, Progress, Site};
use super::infer::Misfit;
use super::misdeclared::Kind;
use super::numbers;
use super::written::{Home, Position, Vars};
use crate::base::codes::{E0120, E0202, E0213, E0214, E0215, E0216, E0301, E0304, E0702};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Dim, Row, Type, prelude, units};
use crate::syntax::BUILTIN_SOURCE;
use crate::syntax::ast::{
    BinaryOp, Binding, Expr, ExprKind, Function, ItemKind, Name, ParamDecl, RecordField, StrLit, TypeArg, TypeExpr,
    TypeExprKind, UnaryOp, With,
};

impl<'a> Checker<'a> {
    /// Checks the body of a function, once; returns what it accepts in `with`.
    pub(super) fn body(&mut self, module: usize, function: &'a Function) -> Accepted {
        let key = (module, function.name.text.clone());
        match self.bodies.get(&key) {
            Some(Progress::Done(accepted)) => return accepted.clone(),
            Some(Progress::Open) => return Accepted::default(),
            None => {}
        }
        self.bodies.insert(key.clone(), Progress::Open);
        self.rows_of_function(module, function);
        self.accepted.push(Accepted::default());
        let mut vars = Vars::new(Home::Module(module), true);
        let mut cx = Cx::of(module);
        let names: Vec<&Name> =
            function.params.iter().map(|p| &p.name).chain(function.locals.iter().map(|b| &b.name)).collect();
        self.local_names(module, &names);
        for param in &function.params {
            let ty = self.written(&param.ty, &mut vars, Position::Param);
            self.parameter(param, &ty, &function.name.text, module);
            self.saw(param.name.span, &ty);
            // Of two with one name, which is an error, the first one is read.
            if !cx.locals.iter().any(|(n, _)| *n == param.name.text) {
                cx.locals.push((param.name.text.clone(), ty));
            }
        }
        for local in &function.locals {
            let ty = self.local(local, &cx);
            self.saw(local.name.span, &ty);
            cx.locals.push((local.name.text.clone(), ty));
        }
        let want = self.written(&function.result, &mut vars, Position::Result);
        match self.solver.resolve(&want) {
            Type::Dataset(row) => self.returned_rows(function, module, &row, &cx),
            want => {
                let site = Site::new(format!("the result of `{}`", function.name.text), Some(function.result.span));
                self.expect(&function.body, &want, &cx, &site);
            }
        }
        let accepted = self.accepted.pop().unwrap_or_default();
        self.bodies.insert(key, Progress::Done(accepted.clone()));
        accepted
    }

    /// Checks the range and the default of a parameter.
    pub(super) fn parameter(&mut self, param: &ParamDecl, ty: &Type, of: &str, module: usize) {
        let (what, cx) = (format!("`{}` of `{of}`", param.name.text), Cx::of(module));
        if let Some(within) = &param.within {
            let site = Site::new(format!("the range of {what}"), None);
            self.expect(within, &Type::Range(Box::new(ty.clone())), &cx, &site);
        }
        if let Some(default) = &param.default {
            self.argument_value(default, ty, param.within.as_ref(), &format!("the default of {what}"));
            self.expect(default, ty, &cx, &Site::new(what, None));
        }
    }

    fn local(&mut self, local: &Binding, cx: &Cx) -> Type {
        if let Some(with) = &local.with {
            let span = match with {
                With::Record { span, .. } => *span,
                With::Name(name) => name.span,
            };
            self.report(
                Diagnostic::new(E0216, span, "a function's body carries no `with`", "inside a function")
                    .help("put it on the `let` or `stage` that calls the function"),
            );
        }
        match &local.ty {
            Some(written) => {
                let want = self.written(written, &mut Vars::new(Home::Module(cx.module), true), Position::Plain);
                let site = Site::new(format!("`{}`", local.name.text), Some(written.span));
                self.expect(&local.value, &want, cx, &site);
                want
            }
            None => self.infer(&local.value, cx),
        }
    }

    /// A body may compute more columns than its return type names, never fewer.
    fn returned_rows(&mut self, function: &Function, module: usize, want: &Row, cx: &Cx) {
        let have = self.infer(&function.body, cx);
        let name = &function.name.text;
        let body = match self.solver.resolve(&have) {
            Type::Dataset(row) => row,
            Type::Error | Type::Var(_) => return,
            other => {
                let want = Type::Dataset(want.clone());
                let site = Site::new(format!("the result of `{name}`"), Some(function.result.span));
                self.misfit(&function.body, &other, &want, Misfit::Type, &site, cx);
                return;
            }
        };
        if let Err(misfit) = self.solver.fits(&have, &Type::Dataset(want.clone())) {
            if let Misfit::Missing(columns) = &misfit {
                let steps = self.lineage(&function.body, module);
                let lost = columns.iter().find_map(|c| {
                    steps
                        .windows(2)
                        .find(|w| w[0].after.get(c).is_none() && w[1].after.get(c).is_some())
                        .map(|w| (c, &w[0]))
                });
                let mut d = Diagnostic::new(
                    E0301,
                    function.result.span,
                    format!("`{name}` promises {}, which its body does not give", phrase::quoted(columns)),
                    "the result type",
                )
                .also(function.body.span, "the body");
                d = match lost {
                    Some((column, step)) => d.also(step.span, format!("`.{column}` is dropped here")).help(format!(
                        "keep {} in the `{}`, or take it out of the result type",
                        phrase::quoted(columns),
                        step.name
                    )),
                    None => d.help(format!(
                        "derive it, `data.derive({}: …)`, or take it out of the result type",
                        columns[0]
                    )),
                };
                self.report(d);
            } else {
                let want = Type::Dataset(want.clone());
                let site = Site::new(format!("the result of `{name}`"), Some(function.result.span));
                self.misfit(&function.body, &have, &want, misfit, &site, cx);
            }
            return;
        }
        if want.tail.is_some() && body.tail.is_none() {
            if implied_tail(&function.result) {
                self.closed.insert((module, name.clone()));
            } else {
                self.report(
                    Diagnostic::new(
                        E0301,
                        function.result.span,
                        format!("`{name}` promises the other columns of its rows, which its body drops"),
                        "promises `..` columns",
                    )
                    .also(function.body.span, "gives only the columns that it names")
                    .help("leave the row variable out of the result type, or keep the columns in the body"),
                );
            }
        }
    }

    /// `secret k from env "VAR"`
    pub(super) fn secret_source(&mut self, from: &Name) {
        let known = ["env", "file", "cmd"];
        if known.contains(&from.text.as_str()) {
            return;
        }
        let d =
            Diagnostic::new(E0213, from.span, format!("a secret cannot come from `{}`", from.text), "no such source");
        self.report(match phrase::nearest(&from.text, known) {
            Some(near) => d.help(format!("did you mean `{near}`?")).fix(from.span, near),
            None => d.help("it comes from `env \"VARIABLE\"`, `file \"path\"` or `cmd \"command\"`"),
        });
    }

    pub(super) fn gate(&mut self, cond: &Expr, message: Option<&StrLit>, word: &str, cx: &Cx) {
        if let Some(message) = message {
            self.string(message, cx);
        }
        let ty = self.infer(cond, cx);
        let inner = match self.solver.resolve(&ty) {
            Type::Metric(inner) => *inner,
            other => other,
        };
        if !matches!(inner, Type::Bool | Type::Error | Type::Var(_)) {
            let shown = self.show(&inner);
            self.report(
                Diagnostic::new(E0304, cond.span, format!("`{word}` takes a truth value; this is {shown}"), shown)
                    .help(format!("compare it: `{word} … >= …`")),
            );
        }
    }

    pub(super) fn output(&mut self, name: &Name, value: &Expr, to: Option<&StrLit>, cx: &Cx) {
        if let Some(to) = to {
            self.string(to, cx);
            self.output_path(to);
        }
        let ty = self.infer(value, cx);
        let ty = self.solver.resolve(&ty);
        if holds_secret(&ty) {
            self.report(
                Diagnostic::new(
                    E0702,
                    value.span,
                    format!("the output `{}` would hold a Secret", name.text),
                    "holds a secret",
                )
                .help("take the secret out of the value; secrets go only into parameters of type Secret"),
            );
        } else if !publishable(&ty) {
            let shown = self.show(&ty);
            self.report(
                Diagnostic::new(
                    E0304,
                    value.span,
                    format!("an output is something that was made; this is {shown}"),
                    shown,
                )
                .help("give a dataset, model, score, grid, table, report or file"),
            );
        }
    }

    /// Checks a param's range and default.
    pub(super) fn param_value(&mut self, module: usize, item: &ItemKind) {
        let ItemKind::Param { name, within, default, .. } = item else { return };
        let ty = self.global(module, &name.text, name.span);
        let cx = Cx::of(module);
        if let Some(within) = within {
            let want = match &within.kind {
                ExprKind::List(_) => Type::List(Box::new(ty.clone())),
                _ => Type::Range(Box::new(ty.clone())),
            };
            self.expect(within, &want, &cx, &Site::new(format!("the range of `{}`", name.text), None));
        }
        if let Some(default) = default {
            let site = Site::new(format!("`{}`", name.text), Some(name.span));
            self.expect(default, &ty, &cx, &site);
            if let Some((_, value)) = quantity(default) {
                self.in_range(item, value, default.span, "the default");
            }
        }
    }

    /// E0214 for a literal argument that lies outside of what its parameter takes, or that no quantity can be.
    pub(super) fn argument_value(&mut self, value: &Expr, ty: &Type, within: Option<&Expr>, what: &str) {
        let Some((dim, number)) = quantity(value) else { return };
        let range = within.and_then(|w| match &w.kind {
            ExprKind::Range(from, to) => Some((from.as_deref().and_then(quantity), to.as_deref().and_then(quantity))),
            _ => None,
        });
        let fits = |(d, _): &(Option<Dim>, f64)| *d == dim;
        if let Some((from, to)) = range.filter(|(a, b)| a.iter().chain(b).all(fits)) {
            if from.is_some_and(|(_, f)| number < f) || to.is_some_and(|(_, t)| number > t) {
                let end = |e: Option<(Option<Dim>, f64)>| e.map_or(String::new(), |(d, v)| shown(d, v));
                let message = format!("{what} is {}, outside {}..{}", shown(dim, number), end(from), end(to));
                let nearest = if from.is_some_and(|(_, f)| number < f) { end(from) } else { end(to) };
                let d = Diagnostic::new(E0214, value.span, message, "out of range");
                self.report(d.help(format!("give a value in {}..{}, such as {nearest}", end(from), end(to))));
            }
            return;
        }
        if let Some(why) = dim.and_then(|d| d.impossible(number)).filter(|_| !matches!(ty, Type::Range(_))) {
            let message = format!("{what} is {}: {why}", shown(dim, number));
            let d = Diagnostic::new(E0214, value.span, message, "no such quantity");
            self.report(d.help("give a whole number of them, from 0 on"));
        }
    }

    /// E0214 for a constant that is none of a param's values.
    fn in_list(&mut self, name: &Name, within: &Expr, items: &[Expr], value: f64, span: Span, what: &str) {
        let known: Vec<(Option<Dim>, f64)> = items.iter().filter_map(quantity).collect();
        if known.len() != items.len() || known.iter().any(|(_, v)| *v == value) {
            return;
        }
        let dim = known.first().and_then(|(d, _)| *d);
        let all: Vec<String> = known.iter().map(|(_, v)| shown(dim, *v)).collect();
        let message = format!("{what} of `{}`, {}, is none of {}", name.text, shown(dim, value), all.join(", "));
        let d = Diagnostic::new(E0214, span, message, "not among them");
        self.report(d.also(within.span, "the values").help(format!("give one of {}", phrase::quoted(&all))));
    }

    /// E0214 for a range whose first end lies above its last.
    pub(super) fn range_is_empty(&mut self, from: Option<&Expr>, to: Option<&Expr>, span: Span) {
        let (Some((dim, a)), Some((other, b))) = (from.and_then(quantity), to.and_then(quantity)) else { return };
        // Angles go round: 350deg..10deg is a range.
        if dim != other || dim == Some(Dim::Angle) || a <= b {
            return;
        }
        let turned = format!("{}..{}", shown(dim, b), shown(dim, a));
        let d = Diagnostic::new(E0214, span, "nothing lies in this range: it ends below its start", "upside down");
        self.report(d.help(format!("write `{turned}`")).fix(span, turned));
    }

    /// E0214 for a constant outside of a param's range.
    fn in_range(&mut self, item: &ItemKind, value: f64, span: Span, what: &str) {
        let ItemKind::Param { name, within: Some(within), .. } = item else { return };
        if let ExprKind::List(items) = &within.kind {
            return self.in_list(name, within, items, value, span, what);
        }
        let ExprKind::Range(from, to) = &within.kind else { return };
        let (from, to) = (from.as_deref().and_then(quantity), to.as_deref().and_then(quantity));
        if matches!((from, to), (Some((_, f)), Some((_, t))) if f > t) {
            return; // the range itself was reported
        }
        if from.is_none_or(|(_, f)| value >= f) && to.is_none_or(|(_, t)| value <= t) {
            return;
        }
        let dim = from.or(to).and_then(|(d, _)| d);
        let shown = |v: f64| shown(dim, v);
        let range = format!(
            "{}..{}",
            from.map_or(String::new(), |(_, v)| shown(v)),
            to.map_or(String::new(), |(_, v)| shown(v))
        );
        let nearest = match (from, to) {
            (Some((_, f)), _) if value < f => f,
            (_, Some((_, t))) => t,
            _ => value,
        };
        let message = format!("{what} of `{}`, {}, is outside {range}", name.text, shown(value));
        let mut d = Diagnostic::new(E0214, span, message, "out of range")
            .help(format!("give a value in {range}, such as {}, or widen the range of the param", shown(nearest)));
        if span != within.span {
            d = d.also(within.span, "the range");
        }
        self.report(d);
    }

    pub(super) fn profile(&mut self, module: usize, name: &Name, fields: &[RecordField], with: Option<&With>) {
        let cx = Cx::of(module);
        let mut seen: Vec<&Name> = Vec::new();
        for field in fields {
            let (param, value) = match field {
                RecordField::Named(param, value) => (param, value.clone()),
                RecordField::Pun(param) => {
                    (param, Expr { kind: ExprKind::Ident(param.text.clone()), span: param.span })
                }
                RecordField::Spread(value, _) => {
                    self.infer(value, &cx);
                    continue;
                }
            };
            if let Some(first) = seen.iter().find(|s| s.text == param.text) {
                self.report(
                    Diagnostic::new(E0202, param.span, format!("`{}` is set twice", param.text), "again here")
                        .also(first.span, "first here")
                        .help("keep one of them"),
                );
            }
            seen.push(param);
            let Some(item @ ItemKind::Param { .. }) = self.names[module].values.get(param.text.as_str()).copied()
            else {
                self.no_param(module, &param.text, param.span, true);
                self.infer(&value, &cx);
                continue;
            };
            let ty = self.global(module, &param.text, param.span);
            let site = Site::new(format!("`{}` of profile `{}`", param.text, name.text), None);
            self.expect(&value, &ty, &cx, &site);
            if let Some((_, constant)) = quantity(&value) {
                self.in_range(item, constant, value.span, "the value");
            }
        }
        if let Some(with) = with {
            self.with(with, None, &cx);
        }
    }

    /// `written`: the name stands at `span`, and not on the command line.
    fn no_param(&mut self, module: usize, name: &str, span: Span, written: bool) {
        if self.names[module].missing.contains(name) {
            return;
        }
        if let Some(ItemKind::Let(b) | ItemKind::Stage(b)) = self.names[module].values.get(name).copied() {
            let d = Diagnostic::new(E0215, span, format!("`{name}` is no param"), "set from outside");
            self.report(
                d.also(b.name.span, "a value of the recipe")
                    .help(format!("make it one where it is declared: `param {name}: Type = …`")),
            );
            return;
        }
        let params: Vec<&str> = self.names[module]
            .values
            .iter()
            .filter(|(_, i)| matches!(i, ItemKind::Param { .. }))
            .map(|(n, _)| *n)
            .collect();
        let d = Diagnostic::new(E0215, span, format!("there is no param `{name}`"), "unknown param");
        if written && (name == "with" || prelude::WITH.iter().any(|(option, _)| *option == name)) {
            let option = if name == "with" { "gpus" } else { name };
            let form = format!("`profile name {{ }} with {{ {option}: … }}`");
            self.report(d.help(format!("how to run stands behind the params of a profile: {form}")));
            return;
        }
        let near = phrase::nearest(name, params.iter().copied());
        if let Some(near) = near.filter(|_| written) {
            self.guess(Kind::Value(module), name, near, span);
        }
        self.report(match near {
            Some(near) => {
                let d = d.help(format!("did you mean `{near}`?"));
                if written { d.fix(span, near) } else { d }
            }
            None if params.is_empty() => d.help(format!("this recipe has none; declare it: `param {name}: Type = …`")),
            None => d.help(format!("the params are {}", phrase::quoted(&params))),
        });
    }

    /// Checks `--profile` and `-p` against the recipe.
    pub(super) fn settings(&mut self) {
        let settings = self.settings;
        let root = &self.program.modules[0];
        let top = root.file.items.first().map_or(Span::new(root.file.source, 0, 0), |i| match &i.kind {
            ItemKind::Recipe { name, .. } => name.span,
            _ => i.span,
        });
        if let Some(wanted) = &settings.profile {
            let profiles: Vec<&Name> = root
                .file
                .items
                .iter()
                .filter_map(|i| match &i.kind {
                    ItemKind::Profile { name, .. } => Some(name),
                    _ => None,
                })
                .collect();
            if !profiles.iter().any(|p| p.text == *wanted) {
                let names: Vec<&str> = profiles.iter().map(|p| p.text.as_str()).collect();
                let span = profiles.first().map_or(top, |p| p.span);
                let d = Diagnostic::new(
                    E0215,
                    span,
                    format!("there is no profile `{wanted}`"),
                    "profiles are declared in the recipe",
                );
                let d = match phrase::nearest(wanted, names.iter().copied()) {
                    Some(near) => d.help(format!("did you mean `--profile {near}`?")),
                    None if names.is_empty() => d.help("this recipe has no profiles; run it without `--profile`"),
                    None => d.help(format!("the profiles are {}", phrase::quoted(&names))),
                };
                self.report(d);
            }
        }
        for (name, text) in &settings.params {
            match self.names[0].values.get(name.as_str()).copied() {
                Some(item @ ItemKind::Param { .. }) => self.given_param(item, text),
                _ => self.no_param(0, name, top, false),
            }
        }
    }

    /// `-p name=text`
    fn given_param(&mut self, item: &ItemKind, text: &str) {
        let ItemKind::Param { name, .. } = item else { return };
        let ty = self.global(0, &name.text, name.span);
        let given = format!("`-p {}={text}`", name.text);
        let inner = match &ty {
            Type::Optional(inner) => (**inner).clone(),
            other => other.clone(),
        };
        let plain = text.trim().trim_matches('"');
        if let Type::Enum(variants) = &inner {
            if !variants.iter().any(|v| v == plain) {
                let near = phrase::nearest(plain, variants.iter().map(String::as_str));
                let all: Vec<String> = variants.iter().map(|v| format!("`{v}`")).collect();
                let help = near.map_or_else(
                    || format!("it is one of {}", all.join(", ")),
                    |n| format!("did you mean `{n}`? It is one of {}", all.join(", ")),
                );
                let d =
                    Diagnostic::new(E0213, name.span, format!("{given}: `{plain}` is not a variant"), "declared here");
                self.report(d.help(help));
            }
            return;
        }
        if matches!(inner, Type::Str | Type::Error | Type::Json) || (inner != ty && plain == "none") {
            return;
        }
        let parsed = crate::syntax::parse_expr(BUILTIN_SOURCE, text).ok();
        let number = parsed.as_ref().and_then(quantity);
        match (&inner, &parsed, number) {
            (Type::Bool, Some(Expr { kind: ExprKind::Bool(_), .. }), _) => {}
            (Type::Int, _, Some((None, value))) if value.fract() == 0.0 && !text.contains(['.', 'e']) => {
                self.in_range(item, value, name.span, &format!("{given}: the value"));
            }
            (Type::Float, _, Some((None, value))) => {
                self.in_range(item, value, name.span, &format!("{given}: the value"))
            }
            (Type::Dim(dim), _, Some((Some(found), value))) if *dim == found => {
                self.in_range(item, value, name.span, &format!("{given}: the value"));
            }
            (Type::Dim(dim), Some(e), Some((None, _))) => {
                let ways = numbers::literal(e).map(|v| numbers::with_units(v, *dim)).unwrap_or_default();
                let ways: Vec<String> = ways.iter().map(|w| format!("`-p {}={w}`", name.text)).collect();
                let d = Diagnostic::new(
                    E0120,
                    name.span,
                    format!("{given}: expected {dim:?}, found a plain number"),
                    "declared here",
                );
                self.report(d.help(format!("write {}", ways.join(" or "))));
            }
            (Type::Bool | Type::Int | Type::Float | Type::Dim(_), ..) => {
                let shown = self.show(&inner);
                let example = match &inner {
                    Type::Bool => "true".to_owned(),
                    Type::Int => "3".to_owned(),
                    Type::Float => "0.5".to_owned(),
                    Type::Dim(d) => units::spellings(*d).first().map_or("8".to_owned(), |u| format!("8{u}")),
                    _ => String::new(),
                };
                let d =
                    Diagnostic::new(E0304, name.span, format!("{given}: `{}` is {shown}", name.text), "declared here");
                self.report(d.help(format!("give {shown}, such as `-p {}={example}`", name.text)));
            }
            _ => {}
        }
    }
}

/// Says whether the rest of a result's row comes from a schema's name and not from a row variable that the author wrote.
fn implied_tail(result: &TypeExpr) -> bool {
    match &result.kind {
        TypeExprKind::Named { args, .. } => {
            matches!(args.first(), Some(TypeArg::Type(t)) if matches!(t.kind, TypeExprKind::Named { .. }))
        }
        _ => false,
    }
}

/// Returns a literal quantity in base units.
fn quantity(e: &Expr) -> Option<(Option<Dim>, f64)> {
    match &e.kind {
        ExprKind::Number(parts, _) => units::number(parts).ok(),
        ExprKind::Paren(inner) => quantity(inner),
        ExprKind::Unary { op: UnaryOp::Neg, value } => quantity(value).map(|(d, v)| (d, -v)),
        ExprKind::Binary { op, left, right, .. } => {
            let ((a, x), (b, y)) = (quantity(left)?, quantity(right)?);
            match op {
                BinaryOp::Add if a == b => Some((a, x + y)),
                BinaryOp::Sub if a == b && a != Some(Dim::Ratio) => Some((a, x - y)),
                BinaryOp::Mul if a.is_none() || b.is_none() => Some((a.or(b), x * y)),
                BinaryOp::Div if b.is_none() && y != 0.0 => Some((a, x / y)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn shown(dim: Option<Dim>, value: f64) -> String {
    match dim {
        Some(Dim::Ratio) => format!("{}%", (value * 1e8).round() / 1e6),
        Some(Dim::Points) => format!("{}pt", (value * 1e8).round() / 1e6),
        Some(Dim::Duration) => format!("{value}s"),
        Some(Dim::Bytes) => format!("{value}B"),
        Some(dim) => format!("{value}{}", units::spellings(dim).first().copied().unwrap_or("")),
        None => format!("{value}"),
    }
}

fn holds_secret(ty: &Type) -> bool {
    match ty {
        Type::Secret => true,
        Type::Optional(t) | Type::List(t) => holds_secret(t),
        Type::Tuple(ts) => ts.iter().any(holds_secret),
        Type::Record(row) => row.fields.iter().any(|(_, t)| holds_secret(t)),
        _ => false,
    }
}

fn publishable(ty: &Type) -> bool {
    match ty {
        Type::Dataset(_)
        | Type::Model(_)
        | Type::Classifier
        | Type::Benchmark
        | Type::Suite
        | Type::Score
        | Type::Loss
        | Type::Grid(..)
        | Type::Table
        | Type::Report
        | Type::File
        | Type::Metric(_)
        | Type::Error
        | Type::Var(_) => true,
        Type::Record(row) => row.fields.iter().all(|(_, t)| publishable(t)),
        _ => false,
    }
}
