//! Evaluates what outputs, expectations and stages need, lazily, to a graph.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value as Json};

use super::evaluator::{Env, Eval, Evaluator, Frame, Options, Target, item_name, mismatch, set};
use super::faults::Faults;
use super::graph::{Gate, Graph, Input, Node, Output};
use super::params::tagged_if_steps;
use super::val::Val;
use super::{arith, grid, params, quantity};
use crate::base::{Diagnostic, Problems, SourceMap, Span, World, codes, phrase};
use crate::semantics::modules::Program;
use crate::spec::{Catalogue, Class, Effect, Pool, RowExpr, Value};
use crate::syntax::ast::{BinaryOp, Expr, ExprKind, Item, ItemKind, Name, RecordField, StrLit, StrPart, UnaryOp, With};
use crate::syntax::parse_expr;

/// A recipe as a graph.
#[derive(Debug)]
pub struct Planned {
    /// The nodes.
    pub graph: Graph,
    /// The `recipe "name"`.
    pub name: Option<String>,
    /// Where secrets come from, by name: `env`, `file` or `cmd`, and which.
    pub secrets: BTreeMap<String, (String, String, Span)>,
    /// The values of the params that hold.
    pub params: Vec<(String, String)>,
}

/// Evaluates a checked program. All errors are in the problems; a graph is there when there are none.
pub fn evaluate(
    program: &Program,
    catalogue: &Catalogue,
    sources: &mut SourceMap,
    world: &dyn World,
    options: &Options,
) -> (Option<Planned>, Problems) {
    let none = &mut Faults::default();
    let (planned, problems) = evaluate_parts(program, catalogue, sources, world, options, none);
    (planned.filter(|_| !problems.has_errors()), problems)
}

/// As [`evaluate`], leaves out what faults keep from being evaluated: a graph of the rest. The faults learn which of them were mended.
pub(super) fn evaluate_parts(
    program: &Program,
    catalogue: &Catalogue,
    sources: &mut SourceMap,
    world: &dyn World,
    options: &Options,
    faults: &mut Faults,
) -> (Option<Planned>, Problems) {
    let mut problems = Problems::default();
    let overrides = params::overrides(program, sources, options, &mut problems);
    let with = params::with_options(sources, options, &mut problems);
    if problems.has_errors() {
        return (None, problems);
    }
    let mut ev = Evaluator {
        program,
        items: program.modules.iter().map(|module| by_name(&module.file.items, &faults.broken)).collect(),
        catalogue,
        sources,
        world,
        graph: Graph::default(),
        problems,
        overrides: overrides.values,
        forced_with: Map::new(),
        memo: BTreeMap::new(),
        active: Vec::new(),
        frames: Vec::new(),
        depth: 0,
        faults: std::mem::take(faults),
    };
    ev.root(overrides.with, with);
    super::outputs::check(program, &ev.graph, &ev.folder(0), &mut ev.problems);
    let secrets = ev.secrets();
    let params = ev.param_values();
    *faults = ev.faults;
    let mut graph = ev.graph;
    graph.packages.clone_from(&program.packages);
    let problems = ev.problems;
    graph.finish();
    let head = program.modules[0].file.items.iter().find_map(|item| match &item.kind {
        ItemKind::Recipe { name, strict_numerics, .. } => Some((name.plain(), *strict_numerics)),
        _ => None,
    });
    let (name, strict_numerics) = head.unwrap_or_default();
    graph.strict_numerics = strict_numerics;
    (Some(Planned { graph, name, secrets, params }), problems)
}

impl<'a> Evaluator<'a> {
    fn root(&mut self, profile_with: Option<&With>, asked: Map<String, Json>) {
        let program: &'a Program = self.program;
        if let Some(with) = profile_with {
            match self.with_options(Some(with), &Env::module(0)) {
                Ok(options) => self.forced_with = options,
                Err(d) => self.problems.push(*d),
            }
        }
        self.forced_with.extend(asked);
        let items = &program.modules[0].file.items;
        // Expectations and outputs are roots; stages are evaluated so that `--to` and the listing know them.
        let mut ordinal = 0;
        for item in items {
            if self.faults.broken.contains(&item.span) {
                continue;
            }
            let done = match &item.kind {
                ItemKind::Stage(b) => {
                    self.graph.stages.push(b.name.text.clone());
                    self.name(0, &b.name.text, b.name.span).map(|_| ())
                }
                ItemKind::Output { name, value, to } => self.output(name, value, to.as_ref(), item.span),
                ItemKind::Expect { cond, message } => {
                    ordinal += 1;
                    self.gate(cond, message.as_ref(), false, ordinal)
                }
                ItemKind::Warn { cond, message } => {
                    ordinal += 1;
                    self.gate(cond, message.as_ref(), true, ordinal)
                }
                _ => Ok(()),
            };
            if let Err(d) = done {
                self.problems.push(*d);
            }
        }
        self.needed_by_faults();
        let evaluated: Vec<(String, Val)> =
            self.memo.iter().filter(|((m, _), _)| *m == 0).map(|((_, n), v)| (n.clone(), v.clone())).collect();
        self.graph.names.extend(evaluated);
        for ((module, name), val) in &self.memo {
            if *module != 0 {
                let full = format!("{}.{name}", module_stem(self.sources, self.program, *module));
                self.graph.names.entry(full).or_insert_with(|| val.clone());
            }
        }
    }

    /// Evaluates what items that were left out name: nobody else may need it.
    fn needed_by_faults(&mut self) {
        let texts: Vec<&str> = self.faults.broken.iter().map(|item| self.sources.text(*item)).collect();
        let words: BTreeSet<&str> =
            texts.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
        for item in &self.program.modules[0].file.items {
            if let ItemKind::Let(b) | ItemKind::Stage(b) = &item.kind
                && words.contains(b.name.text.as_str())
            {
                // What it stumbles over has been told.
                let _ = self.name(0, &b.name.text, b.name.span);
            }
        }
    }

    fn output(&mut self, name: &Name, value: &Expr, to: Option<&StrLit>, span: Span) -> Eval<()> {
        let env = Env::module(0);
        let value = self.in_frame(name.text.clone(), Map::new(), |ev| ev.eval(value, &env))?;
        let to = match to {
            Some(lit) => match self.string(lit, &env)? {
                Val::Value(Value::Str(path)) => Some(self.resolve(0, &path)),
                _ => None,
            },
            None => None,
        };
        self.graph.outputs.push(Output { name: name.text.clone(), value, to, span });
        Ok(())
    }

    fn gate(&mut self, cond: &Expr, message: Option<&StrLit>, warn: bool, ordinal: usize) -> Eval<()> {
        let env = Env::module(0);
        let word = if warn { "warn" } else { "expect" };
        let text = self.sources.text(cond.span).split_whitespace().collect::<Vec<_>>().join(" ");
        let val = self.in_frame(format!("{word}[{ordinal}]"), Map::new(), |ev| ev.eval(cond, &env))?;
        let Some(metric) = val.metric() else {
            let message = format!("`{word}` asks for a Bool, this is {}", val.describe());
            return Err(Box::new(Diagnostic::new(codes::E0304, cond.span, message, "not a question")));
        };
        let message = match message {
            Some(lit) => match self.string(lit, &env)? {
                Val::Value(Value::Str(text)) => Some(text),
                _ => None,
            },
            None => None,
        };
        let mut read = Vec::new();
        metric.artifacts(&mut read);
        let inputs = read
            .iter()
            .enumerate()
            .map(|(i, a)| Input { slot: format!("of[{i}]"), node: a.node, field: a.field.clone() })
            .collect();
        let node = Node {
            name: format!("{word} {}", phrase::shortened(&text, 60)),
            op: word.into(),
            version: 1,
            class: Class::Deterministic,
            effect: Effect::Reduce,
            pool: Pool::Cpu,
            args: Json::Null,
            inputs,
            looks: Vec::new(),
            fields: vec![String::new()],
            seed: None,
            ordinal: 0,
            with: Map::new(),
            span: cond.span,
            places: Vec::new(),
            folder: PathBuf::new(),
            paths: Vec::new(),
            stage: false,
            takes_holes: false,
            history: &[],
            gate: Some(Gate { cond: metric, message, text, warn }),
            secrets: Vec::new(),
        };
        let id = self.graph.add(node);
        self.graph.gates.push(id);
        Ok(())
    }

    fn secrets(&self) -> BTreeMap<String, (String, String, Span)> {
        let mut out = BTreeMap::new();
        for module in &self.program.modules {
            for item in &module.file.items {
                if let ItemKind::Secret { name, from, what } = &item.kind {
                    let what = what.plain().unwrap_or_default();
                    out.insert(name.text.clone(), (from.text.clone(), what, name.span));
                }
            }
        }
        out
    }

    fn param_values(&mut self) -> Vec<(String, String)> {
        let program: &'a Program = self.program;
        let mut out = Vec::new();
        for item in &program.modules[0].file.items {
            if let ItemKind::Param { name, .. } = &item.kind
                && let Ok(val) = self.name(0, &name.text, name.span)
                && let Some(v) = val.constant()
            {
                out.push((name.text.clone(), quantity::print(&v)));
            }
        }
        out
    }

    /// Evaluates something as one binding: its nodes are called after it and get its `with`.
    pub(super) fn in_frame(
        &mut self,
        prefix: String,
        with: Map<String, Json>,
        run: impl FnOnce(&mut Self) -> Eval<Val>,
    ) -> Eval<Val> {
        let first = self.graph.dag.node_count();
        self.frames.push(Frame { prefix: prefix.clone(), with, inside: Vec::new() });
        let result = run(self);
        self.frames.pop();
        let val = result?;
        let mut made = Vec::new();
        match &val {
            Val::Artifact(a) => made.push(a.node),
            Val::Record(fields) => fields.iter().for_each(|(_, v)| {
                if let Val::Artifact(a) = v
                    && !a.field.is_empty()
                {
                    made.push(a.node);
                }
            }),
            _ => {}
        }
        for id in made {
            let node = &mut self.graph.dag[id];
            if id.index() >= first && node.name.starts_with(&format!("{prefix}/")) {
                node.name.clone_from(&prefix);
            }
        }
        Ok(val)
    }

    /// Returns the value of a top-level name.
    pub(super) fn name(&mut self, module: usize, name: &str, span: Span) -> Eval<Val> {
        let key = (module, name.to_owned());
        if let Some(val) = self.memo.get(&key) {
            return Ok(val.clone());
        }
        if self.active.contains(&key) {
            let mut round: Vec<&str> = self.active.iter().map(|(_, n)| n.as_str()).collect();
            round.push(name);
            let message = format!("names depend on each other: {}", round.join(" → "));
            return Err(Box::new(
                Diagnostic::new(codes::E0602, span, message, "needs its own value").help("break the circle"),
            ));
        }
        let Some(item) = self.items[module].get(name).copied() else {
            return Err(self.unknown(name, span, module));
        };
        self.active.push(key.clone());
        let result = self.item(module, item, span);
        self.active.pop();
        let val = result?;
        self.memo.insert(key, val.clone());
        Ok(val)
    }

    fn item(&mut self, module: usize, item: &'a Item, span: Span) -> Eval<Val> {
        let env = Env::module(module);
        match &item.kind {
            ItemKind::Param { name, ty, within, default } => {
                let overridden = if module == 0 { self.overrides.get(&name.text).cloned() } else { None };
                let (val, at) = match (overridden, default) {
                    (Some(overridden), _) => overridden,
                    (None, Some(e)) => (self.eval(e, &env)?, e.span),
                    (None, None) => {
                        let message = format!("param `{}` has no value", name.text);
                        let help = format!("give it with `-p {}=…`, in a profile, or as a default", name.text);
                        return Err(Box::new(
                            Diagnostic::new(codes::E0211, name.span, message, "no default").help(help),
                        ));
                    }
                };
                let within = match within {
                    Some(e) => self.eval(e, &env)?.constant(),
                    None => None,
                };
                params::check(name, ty, within.as_ref(), val, at)
            }
            ItemKind::Let(b) | ItemKind::Stage(b) => {
                let with = self.with_options(b.with.as_ref(), &env)?;
                let prefix = match module {
                    0 => b.name.text.clone(),
                    m => format!("{}.{}", module_stem(self.sources, self.program, m), b.name.text),
                };
                let val = self.in_frame(prefix, with, |ev| ev.eval(&b.value, &env))?;
                // A number or a record may be what is wrong; an artifact is one whatever made it.
                let wrong = self.faults.flawed.contains(&item.span) && !self.faults.mended(item.span);
                if wrong && !matches!(val, Val::Artifact(_)) {
                    return Err(mismatch(span, "this value has an error"));
                }
                if let (ItemKind::Stage(_), Val::Artifact(a)) = (&item.kind, &val) {
                    self.graph.dag[a.node].stage = true;
                }
                Ok(val)
            }
            ItemKind::Secret { name, .. } => Ok(Val::Value(Value::Secret(name.text.clone()))),
            ItemKind::Schema { name, .. } => self.schema(module, &name.text, span),
            ItemKind::Fn(f) => Err(Box::new(
                Diagnostic::new(codes::E0207, span, format!("`{}` is a function, not a value", f.name.text), "here")
                    .help("call it, or pass an expression"),
            )),
            _ => Err(Box::new(Diagnostic::new(codes::E0201, span, "this name has no value", "here"))),
        }
    }

    fn with_options(&mut self, with: Option<&With>, env: &Env) -> Eval<Map<String, Json>> {
        let val = match with {
            None => return Ok(Map::new()),
            Some(With::Record { fields, .. }) => self.record(fields, env)?,
            Some(With::Name(name)) => self.ident(&name.text, name.span, env)?,
        };
        let Val::Record(fields) = val else {
            let span = match with {
                Some(With::Name(n)) => n.span,
                Some(With::Record { span, .. }) => *span,
                None => return Ok(Map::new()),
            };
            return Err(Box::new(Diagnostic::new(codes::E0304, span, "`with` takes a record", "not a record")));
        };
        Ok(fields.iter().filter_map(|(k, v)| v.constant().map(|c| (k.clone(), tagged_if_steps(k, &c)))).collect())
    }

    /// Evaluates an expression.
    pub(super) fn eval(&mut self, e: &Expr, env: &Env) -> Eval<Val> {
        if let Some(text) = self.faults.instead(e.span) {
            let written = written(text, e.span)?;
            return self.eval_here(&written, env);
        }
        self.depth += 1;
        let result = if self.depth > 400 { Err(deep(e.span)) } else { self.eval_here(e, env) };
        self.depth -= 1;
        result
    }

    fn eval_here(&mut self, e: &Expr, env: &Env) -> Eval<Val> {
        Ok(match &e.kind {
            ExprKind::Number(parts, whole) => Val::Value(quantity::number(parts, *whole).ok_or_else(|| {
                Box::new(Diagnostic::new(codes::E0120, e.span, "this unit is not known", "not a quantity"))
            })?),
            ExprKind::Str(lit) => self.string(lit, env)?,
            ExprKind::Bool(b) => Val::bool(*b),
            ExprKind::None => Val::Value(Value::None),
            ExprKind::Ident(name) => self.ident(name, e.span, env)?,
            ExprKind::TypeName(name) => self.schema(env.module, name, e.span)?,
            ExprKind::Col(name) => Val::Row(RowExpr::Col(name.text.clone())),
            ExprKind::Field(of, name) => self.field(of, name, env)?,
            ExprKind::Index(of, at) => {
                let (of, at) = (self.eval(of, env)?, self.eval(at, env)?);
                arith::index(&of, &at, e.span)?
            }
            ExprKind::Call { callee, args, args_span } => self.call(callee, args, None, e.span, *args_span, env)?,
            ExprKind::Pipe { left, call, .. } => {
                let piped = self.eval(left, env)?;
                let ExprKind::Call { callee, args, args_span } = &call.kind else {
                    return Err(Box::new(Diagnostic::new(codes::E0106, call.span, "a pipe step is a call", "here")));
                };
                self.call(callee, args, Some((piped, left.span)), call.span, *args_span, env)?
            }
            ExprKind::Binary { op, op_span, left, right } => self.binary(*op, *op_span, left, right, env)?,
            ExprKind::Unary { op, value } => {
                let v = self.eval(value, env)?;
                arith::unary(*op == UnaryOp::Not, &v, e.span)?
            }
            ExprKind::Range(a, b) => {
                let mut end = |e: &Option<Box<Expr>>| match e {
                    Some(e) => self.eval(e, env).map(|v| Some(Box::new(v))),
                    None => Ok(None),
                };
                Val::Range(end(a)?, end(b)?)
            }
            ExprKind::If { cond, then, other } => match self.eval(cond, env)? {
                Val::Value(Value::Bool(true)) => self.eval(then, env)?,
                Val::Value(Value::Bool(false)) => self.eval(other, env)?,
                Val::Row(c) => {
                    let (a, b) = (self.eval(then, env)?, self.eval(other, env)?);
                    match (a.row(), b.row()) {
                        (Some(a), Some(b)) => Val::Row(RowExpr::If(Box::new(c), Box::new(a), Box::new(b))),
                        _ => return Err(mismatch(e.span, "both branches must be computable for each row")),
                    }
                }
                v if v.metric().is_some() && v.constant().is_none() => {
                    return Err(Box::new(
                        Diagnostic::new(
                            codes::E0601,
                            cond.span,
                            "the graph cannot depend on a value known only after running",
                            "known only after running",
                        )
                        .help("use `expect`, or make it a `param`"),
                    ));
                }
                v => return Err(mismatch(cond.span, format!("a condition is a Bool, this is {}", v.describe()))),
            },
            ExprKind::Sweep { axes, filter, body } => grid::sweep(self, axes, filter.as_deref(), body, e.span, env)?,
            ExprKind::Record(fields) => self.record(fields, env)?,
            ExprKind::List(items) => Val::List(items.iter().map(|i| self.eval(i, env)).collect::<Result<Vec<_>, _>>()?),
            ExprKind::Tuple(items) => {
                Val::Tuple(items.iter().map(|i| self.eval(i, env)).collect::<Result<Vec<_>, _>>()?)
            }
            ExprKind::Paren(inner) => self.eval(inner, env)?,
        })
    }

    fn binary(&mut self, op: BinaryOp, span: Span, left: &Expr, right: &Expr, env: &Env) -> Eval<Val> {
        let a = self.eval(left, env)?;
        // What the left side decides keeps the right side out of the graph.
        match (op, &a) {
            (BinaryOp::Or, Val::Value(Value::Bool(true))) | (BinaryOp::And, Val::Value(Value::Bool(false))) => {
                return Ok(a);
            }
            (BinaryOp::Or | BinaryOp::And, Val::Value(Value::Bool(_))) => return self.eval(right, env),
            (BinaryOp::Coalesce, Val::Value(Value::None)) => return self.eval(right, env),
            _ => {}
        }
        let b = self.eval(right, env)?;
        arith::binary(op, &a, &b, span)
    }

    /// Evaluates a record; a later field wins over one that was spread.
    pub(super) fn record(&mut self, fields: &[RecordField], env: &Env) -> Eval<Val> {
        let mut out: Vec<(String, Val)> = Vec::new();
        for field in fields {
            match field {
                RecordField::Named(name, e) => {
                    let (name, val) = self.named(name, e, env)?;
                    set(&mut out, &name, val);
                }
                RecordField::Pun(name) => set(&mut out, &name.text, self.ident(&name.text, name.span, env)?),
                RecordField::Spread(e, span) => match self.eval(e, env)? {
                    Val::Record(more) | Val::Suite(more) => more.into_iter().for_each(|(k, v)| set(&mut out, &k, v)),
                    other => {
                        let message = format!("`..` spreads a record, this is {}", other.describe());
                        return Err(Box::new(Diagnostic::new(codes::E0107, *span, message, "not a record")));
                    }
                },
            }
        }
        Ok(Val::Record(out))
    }

    /// Evaluates what is given under a name; both are another where somebody has said so.
    pub(super) fn named(&mut self, name: &Name, e: &Expr, env: &Env) -> Eval<(String, Val)> {
        if let Some(both) = self.faults.instead(name.span.to(e.span)) {
            let (name, value) = both.split_once(": ").unwrap_or((both, both));
            let (name, written) = (name.to_owned(), written(value, e.span)?);
            return Ok((name, self.eval_here(&written, env)?));
        }
        let name = self.faults.instead(name.span).unwrap_or(&name.text).to_owned();
        Ok((name, self.eval(e, env)?))
    }

    /// Evaluates a string; a `{name}` that is no name in scope is a slot of a prompt and stays.
    pub(super) fn string(&mut self, lit: &StrLit, env: &Env) -> Eval<Val> {
        let mut text = String::new();
        for part in &lit.parts {
            match part {
                StrPart::Text(t) => text.push_str(t),
                StrPart::Name(name) => {
                    let known = env.local(&name.text).is_some() || self.target(env.module, &name.text).is_some();
                    if !known {
                        text.push_str(&format!("{{{}}}", name.text));
                        continue;
                    }
                    match self.ident(&name.text, name.span, env)? {
                        Val::Value(Value::Secret(_)) => {
                            return Err(Box::new(
                                Diagnostic::new(codes::E0702, name.span, "a Secret cannot become text", "a Secret")
                                    .help("pass it to a parameter typed Secret (`key:`)"),
                            ));
                        }
                        Val::Value(v @ (Value::Str(_) | Value::Int(_) | Value::Quantity(..) | Value::Float(_))) => {
                            text.push_str(&quantity::print(&v));
                        }
                        other => {
                            let message = format!("{} cannot stand in a string", other.describe());
                            return Err(mismatch(name.span, message));
                        }
                    }
                }
            }
        }
        Ok(Val::Value(if lit.raw { Value::Regex(text) } else { Value::Str(text) }))
    }

    /// Returns what a name stands for.
    pub(super) fn ident(&mut self, name: &str, span: Span, env: &Env) -> Eval<Val> {
        if let Some(val) = env.local(name) {
            return Ok(val.clone());
        }
        match self.target(env.module, name) {
            Some(Target::Item(module, item)) => {
                let own = item_name(item).unwrap_or(name).to_owned();
                self.name(module, &own, span)
            }
            Some(_) => Err(Box::new(
                Diagnostic::new(codes::E0201, span, format!("`{name}` is a module, not a value"), "a module")
                    .help(format!("write `{name}.…`")),
            )),
            None => Err(self.unknown(name, span, env.module)),
        }
    }

    fn unknown(&self, name: &str, span: Span, module: usize) -> Box<Diagnostic> {
        let names: Vec<&str> = match self.program.modules.get(module) {
            Some(m) => m.file.items.iter().filter_map(item_name).collect(),
            None => Vec::new(),
        };
        let d = Diagnostic::new(codes::E0201, span, format!("unknown name `{name}`"), "not defined");
        Box::new(match phrase::nearest(name, names) {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None => d.help("define it with `let`, or import it"),
        })
    }
}

/// Finds items by name; the first of a name counts.
fn by_name<'p>(items: &'p [Item], broken: &BTreeSet<Span>) -> BTreeMap<&'p str, &'p Item> {
    let sound = items.iter().rev().filter(|item| !broken.contains(&item.span));
    sound.filter_map(|item| Some((item_name(item)?, item))).collect()
}

/// Returns how people call a module: the stem of its file.
pub(super) fn module_stem(sources: &SourceMap, program: &Program, module: usize) -> String {
    let name = &sources.get(program.modules[module].file.source).name;
    name.rsplit('/').next().unwrap_or("").trim_end_matches(".rb2").to_owned()
}

/// Reads what is to be written instead of the value that stands in a place.
fn written(text: &str, place: Span) -> Eval<Expr> {
    parse_expr(place.source, text).map_err(|_| mismatch(place, "this value has an error"))
}

fn deep(span: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(codes::E0218, span, "functions call each other without end", "too deep")
            .help("a `fn` is inlined, so it may not call itself"),
    )
}
