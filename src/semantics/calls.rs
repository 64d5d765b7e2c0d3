//! Calls: what is called, which argument goes to which parameter, and what comes out.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::accepted::Accepted;
use super::check::{Checker, Cx, Progress, Site};
use super::declared;
use super::modules::ImportTarget;
use super::options::{UnknownOption, example};
use super::sig::{Bound, Given, Kind, Sig, dataset_in, rowwise};
use super::written::{Home, Position, Vars};
use crate::base::codes::{E0201, E0202, E0204, E0208, E0211, E0212, E0218};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::catalogue::Operator;
use crate::spec::{Class, Effect, Row, Type, foreign, units, user_op};
use crate::syntax::ast::{Arg, Expr, ExprKind, ItemKind, Name, ParamDecl};

enum Callee<'a, 'e> {
    Sig(Sig<'a>),
    Method(&'e Expr, &'e Name),
    Bad,
}

impl<'a> Checker<'a> {
    /// Returns the type of a call; `piped` is what stands before `|>`.
    pub(super) fn call(&mut self, call: &Expr, piped: Option<&Expr>, cx: &Cx) -> Type {
        let ExprKind::Call { callee, args, .. } = &call.kind else {
            return Type::Error;
        };
        if let Some(left) = piped.filter(|left| self.gathers(left, call, cx)) {
            self.infer(left, cx);
            return Type::Error;
        }
        match self.callee(callee, cx) {
            Callee::Sig(sig) => self.apply(&sig, call, callee.span, piped, args, cx),
            Callee::Method(base, name) => match piped {
                None => self.method(base, name, args, cx),
                Some(left) => {
                    self.infer(left, cx);
                    self.not_callable(callee.span, "a pipe feeds operators and functions; a method", None);
                    Type::Error
                }
            },
            Callee::Bad => {
                if let Some(top) = self.accepted.last_mut() {
                    top.unknown = true;
                }
                let anywhere = cx.with_row(Some(Row::any()));
                for e in piped.into_iter().chain(args.iter().map(Arg::value)) {
                    self.infer(e, &anywhere);
                }
                Type::Error
            }
        }
    }

    /// Says whether an expression calls an operator by its name.
    pub(super) fn calls_operator(&self, e: &Expr, cx: &Cx) -> bool {
        let ExprKind::Call { callee, .. } = &e.kind else { return false };
        let ExprKind::Field(module, name) = &callee.kind else { return false };
        let ExprKind::Ident(module) = &module.kind else { return false };
        match self.names[cx.module].imports.get(module.as_str()) {
            Some(ImportTarget::Operators(real)) => self.catalogue.get(&format!("{real}.{}", name.text)).is_some(),
            _ => false,
        }
    }

    /// Says whether a call takes numbers of groups that the one before it makes, as in pandas: of neither there is an operator, and the first is told.
    fn gathers(&self, left: &Expr, call: &Expr, cx: &Cx) -> bool {
        let before = match &left.kind {
            ExprKind::Pipe { call, .. } => call,
            _ => left,
        };
        let named = |e: &Expr, names: &[&str]| {
            let ExprKind::Call { callee, .. } = &e.kind else { return false };
            let (ExprKind::Ident(last) | ExprKind::Field(_, Name { text: last, .. })) = &callee.kind else {
                return false;
            };
            names.contains(&last.as_str())
                && !self.calls_operator(e, cx)
                && !self.names[cx.module].values.contains_key(last.as_str())
        };
        named(before, &["groupby", "group_by", "group"])
            && named(
                call,
                &[
                    "agg",
                    "aggregate",
                    "sum",
                    "mean",
                    "avg",
                    "count",
                    "size",
                    "first",
                    "apply",
                    "transform",
                    "summarise",
                ],
            )
    }

    fn callee<'e>(&mut self, callee: &'e Expr, cx: &Cx) -> Callee<'a, 'e> {
        match &callee.kind {
            ExprKind::Ident(name) => {
                if cx.locals.iter().any(|(n, _)| n == name) {
                    self.not_callable(callee.span, &format!("`{name}` is a value and"), None);
                    return Callee::Bad;
                }
                if let Some(item) = self.names[cx.module].values.get(name.as_str()).copied() {
                    self.mark(cx.module, name);
                    return self.callable(name.clone(), item, cx.module, callee.span);
                }
                if self.names[cx.module].imports.contains_key(name.as_str()) {
                    self.infer(callee, cx);
                    return Callee::Bad;
                }
                if let Some(function) = self.functions.iter().find(|f| f.name.text == *name) {
                    return Callee::Sig(Sig {
                        name: name.clone(),
                        params: &function.params,
                        result: &function.result,
                        home: Home::Builtin,
                        kind: Kind::Prelude,
                        decl: None,
                    });
                }
                self.unknown_name(name, callee.span, true, cx);
                Callee::Bad
            }
            ExprKind::Field(base, name) => {
                if let ExprKind::Ident(module) = &base.kind
                    && !cx.locals.iter().any(|(n, _)| n == module)
                    && !self.names[cx.module].values.contains_key(module.as_str())
                {
                    return self.member(module, base.span, name, callee.span, cx);
                }
                if let ExprKind::Field(root, module) = &base.kind
                    && matches!(&root.kind, ExprKind::Ident(std) if std == "std")
                {
                    let full = format!("{}.{}", module.text, name.text);
                    let d = Diagnostic::new(E0201, callee.span, "an operator is called without `std`", "not its name");
                    self.mark(cx.module, &module.text);
                    let imported = self.names[cx.module].imports.contains_key(module.text.as_str());
                    let d = d.help(format!("import its module, `import std.{}`, and write `{full}(…)`", module.text));
                    self.report(if imported { d.fix(callee.span, full) } else { d });
                    return Callee::Bad;
                }
                if let ExprKind::Field(root, module) = &base.kind
                    && self.names[cx.module].imports.contains_key(module.text.as_str())
                    && self.catalogue.get(&format!("{}.{}", module.text, name.text)).is_some()
                {
                    self.mark(cx.module, &module.text);
                    // Of a chain of steps one is told of, and none is mended by a pipe before it alone.
                    let chained = self.joined_with_a_point(root, cx);
                    if !chained {
                        self.infer(root, cx);
                    }
                    let point = Span { start: root.span.end, end: module.span.start, ..root.span };
                    let message = "an operator stands behind a pipe";
                    let d = Diagnostic::new(E0204, callee.span, message, "joined with a point");
                    self.report(if chained {
                        d.help(format!("write each step as `… |> {}.{}(…)`", module.text, name.text))
                    } else {
                        d.help(format!("write `… |> {}.{}(…)`", module.text, name.text)).fix(point, " |> ")
                    });
                    return Callee::Bad;
                }
                Callee::Method(base, name)
            }
            ExprKind::TypeName(name) if their_dim(name).is_some() => {
                let unit = their_dim(name).unwrap_or_default();
                let d = Diagnostic::new(E0204, callee.span, format!("`{name}` is a type, no function"), "called here");
                self.report(d.help(format!("a unit is glued to its number: `50{unit}`")));
                Callee::Bad
            }
            _ => {
                self.not_callable(callee.span, "this expression", None);
                Callee::Bad
            }
        }
    }

    /// Says whether an expression is a step of a pipe written as a method: `rows.filter.words(…)`.
    fn joined_with_a_point(&mut self, e: &Expr, cx: &Cx) -> bool {
        let ExprKind::Call { callee, .. } = &e.kind else { return false };
        let ExprKind::Field(base, name) = &callee.kind else { return false };
        let ExprKind::Field(_, module) = &base.kind else { return false };
        let operator = self.catalogue.get(&format!("{}.{}", module.text, name.text)).is_some();
        if operator {
            self.mark(cx.module, &module.text);
        }
        operator && self.names[cx.module].imports.contains_key(module.text.as_str())
    }

    /// `module.name(…)`
    fn member<'e>(&mut self, module: &str, at: Span, name: &Name, whole: Span, cx: &Cx) -> Callee<'a, 'e> {
        let Some(target) = self.names[cx.module].imports.get(module).copied() else {
            self.unknown_name(module, at, false, cx);
            return Callee::Bad;
        };
        self.mark(cx.module, module);
        match target {
            ImportTarget::Missing => Callee::Bad,
            ImportTarget::Operators(real) => {
                let full = format!("{real}.{}", name.text);
                let catalogue = self.catalogue;
                if let Some(op) = catalogue.get(&full) {
                    return Callee::Sig(Sig {
                        name: full,
                        params: &op.signature.params,
                        result: &op.signature.result,
                        home: Home::Builtin,
                        kind: Kind::Operator(op),
                        decl: None,
                    });
                }
                self.unknown_operator(real, &full, name, whole);
                Callee::Bad
            }
            ImportTarget::Module(id) => match self.names[*id].values.get(name.text.as_str()).copied() {
                Some(item) => self.callable(format!("{module}.{}", name.text), item, *id, whole),
                None => {
                    self.not_exported(*id, module, name);
                    Callee::Bad
                }
            },
        }
    }

    fn callable<'e>(&mut self, name: String, item: &'a ItemKind, module: usize, span: Span) -> Callee<'a, 'e> {
        match item {
            ItemKind::Fn(f) => Callee::Sig(Sig {
                name,
                params: &f.params,
                result: &f.result,
                home: Home::Module(module),
                kind: Kind::Fn(module, f),
                decl: Some(f.name.span),
            }),
            ItemKind::Op(op) => Callee::Sig(Sig {
                name,
                params: &op.params,
                result: &op.result,
                home: Home::Module(module),
                kind: Kind::UserOp(op),
                decl: Some(op.name.span),
            }),
            _ => {
                let decl = declared::declared(item).map(|(name, _)| name.span);
                self.not_callable(span, &format!("`{name}` is a value and"), decl);
                Callee::Bad
            }
        }
    }

    /// Reports a name that an imported file does not have.
    pub(super) fn not_exported(&mut self, module: usize, alias: &str, name: &Name) {
        if self.names[module].missing.contains(name.text.as_str()) {
            return;
        }
        let known: Vec<&str> = self.names[module].values.keys().copied().collect();
        let d = Diagnostic::new(E0201, name.span, format!("`{alias}` has no `{}`", name.text), "not declared there");
        let d = match phrase::nearest(&name.text, known.iter().copied()) {
            Some(near) => {
                let d = d.help(format!("did you mean `{alias}.{near}`?")).fix(name.span, near);
                match self.names[module].places.get(near) {
                    Some(&place) => d.also(place, "declared here"),
                    None => d,
                }
            }
            None if known.is_empty() => d.help("that file declares no value; an `output` is none, a `let` is"),
            None => d.help(format!("it has {}", phrase::quoted(&known))),
        };
        self.report(d);
    }

    fn unknown_operator(&mut self, module: &str, full: &str, name: &Name, span: Span) {
        let catalogue = self.catalogue;
        let prefix = format!("{module}.");
        let siblings: Vec<&str> = catalogue.operators.iter().filter_map(|op| op.name.strip_prefix(&prefix)).collect();
        // A way to mark is meant by no operator on rows, whatever its name.
        let plain = |op: &Operator| op.spec.effect == Effect::Value;
        let of_values = catalogue.operators.iter().find(|op| op.name.starts_with(&prefix)).is_some_and(plain);
        let named = |op: &&Operator| op.name.rsplit('.').next() == Some(name.text.as_str());
        let elsewhere = catalogue.operators.iter().find(|op| named(op) && plain(op) == of_values);
        let d = Diagnostic::new(E0204, span, format!("there is no operator `{full}`"), "unknown operator");
        let near = phrase::nearest(&name.text, siblings.iter().copied());
        let rows = matches!(module, "data" | "filter" | "dedup" | "augment" | "train" | "eval" | "model" | "judge");
        let d = if let Some(hint) = foreign::ours(foreign::OPERATORS, &name.text).filter(|_| rows) {
            d.help(hint)
        } else if let Some(op) = elsewhere.filter(|_| near.is_none_or(|n| !n.eq_ignore_ascii_case(&name.text))) {
            d.help(format!("did you mean `{}`?", op.name)).fix(span, op.name.clone())
        } else if let Some(near) = near {
            d.help(format!("did you mean `{module}.{near}`?")).fix(name.span, near)
        } else if let Some(op) = elsewhere {
            d.help(format!("did you mean `{}`?", op.name)).fix(span, op.name.clone())
        } else {
            d.help(format!("`{module}` has {}", phrase::quoted(&siblings)))
        };
        self.report(d);
    }

    fn apply(&mut self, sig: &Sig<'a>, call: &Expr, callee: Span, piped: Option<&Expr>, args: &[Arg], cx: &Cx) -> Type {
        match (&sig.kind, sig.home) {
            (Kind::Fn(module, function), _) => self.rows_of_function(*module, function),
            (Kind::UserOp(op), Home::Module(module)) => self.rows_of_op(module, op),
            _ => {}
        }
        let mut vars = Vars::new(sig.home, false);
        let types: Vec<Type> = sig.params.iter().map(|p| self.written(&p.ty, &mut vars, Position::Param)).collect();
        if let Kind::UserOp(_) = sig.kind {
            vars.rows_of_first();
        }
        let mut bound = self.bind(sig, piped, args, cx);
        self.not_the_first(sig, &types, &mut bound, args, piped.is_some(), cx);

        // Datasets and plain values first: they tell what the columns of row functions are.
        let value_op = matches!(&sig.kind, Kind::Operator(op) if op.spec.effect == Effect::Value);
        let plain = if matches!(sig.kind, Kind::Operator(_)) && !value_op { cx.with_row(None) } else { cx.clone() };
        let mut have: Vec<Option<Type>> = vec![None; types.len()];
        for (i, ty) in types.iter().enumerate() {
            if let Some(given) = &bound.slots[i]
                && !rowwise(ty)
            {
                have[i] = Some(self.give(given, ty, &sig.params[i], sig, &plain));
            }
        }
        let rows = self.current_row(sig, &types, &have, &bound, value_op, cx);
        for (i, ty) in types.iter().enumerate() {
            if let Some(given) = &bound.slots[i]
                && rowwise(ty)
            {
                have[i] = Some(self.give(given, ty, &sig.params[i], sig, &rows));
            }
        }
        let mut rest = Vec::new();
        if let Some(param) = sig.params.iter().find(|p| p.rest) {
            for (name, span, given) in &bound.rest {
                let ty = self.written(&param.ty, &mut Vars::new(sig.home, false), Position::Param);
                let site = Site { what: format!("`{name}` of `{}`", sig.name), callee: sig.name.clone(), decl: None };
                let cx = if rowwise(&ty) { &rows } else { &plain };
                rest.push(((*name).to_owned(), *span, self.give_at(given, &ty, &site, cx)));
            }
        }
        let site = Site { what: format!("`where` of `{}`", sig.name), callee: sig.name.clone(), decl: None };
        if let Some(given) = &bound.filter {
            self.give_at(given, &Type::RowFn(Box::new(Type::Bool)), &site, &rows);
        }
        if let Some(given) = &bound.seed {
            let site = Site { what: format!("`seed` of `{}`", sig.name), ..site.clone() };
            self.give_at(given, &Type::Int, &site, &plain);
        }
        if let Some(given) = &bound.bad {
            let words = ["fail", "skip", "quarantine"].map(str::to_owned).to_vec();
            self.give_at(given, &Type::Enum(words), &Site { what: format!("`bad` of `{}`", sig.name), ..site }, &plain);
        }
        self.missing_arguments(sig, &types, &bound, callee);
        self.default_columns(sig, &types, &bound, &rows, callee);
        self.no_pictures(sig, &rows, callee);
        self.note_call(sig, call, callee, bound.seed.is_some(), bound.open);
        let result = self.written(sig.result, &mut vars, Position::Result);
        let result = match &sig.kind {
            Kind::Operator(op) => self.columns_after(op, &bound, &have, &rest, result, &rows, callee),
            Kind::Fn(module, f) if self.closed.contains(&(*module, f.name.text.clone())) => match result {
                Type::Dataset(row) => Type::Dataset(Row { tail: None, ..row }),
                other => other,
            },
            Kind::Fn(..) | Kind::UserOp(_) | Kind::Prelude => result,
        };
        self.solver.resolve(&result)
    }

    fn give(&mut self, given: &Given, ty: &Type, param: &ParamDecl, sig: &Sig, cx: &Cx) -> Type {
        let decl = sig.decl.map(|_| param.name.span);
        let value: &Expr = match given {
            Given::Expr(e) => e,
            Given::Spread(_, origin) => origin,
        };
        let what = format!("`{}` of `{}`", param.name.text, sig.name);
        self.argument_value(value, ty, param.within.as_ref(), &what);
        if param.name.text == "path" && *ty == Type::Str {
            self.input_path(value, &sig.name);
        }
        match (sig.name.as_str(), param.name.text.as_str()) {
            ("model.hf" | "model.reward", "name") | ("data.hf" | "bench.hf", "repo") => self.hub_name(value, &sig.name),
            ("data.hf" | "bench.hf", "split") => self.split_name(value),
            _ => {}
        }
        let site = Site { what: format!("`{}` of `{}`", param.name.text, sig.name), callee: sig.name.clone(), decl };
        // Each dataset of a list has further columns of its own.
        if let (Given::Expr(Expr { kind: ExprKind::List(items), .. }), Type::List(element)) = (given, ty)
            && matches!(**element, Type::Dataset(_))
        {
            let items = items.iter().map(|item| {
                let fresh = self.written(&param.ty, &mut Vars::new(sig.home, false), Position::Param);
                match fresh {
                    Type::List(element) => self.expect(item, &element, cx, &site),
                    _ => Type::Error,
                }
            });
            return Type::Tuple(items.collect());
        }
        self.give_at(given, ty, &site, cx)
    }

    fn give_at(&mut self, given: &Given, ty: &Type, site: &Site, cx: &Cx) -> Type {
        match given {
            Given::Expr(e) => self.expect(e, ty, cx, site),
            Given::Spread(have, origin) => {
                if let Err(misfit) = self.solver.fits(have, ty) {
                    self.misfit(origin, have, ty, misfit, site, cx);
                    return Type::Error;
                }
                have.clone()
            }
        }
    }

    fn bind<'e>(&mut self, sig: &Sig<'a>, piped: Option<&'e Expr>, args: &'e [Arg], cx: &Cx) -> Bound<'e> {
        let mut bound = Bound { slots: vec![None; sig.params.len()], ..Bound::default() };
        let mut taken: BTreeMap<&'e str, Span> = BTreeMap::new();
        let mut positional: Option<Span> = None;
        // A first parameter with a default before `..rest` is an option: everything is named.
        let variadic = sig.params.iter().any(|p| p.rest);
        let first = sig.params.first().filter(|p| !p.rest && !(variadic && p.default.is_some()));
        // What these mean depends on what is given beside them.
        let mut unknown: Vec<(&'e Name, &'e Expr)> = Vec::new();
        if let Some(left) = piped {
            match first {
                Some(_) => bound.slots[0] = Some(Given::Expr(left)),
                None => {
                    self.infer(left, cx);
                    bound.open = true;
                    self.takes_no_positional(sig, left.span);
                }
            }
            positional = Some(left.span);
        }
        for arg in args {
            match arg {
                Arg::Positional(e) => {
                    if self.without_colon(sig, &mut bound, e) {
                        continue;
                    }
                    if let Some(one) = positional {
                        self.second_positional(sig, &mut bound, e, one, args, piped.is_some(), cx);
                        self.infer(e, &cx.with_row(Some(Row::any())));
                        continue;
                    }
                    positional = Some(e.span);
                    match first {
                        Some(_) => bound.slots[0] = Some(Given::Expr(e)),
                        None => {
                            self.infer(e, cx);
                            bound.open = true;
                            self.takes_no_positional(sig, e.span);
                        }
                    }
                }
                Arg::Named(name, e) => {
                    if let Some(before) = taken.get(name.text.as_str()) {
                        let help =
                            if name.text == "where" { "join them: `where: a and b`" } else { "keep one of them" };
                        self.report(
                            Diagnostic::new(E0202, name.span, format!("`{}` is given twice", name.text), "again here")
                                .also(*before, "first here")
                                .help(help),
                        );
                        continue;
                    }
                    taken.insert(&name.text, name.span);
                    match self.slot(sig, &name.text) {
                        Slot::None => unknown.push((name, e)),
                        slot => self.bind_named(sig, slot, &mut bound, name, Given::Expr(e), cx),
                    }
                }
                Arg::Spread(e, span) => {
                    let ty = self.infer(e, cx);
                    match self.solver.resolve(&ty) {
                        Type::Record(row) => {
                            bound.open |= row.tail.is_some();
                            for (field, ty) in row.fields {
                                if let Some(first) = taken.get(field.as_str()) {
                                    self.overridden(&field, *first, *span);
                                }
                                let origin = self.field_origin(e, &field, cx).unwrap_or_else(|| e.clone());
                                let at = origin.span;
                                self.bind_spread(
                                    sig,
                                    &mut bound,
                                    &field,
                                    Given::Spread(ty, Rc::new(origin)),
                                    at,
                                    *span,
                                );
                            }
                        }
                        Type::Error | Type::Var(_) => bound.open = true,
                        other => {
                            bound.open = true;
                            // What is no record by its looks was reported by the parser.
                            let plain = matches!(
                                e.kind,
                                ExprKind::Number(..) | ExprKind::Str(_) | ExprKind::Bool(_) | ExprKind::List(_)
                            );
                            if !plain {
                                self.no_record(*span, &other);
                            }
                        }
                    }
                }
            }
        }
        self.rows_for_model(sig, &mut bound, &mut unknown, cx);
        for (name, e) in unknown {
            let ty = self.infer(e, &cx.with_row(Some(Row::any())));
            let place = UnknownOption { name: &name.text, span: name.span, spread: None, value: Some((e, ty)) };
            self.unknown_option(sig, &mut bound, place);
        }
        bound
    }

    fn bind_named<'e>(
        &mut self,
        sig: &Sig<'a>,
        slot: Slot,
        bound: &mut Bound<'e>,
        name: &'e Name,
        given: Given<'e>,
        cx: &Cx,
    ) {
        match slot {
            Slot::Param(i) => {
                if i == 0
                    && let Some(Given::Expr(e)) = &bound.slots[0]
                {
                    let piped = self.infer(e, cx);
                    if matches!(self.solver.resolve(&piped), Type::Dataset(_))
                        && matches!(self.signature_type(&sig.params[0].ty), Type::Model(_))
                    {
                        return; // said of the rows that are piped
                    }
                    self.report(
                        Diagnostic::new(E0202, name.span, format!("`{}` is given twice", name.text), "by its name")
                            .also(e.span, "as the positional or piped value")
                            .help("keep one of them"),
                    );
                    return;
                }
                bound.slots[i] = Some(given);
            }
            Slot::Where => bound.filter = Some(given),
            Slot::Seed => bound.seed = Some(given),
            Slot::Bad => bound.bad = Some(given),
            Slot::Rest => bound.rest.push((&name.text, name.span, given)),
            Slot::None => {}
        }
    }

    fn bind_spread<'e>(
        &mut self,
        sig: &Sig<'a>,
        bound: &mut Bound<'e>,
        field: &str,
        given: Given<'e>,
        at: Span,
        spread: Span,
    ) {
        match self.slot(sig, field) {
            Slot::Param(i) => bound.slots[i] = Some(given),
            Slot::Where => bound.filter = Some(given),
            Slot::Seed => bound.seed = Some(given),
            Slot::Bad => bound.bad = Some(given),
            // Names that are not written in the call are no names of its result.
            Slot::Rest | Slot::None => {
                self.unknown_option(
                    sig,
                    bound,
                    UnknownOption { name: field, span: at, spread: Some(spread), value: None },
                );
            }
        }
    }

    fn slot(&self, sig: &Sig, name: &str) -> Slot {
        if let Some(i) = sig.params.iter().position(|p| !p.rest && p.name.text == name) {
            return Slot::Param(i);
        }
        match &sig.kind {
            Kind::Operator(op) if name == "where" && op.spec.takes_where => return Slot::Where,
            Kind::Operator(op) if name == "seed" && op.spec.class == Class::Sampled => return Slot::Seed,
            Kind::UserOp(op) if name == "seed" && self.own_seed(op) => return Slot::Seed,
            Kind::UserOp(op) if name == "bad" && self.own_bad(op) => return Slot::Bad,
            _ => {}
        }
        if sig.params.iter().any(|p| p.rest) { Slot::Rest } else { Slot::None }
    }

    fn takes_no_positional(&mut self, sig: &Sig, span: Span) {
        let help = match sig.params.first() {
            Some(_) if sig.params.iter().any(|p| p.rest) => {
                format!("give each value a name: `{}(first: …, second: …)`", sig.name)
            }
            _ => format!("write `{}()`", sig.name),
        };
        let message = format!("`{}` takes no positional or piped argument", sig.name);
        self.report(Diagnostic::new(E0212, span, message, "needs a name").help(help));
    }

    fn missing_arguments(&mut self, sig: &Sig, types: &[Type], bound: &Bound, callee: Span) {
        if bound.open {
            return;
        }
        let missing: Vec<(usize, &ParamDecl)> = sig
            .params
            .iter()
            .enumerate()
            .filter(|(i, p)| {
                !p.rest && p.default.is_none() && bound.slots[*i].is_none() && !matches!(types[*i], Type::Optional(_))
            })
            .collect();
        let Some(&(i, first)) = missing.first() else { return };
        let names: Vec<&str> = missing.iter().map(|(_, p)| p.name.text.as_str()).collect();
        let shown = self.show(&types[i]);
        let help = if i == 0 {
            format!("pipe it in, `… |> {}(…)`, or give it as the first argument; it is {shown}", sig.name)
        } else {
            match example(&types[i]) {
                Some(example) => format!("add `{name}:`, as in `{name}: {example}`", name = first.name.text),
                None => format!("add `{}: …`; it is {shown}", first.name.text),
            }
        };
        let message = format!("`{}` needs {}", sig.name, phrase::quoted(&names));
        let mut d = Diagnostic::new(E0211, callee, message, "argument missing").help(help);
        if let Some(decl) = sig.decl {
            d = d.also(decl, "declared here");
        }
        self.report(d);
    }

    /// A column that is read by default must be there.
    fn default_columns(&mut self, sig: &Sig, types: &[Type], bound: &Bound, rows: &Cx, callee: Span) {
        let Some(row) = rows.row.as_ref().map(|r| self.solver.row(r)) else { return };
        if row.is_any() || bound.open {
            return;
        }
        for (i, param) in sig.params.iter().enumerate() {
            let Some(Expr { kind: ExprKind::Col(column), .. }) = &param.default else { continue };
            if bound.slots[i].is_some() || row.get(&column.text).is_some() || !matches!(types[i], Type::Field(_)) {
                continue;
            }
            let columns: Vec<&str> = row.fields.iter().map(|(n, _)| n.as_str()).collect();
            let name = &param.name.text;
            let mut d = Diagnostic::new(
                crate::base::codes::E0301,
                callee,
                format!("`{}` reads column `.{}` by default, which is not in this dataset", sig.name, column.text),
                format!("needs `.{}`", column.text),
            );
            d = d.help(format!("say which column to read, `{name}: .…`; the dataset has {}", phrase::quoted(&columns)));
            self.report(d);
        }
    }

    /// The row that `.col` in arguments speaks of: that of the first dataset among them.
    fn current_row(
        &mut self,
        sig: &Sig,
        types: &[Type],
        have: &[Option<Type>],
        bound: &Bound,
        value_op: bool,
        cx: &Cx,
    ) -> Cx {
        let mut out = cx.clone();
        out.callee.clone_from(&sig.name);
        let dataset = types.iter().enumerate().find(|(_, t)| dataset_in(t));
        if let Some((i, _)) = dataset {
            let row = match have[i].as_ref().map(|t| self.solver.resolve(t)) {
                Some(Type::Dataset(row)) => row,
                _ => Row::any(),
            };
            out.row = Some(row);
            out.from = match &bound.slots[i] {
                Some(Given::Expr(e)) => Some(Rc::new((*e).clone())),
                _ => None,
            };
        } else if matches!(sig.kind, Kind::Operator(_)) && !(value_op && cx.row.is_some()) {
            out.row = Some(Row::any());
            out.from = None;
        }
        out
    }

    /// Records what was called, what it accepts in `with`, and that its seed is known.
    fn note_call(&mut self, sig: &Sig<'a>, call: &Expr, callee: Span, seeded: bool, open: bool) {
        let accepted = match &sig.kind {
            Kind::Operator(op) => {
                self.operators.insert(call.span, op.name.clone());
                if op.spec.class == Class::Sampled && !seeded && !open {
                    self.need_seed(&op.name, callee);
                }
                match op.spec.effect {
                    Effect::Value => Accepted::default(),
                    _ => Accepted::of(op.spec.options()),
                }
            }
            Kind::UserOp(op) => {
                if self.own_seed(op) && !seeded && !open {
                    self.need_seed(&sig.name, callee);
                }
                Accepted::of(user_op::WITH.iter().copied())
            }
            Kind::Fn(module, function) => match self.bodies.get(&(*module, function.name.text.clone())) {
                Some(Progress::Open) => {
                    self.report(
                        Diagnostic::new(
                            E0218,
                            callee,
                            format!("`{}` calls itself", function.name.text),
                            "called within itself",
                        )
                        .also(function.name.span, "declared here")
                        .help("a function is a template that is written out at each call; it cannot recur"),
                    );
                    Accepted::default()
                }
                _ => self.body(*module, function),
            },
            Kind::Prelude => Accepted::default(),
        };
        if let Some(top) = self.accepted.last_mut() {
            top.add(&accepted);
        }
    }

    fn need_seed(&mut self, name: &str, span: Span) {
        if self.names[0].missing.contains("seed") {
            return;
        }
        if let Some(ItemKind::Let(b) | ItemKind::Stage(b)) = self.names[0].values.get("seed").copied() {
            self.mark(0, "seed");
            let d = Diagnostic::new(E0208, span, format!("`{name}` draws random numbers and has no seed"), "no seed");
            let d = d.also(b.name.span, "a value, not a param");
            self.report(d.help(
                "the seed of a recipe is a param: `param seed: Int = 1`; a value is given by name: `seed: seed`",
            ));
            return;
        }
        if matches!(self.names[0].values.get("seed"), Some(ItemKind::Param { .. })) {
            self.mark(0, "seed");
            return;
        }
        self.report(
            Diagnostic::new(E0208, span, format!("`{name}` draws random numbers and has no seed"), "no seed")
                .help("declare one for the whole recipe, `param seed: Int = 1`, or give `seed: 1` here"),
        );
    }
}

/// The first unit of a type of quantities.
fn their_dim(name: &str) -> Option<&'static str> {
    units::names().find(|unit| units::to_base(1.0, unit).is_some_and(|(dim, _)| format!("{dim:?}") == name))
}

enum Slot {
    Param(usize),
    Where,
    Seed,
    Bad,
    Rest,
    None,
}
