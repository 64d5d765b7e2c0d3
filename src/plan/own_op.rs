//! A call of a user's own `op`: a projection to the columns that it names, the process on those alone, and a join that lets the other columns ride
//! along. So the process's key holds what it reads and nothing else.

use serde_json::{Map, Value as Json, json};

use super::artifact::Artifact;
use super::call::{missing, widen};
use super::columns;
use super::evaluator::{Env, Eval, Evaluator, mismatch};
use super::given::Given;
use super::graph::{Input, Node, PathArg};
use super::lower::{self, Lowered};
use super::type_text::type_text;
use super::val::Val;
use crate::base::{Diagnostic, Span, codes, phrase};
use crate::spec::{Class, Effect, Pool, RowExpr, Value, prelude, user_op};
use crate::syntax::ast::{ExprKind, RowPart, StrLit, TypeArg, TypeExpr, TypeExprKind, UserOp};

/// The columns that a dataset type names with their types, and whether others come along.
struct Shape {
    columns: Vec<(String, String)>,
    open: bool,
}

impl<'a> Evaluator<'a> {
    /// Evaluates a call of an operator declared in `module`.
    pub(super) fn own_op(&mut self, op: &'a UserOp, module: usize, mut given: Given, span: Span) -> Eval<Val> {
        let words = || op.words.iter().map(|w| w.text.as_str());
        let (class, effect) = (user_op::class(words()), user_op::effect(words()));
        let Some(first) = op.params.first() else { return Err(mismatch(span, "an `op` takes rows")) };
        let rows = given.positional.take().or_else(|| given.take(&first.name.text));
        let Some((rows, _)) = rows else { return Err(missing(&op.name.text, first, span)) };
        let (Some(reads), Some(gives)) = (self.columns_of(module, &first.ty), self.columns_of(module, &op.result))
        else {
            return Err(mismatch(op.name.span, "an `op` takes a dataset and gives one"));
        };
        let seed = if class == Class::Sampled { Some(self.own_op_seed(op, &mut given, span)?) } else { None };
        let bad = match given.take("bad") {
            Some((Val::Value(Value::Str(word)), _)) => word,
            _ => "fail".to_owned(),
        };
        let mut lowered = Lowered::default();
        let arguments = self.own_arguments(op, module, given, span, &mut lowered)?;

        let before = match &rows {
            Val::Artifact(a) if a.kind == "Dataset" => a.clone(),
            other => {
                return Err(mismatch(
                    span,
                    format!("`{}` takes a dataset, this is {}", op.name.text, other.describe()),
                ));
            }
        };
        let projected = self.projected(&before, &reads, span)?;
        let ride = gives.open && effect != Effect::Reduce;
        let args = json!({
            "command": self.command(op)?,
            "files": self.texts(op, module)?,
            "env": op.env.as_ref().and_then(StrLit::plain),
            "reads": schema(&reads),
            "gives": schema(&gives),
            "effect": user_op::EFFECTS.iter().find(|(_, e)| *e == effect).map(|(word, _)| word),
            "format": user_op::format(words()),
            "args": arguments,
            "bad": bad,
            "joined": ride,
            "seeded": class == Class::Sampled,
            "d": { "$input": "d" },
        });
        let paths = self.own_files(op, module, &args["files"])?;
        let node = Node {
            name: self.node_name(&op.name.text),
            op: user_op::RUN.into(),
            version: user_op::VERSION,
            class,
            effect,
            pool: Pool::Cpu,
            args,
            inputs: vec![Input { slot: "d".into(), node: projected.node, field: projected.field }],
            looks: Vec::new(),
            fields: vec![String::new()],
            seed,
            ordinal: 0,
            with: self.accepted_options(user_op::WITH),
            span,
            places: Vec::new(),
            folder: self.folder(module),
            paths,
            stage: false,
            takes_holes: false,
            history: &[],
            gate: None,
            secrets: lowered.secrets,
        };
        let made = self.graph.add(node);
        let named: Vec<String> = gives.columns.iter().map(|(n, _)| n.clone()).collect();
        if !ride {
            return Ok(dataset(made, Some(named)));
        }
        let reads: Vec<String> = reads.columns.into_iter().map(|(n, _)| n).collect();
        let columns = before.columns.as_ref().map(|have| {
            let mut out: Vec<String> =
                have.iter().filter(|c| !reads.contains(c) || named.contains(c)).cloned().collect();
            out.extend(named.iter().filter(|c| !have.contains(c)).cloned());
            out
        });
        let join = Node {
            name: self.node_name(user_op::JOIN),
            op: user_op::JOIN.into(),
            version: user_op::VERSION,
            class: Class::Deterministic,
            effect,
            pool: Pool::Cpu,
            args: json!({ "d": { "$input": "d" }, "made": { "$input": "made" }, "reads": reads, "gives": named }),
            inputs: vec![
                Input { slot: "d".into(), node: before.node, field: before.field.clone() },
                Input { slot: "made".into(), node: made, field: String::new() },
            ],
            looks: Vec::new(),
            fields: vec![String::new()],
            seed: None,
            ordinal: 0,
            with: self.accepted_options(&[]),
            span,
            places: Vec::new(),
            folder: self.folder(module),
            paths: Vec::new(),
            stage: false,
            takes_holes: false,
            history: &[],
            gate: None,
            secrets: Vec::new(),
        };
        Ok(dataset(self.graph.add(join), columns))
    }

    /// Only the columns that the process reads, in the order of its type.
    fn projected(&mut self, rows: &Artifact, reads: &Shape, span: Span) -> Eval<Artifact> {
        let names: Vec<&String> = reads.columns.iter().map(|(n, _)| n).collect();
        if rows.columns.as_ref().is_some_and(|have| have.iter().eq(names.iter().copied())) {
            return Ok(rows.clone());
        }
        let columns = names.into_iter().map(|n| Val::Row(RowExpr::Col(n.clone()))).collect();
        match self.insert(columns::SELECT, Val::Artifact(rows.clone()), vec![("columns", Val::List(columns))], span)? {
            Val::Artifact(a) => Ok(a),
            _ => Err(mismatch(span, "a projection gives a dataset")),
        }
    }

    fn own_op_seed(&mut self, op: &UserOp, given: &mut Given, span: Span) -> Eval<i64> {
        let seed = match given.take("seed") {
            Some((val, at)) => Some((val, at)),
            None => self.recipe_seed()?.map(|val| (val, span)),
        };
        match seed {
            Some((Val::Value(Value::Int(seed)), _)) => Ok(seed),
            Some((_, at)) => Err(mismatch(at, "`seed` is an Int")),
            None => {
                let message = format!("`{}` draws at random and has no seed", op.name.text);
                let d = Diagnostic::new(codes::E0208, span, message, "needs a seed");
                Err(Box::new(d.help("add `param seed: Int = 1` to the recipe, or give `seed:` here")))
            }
        }
    }

    /// The arguments beyond the rows, in canonical form.
    fn own_arguments(
        &mut self,
        op: &'a UserOp,
        module: usize,
        mut given: Given,
        span: Span,
        out: &mut Lowered,
    ) -> Eval<Map<String, Json>> {
        let mut args = Map::new();
        for p in op.params.iter().skip(1) {
            let (val, at) = given.take(&p.name.text).map_or((None, span), |(v, s)| (Some(v), s));
            if let Some(val) = &val {
                self.within_limits(&op.name.text, p, module, val, at);
            }
            let val = match (val, &p.default) {
                (Some(v), _) => v,
                (None, Some(default)) => self.eval(default, &Env::module(module))?,
                (None, None) if matches!(p.ty.kind, TypeExprKind::Optional(_)) => Val::Value(Value::None),
                (None, None) => return Err(missing(&op.name.text, p, span)),
            };
            let val = widen(val, &p.ty);
            let json = lower::lower(self.catalogue, &val, Some(&p.ty), &p.name.text, at, out)?;
            if !out.inputs.is_empty() {
                return Err(mismatch(at, "an `op` takes one dataset; this is another artifact"));
            }
            args.insert(p.name.text.clone(), json);
        }
        if let Some((name, _, at)) = given.named.first() {
            let names: Vec<&str> = op.params.iter().map(|p| p.name.text.as_str()).collect();
            let message = format!("unknown option `{name}` of `{}`", op.name.text);
            let d = Diagnostic::new(codes::E0210, *at, message, "not an option");
            return Err(Box::new(d.help(format!("it takes {}", phrase::quoted(&names)))));
        }
        Ok(args)
    }

    fn command(&self, op: &UserOp) -> Eval<Vec<String>> {
        let Some(runs) = &op.runs else { return Err(mismatch(op.name.span, "an `op` has a command: `runs \"…\"`")) };
        let text =
            runs.plain().ok_or_else(|| mismatch(runs.span, "a command is a plain text; give values as arguments"))?;
        user_op::words(&text).map_err(|why| mismatch(runs.span, format!("this is no command: {why}")))
    }

    /// The names in `files`; without it, the words of the command that name a file of the recipe's folder.
    fn texts(&mut self, op: &'a UserOp, module: usize) -> Eval<Vec<String>> {
        let Some(files) = &op.files else {
            let folder = self.folder(module);
            let there = |w: &String| user_op::is_script(w) || w.contains('.') && self.world.exists(&folder.join(w));
            let words = self.command(op)?;
            let named = words.iter().filter(|w| !w.starts_with(['-', '/']) && there(w));
            let mut out: Vec<String> = named.map(|w| w.trim_start_matches("./").to_owned()).collect();
            out.sort();
            out.dedup();
            return Ok(out);
        };
        let Val::List(items) = self.eval(files, &Env::module(module))? else {
            return Err(mismatch(files.span, "`files` is a list of names"));
        };
        let mut out = Vec::new();
        for item in items {
            let Val::Value(Value::Str(name)) = item else {
                return Err(mismatch(files.span, "`files` is a list of names"));
            };
            out.push(name.trim_start_matches("./").to_owned());
        }
        out.sort();
        out.dedup();
        Ok(out)
    }

    /// What must lie in the process's folder; each name is a field of the key of its own, so that `why` can name it.
    fn own_files(&self, op: &UserOp, module: usize, files: &Json) -> Eval<Vec<PathArg>> {
        let spans: Vec<Span> = match op.files.as_ref().map(|f| &f.kind) {
            Some(ExprKind::List(items)) => items.iter().map(|i| i.span).collect(),
            _ => Vec::new(),
        };
        let all = op.files.as_ref().map(|f| f.span).or(op.runs.as_ref().map(|r| r.span)).unwrap_or(op.name.span);
        let names = files.as_array().into_iter().flatten().filter_map(Json::as_str);
        let env = op.env.as_ref().and_then(|e| Some((e.plain()?, e.span)));
        let listed = names.map(|n| {
            let at = spans.iter().find(|s| self.sources.text(**s).trim_matches('"').trim_start_matches("./") == n);
            (n.to_owned(), at.copied().unwrap_or(all))
        });
        let arg = |(name, span): (String, Span)| PathArg {
            arg: format!("{}{name}", user_op::FILES),
            path: self.resolve(module, &name),
            media: false,
            model: false,
            repository: None,
            span,
        };
        let mut out: Vec<PathArg> = listed.chain(env).map(arg).collect();
        out.sort_by(|a, b| a.arg.cmp(&b.arg));
        out.dedup_by(|a, b| a.arg == b.arg);
        Ok(out)
    }

    fn columns_of(&self, module: usize, ty: &TypeExpr) -> Option<Shape> {
        let TypeExprKind::Named { name, args } = &ty.kind else { return None };
        if name.text != "Dataset" {
            return None;
        }
        let TypeArg::Type(inner) = args.first()? else { return None };
        match &inner.kind {
            TypeExprKind::Row(row) => {
                let mut out = Shape { columns: Vec::new(), open: false };
                for part in &row.parts {
                    match part {
                        RowPart::Field { name, ty, .. } => put(&mut out.columns, &name.text, type_text(ty)),
                        RowPart::Tail(n) if n.is_schema() => {
                            for (n, t) in self.schema_columns(module, &n.text, 0)? {
                                put(&mut out.columns, &n, t);
                            }
                        }
                        RowPart::Tail(_) => out.open = true,
                    }
                }
                Some(out)
            }
            TypeExprKind::Named { name, .. } => {
                Some(Shape { columns: self.schema_columns(module, &name.text, 0)?, open: true })
            }
            _ => None,
        }
    }

    /// The options of the binding's `with` that reach an operator, `-w` before the profile before the binding.
    pub(super) fn accepted_options(&self, own: &[&str]) -> Map<String, Json> {
        let accepts = |name: &str| prelude::WITH_COMMON.contains(&name) || own.contains(&name);
        let binding = self.frames.last().map(|f| &f.with);
        let mut out = Map::new();
        for (k, v) in binding.into_iter().flatten().chain(&self.forced_with) {
            if accepts(k) {
                out.insert(k.clone(), v.clone());
            }
        }
        out
    }
}

fn put(columns: &mut Vec<(String, String)>, name: &str, ty: String) {
    if !columns.iter().any(|(n, _)| n == name) {
        columns.push((name.to_owned(), ty));
    }
}

fn schema(shape: &Shape) -> Json {
    let columns: Vec<Json> = shape.columns.iter().map(|(n, t)| json!({ "name": n, "type": t })).collect();
    json!({ "columns": columns })
}

fn dataset(node: super::artifact::NodeId, columns: Option<Vec<String>>) -> Val {
    let columns = columns.map(std::sync::Arc::new);
    Val::Artifact(Artifact { node, field: String::new(), kind: "Dataset".into(), columns })
}
