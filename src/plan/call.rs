//! Calls: operators become nodes or plain values, functions are inlined, methods become row expressions or reductions.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::artifact::Artifact;
use super::columns;
use super::evaluator::{BUILTIN, Env, Eval, Evaluator, Found, Target, mismatch, set};
use super::given::{Bound, Given};
use super::graph::{Node, Text};
use super::lower::{self, Lowered};
use super::metric::{Metric, SCORE_FACTS};
use super::val::Val;
use super::{grid, groups, looks, serving};
use crate::base::{Diagnostic, Span, codes, phrase};
use crate::spec::catalogue::Operator;
use crate::spec::{Class, Effect, RowExpr, Value, prelude};
use crate::syntax::ast::{Arg, Expr, ExprKind, Function, ItemKind, Name, ParamDecl, TypeExpr, TypeExprKind};

impl<'a> Evaluator<'a> {
    /// Evaluates a call.
    pub(super) fn call(
        &mut self,
        callee: &Expr,
        args: &[Arg],
        piped: Option<(Val, Span)>,
        span: Span,
        args_span: Span,
        env: &Env,
    ) -> Eval<Val> {
        match &callee.kind {
            ExprKind::Ident(name) if !self.is_local(env, name) => match self.target(env.module, name) {
                Some(Target::Item(module, item)) => match &item.kind {
                    ItemKind::Fn(function) => {
                        let given = self.arguments(args, piped, env)?;
                        self.inline(&Found { module, function }, given, span)
                    }
                    ItemKind::Op(op) => {
                        let given = self.arguments(args, piped, env)?;
                        self.own_op(op, module, given, span)
                    }
                    _ => Err(mismatch(callee.span, format!("`{name}` cannot be called"))),
                },
                Some(_) => Err(mismatch(callee.span, format!("`{name}` is a module; call one of its operators"))),
                None => {
                    let given = self.arguments(args, piped, env)?;
                    self.prelude(name, given, callee.span, env)
                }
            },
            ExprKind::Field(of, name) => {
                if let ExprKind::Ident(module) = &of.kind
                    && !self.is_local(env, module)
                {
                    match self.target(env.module, module) {
                        Some(Target::Operators(ops)) => {
                            let given = self.arguments(args, piped, env)?;
                            return self.operator_call(&format!("{ops}.{}", name.text), given, span, name.span, env);
                        }
                        Some(Target::Module(id)) => {
                            let given = self.arguments(args, piped, env)?;
                            return match self.target(id, &name.text) {
                                Some(Target::Item(module, item)) => match &item.kind {
                                    ItemKind::Fn(function) => self.inline(&Found { module, function }, given, span),
                                    ItemKind::Op(op) => self.own_op(op, module, given, span),
                                    _ => Err(mismatch(name.span, format!("`{}` cannot be called", name.text))),
                                },
                                _ => Err(self.no_member(module, name)),
                            };
                        }
                        _ => {}
                    }
                }
                let recv = self.eval(of, env)?;
                let given = self.arguments(args, piped, env)?;
                self.method(recv, name, given, span, args_span, env)
            }
            _ => Err(mismatch(callee.span, "this cannot be called")),
        }
    }

    /// Evaluates `of.name`.
    pub(super) fn field(&mut self, of: &Expr, name: &Name, env: &Env) -> Eval<Val> {
        if let ExprKind::Ident(module) = &of.kind
            && !self.is_local(env, module)
        {
            match self.target(env.module, module) {
                Some(Target::Module(id)) => {
                    return match self.target(id, &name.text) {
                        Some(Target::Item(home, _)) => self.name(home, &name.text, name.span),
                        _ => Err(self.no_member(module, name)),
                    };
                }
                Some(Target::Operators(_)) => {
                    let message = format!("`{module}.{}` is an operator: call it", name.text);
                    return Err(Box::new(Diagnostic::new(codes::E0207, name.span, message, "not a value")));
                }
                _ => {}
            }
        }
        let of = self.eval(of, env)?;
        self.member(of, name, env)
    }

    fn member(&mut self, of: Val, name: &Name, env: &Env) -> Eval<Val> {
        let word = name.text.as_str();
        Ok(match of {
            Val::Row(e) if is_property(word) => {
                Val::Row(RowExpr::Call { name: word.into(), recv: Box::new(e), args: Vec::new() })
            }
            Val::Row(e) => Val::Row(RowExpr::Field(Box::new(e), word.into())),
            Val::Record(fields) => match fields.iter().find(|(n, _)| n == word) {
                Some((_, v)) => v.clone(),
                None => {
                    let near = phrase::nearest(word, fields.iter().map(|(n, _)| n.as_str()));
                    let d = Diagnostic::new(codes::E0201, name.span, format!("no field `{word}` here"), "not there");
                    let names: Vec<&str> = fields.iter().map(|(n, _)| n.as_str()).collect();
                    return Err(Box::new(d.help(match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("it has {}", phrase::quoted(&names)),
                    })));
                }
            },
            Val::Suite(benchmarks) => match word {
                "items" => {
                    let of = Val::Record(benchmarks);
                    let mut given = Given::default();
                    let parameter = self.catalogue.get("bench.items").and_then(|op| op.signature.params.first());
                    match parameter {
                        Some(p) if p.rest => {
                            let Val::Record(fields) = of else { return Err(mismatch(name.span, "no suite")) };
                            given.named = fields.into_iter().map(|(n, v)| (n, v, name.span)).collect();
                        }
                        _ => given.positional = Some((of, name.span)),
                    }
                    self.operator_call("bench.items", given, name.span, name.span, env)?
                }
                "names" => Val::List(benchmarks.iter().map(|(n, _)| Val::str(n)).collect()),
                _ => match benchmarks.iter().find(|(n, _)| n == word) {
                    Some((_, b)) => b.clone(),
                    None => return Err(mismatch(name.span, format!("the suite has no benchmark `{word}`"))),
                },
            },
            Val::Artifact(a) if a.kind == "Benchmark" && word == "items" => {
                let named = vec![("benchmark".to_owned(), Val::Artifact(a), name.span)];
                self.operator_call("bench.items", Given { positional: None, named }, name.span, name.span, env)?
            }
            Val::Artifact(a) if a.kind == "Dataset" && word == "rows" => {
                Val::Metric(Metric::Meta { of: a, path: "rows".into() })
            }
            Val::Artifact(a) if a.kind == "Score" && SCORE_FACTS.contains(&word) => {
                Val::Metric(Metric::Meta { of: a, path: word.into() })
            }
            Val::Artifact(a) if a.kind == "Metric" && word == "value" => {
                Val::Metric(Metric::Meta { of: a, path: "value".into() })
            }
            Val::Artifact(a) => {
                // `.items` of a score and the like: an operator of the kind's own module, if there is one.
                let op = format!("{}.{word}", a.kind.to_lowercase());
                if self.catalogue.get(&op).is_none() {
                    return Err(mismatch(name.span, format!("a {} has no `.{word}`", a.kind)));
                }
                let given = Given { positional: Some((Val::Artifact(a), name.span)), named: Vec::new() };
                self.operator_call(&op, given, name.span, name.span, env)?
            }
            Val::Value(Value::Str(_)) | Val::List(_) if is_property(word) => match &of_len(&of, word) {
                Some(n) => Val::Value(Value::Int(*n)),
                None => return Err(mismatch(name.span, format!("no `.{word}` here"))),
            },
            other => return Err(mismatch(name.span, format!("{} has no `.{word}`", other.describe()))),
        })
    }

    fn method(
        &mut self,
        recv: Val,
        name: &Name,
        mut given: Given,
        span: Span,
        args_span: Span,
        env: &Env,
    ) -> Eval<Val> {
        if let Val::Grid(g) = &recv {
            return grid::method(self, &g.clone(), name, given, span, env);
        }
        if let Val::Artifact(a) = &recv
            && a.kind == "Score"
            && name.text == "by"
        {
            return groups::by(&self.graph, a, &mut given, args_span);
        }
        let Some(recv) = recv.row() else {
            return Err(mismatch(name.span, format!("{} has no method `.{}()`", recv.describe(), name.text)));
        };
        // The first argument may be given by name: the same meaning is the same tree.
        let first = prelude::method_named(&name.text).and_then(|m| m.args?.first()).map(|(n, _)| *n);
        if let (None, Some(first)) = (&given.positional, first) {
            given.positional = given.take(first);
        }
        let mut args = Vec::new();
        if let Some((v, at)) = given.positional {
            args.push((None, v.row().ok_or_else(|| mismatch(at, "this is not computable for each row"))?));
        }
        given.named.sort_by(|a, b| a.0.cmp(&b.0));
        for (n, v, at) in given.named {
            args.push((Some(n), v.row().ok_or_else(|| mismatch(at, "this is not computable for each row"))?));
        }
        Ok(Val::Row(RowExpr::Call { name: name.text.clone(), recv: Box::new(recv), args }))
    }

    fn arguments(&mut self, args: &[Arg], piped: Option<(Val, Span)>, env: &Env) -> Eval<Given> {
        let mut given = Given { positional: piped, named: Vec::new() };
        let mut seen = BTreeSet::new();
        let mut put = |given: &mut Given, name: &str, val, span| match seen.insert(name.to_owned()) {
            true => given.named.push((name.to_owned(), val, span)),
            false => given.put(name, val, span),
        };
        for arg in args {
            match arg {
                Arg::Positional(e) => {
                    if given.positional.is_some() {
                        return Err(Box::new(
                            Diagnostic::new(codes::E0212, e.span, "a second positional argument", "name this one")
                                .help("a call has one positional argument, and a piped value counts"),
                        ));
                    }
                    given.positional = Some((self.eval(e, env)?, e.span));
                }
                Arg::Named(name, e) => {
                    let (name, val) = self.named(name, e, env)?;
                    put(&mut given, &name, val, e.span);
                }
                Arg::Spread(e, span) => match self.eval(e, env)? {
                    Val::Record(fields) | Val::Suite(fields) => {
                        fields.into_iter().for_each(|(k, v)| put(&mut given, &k, v, *span));
                    }
                    other => {
                        let message = format!("`..` spreads a record, this is {}", other.describe());
                        return Err(Box::new(Diagnostic::new(codes::E0107, *span, message, "not a record")));
                    }
                },
            }
        }
        Ok(given)
    }

    fn prelude(&mut self, name: &str, mut given: Given, span: Span, env: &Env) -> Eval<Val> {
        match name {
            "top" => {
                let n = given.positional.take().or_else(|| given.take("n"));
                match n.map(|(v, _)| v) {
                    Some(Val::Value(Value::Int(n))) if n >= 0 => Ok(Val::Value(Value::Top(n as u64))),
                    Some(Val::Value(Value::Quantity(crate::spec::Dim::Rows, n))) if n >= 0.0 => {
                        Ok(Val::Value(Value::Top(n as u64)))
                    }
                    _ => Err(mismatch(span, "`top(n)` takes a number of rows")),
                }
            }
            "from_file" => {
                let sha256 = given.take("sha256").map(|(v, _)| v);
                let path = given.positional.take().or_else(|| given.take("path"));
                let Some((Val::Value(Value::Str(path)), at)) = path else {
                    return Err(mismatch(span, "`from_file` takes a path"));
                };
                let place = self.resolve(env.module, &path);
                let text = self.world.read(&place).map_err(|e| {
                    let message = format!("cannot read `{}`: {e}", place.display());
                    Box::new(
                        Diagnostic::new(codes::E0501, at, message, "this file")
                            .help("paths start from the folder of the file they stand in"),
                    )
                })?;
                let seen =
                    Text { digest: crate::base::Digest::of(text.as_bytes()), bytes: text.len() as u64, span: at };
                self.graph.texts.insert(place, seen);
                if let Some(Val::Value(Value::Str(want))) = sha256 {
                    use sha2::Digest as _;
                    let found: String =
                        sha2::Sha256::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
                    if !found.starts_with(&want.to_lowercase()) {
                        let message = format!("`{path}` has sha256 {found}, not {want}");
                        return Err(Box::new(
                            Diagnostic::new(codes::E0501, at, message, "another text than before")
                                .help("check the change and write the new sha256"),
                        ));
                    }
                }
                Ok(Val::str(text))
            }
            _ => {
                let d = Diagnostic::new(codes::E0201, span, format!("unknown function `{name}`"), "not defined");
                Err(Box::new(d.help("define it with `fn`, or call an operator as `module.operator(…)`")))
            }
        }
    }

    /// Inlines a function.
    fn inline(&mut self, found: &Found<'a>, mut given: Given, span: Span) -> Eval<Val> {
        let f: &'a Function = found.function;
        let mut env = Env::module(found.module);
        let mut bound = Vec::new();
        for (i, p) in f.params.iter().enumerate() {
            let val = if i == 0 && given.positional.is_some() {
                given.positional.take().map(|(v, _)| v)
            } else {
                given.take(&p.name.text).map(|(v, at)| {
                    self.within_limits(&f.name.text, p, found.module, &v, at);
                    v
                })
            };
            let val = match (val, &p.default) {
                (Some(v), _) => widen(v, &p.ty),
                (None, Some(default)) => widen(self.eval(default, &env)?, &p.ty),
                (None, None) if matches!(p.ty.kind, TypeExprKind::Optional(_)) => Val::Value(Value::None),
                (None, None) => return Err(missing(&f.name.text, p, span)),
            };
            env = env.with(&p.name.text, val.clone());
            bound.push((p, val));
        }
        if let Some((name, _, at)) = given.named.first() {
            let message = format!("unknown option `{name}` of `{}`", f.name.text);
            return Err(Box::new(Diagnostic::new(codes::E0210, *at, message, "not a parameter")));
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.inside.push(f.name.text.clone());
        }
        let result = (|| {
            for local in &f.locals {
                let val = self.eval(&local.value, &env)?;
                env = env.with(&local.name.text, val);
            }
            let val = self.eval(&f.body, &env)?;
            columns::project(self, val, f, found.module, &bound, span)
        })();
        if let Some(frame) = self.frames.last_mut() {
            frame.inside.pop();
        }
        result
    }

    /// Evaluates a call of a built-in operator.
    pub(super) fn operator_call(
        &mut self,
        name: &str,
        given: Given,
        span: Span,
        name_span: Span,
        env: &Env,
    ) -> Eval<Val> {
        let catalogue = self.catalogue;
        let Some(op) = catalogue.get(name) else {
            let names = catalogue.operators.iter().map(|o| o.name.as_str());
            let d = Diagnostic::new(codes::E0204, name_span, format!("unknown operator `{name}`"), "not there");
            return Err(Box::new(match phrase::nearest(name, names) {
                Some(near) => d.help(format!("did you mean `{near}`?")),
                None => d.help("`rbpipe doc` lists all operators"),
            }));
        };
        let (args, seed) = self.bind(op, given, span)?;
        if op.spec.effect == Effect::Value {
            return value_operator(op, args);
        }
        self.node(op, &args, seed, span, env)
    }

    /// Gives each parameter its value: the argument, or the default of the signature.
    fn bind(&mut self, op: &'a Operator, mut given: Given, span: Span) -> Eval<(Vec<Bound<'a>>, Option<(Val, Span)>)> {
        let declared_seed = op.signature.params.iter().any(|p| p.name.text == "seed");
        let mut seed = None;
        if op.spec.class == Class::Sampled {
            seed = if declared_seed {
                given.named.iter().find(|(n, ..)| n == "seed").map(|(_, v, s)| (v.clone(), *s))
            } else {
                given.take("seed")
            };
            if seed.is_none() {
                seed = self.recipe_seed()?.map(|v| (v, span));
            }
            if declared_seed && let Some((v, at)) = &seed {
                given.put("seed", v.clone(), *at);
            }
        }
        let builtin = Env::module(BUILTIN);
        let mut out = Vec::new();
        let where_ = if op.spec.takes_where { given.take("where") } else { None };
        for (i, p) in op.signature.params.iter().filter(|p| !p.rest).enumerate() {
            let (val, at) = if i == 0 && given.positional.is_some() {
                given.positional.take().map_or((None, span), |(v, s)| (Some(v), s))
            } else {
                given.take(&p.name.text).map_or((None, span), |(v, s)| (Some(v), s))
            };
            let (val, is_default) = match (val, &p.default) {
                (Some(v), _) => (v, false),
                (None, Some(default)) => (self.eval(default, &builtin)?, true),
                (None, None) if matches!(p.ty.kind, TypeExprKind::Optional(_)) => (Val::Value(Value::None), true),
                (None, None) => return Err(missing(&op.name, p, span)),
            };
            if !is_default {
                self.within_limits(&op.name, p, BUILTIN, &val, at);
            }
            out.push(Bound { name: p.name.text.clone(), ty: Some(&p.ty), val, span: at, is_default });
        }
        if op.spec.takes_where {
            let is_default = where_.is_none();
            let (val, at) = where_.unwrap_or((Val::bool(true), span));
            let val = Val::Row(val.row().ok_or_else(|| mismatch(at, "`where` takes a row expression"))?);
            out.push(Bound { name: "where".into(), ty: None, val, span: at, is_default });
        }
        if let Some(rest) = op.signature.params.iter().find(|p| p.rest) {
            let fields: Vec<(String, Val)> = given.named.drain(..).map(|(n, v, _)| (n, v)).collect();
            let (name, ty) = (rest.name.text.clone(), Some(&rest.ty));
            out.push(Bound { name, ty, val: Val::Record(fields), span, is_default: false });
        }
        if let Some((_, at)) = given.positional {
            return Err(mismatch(at, format!("`{}` takes no positional argument", op.name)));
        }
        // Where something is wrong, it has been told.
        let told = !self.faults.none();
        if let Some((name, _, at)) = given.named.first().filter(|_| !told) {
            let names: Vec<&str> = op.signature.params.iter().map(|p| p.name.text.as_str()).collect();
            let message = format!("unknown option `{name}` of `{}`", op.name);
            let d = Diagnostic::new(codes::E0210, *at, message, "not an option");
            return Err(Box::new(match phrase::nearest(name, names.iter().copied()) {
                Some(near) => d.help(format!("did you mean `{near}`?")),
                None => d.help(format!("it takes {}", phrase::quoted(&names))),
            }));
        }
        Ok((out, seed))
    }

    pub(super) fn recipe_seed(&mut self) -> Eval<Option<Val>> {
        let items = &self.program.modules[0].file.items;
        let seed = items.iter().find_map(|item| match &item.kind {
            ItemKind::Param { name, .. } if name.text == "seed" => Some(name.span),
            _ => None,
        });
        seed.map(|span| self.name(0, "seed", span)).transpose()
    }

    fn node(
        &mut self,
        op: &'a Operator,
        args: &[Bound<'a>],
        seed: Option<(Val, Span)>,
        span: Span,
        env: &Env,
    ) -> Eval<Val> {
        let mut lowered = Lowered::default();
        let mut json = Map::new();
        for bound in args {
            let rest = op.signature.params.iter().any(|p| p.rest && p.name.text == bound.name);
            let slot = &bound.name;
            let value = match (&bound.val, bound.ty) {
                (Val::Record(fields), Some(ty)) if rest => {
                    let mut object = Map::new();
                    for (k, v) in fields {
                        let v = lower::lower(
                            self.catalogue,
                            v,
                            Some(ty),
                            &format!("{slot}.{k}"),
                            bound.span,
                            &mut lowered,
                        )?;
                        object.insert(k.clone(), v);
                    }
                    Json::Object(object)
                }
                (val, ty) => lower::lower(self.catalogue, val, ty, slot, bound.span, &mut lowered)?,
            };
            json.insert(bound.name.clone(), value);
        }
        let seed = match (op.spec.class, seed) {
            (Class::Sampled, Some((Val::Value(Value::Int(seed)), _))) => Some(seed),
            (Class::Sampled, Some((_, at))) => return Err(mismatch(at, "`seed` is an Int")),
            (Class::Sampled, None) => {
                let message = format!("`{}` draws at random and has no seed", op.name);
                return Err(Box::new(
                    Diagnostic::new(codes::E0208, span, message, "needs a seed")
                        .help("add `param seed: Int = 1` to the recipe, or give `seed:` here"),
                ));
            }
            _ => None,
        };
        let paths = if op.spec.effect == Effect::Source { self.paths(op, args, &mut json, env) } else { Vec::new() };
        let json = Json::Object(json);
        let fields = columns::fields(&op.signature.result);
        let mut node = Node {
            name: self.node_name(&op.name),
            op: op.name.clone(),
            version: op.spec.version,
            class: op.spec.class,
            effect: op.spec.effect,
            pool: op.spec.pool,
            looks: looks::of(op),
            args: json,
            inputs: lowered.inputs,
            fields: fields.iter().map(|(n, _)| n.clone()).collect(),
            seed,
            ordinal: 0,
            with: self.accepted_options(&op.spec.options().collect::<Vec<_>>()),
            span,
            places: args.iter().filter(|b| !b.is_default).map(|b| (b.name.clone(), b.span)).collect(),
            folder: self.folder(env.module),
            paths,
            stage: false,
            takes_holes: grid::takes_holes(&op.name),
            history: op.spec.history,
            gate: None,
            secrets: lowered.secrets,
        };
        let results: Vec<(String, String, Option<Vec<String>>)> = fields
            .iter()
            .map(|(name, ty)| (name.clone(), columns::kind(ty), columns::of_result(self, op, args, ty)))
            .collect();
        serving::decide(&self.graph, &mut node)?;
        let id = self.graph.add(node);
        let artifact = |(field, kind, columns): (String, String, Option<Vec<String>>)| {
            Val::Artifact(Artifact { node: id, field, kind, columns: columns.map(std::sync::Arc::new) })
        };
        Ok(match results.as_slice() {
            [(field, ..)] if field.is_empty() => results.into_iter().map(artifact).next().unwrap_or(Val::bool(false)),
            _ => Val::Record(results.into_iter().map(|r| (r.0.clone(), artifact(r))).collect()),
        })
    }

    pub(super) fn node_name(&self, op: &str) -> String {
        match self.frames.last() {
            Some(frame) => {
                let inside: String = frame.inside.iter().map(|f| format!("{f}/")).collect();
                format!("{}/{inside}{op}", frame.prefix)
            }
            None => op.to_owned(),
        }
    }

    fn no_member(&self, module: &str, name: &Name) -> Box<Diagnostic> {
        let message = format!("`{module}` has no `{}`", name.text);
        Box::new(Diagnostic::new(codes::E0201, name.span, message, "not there"))
    }

    /// Calls an operator with values instead of expressions, for steps that the language itself inserts.
    pub(super) fn insert(&mut self, name: &str, first: Val, named: Vec<(&str, Val)>, span: Span) -> Eval<Val> {
        let named = named.into_iter().map(|(n, v)| (n.to_owned(), v, span)).collect();
        let given = Given { positional: Some((first, span)), named };
        self.operator_call(name, given, span, span, &Env::module(0))
    }
}

/// An operator that makes no node: a reader, marker or total, a suite, or a function over a row.
fn value_operator(op: &Operator, args: Vec<Bound>) -> Eval<Val> {
    let result = match &op.signature.result.kind {
        TypeExprKind::Named { name, .. } => name.text.as_str(),
        _ => "",
    };
    match result {
        "Reader" | "Marker" | "Total" => {
            let args = args.into_iter().map(|b| (b.name, b.val)).collect();
            Ok(Val::Verb { op: op.name.clone(), args })
        }
        "Suite" => {
            let mut benchmarks = Vec::new();
            for bound in args {
                if let Val::Record(fields) | Val::Suite(fields) = bound.val {
                    fields.into_iter().for_each(|(k, v)| set(&mut benchmarks, &k, v));
                }
            }
            Ok(Val::Suite(benchmarks))
        }
        _ => {
            let mut out = Vec::new();
            for (i, bound) in args.into_iter().enumerate() {
                if bound.is_default && matches!(bound.val, Val::Value(Value::None)) {
                    continue;
                }
                let Some(row) = bound.val.row() else {
                    return Err(mismatch(bound.span, format!("`{}` is computed for each row", op.name)));
                };
                out.push((if i == 0 { None } else { Some(bound.name) }, row));
            }
            Ok(Val::Row(RowExpr::Call { name: op.name.clone(), recv: Box::new(RowExpr::Lit(Json::Null)), args: out }))
        }
    }
}

pub(super) fn missing(callee: &str, p: &ParamDecl, span: Span) -> Box<Diagnostic> {
    let message = format!("`{callee}` needs `{}`", p.name.text);
    let d = Diagnostic::new(codes::E0211, span, message, format!("`{}:` is missing", p.name.text));
    Box::new(match &p.doc {
        Some(doc) => d.help(format!("{}: {}", p.name.text, doc.trim())),
        None => d.help(format!("add `{}: …`", p.name.text)),
    })
}

/// An Int is taken where a Float is asked for.
pub(super) fn widen(val: Val, ty: &TypeExpr) -> Val {
    match (&val, &ty.kind) {
        (Val::Value(Value::Int(i)), TypeExprKind::Named { name, .. }) if name.text == "Float" => {
            Val::Value(Value::Float(*i as f64))
        }
        _ => val,
    }
}

fn is_property(word: &str) -> bool {
    prelude::method_named(word).is_some_and(|m| m.args.is_none())
}

fn of_len(of: &Val, word: &str) -> Option<i64> {
    Some(match (of, word) {
        (Val::List(items), "len") => items.len() as i64,
        (Val::Value(Value::Str(s)), "len" | "chars") => s.chars().count() as i64,
        (Val::Value(Value::Str(s)), "alnum") => s.chars().filter(|c| c.is_alphanumeric()).count() as i64,
        (Val::Value(Value::Str(s)), "words") => s.split_whitespace().count() as i64,
        _ => return None,
    })
}
