//! What stands after a point: fields of records, parts of results, methods of row values, and those of scores and grids.

use super::check::{Checker, Cx, Site};
use super::modules::ImportTarget;
use crate::base::codes::{E0101, E0201, E0202, E0210, E0211, E0212, E0304, E0308, E0604};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::prelude::{self, Kind, Method};
use crate::spec::{Dim, GridAxis, Row, Type, foreign};
use crate::syntax::ast::{Arg, Expr, ExprKind, ItemKind, Name};

const GRID_METHODS: &[&str] = &["table", "best", "at", "mean", "worst_drop", "delta"];
/// What a table can show.
const SHOWN: &[&str] = &[
    "ci",
    "delta",
    "n",
    "unparsed",
    "skill",
    "answers",
    "chance",
    "majority",
    "compat",
    "tokens",
    "cost",
    "detectable",
];
/// Numbers of a score that are shares.
const SCORE_RATIOS: &[&str] =
    &["value", "low", "high", "unparsed", "compat", "skill", "chance", "majority", "floor", "consensus", "consistency"];
/// Facts of a score that is no share.
const LOSS_FACTS: &[&str] = &["value", "low", "high", "n"];

impl Checker<'_> {
    /// `base.name` without a call.
    pub(super) fn field(&mut self, base: &Expr, name: &Name, cx: &Cx) -> Type {
        if let ExprKind::Ident(module) = &base.kind
            && !cx.locals.iter().any(|(n, _)| n == module)
            && !self.names[cx.module].values.contains_key(module.as_str())
            && let Some(target) = self.names[cx.module].imports.get(module.as_str()).copied()
        {
            self.mark(cx.module, module);
            return self.imported_value(module, target, name, base.span, cx);
        }
        if self.asked_by_a_word(base, name, cx) {
            return Type::Error;
        }
        let ty = self.infer(base, cx);
        self.field_of(&ty, name, base, cx)
    }

    fn imported_value(&mut self, alias: &str, target: &ImportTarget, name: &Name, at: Span, cx: &Cx) -> Type {
        match target {
            ImportTarget::Missing => Type::Error,
            ImportTarget::Operators(module) => {
                let full = format!("{module}.{}", name.text);
                let whole = at.to(name.span);
                if self.catalogue.get(&full).is_some() {
                    self.report(
                        Diagnostic::new(
                            crate::base::codes::E0207,
                            whole,
                            format!("the operator `{full}` is not a value"),
                            "used without a call",
                        )
                        .help(format!("call it: `{full}(…)`")),
                    );
                } else {
                    // The call path reports unknown operators with suggestions.
                    let call = Expr {
                        kind: ExprKind::Call {
                            callee: Box::new(Expr {
                                kind: ExprKind::Field(
                                    Box::new(Expr { kind: ExprKind::Ident(alias.to_owned()), span: at }),
                                    name.clone(),
                                ),
                                span: whole,
                            }),
                            args: Vec::new(),
                            args_span: name.span,
                        },
                        span: whole,
                    };
                    self.call(&call, None, cx);
                }
                Type::Error
            }
            ImportTarget::Module(id) => match self.names[*id].values.get(name.text.as_str()).copied() {
                Some(ItemKind::Fn(_) | ItemKind::Op(_)) => {
                    self.report(
                        Diagnostic::new(
                            crate::base::codes::E0207,
                            name.span,
                            format!("the function `{alias}.{}` is not a value", name.text),
                            "used without a call",
                        )
                        .help(format!("call it: `{alias}.{}(…)`", name.text)),
                    );
                    Type::Error
                }
                Some(_) => {
                    self.mark(*id, &name.text);
                    self.global(*id, &name.text, name.span)
                }
                None => {
                    self.not_exported(*id, alias, name);
                    Type::Error
                }
            },
        }
    }

    /// `[.id .output]`: a blank before the point, and a column behind it.
    fn missing_comma(&mut self, name: &Name, base: &Expr, cx: &Cx) -> bool {
        let column = matches!(base.kind, ExprKind::Col(_))
            && cx.row.as_ref().is_some_and(|r| self.solver.row(r).get(&name.text).is_some());
        let apart = name.span.start > base.span.end + 1;
        if column && apart {
            let gap = Span { start: base.span.end, ..base.span };
            let message = format!("a comma is missing before `.{}`", name.text);
            let d = Diagnostic::new(E0101, gap, message, "expected `,` here");
            self.report(d.help("separate columns with `,`").fix(gap, ","));
        }
        column && apart
    }

    fn field_of(&mut self, ty: &Type, name: &Name, base: &Expr, cx: &Cx) -> Type {
        if self.missing_comma(name, base, cx) {
            return Type::Error;
        }
        let ratio = || Type::Metric(Box::new(Type::Dim(Dim::Ratio)));
        match self.solver.resolve(ty) {
            Type::Error | Type::Json | Type::Var(_) => match prelude::method_named(&name.text) {
                Some(m) if m.args.is_none() => given(m.gives),
                _ => Type::Error,
            },
            Type::Record(row) => match row.get(&name.text) {
                Some(ty) => ty.clone(),
                None if row.tail.is_some() => Type::Error,
                None => {
                    let known: Vec<&str> = row.fields.iter().map(|(n, _)| n.as_str()).collect();
                    self.no_member(name, "this record", &known, self.declared_in_a_file(base, cx));
                    Type::Error
                }
            },
            Type::Dataset(row) => match name.text.as_str() {
                "rows" => Type::Metric(Box::new(Type::Dim(Dim::Rows))),
                other => {
                    let current = cx.row.as_ref().is_some_and(|r| self.solver.row(r).get(other).is_some());
                    if row.get(other).is_some() && current {
                        self.of_current_row(base.span.to(name.span), other);
                    } else if row.get(other).is_some() {
                        self.report(
                            Diagnostic::new(E0304, name.span, format!("`.{other}` is a column, not one value"), "a column")
                                .help(format!("columns are read for each row, inside an operator: `… |> data.select(columns: [.{other}])`")),
                        );
                    } else {
                        let count = matches!(other, "count" | "len" | "length" | "size" | "n" | "num_rows" | "shape");
                        if count {
                            let d =
                                Diagnostic::new(E0201, name.span, format!("a dataset has no `{other}`"), "not there");
                            self.report(d.help("the number of its rows is `.rows`").fix(name.span, "rows"));
                        } else {
                            self.no_member(name, "a dataset", &["rows"], self.declared_in_a_file(base, cx));
                        }
                    }
                    Type::Error
                }
            },
            of @ (Type::Suite | Type::Benchmark) => match name.text.as_str() {
                "items" => Type::Dataset(Row::any()),
                "names" => Type::List(Box::new(Type::Str)),
                _ => {
                    let what = if of == Type::Suite { "a suite" } else { "a benchmark" };
                    self.no_member(name, what, &["items", "names"], self.declared_in_a_file(base, cx));
                    Type::Error
                }
            },
            Type::Score => match name.text.as_str() {
                share if SCORE_RATIOS.contains(&share) => ratio(),
                "n" => Type::Metric(Box::new(Type::Dim(Dim::Rows))),
                "items" => Type::Dataset(Row::any()),
                _ => {
                    let value = matches!(name.text.as_str(), "accuracy" | "score" | "acc" | "mean" | "result");
                    if value {
                        let d =
                            Diagnostic::new(E0201, name.span, format!("a score has no `{}`", name.text), "not there");
                        self.report(d.help("its number is `.value`, or the score itself").fix(name.span, "value"));
                    } else {
                        self.no_member(name, "a score", &[SCORE_RATIOS, &["n", "items", "by"]].concat(), None);
                    }
                    Type::Error
                }
            },
            Type::Loss => match name.text.as_str() {
                "value" | "low" | "high" => Type::Metric(Box::new(Type::Float)),
                "n" => Type::Metric(Box::new(Type::Dim(Dim::Rows))),
                _ => {
                    self.no_member(name, "a loss", LOSS_FACTS, None);
                    Type::Error
                }
            },
            Type::Grid(axes, _) => {
                let labelled = |a: &&GridAxis| a.labels.as_ref().is_some_and(|all| all.contains(&name.text));
                let help = if let Some(axis) = axes.iter().find(labelled) {
                    format!("a cell is read by its label: `.at({}: \"{}\")`", axis.name, name.text)
                } else if GRID_METHODS.contains(&name.text.as_str()) {
                    format!("call it: `.{}(…)`", name.text)
                } else {
                    format!("a grid has {}", phrase::quoted(GRID_METHODS))
                };
                self.report(
                    Diagnostic::new(E0201, name.span, format!("a grid has no field `{}`", name.text), "not there")
                        .help(help),
                );
                Type::Error
            }
            Type::Optional(inner) => {
                if self.method_applies(&inner, name) || matches!(*inner, Type::Record(_) | Type::Score | Type::Loss) {
                    self.absent(base, name, &inner);
                    return Type::Error;
                }
                self.field_of(&inner, name, base, cx)
            }
            other => match prelude::method_named(&name.text) {
                Some(m) if m.args.is_none() => self.method_result(m, &other, name),
                Some(m) => {
                    let end = Span { start: name.span.end, ..name.span };
                    let none = m.args.is_some_and(<[_]>::is_empty);
                    let d =
                        Diagnostic::new(E0304, name.span, format!("`.{}` is a method", name.text), "needs parentheses");
                    let d = d.help(format!("write `.{}({})`", name.text, if none { "" } else { "…" }));
                    self.report(if none { d.fix(end, "()") } else { d });
                    Type::Error
                }
                None if matches!(other, Type::Dataset(_)) => Type::Error,
                None => {
                    self.no_method(name, &other);
                    Type::Error
                }
            },
        }
    }

    fn method_applies(&self, ty: &Type, name: &Name) -> bool {
        prelude::method_named(&name.text).is_some_and(|m| stands_on(m.on, ty))
    }

    fn absent(&mut self, base: &Expr, name: &Name, inner: &Type) {
        let fallback = if matches!(inner, Type::List(_)) { "[]" } else { "\"\"" };
        self.report(
            Diagnostic::new(
                E0308,
                base.span,
                format!("this may be absent, so it has no `.{}`", name.text),
                "may be absent",
            )
            .help(format!("say what stands for an absent value: `(… ?? {fallback}).{}`", name.text)),
        );
    }

    /// Reports `rows.column` and `rows["column"]` where the column of the current row is meant.
    pub(super) fn of_current_row(&mut self, whole: Span, name: &str) {
        let d = Diagnostic::new(E0304, whole, "a column is read of the current row", "a dataset");
        self.report(d.help(format!("write `.{name}`")).fix(whole, format!(".{name}")));
    }

    /// Reports a member that is not one of `known`; `decl` is where a value of another file is declared.
    fn no_member(&mut self, name: &Name, what: &str, known: &[&str], decl: Option<(Span, &str)>) {
        let d = Diagnostic::new(E0201, name.span, format!("{what} has no `{}`", name.text), "not there");
        let d = match decl {
            Some((place, value)) => d.also(place, format!("`{value}` is declared here")),
            None => d,
        };
        let part = matches!(name.text.as_str(), "val" | "valid" | "dev" | "eval").then_some("validation");
        let theirs = part.filter(|part| known.contains(part));
        self.report(match theirs.or_else(|| phrase::nearest(&name.text, known.iter().copied())) {
            Some(near) => d.help(format!("did you mean `.{near}`?")).fix(name.span, near),
            None => d.help(format!("it has {}", phrase::quoted(known))),
        });
    }

    fn no_method(&mut self, name: &Name, ty: &Type) {
        let shown = self.show(ty);
        if matches!(ty, Type::Score) {
            let d = Diagnostic::new(E0201, name.span, format!("a score has no method `{}`", name.text), "not there");
            let grid = GRID_METHODS.contains(&name.text.as_str());
            return self.report(d.help(if grid {
                format!(
                    "a grid of scores has `.{}`: `sweep m in {{ base, tuned }}, b in suite {{ eval.run(m, on: b) }}`",
                    name.text
                )
            } else {
                format!("it has {}", phrase::quoted(&[SCORE_RATIOS, &["n", "items", "by"]].concat()))
            }));
        }
        // A method of everything tells nothing of this type.
        let own = |m: &&Method| {
            stands_on(m.on, ty)
                && (m.on != Kind::Any || prelude::METHODS.iter().any(|m| m.on != Kind::Any && stands_on(m.on, ty)))
        };
        let known: Vec<&str> = prelude::METHODS.iter().filter(own).map(|m| m.name).collect();
        let d = Diagnostic::new(E0201, name.span, format!("{shown} has no `.{}`", name.text), "not there");
        let theirs = foreign::ours(foreign::METHODS, &name.text).filter(|ours| known.contains(ours));
        let hint = foreign::ours(foreign::METHOD_HINTS, &name.text).filter(|_| theirs.is_none());
        if let Some(hint) = hint {
            return self.report(d.help(hint));
        }
        self.report(match theirs.or_else(|| phrase::nearest(&name.text, known.iter().copied())) {
            Some(near) => d.help(format!("did you mean `.{near}`?")).fix(name.span, near),
            None if self.element_has(&name.text, ty) => d.help(format!(
                "it is read of each element: `.column.all(.{0} > …)`, or of one: `.column[0].{0}`",
                name.text
            )),
            None if matches!(ty, Type::Optional(_)) => d.help(
                "say what stands for an absent value first, `(.column ?? \"\")`, or ask for it: `.column != none`",
            ),
            None if known.is_empty() => d.help(format!("{shown} has no fields; use the value itself")),
            None => d.help(format!("{shown} has {}", phrase::quoted(&known))),
        });
    }

    fn element_has(&self, name: &str, ty: &Type) -> bool {
        let Type::List(element) = ty else { return false };
        let element = self.solver.resolve(element);
        prelude::METHODS.iter().any(|m| m.name == name && stands_on(m.on, &element))
    }

    fn method_result(&mut self, method: &Method, on: &Type, name: &Name) -> Type {
        if !stands_on(method.on, on) {
            self.no_method(name, on);
            return Type::Error;
        }
        given(method.gives)
    }

    /// `base.name(args)`
    pub(super) fn method(&mut self, base: &Expr, name: &Name, args: &[Arg], cx: &Cx) -> Type {
        let ty = self.infer(base, cx);
        match self.solver.resolve(&ty) {
            Type::Grid(axes, cell) => self.grid_method(&axes, &cell, name, args, cx),
            Type::Score if name.text == "by" => {
                self.simple_args(name, &[("group", Kind::Str), ("value", Kind::Str)], args, cx);
                Type::Metric(Box::new(Type::Dim(Dim::Ratio)))
            }
            Type::Dataset(_) => {
                self.method_of_rows(name, args, cx);
                Type::Error
            }
            Type::Optional(inner) if self.method_applies(&inner, name) => {
                self.absent(base, name, &inner);
                self.anywhere(args, cx);
                Type::Error
            }
            on => {
                let known = matches!(on, Type::Error | Type::Json | Type::Var(_));
                let Some(method) = prelude::method_named(&name.text) else {
                    if known {
                        let names: Vec<&str> = prelude::METHODS.iter().map(|m| m.name).collect();
                        if !matches!(on, Type::Error) || cx.row.is_some() {
                            self.no_member(name, "a value", &names, None);
                        }
                    } else {
                        // What an unknown method is given cannot be judged.
                        self.no_method(name, &on);
                        return Type::Error;
                    }
                    self.anywhere(args, cx);
                    return Type::Error;
                };
                let result = if known { given(method.gives) } else { self.method_result(method, &on, name) };
                match method.args {
                    Some(params) => self.simple_args(name, params, args, &self.element(&on, cx)),
                    None if matches!(on, Type::Error) && self.has_error(base.span) => {}
                    None => {
                        let message = format!("`.{}` is a property", name.text);
                        let d = Diagnostic::new(E0304, name.span, message, "is not called")
                            .help(format!("write `.{}` without parentheses", name.text));
                        let whole = Span { end: name.span.end + 2, ..name.span };
                        self.report(if args.is_empty() { d.fix(whole, &name.text) } else { d });
                    }
                }
                result
            }
        }
    }

    /// `raw.shuffle()`: operators are piped into.
    fn method_of_rows(&mut self, name: &Name, args: &[Arg], cx: &Cx) {
        let operators = &self.catalogue.operators;
        let last = |n: &str| n.rsplit('.').next().map(str::to_owned).unwrap_or_default();
        let same = operators.iter().find(|op| last(&op.name) == name.text).map(|op| op.name.clone());
        let d = Diagnostic::new(E0201, name.span, format!("a dataset has no method `{}`", name.text), "not a method");
        let counts = matches!(name.text.as_str(), "count" | "len" | "length" | "size" | "num_rows" | "nrows");
        self.report(match (same, foreign::ours(foreign::OPERATORS, &name.text)) {
            _ if counts => d.help("the number of rows is `.rows`, without parentheses"),
            (Some(op), _) => d.help(format!("operators stand behind a pipe: `… |> {op}(…)`")),
            (None, Some(hint)) => d.help(hint),
            (None, None) => {
                d.help("operators stand behind a pipe: `… |> data.shuffle()`; the number of rows is `.rows`")
            }
        });
        self.anywhere(args, cx);
    }

    /// Inside `.all(…)` the row is the element, where elements are records.
    fn element(&self, on: &Type, cx: &Cx) -> Cx {
        match on {
            Type::List(element) => match self.solver.resolve(element) {
                Type::Record(row) => Cx { from: None, ..cx.with_row(Some(row)) },
                _ => cx.clone(),
            },
            _ => cx.clone(),
        }
    }

    fn anywhere(&mut self, args: &[Arg], cx: &Cx) {
        let cx = cx.with_row(Some(Row::any()));
        for arg in args {
            self.infer(arg.value(), &cx);
        }
    }

    fn simple_args(&mut self, name: &Name, params: &[(&str, Kind)], args: &[Arg], cx: &Cx) {
        let mut seen = 0;
        for arg in args {
            let (e, kind) = match arg {
                Arg::Positional(e) => {
                    seen += 1;
                    if seen > params.len().min(1) {
                        self.report(
                            Diagnostic::new(
                                E0212,
                                e.span,
                                format!("`.{}` takes {}", name.text, phrase::count(params.len(), "argument")),
                                "one too many",
                            )
                            .help(case_of(&name.text).unwrap_or("leave it out")),
                        );
                        continue;
                    }
                    (e, params[0].1)
                }
                Arg::Named(n, e) => match params.iter().find(|(p, _)| *p == n.text) {
                    Some((_, kind)) => {
                        seen += 1;
                        (e, *kind)
                    }
                    None => {
                        seen += 1;
                        let known: Vec<&str> = params.iter().map(|(p, _)| *p).collect();
                        self.report(
                            Diagnostic::new(
                                E0210,
                                n.span,
                                format!("`.{}` has no option `{}`", name.text, n.text),
                                "unknown option",
                            )
                            .help(
                                if let Some(case) = case_of(&name.text).filter(|_| flag(&n.text)) {
                                    case.to_owned()
                                } else if known.is_empty() {
                                    "it takes none".to_owned()
                                } else {
                                    format!("it takes {}", phrase::quoted(&known))
                                },
                            ),
                        );
                        continue;
                    }
                },
                Arg::Spread(e, _) => (e, Kind::Any),
            };
            let site = Site::new(format!("the argument of `.{}`", name.text), None);
            match asked(kind) {
                Some(want) => {
                    self.expect(e, &want, cx, &site);
                }
                None => {
                    self.infer(e, cx);
                }
            }
        }
        if seen == 0
            && let Some((param, _)) = params.first()
        {
            self.report(
                Diagnostic::new(E0211, name.span, format!("`.{}` needs `{param}`", name.text), "argument missing")
                    .help(format!("write `.{}(…)` with its argument", name.text)),
            );
        }
    }

    fn grid_method(&mut self, axes: &[GridAxis], cell: &Type, name: &Name, args: &[Arg], cx: &Cx) -> Type {
        let metric = |dim| Type::Metric(Box::new(Type::Dim(dim)));
        let words = |words: &[&str]| Type::Enum(words.iter().map(|w| (*w).to_owned()).collect());
        let names: Vec<String> = axes.iter().map(|a| a.name.clone()).collect();
        let axis = Type::Enum(names.clone());
        let any_label = || {
            let all: Option<Vec<String>> = axes.first().and_then(|a| a.labels.clone());
            all.map_or(Type::Str, Type::Text)
        };
        let own: Vec<(&str, Type)> = match name.text.as_str() {
            "table" => vec![
                ("rows", axis.clone()),
                ("cols", axis.clone()),
                ("over", Type::List(Box::new(axis))),
                ("baseline", Type::Str),
                ("gain", Type::Str),
                ("show", Type::List(Box::new(words(SHOWN)))),
                ("see", Type::Dim(Dim::Points)),
                ("adjust", words(&["holm", "bh"])),
                ("published", Type::Record(Row::any())),
                ("train", Type::Dataset(Row::any())),
                ("shared", words(&["either", "both", "picture", "words"])),
            ],
            "best" => vec![("by", Type::Str)],
            "worst_drop" | "delta" => vec![("from", any_label()), ("to", any_label())],
            "at" => Vec::new(),
            "mean" => vec![("of", words(SCORE_RATIOS))],
            _ => {
                self.no_member(name, "a grid", GRID_METHODS, None);
                self.anywhere(args, cx);
                return Type::Error;
            }
        };
        let by_axis = matches!(name.text.as_str(), "at" | "mean" | "best" | "worst_drop" | "delta");
        let several = matches!(name.text.as_str(), "mean" | "worst_drop" | "delta");
        let mut fixed = 0;
        let mut unknown = false;
        let (mut seen, mut meant): (Vec<&Name>, Vec<String>) = (Vec::new(), Vec::new());
        for arg in args {
            let Arg::Named(n, e) = arg else {
                let first =
                    own.first().map_or_else(|| names.first().cloned().unwrap_or_default(), |(n, _)| (*n).to_owned());
                self.report(
                    Diagnostic::new(
                        E0212,
                        arg.value().span,
                        format!("`.{}` takes named arguments", name.text),
                        "needs a name",
                    )
                    .help(format!("name it: `{first}: …`")),
                );
                self.infer(arg.value(), cx);
                continue;
            };
            if let Some(first) = seen.iter().find(|s| s.text == n.text) {
                self.report(
                    Diagnostic::new(E0202, n.span, format!("`{}` is given twice", n.text), "again here")
                        .also(first.span, "first here")
                        .help("keep one of them"),
                );
            }
            seen.push(n);
            if let Some(axis) = axes.iter().find(|a| by_axis && a.name == n.text) {
                fixed += 1;
                match &e.kind {
                    ExprKind::List(items) if several => {
                        items.iter().for_each(|item| self.label(item, axis, cx));
                    }
                    _ => {
                        let ty = self.infer(e, cx);
                        let list = several && matches!(self.solver.resolve(&ty), Type::List(_));
                        let want = if list { Type::List(Box::new(Type::Str)) } else { Type::Str };
                        self.label_of(e, &ty, &want, axis, cx);
                    }
                }
            } else if let Some((_, want)) = own.iter().find(|(o, _)| *o == n.text) {
                if matches!(name.text.as_str(), "worst_drop" | "delta")
                    && axes.first().is_some_and(|a| a.labels.is_some())
                {
                    self.label(e, &axes[0], cx);
                } else {
                    let site = Site::new(format!("`{}` of `.{}`", n.text, name.text), None);
                    self.expect(e, want, cx, &site);
                    if matches!(n.text.as_str(), "baseline" | "gain") {
                        self.some_label(e, axes);
                    }
                }
            } else {
                unknown = true;
                let mut known: Vec<&str> = own.iter().map(|(o, _)| *o).collect();
                if by_axis {
                    known.extend(names.iter().map(String::as_str));
                }
                let d = Diagnostic::new(
                    E0210,
                    n.span,
                    format!("`.{}` has no option `{}`", name.text, n.text),
                    "unknown option",
                );
                self.report(match phrase::nearest(&n.text, known.iter().copied()) {
                    Some(near) if n.text.len() > 1 => {
                        meant.push(near.to_owned());
                        d.help(format!("did you mean `{near}`?")).fix(n.span, near)
                    }
                    _ => d.help(format!("it takes {}", phrase::quoted(&known))),
                });
                self.infer(e, cx);
            }
        }
        let required: &[&str] = match name.text.as_str() {
            // One axis, or what `over` leaves, may have nothing to lay out as columns.
            "table" if axes.len() > 1 && !seen.iter().any(|s| s.text == "over") => &["rows", "cols"],
            "best" => &["by"],
            "worst_drop" | "delta" => &["from", "to"],
            _ => &[],
        };
        if let Some(missing) =
            required.iter().find(|r| !seen.iter().any(|s| s.text == **r) && !meant.iter().any(|m| m == **r))
        {
            self.report(
                Diagnostic::new(E0211, name.span, format!("`.{}` needs `{missing}`", name.text), "argument missing")
                    .help(format!("add `{missing}: \"…\"`")),
            );
            return Type::Error;
        }
        match name.text.as_str() {
            "table" => Type::Table,
            "worst_drop" => metric(Dim::Points),
            "delta" => {
                let points = || metric(Dim::Points);
                let fields = [("value", points()), ("low", points()), ("high", points())];
                let float = ("p", Type::Metric(Box::new(Type::Float)));
                let fields = fields.into_iter().chain([float]).map(|(n, t)| (n.to_owned(), t)).collect();
                Type::Record(Row { fields, tail: None })
            }
            "mean" => metric(Dim::Ratio),
            "at" if unknown => Type::Error,
            "at" if fixed < axes.len() => {
                let open: Vec<GridAxis> =
                    axes.iter().filter(|a| !seen.iter().any(|s| s.text == a.name)).cloned().collect();
                Type::Grid(open, Box::new(cell.clone()))
            }
            _ => self.solver.resolve(cell),
        }
    }

    fn label(&mut self, e: &Expr, axis: &GridAxis, cx: &Cx) {
        let ty = self.infer(e, cx);
        self.label_of(e, &ty, &Type::Str, axis, cx);
    }

    fn label_of(&mut self, e: &Expr, ty: &Type, want: &Type, axis: &GridAxis, cx: &Cx) {
        if let Some(labels) = &axis.labels {
            self.wants(e.span, &Type::Enum(labels.clone()));
        }
        let (Some(labels), ExprKind::Str(text)) = (&axis.labels, &e.kind) else {
            if let Err(misfit) = self.solver.fits(ty, want) {
                self.misfit(e, ty, want, misfit, &Site::new(format!("the label of axis `{}`", axis.name), None), cx);
            }
            return;
        };
        if let Some(text) = text.plain()
            && !labels.contains(&text)
        {
            self.no_label(e.span, &text, &axis.name, labels);
        }
    }

    /// A text that must be a label of some axis.
    fn some_label(&mut self, e: &Expr, axes: &[GridAxis]) {
        let ExprKind::Str(text) = &e.kind else { return };
        let Some(text) = text.plain() else { return };
        let all: Option<Vec<&Vec<String>>> = axes.iter().map(|a| a.labels.as_ref()).collect();
        let known: Vec<String> = axes.iter().filter_map(|a| a.labels.clone()).flatten().collect();
        if all.is_some() && !known.contains(&text) {
            self.no_label(e.span, &text, "rows or columns", &known);
        }
    }

    fn no_label(&mut self, span: Span, text: &str, axis: &str, labels: &[String]) {
        let d = Diagnostic::new(E0604, span, format!("axis `{axis}` has no label `{text}`"), "no such label");
        self.report(match phrase::nearest(text, labels.iter().map(String::as_str)) {
            Some(near) => d.help(format!("did you mean \"{near}\"?")).fix(span, format!("\"{near}\"")),
            None => d.help(format!("its labels are {}", phrase::quoted(labels))),
        });
    }
}

/// Says whether an option of another language's method is about how it compares.
fn flag(option: &str) -> bool {
    matches!(option, "case" | "flags" | "regex" | "na" | "ignore_case" | "ignorecase" | "case_sensitive")
}

/// How a method of texts is told not to look at case.
fn case_of(method: &str) -> Option<&'static str> {
    match method {
        "matches" | "find" | "findall" => {
            Some("leave it out; a pattern that is not to look at case begins with `(?i)`")
        }
        "contains" | "starts" | "ends" => {
            Some("leave it out; without looking at case: `.lower().contains(\"…\")`, or `.matches(r\"(?i)…\")`")
        }
        _ => None,
    }
}

/// What can be written after the point of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The name after the point.
    pub name: String,
    /// Its type, or `(…)` of a method and what it gives.
    pub detail: String,
    /// What it does, in one line; empty where the type says it all.
    pub doc: String,
    /// Written with parentheses.
    pub called: bool,
}

/// Returns what can be written after the point of a value of this type: fields, parts of results, methods.
pub fn members(ty: &Type) -> Vec<Member> {
    let part = |name: &str, ty: &Type| {
        let (name, detail) = (name.to_owned(), ty.to_string());
        Member { name, detail, doc: String::new(), called: false }
    };
    let method =
        |name: &str| Member { name: name.to_owned(), detail: "(…)".to_owned(), doc: String::new(), called: true };
    let metric = |dim| Type::Metric(Box::new(Type::Dim(dim)));
    let rows = || part("items", &Type::Dataset(Row::any()));
    match ty {
        Type::Record(row) => row.fields.iter().map(|(name, ty)| part(name, ty)).collect(),
        Type::Dataset(_) => vec![part("rows", &metric(Dim::Rows))],
        Type::Suite | Type::Benchmark => vec![rows(), part("names", &Type::List(Box::new(Type::Str)))],
        Type::Score => {
            let shares = SCORE_RATIOS.iter().map(|name| part(name, &metric(Dim::Ratio)));
            shares.chain([part("n", &metric(Dim::Rows)), rows(), method("by")]).collect()
        }
        Type::Loss => {
            let numbers = LOSS_FACTS[..3].iter().map(|name| part(name, &Type::Metric(Box::new(Type::Float))));
            numbers.chain([part("n", &metric(Dim::Rows))]).collect()
        }
        Type::Grid(..) => GRID_METHODS.iter().map(|name| method(name)).collect(),
        Type::Optional(inner) => members(inner),
        ty => prelude::METHODS
            .iter()
            .filter(|m| stands_on(m.on, ty))
            .map(|m| {
                let args = m.args.map(|args| args.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));
                let gives = given(m.gives);
                let gives = if gives == Type::Error { String::new() } else { format!(" {gives}") };
                let detail = args.as_ref().map_or(String::new(), |args| format!("({args})"));
                let detail = format!("{detail}{gives}").trim().to_owned();
                Member { name: m.name.to_owned(), detail, doc: m.doc.to_owned(), called: m.args.is_some() }
            })
            .collect(),
    }
}

fn stands_on(kind: Kind, ty: &Type) -> bool {
    let text = matches!(ty, Type::Str | Type::Text(_) | Type::Enum(_) | Type::Prompt);
    let list = matches!(ty, Type::List(_));
    let image = matches!(ty, Type::Image | Type::Video);
    match kind {
        Kind::Any => true,
        _ if matches!(ty, Type::Error | Type::Json | Type::Var(_)) => true,
        Kind::Str | Kind::MaybeStr => text,
        Kind::List | Kind::Strs => list,
        Kind::StrOrList => text || list,
        Kind::Image => image,
        Kind::StrOrImage => text || image,
        Kind::Int => *ty == Type::Int,
        Kind::Bool | Kind::Test => *ty == Type::Bool,
        Kind::Regex => *ty == Type::Regex,
        Kind::Record => matches!(ty, Type::Record(_)),
    }
}

fn given(kind: Kind) -> Type {
    match kind {
        Kind::Str => Type::Str,
        Kind::Int => Type::Int,
        Kind::Bool | Kind::Test => Type::Bool,
        Kind::Strs => Type::List(Box::new(Type::Str)),
        Kind::MaybeStr => Type::Optional(Box::new(Type::Str)),
        Kind::Image => Type::Image,
        Kind::Regex => Type::Regex,
        Kind::Any | Kind::List | Kind::Record | Kind::StrOrList | Kind::StrOrImage => Type::Error,
    }
}

fn asked(kind: Kind) -> Option<Type> {
    Some(match kind {
        Kind::Str => Type::Str,
        Kind::Int => Type::Int,
        Kind::Bool | Kind::Test => Type::Bool,
        Kind::Regex => Type::Regex,
        Kind::Strs => Type::List(Box::new(Type::Str)),
        Kind::List => Type::List(Box::new(Type::Error)),
        Kind::Record => Type::Record(Row::any()),
        Kind::Image => Type::Image,
        Kind::Any | Kind::MaybeStr | Kind::StrOrList | Kind::StrOrImage => return None,
    })
}
