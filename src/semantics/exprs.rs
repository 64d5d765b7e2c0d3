//! Expressions: the type of each, and whether it may stand where a type is asked for.

use super::check::{Checker, Cx, Progress, Site};
use super::declared;
use super::infer::Misfit;
use super::misdeclared::Kind;
use super::modules::ImportTarget;
use super::names::their_literal;
use super::sig::dataset_in;
use super::written::{Home, Position, TYPE_NAMES, Vars};
use crate::base::codes::{E0107, E0201, E0202, E0204, E0207, E0211, E0304, E0306, E0307, E0601, E0602, W0202, W0403};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Row, Type};
use crate::syntax::ast::{Binding, Expr, ExprKind, ItemKind, Name, RecordField};

impl Checker<'_> {
    /// Returns the type of an expression; problems in it are reported once and give [`Type::Error`].
    pub(super) fn infer(&mut self, e: &Expr, cx: &Cx) -> Type {
        let ty = self.infer_kind(e, cx);
        if let Some(facts) = &mut self.facts {
            facts.saw(e.span, &ty);
            facts.saw_row(e, cx.row.as_ref());
        }
        ty
    }

    fn infer_kind(&mut self, e: &Expr, cx: &Cx) -> Type {
        match &e.kind {
            ExprKind::Number(parts, int) => {
                let want = self.wanted.take();
                self.number(parts, *int, e.span, want.as_ref(), cx)
            }
            ExprKind::Str(text) => self.string(text, cx),
            ExprKind::Bool(_) => Type::Bool,
            ExprKind::None => Type::None,
            ExprKind::Ident(name) => {
                let ty = self.ident(name, e.span, cx);
                self.noted(e, ty)
            }
            ExprKind::TypeName(name) => match self.schema(name, Home::Module(cx.module)) {
                Some(row) => Type::Schema(row),
                None => {
                    self.unknown_schema(name, e.span, cx);
                    Type::Error
                }
            },
            ExprKind::Col(name) => self.column(name, e.span, cx),
            ExprKind::Field(base, name) => {
                let ty = self.field(base, name, cx);
                self.noted(e, ty)
            }
            ExprKind::Index(base, index) => self.index(base, index, cx),
            ExprKind::Call { .. } => {
                let ty = self.call(e, None, cx);
                self.noted(e, ty)
            }
            ExprKind::Pipe { left, call, .. } => {
                let ty = self.call(call, Some(left), cx);
                self.noted(e, ty)
            }
            ExprKind::Binary { .. } if self.without_quotes(e, None, cx) => Type::Error,
            ExprKind::Binary { op, op_span, left, right } => self.binary(*op, *op_span, left, right, cx),
            ExprKind::Unary { op, value } => self.unary(*op, value, cx),
            ExprKind::Range(from, to) => self.range(from.as_deref(), to.as_deref(), e.span, cx),
            ExprKind::If { cond, then, other } => {
                self.condition(cond, cx);
                let (a, b) = (self.infer(then, &cx.after(cond, true)), self.infer(other, &cx.after(cond, false)));
                let ty = self.branches(&a, &b, then, other);
                self.branches_clash(&ty, &a, &b, then, other);
                self.noted(e, ty)
            }
            ExprKind::Sweep { axes, filter, body } => self.sweep(axes, filter.as_deref(), body, cx),
            ExprKind::Record(fields) => self.record(fields, cx),
            ExprKind::List(items) => {
                let mut element = Type::Var(self.solver.free());
                for item in items {
                    let ty = self.infer(item, cx);
                    element = match self.solver.join(&element, &ty) {
                        Some(joined) => joined,
                        None => {
                            let (one, other) = (self.show(&element), self.show(&ty));
                            self.report(
                                Diagnostic::new(
                                    E0304,
                                    item.span,
                                    format!("a list has one type of element, here {one}; this is {other}"),
                                    format!("a {other}"),
                                )
                                .help("make it a record `{ a: …, b: … }` or a tuple `(…, …)`"),
                            );
                            Type::Error
                        }
                    };
                }
                Type::List(Box::new(element))
            }
            ExprKind::Tuple(items) => Type::Tuple(items.iter().map(|i| self.infer(i, cx)).collect()),
            ExprKind::Paren(inner) => self.infer(inner, cx),
        }
    }

    fn unknown_schema(&mut self, name: &str, span: Span, cx: &Cx) {
        let names = &self.names[cx.module];
        if names.missing.contains(name) || self.unknown_of_file(name, span, cx.module) {
            return;
        }
        let names = &self.names[cx.module];
        if let Some(literal) = their_literal(name) {
            let d = Diagnostic::new(E0201, span, format!("there is no `{name}` here"), "unknown name");
            self.report(d.help(format!("write `{literal}`")).fix(span, literal));
            return;
        }
        if TYPE_NAMES.contains(&name) {
            let d = Diagnostic::new(E0201, span, format!("`{name}` is a type, no value"), "a type");
            self.report(d.help("types stand after a `:` of a declaration; columns have theirs in a schema: `schema Row { id: Str, … }`"));
            return;
        }
        let d = Diagnostic::new(E0201, span, format!("there is no schema `{name}`"), "unknown schema");
        let near = phrase::nearest(name, names.schemas.keys().copied()).map(str::to_owned);
        let value = names.values.keys().find(|v| v.eq_ignore_ascii_case(name)).map(|v| (*v).to_owned());
        let d = if let Some((theirs, place)) = declared::schema_elsewhere(&self.names, cx.module, name) {
            let d = d.help(format!("write `{theirs}`: it belongs to the file that declares it")).fix(span, theirs);
            d.also(place, "declared in the imported file")
        } else if let Some(near) = near {
            self.read_schemas.insert((cx.module, near.clone()));
            self.guess(Kind::Schema(cx.module), name, &near, span);
            d.help(format!("did you mean `{near}`?")).fix(span, near)
        } else if let Some(value) = value {
            self.mark(cx.module, &value);
            d.help(format!("names of values are written small: `{value}`")).fix(span, value)
        } else {
            d.help(format!("declare it: `schema {name} {{ id: Str, … }}`"))
        };
        self.report(d);
    }

    /// Checks an expression against the type that its place asks for, which also tells what its literals mean.
    pub(super) fn expect(&mut self, e: &Expr, want: &Type, cx: &Cx, site: &Site) -> Type {
        let got = self.expect_kind(e, want, cx, site);
        if let Some(facts) = &mut self.facts {
            facts.wants.insert(e.span, want.clone());
            facts.saw_row(e, cx.row.as_ref());
            let ty = match &got {
                Type::Field(inner) => inner,
                other => other,
            };
            facts.types.entry(e.span).or_insert_with(|| ty.clone());
        }
        got
    }

    fn expect_kind(&mut self, e: &Expr, want: &Type, cx: &Cx, site: &Site) -> Type {
        let want = self.solver.resolve(want);
        if self.without_quotes(e, Some(&want), cx) {
            return Type::Error;
        }
        match (&e.kind, &want) {
            (ExprKind::Paren(inner), _) => return self.expect(inner, &want, cx, site),
            (_, Type::RowFn(inner)) => {
                let row = cx.row.clone().unwrap_or_else(Row::any);
                let have = self.expect(e, inner, &cx.with_row(Some(row)), site);
                if self.solver.resolve(&have) == Type::Secret {
                    self.misfit(e, &Type::Secret, &want, Misfit::Secret, site, cx);
                    return Type::Error;
                }
                return have;
            }
            (ExprKind::Col(name), Type::Field(inner)) => {
                let have = self.column(name, e.span, cx);
                if let Err(misfit) = self.solver.fits(&strip(&have), inner) {
                    self.misfit(e, &have, inner, misfit, site, cx);
                }
                return Type::Field(Box::new(have));
            }
            (ExprKind::None, Type::Optional(_)) => return Type::None,
            (_, Type::Optional(inner)) if matches!(**inner, Type::RowFn(_) | Type::Field(_)) => {
                return self.expect(e, inner, cx, site);
            }
            (_, Type::Optional(inner))
                if !matches!(e.kind, ExprKind::Ident(_) | ExprKind::Field(..) | ExprKind::Col(_)) =>
            {
                if matches!(e.kind, ExprKind::List(_) | ExprKind::Record(_) | ExprKind::Str(_) | ExprKind::Number(..)) {
                    return self.expect(e, inner, cx, site);
                }
            }
            // Datasets are joined first: what follows sees the columns that both branches have.
            (ExprKind::If { cond, then, other }, want) if !dataset_in(want) => {
                self.condition(cond, cx);
                let a = self.expect(then, want, &cx.after(cond, true), site);
                let b = self.expect(other, want, &cx.after(cond, false), site);
                return self.solver.join(&a, &b).unwrap_or_else(|| want.clone());
            }
            (ExprKind::List(items), Type::List(element)) => {
                for item in items {
                    self.expect(item, element, cx, site);
                }
                return want;
            }
            (ExprKind::Record(fields), Type::Record(row))
                if fields.iter().all(|f| !matches!(f, RecordField::Spread(..))) =>
            {
                self.record_as(fields, row, e.span, cx, site);
                return want;
            }
            (ExprKind::Record(_), Type::Schema(_)) => {
                let d =
                    Diagnostic::new(E0304, e.span, format!("{} asks for the name of a schema", site.what), "a record");
                self.report(d.help("declare the columns, `schema Row { id: Str, … }`, and give their name: `as: Row`"));
                return Type::Error;
            }
            (ExprKind::Str(text), Type::Prompt) => return self.prompt(text, cx),
            (ExprKind::Str(text), Type::Regex) if !text.raw => self.pattern(text),
            (ExprKind::Range(from, to), Type::Range(element)) => {
                self.range_is_empty(from.as_deref(), to.as_deref(), e.span);
                for end in [from, to].into_iter().flatten() {
                    self.expect(end, element, cx, site);
                }
                return want;
            }
            (_, Type::Union(members)) => return self.expect_union(e, members, cx, site),
            (ExprKind::Ident(name), Type::Enum(variants)) if self.is_bare_variant(name, variants, cx) => {
                self.report(
                    Diagnostic::new(
                        crate::base::codes::E0213,
                        e.span,
                        format!("a variant is written as a string: `\"{name}\"`"),
                        "no such name",
                    )
                    .help(format!("write `\"{name}\"`"))
                    .fix(e.span, format!("\"{name}\"")),
                );
                return Type::Error;
            }
            _ => {}
        }
        self.wanted = matches!(e.kind, ExprKind::Ident(_) | ExprKind::Number(..)).then(|| want.clone());
        let have = self.infer(e, cx);
        self.wanted = None;
        if let Err(misfit) = self.solver.fits(&have, &want) {
            self.misfit(e, &have, &want, misfit, site, cx);
            return Type::Error;
        }
        have
    }

    /// Literals are checked against the one member of the union that they can be.
    fn expect_union(&mut self, e: &Expr, members: &[Type], cx: &Cx, site: &Site) -> Type {
        let shape = |t: &Type| match (&e.kind, t) {
            (_, Type::RowFn(_) | Type::Field(_)) => true,
            (ExprKind::Record(_), Type::Record(_)) => true,
            (ExprKind::Range(..), Type::Range(_)) => false,
            (ExprKind::List(_), Type::List(_)) => true,
            (ExprKind::Str(_), Type::Enum(_) | Type::Prompt | Type::Str) => true,
            _ => false,
        };
        let fitting: Vec<&Type> = members.iter().filter(|t| shape(t)).collect();
        let rowwise = members.iter().all(|t| matches!(t, Type::RowFn(_) | Type::Field(_)));
        match fitting.as_slice() {
            [only] => return self.expect(e, only, cx, site),
            _ if rowwise => {
                let inner = members.iter().map(|t| match t {
                    Type::RowFn(t) | Type::Field(t) => (**t).clone(),
                    other => other.clone(),
                });
                let want = Type::Union(inner.collect());
                let row = cx.row.clone().unwrap_or_else(Row::any);
                return self.expect(e, &want, &cx.with_row(Some(row)), site);
            }
            _ => {}
        }
        let want = Type::Union(members.to_vec());
        self.wanted = matches!(e.kind, ExprKind::Ident(_) | ExprKind::Number(..)).then(|| want.clone());
        let have = self.infer(e, cx);
        self.wanted = None;
        if let Err(misfit) = self.solver.fits(&have, &want) {
            self.misfit(e, &have, &want, misfit, site, cx);
            return Type::Error;
        }
        have
    }

    fn is_bare_variant(&self, name: &str, variants: &[String], cx: &Cx) -> bool {
        variants.iter().any(|v| v == name) && !self.is_name(name, cx)
    }

    /// Checks the fields of a record literal against those of a type.
    fn record_as(&mut self, fields: &[RecordField], row: &Row, span: Span, cx: &Cx, site: &Site) {
        let mut seen: Vec<&Name> = Vec::new();
        for field in fields {
            let (name, value) = match field {
                RecordField::Named(name, value) => (name, value.clone()),
                RecordField::Pun(name) => (name, Expr { kind: ExprKind::Ident(name.text.clone()), span: name.span }),
                RecordField::Spread(..) => continue,
            };
            self.twice(&seen, name);
            seen.push(name);
            match row.get(&name.text) {
                Some(want) => {
                    let what = Site { what: format!("`{}` in {}", name.text, site.what), ..site.clone() };
                    self.expect(&value, want, cx, &what);
                }
                None if row.tail.is_some() => {
                    self.infer(&value, cx);
                }
                None => {
                    let known: Vec<&str> = row.fields.iter().map(|(n, _)| n.as_str()).collect();
                    self.extra_field(&name.text, name.span, &known, &site.what);
                    self.infer(&value, &cx.with_row(Some(Row::any())));
                }
            }
        }
        if row.tail.is_none() {
            let missing: Vec<&str> = row
                .fields
                .iter()
                .filter(|(n, t)| !matches!(t, Type::Optional(_) | Type::RowFn(_)) && !seen.iter().any(|s| s.text == *n))
                .map(|(n, _)| n.as_str())
                .collect();
            if !missing.is_empty() {
                let all = phrase::quoted(&missing);
                self.report(
                    Diagnostic::new(E0211, span, format!("the record for {} lacks {all}", site.what), "not complete")
                        .help(format!("add `{}: …`", missing[0])),
                );
            }
        }
    }

    /// Reports a field that stands in a record already.
    pub(super) fn twice(&mut self, seen: &[&Name], name: &Name) {
        if let Some(first) = seen.iter().find(|n| n.text == name.text) {
            self.report(
                Diagnostic::new(E0202, name.span, format!("`{}` stands twice in this record", name.text), "again here")
                    .also(first.span, "first here")
                    .help("keep one of them; a later field overrides only one that was spread with `..`"),
            );
        }
    }

    fn record(&mut self, fields: &[RecordField], cx: &Cx) -> Type {
        let mut row = Row::default();
        let mut seen: Vec<&Name> = Vec::new();
        let mut unknown = false;
        for field in fields {
            let (name, ty) = match field {
                RecordField::Named(name, value) => (name, self.infer(value, cx)),
                RecordField::Pun(name) => {
                    let e = Expr { kind: ExprKind::Ident(name.text.clone()), span: name.span };
                    (name, self.infer(&e, cx))
                }
                RecordField::Spread(value, span) => {
                    let ty = self.infer(value, cx);
                    match self.solver.resolve(&ty) {
                        Type::Record(more) => {
                            for (name, ty) in more.fields {
                                if let Some(first) = seen.iter().find(|n| n.text == name) {
                                    self.overridden(&name, first.span, *span);
                                }
                                set(&mut row, &name, ty);
                            }
                            row.tail = row.tail.or(more.tail);
                        }
                        Type::Error => unknown = true,
                        other => self.no_record(*span, &other),
                    }
                    continue;
                }
            };
            self.twice(&seen, name);
            seen.push(name);
            set(&mut row, &name.text, ty);
        }
        if unknown { Type::Error } else { Type::Record(row) }
    }

    /// A field that is written out before a spread that has it too.
    pub(super) fn overridden(&mut self, name: &str, field: Span, spread: Span) {
        self.report(
            Diagnostic::new(W0403, field, format!("`{name}` is set here and again by a later spread"), "never used")
                .also(spread, "this one wins")
                .help(format!("write the spread first, and `{name}` after it")),
        );
    }

    pub(super) fn no_record(&mut self, span: Span, ty: &Type) {
        let shown = self.show(ty);
        self.report(
            Diagnostic::new(E0107, span, format!("`..` spreads a record; this is {shown}"), "not a record")
                .help("spread a record such as `{ lr: 1e-5, epochs: 3 }`; a range is named: `keep: ..30deg`"),
        );
    }

    fn ident(&mut self, name: &str, span: Span, cx: &Cx) -> Type {
        if let Some((_, ty)) = cx.locals.iter().rev().find(|(n, _)| n == name) {
            return self.solver.resolve(ty);
        }
        let names = &self.names[cx.module];
        if let Some(item) = names.values.get(name).copied() {
            self.mark(cx.module, name);
            if let ItemKind::Fn(_) | ItemKind::Op(_) = item {
                self.function_as_value(name, item, span);
                return Type::Error;
            }
            if !self.compared.contains(&span) && cx.row.as_ref().is_some_and(|r| self.solver.row(r).get(name).is_some())
            {
                self.hides_column(name, span, cx);
            }
            return self.global(cx.module, name, span);
        }
        if let Some(target) = names.imports.get(name).copied() {
            let broken = names.missing.contains(name);
            self.mark(cx.module, name);
            if broken {
                return Type::Error;
            }
            let (what, help) = match target {
                ImportTarget::Operators(module) => {
                    let first = self.catalogue.operators.iter().find(|op| op.name.starts_with(&format!("{module}.")));
                    let example = first.map_or("data.jsonl", |op| op.name.as_str());
                    ("a module of operators", format!("call one of its operators, as in `{example}(…)`"))
                }
                ImportTarget::Module(_) => ("a file", format!("name a value of it: `{name}.…`")),
                ImportTarget::Missing => return Type::Error,
            };
            self.report(
                Diagnostic::new(E0304, span, format!("`{name}` is {what}, not a value"), "used as a value").help(help),
            );
            return Type::Error;
        }
        self.unknown_name(name, span, false, cx);
        Type::Error
    }

    /// A bare name where the current row has a column of that name.
    fn hides_column(&mut self, name: &str, span: Span, cx: &Cx) {
        let mut d = Diagnostic::new(
            W0202,
            span,
            format!("`{name}` is the value of that name, not the column `.{name}`"),
            "the same for every row",
        );
        if let Some(place) = self.names[cx.module].places.get(name) {
            d = d.also(*place, "this value");
        }
        self.report(d.help(format!("write `.{name}` for the column, or rename the value")));
    }

    fn function_as_value(&mut self, name: &str, item: &ItemKind, span: Span) {
        let params = match item {
            ItemKind::Fn(f) => &f.params,
            ItemKind::Op(op) => &op.params,
            _ => return,
        };
        let args: Vec<String> = params.iter().map(|p| format!("{0}: .{0}", p.name.text)).collect();
        let declared = self
            .names
            .iter()
            .find_map(|n| n.values.get(name).filter(|i| std::ptr::eq(**i, item)).map(|_| n.places[name]));
        let mut d = Diagnostic::new(
            E0207,
            span,
            format!("the function `{name}` is not a value"),
            "used without a call",
        )
        .help(format!("call it; where a row function is asked for, pass an expression: `{name}({})`", args.join(", ")));
        if let Some(at) = declared {
            d = d.also(at, "declared here");
        }
        self.report(d);
    }

    /// Returns the type of a top-level value, inferring it now if nothing has asked for it before.
    pub(super) fn global(&mut self, module: usize, name: &str, span: Span) -> Type {
        let key = (module, name.to_owned());
        match self.lets.get(&key) {
            Some(Progress::Done(ty)) => return ty.clone(),
            Some(Progress::Open) => {
                self.names_in_cycle(module, name);
                return Type::Error;
            }
            None => {}
        }
        let Some(item) = self.names[module].values.get(name).copied() else { return Type::Error };
        self.lets.insert(key.clone(), Progress::Open);
        self.open.push((module, name.to_owned(), self.names[module].places.get(name).copied().unwrap_or(span)));
        let cx = Cx::of(module);
        let ty = match item {
            ItemKind::Let(binding) | ItemKind::Stage(binding) => self.binding(binding, &cx),
            ItemKind::Param { ty, .. } => {
                self.written(ty, &mut Vars::new(Home::Module(module), false), Position::Plain)
            }
            ItemKind::Secret { .. } => Type::Secret,
            _ => Type::Error,
        };
        self.open.pop();
        let ty = self.solver.resolve(&ty);
        self.lets.insert(key, Progress::Done(ty.clone()));
        ty
    }

    fn names_in_cycle(&mut self, module: usize, name: &str) {
        let at = self.open.iter().position(|(m, n, _)| *m == module && n == name).unwrap_or(0);
        let ring: Vec<(String, Span)> = self.open[at..].iter().map(|(_, n, s)| (n.clone(), *s)).collect();
        let mut words: Vec<&str> = ring.iter().map(|(n, _)| n.as_str()).collect();
        words.push(words[0]);
        let message = match ring.len() {
            1 => format!("`{name}` is defined by itself"),
            _ => format!("these names need each other: {}", words.join(" → ")),
        };
        let mut d = Diagnostic::new(E0602, ring[0].1, message, format!("needs `{}`", words[1]));
        for (i, (_, span)) in ring.iter().enumerate().skip(1) {
            d = d.also(*span, format!("needs `{}`", words[i + 1]));
        }
        self.report(d.help(format!("give one of them a value that does not mention `{}`", words[words.len() - 2])));
    }

    /// Checks `let x: T = e with …` and returns the type of `x`.
    pub(super) fn binding(&mut self, binding: &Binding, cx: &Cx) -> Type {
        self.accepted.push(super::accepted::Accepted::default());
        self.rows_of_binding(cx.module, binding);
        let ty = match &binding.ty {
            Some(written) => {
                let want = self.written(written, &mut Vars::new(Home::Module(cx.module), false), Position::Plain);
                let site = Site::new(format!("`{}`", binding.name.text), Some(written.span));
                match self.expect(&binding.value, &want, cx, &site) {
                    Type::Error => Type::Error,
                    _ => want,
                }
            }
            None => self.infer(&binding.value, cx),
        };
        let accepted = self.accepted.pop().unwrap_or_default();
        if let Some(with) = &binding.with {
            self.with(with, Some(&accepted), cx);
        }
        ty
    }

    /// Checks the condition of an `if`, or of a sweep: known before anything runs, or per row.
    pub(super) fn condition(&mut self, cond: &Expr, cx: &Cx) {
        let ty = self.infer(cond, cx);
        match self.solver.resolve(&ty) {
            Type::Bool | Type::Error | Type::Var(_) => {}
            Type::Metric(_) | Type::Score | Type::Loss => self.report(
                Diagnostic::new(
                    E0601,
                    cond.span,
                    "the graph cannot depend on a value known only after running",
                    "known only after running",
                )
                .help("use `expect` to stop on it, or make the condition a `param`"),
            ),
            Type::Optional(_) => self.report(
                Diagnostic::new(
                    crate::base::codes::E0308,
                    cond.span,
                    "this condition may be absent",
                    "a Bool that may be absent",
                )
                .help("say what absence means: `… ?? false`"),
            ),
            other => {
                let shown = self.show(&other);
                self.report(
                    Diagnostic::new(E0304, cond.span, format!("a condition is a Bool; this is {shown}"), "not a Bool")
                        .help("compare it: `… == …`, `… > …`, `… != none`"),
                );
            }
        }
    }

    fn branches(&mut self, a: &Type, b: &Type, then: &Expr, other: &Expr) -> Type {
        match self.solver.join(a, b) {
            Some(ty) => ty,
            None => {
                let (x, y) = (self.show(a), self.show(b));
                let (p, q) = (self.solver.resolve(a), self.solver.resolve(b));
                let message = format!("the branches of this `if` differ: {x} and {y}");
                let d = Diagnostic::new(E0306, other.span, message, y).also(then.span, x);
                for (e, plain, dim) in [(other, &q, &p), (then, &p, &q)] {
                    if let (Some(value), Type::Int | Type::Float, Type::Dim(dim)) =
                        (super::numbers::literal(e), plain, dim)
                        && let [written] = super::numbers::ways(value, &[*dim]).as_slice()
                    {
                        self.report(d.help(format!("write `{written}`")).fix(e.span, written.clone()));
                        return Type::Error;
                    }
                }
                let help = match (p, q) {
                    (Type::Record(p), Type::Record(q)) => {
                        let odd = |p: &Row, q: &Row| -> Vec<String> {
                            p.fields.iter().filter(|(n, _)| q.get(n).is_none()).map(|(n, _)| n.clone()).collect()
                        };
                        let mut odd_ones = odd(&p, &q);
                        odd_ones.extend(odd(&q, &p));
                        if odd_ones.is_empty() {
                            "give each field the same type in both records".to_owned()
                        } else {
                            format!(
                                "give both records the same fields; {} stands in one only",
                                phrase::quoted(&odd_ones)
                            )
                        }
                    }
                    (Type::Dataset(_), Type::Dataset(_)) => {
                        "two datasets must have columns in common: `data.rename` and `data.select` make them alike"
                            .to_owned()
                    }
                    _ => "both branches must have one type, for what follows is checked against it whichever is taken"
                        .to_owned(),
                };
                self.report(d.help(help));
                Type::Error
            }
        }
    }

    /// The type of `.name`.
    pub(super) fn column(&mut self, name: &Name, span: Span, cx: &Cx) -> Type {
        let Some(row) = &cx.row else {
            self.report(
                Diagnostic::new(E0307, span, format!("`.{}` stands where there is no row", name.text), "no current row")
                    .help("a column can be read only in an argument that is worked out for each row, such as `filter.rule(where: …)` or `data.derive(new: …)`"),
            );
            return Type::Error;
        };
        let row = self.solver.row(row);
        match row.get(&name.text) {
            Some(ty) => match self.solver.resolve(ty) {
                Type::Optional(inner) if cx.there.contains(&name.text) => *inner,
                ty => ty,
            },
            None if row.is_any() => Type::Error,
            None => {
                self.missing_column(name, span, &row, cx);
                Type::Error
            }
        }
    }

    /// Reports a field that is not one of `known`.
    pub(super) fn extra_field(&mut self, name: &str, span: Span, known: &[&str], what: &str) {
        let d =
            Diagnostic::new(crate::base::codes::E0210, span, format!("{what} has no field `{name}`"), "unknown field");
        self.report(match phrase::nearest(name, known.iter().copied()) {
            Some(near) => d.help(format!("did you mean `{near}`?")).fix(span, near),
            None => d.help(format!("its fields are {}", phrase::quoted(known))),
        });
    }

    /// Returns a type as the user would write it.
    pub(super) fn show(&self, ty: &Type) -> String {
        shorter(&self.solver.resolve(ty)).to_string()
    }

    /// Reports that a value does not fit; `e` is the value.
    pub(super) fn misfit(&mut self, e: &Expr, have: &Type, want: &Type, misfit: Misfit, site: &Site, cx: &Cx) {
        super::misfits::report(self, e, have, want, misfit, site, cx);
    }

    /// Reports a call of what cannot be called; `decl` is where it is declared.
    pub(super) fn not_callable(&mut self, span: Span, what: &str, decl: Option<Span>) {
        let d = Diagnostic::new(E0204, span, format!("{what} cannot be called"), "not an operator or function")
            .help("operators are called as `module.name(…)`, functions by their name; a plain value is only named");
        self.report(match decl {
            Some(place) => d.also(place, "declared here"),
            None => d,
        });
    }

    /// Returns where a value of an imported file is declared, if an expression is one, and its name there.
    pub(super) fn declared_in_a_file<'e>(&self, e: &'e Expr, cx: &Cx) -> Option<(Span, &'e str)> {
        let ExprKind::Field(of, name) = &e.kind else { return None };
        let ExprKind::Ident(alias) = &of.kind else { return None };
        let ImportTarget::Module(id) = self.names[cx.module].imports.get(alias.as_str())? else { return None };
        Some((*self.names[*id].places.get(name.text.as_str())?, &name.text))
    }
}

/// A type without the columns that a sentence has no room for.
fn shorter(ty: &Type) -> Type {
    let all = |ts: &[Type]| ts.iter().map(shorter).collect();
    let one = |t: &Type| Box::new(shorter(t));
    match ty {
        Type::Dataset(row) if row.fields.len() > 3 => Type::Dataset(Row::any()),
        Type::Record(row) => {
            let fields = row.fields.iter().map(|(n, t)| (n.clone(), shorter(t))).collect();
            Type::Record(Row { fields, tail: row.tail })
        }
        Type::Union(ts) => Type::Union(all(ts)),
        Type::Tuple(ts) => Type::Tuple(all(ts)),
        Type::List(t) => Type::List(one(t)),
        Type::Optional(t) => Type::Optional(one(t)),
        Type::Metric(t) => Type::Metric(one(t)),
        Type::Grid(axes, t) => Type::Grid(axes.clone(), one(t)),
        other => other.clone(),
    }
}

fn set(row: &mut Row, name: &str, ty: Type) {
    match row.fields.iter_mut().find(|(n, _)| n == name) {
        Some(slot) => slot.1 = ty,
        None => row.fields.push((name.to_owned(), ty)),
    }
}

/// Columns may be absent where only their name is asked for.
fn strip(ty: &Type) -> Type {
    match ty {
        Type::Optional(inner) => (**inner).clone(),
        other => other.clone(),
    }
}
