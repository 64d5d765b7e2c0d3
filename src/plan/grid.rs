//! Sweeps and what can be asked of their grids. Each cell is an ordinary node; labels are content of tables alone.

use std::sync::Arc;

use serde_json::Map;

use super::evaluator::{Env, Eval, Evaluator, mismatch};
use super::given::Given;
use super::metric::{Metric, SCORE_FACTS};
use super::quantity;
use super::val::{Grid, Val};
use crate::base::{Diagnostic, Span, codes, phrase};
use crate::spec::Value;
use crate::syntax::ast::{Axis, Expr, Name};

/// Reductions over a grid: each is an operator of this module that takes the grid first.
const MODULE: &str = "grid";

/// Says whether an operator runs on a grid with holes.
pub(super) fn takes_holes(op: &str) -> bool {
    ["report.page", "report.chart"].contains(&op) || op.split_once('.').is_some_and(|(module, _)| module == MODULE)
}

/// One step of an axis: what its names stand for, and their labels.
type Step = Vec<(String, Val)>;

/// Evaluates a sweep.
pub(super) fn sweep(
    ev: &mut Evaluator,
    axes: &[Axis],
    filter: Option<&Expr>,
    body: &Expr,
    span: Span,
    env: &Env,
) -> Eval<Val> {
    let mut names: Vec<String> = Vec::new();
    let mut labels: Vec<Vec<String>> = Vec::new();
    let mut rows: Vec<Step> = vec![Vec::new()];
    for axis in axes {
        let over = ev.eval(&axis.over, env)?;
        let steps = steps(axis, over)?;
        for (k, name) in axis.names.iter().enumerate() {
            names.push(name.text.clone());
            let mut column: Vec<String> = Vec::new();
            for step in &steps {
                if !column.contains(&step[k].0) {
                    column.push(step[k].0.clone());
                }
            }
            labels.push(column);
        }
        rows = rows.iter().flat_map(|row| steps.iter().map(|s| [row.as_slice(), s.as_slice()].concat())).collect();
    }
    let prefix = ev.frames.last().map_or_else(|| "sweep".to_owned(), |f| f.prefix.clone());
    let with = ev.frames.last().map_or_else(Map::new, |f| f.with.clone());
    let mut cells = Vec::new();
    for row in rows {
        if let Some(filter) = filter {
            // What is asked of an artifact here is its label.
            let mut asked = env.clone();
            for (name, (label, val)) in names.iter().zip(&row) {
                let val = if val.constant().is_some() { val.clone() } else { Val::str(label) };
                asked = asked.with(name, val);
            }
            match ev.eval(filter, &asked)? {
                Val::Value(Value::Bool(true)) => {}
                Val::Value(Value::Bool(false)) => continue,
                other => {
                    return Err(mismatch(
                        filter.span,
                        format!("`where` asks for a Bool, this is {}", other.describe()),
                    ));
                }
            }
        }
        let mut inner = env.clone();
        for (name, (_, val)) in names.iter().zip(&row) {
            inner = inner.with(name, val.clone());
        }
        let key: Vec<String> = row.into_iter().map(|(label, _)| label).collect();
        let cell = ev.in_frame(format!("{prefix}[{}]", key.join(",")), with.clone(), |ev| ev.eval(body, &inner))?;
        cells.push((key, cell));
    }
    if cells.is_empty() {
        return Err(mismatch(span, "this sweep has no cells"));
    }
    // A label whose every cell `where` removed is no label of the grid.
    for (k, column) in labels.iter_mut().enumerate() {
        column.retain(|l| cells.iter().any(|(key, _)| key[k] == *l));
    }
    Ok(Val::Grid(Arc::new(Grid { axes: names, labels, cells })))
}

fn steps(axis: &Axis, over: Val) -> Eval<Vec<Step>> {
    let span = axis.over.span;
    let bare = || {
        let d = Diagnostic::new(codes::E0603, span, "these have no labels", "an axis needs labels");
        Box::new(d.help("use a record, whose keys are the labels: `{ a: …, b: … }`"))
    };
    Ok(match over {
        Val::Record(fields) | Val::Suite(fields) => fields.into_iter().map(|f| vec![f]).collect(),
        Val::List(items) => {
            let mut out = Vec::new();
            for item in items {
                let parts = match item {
                    Val::Tuple(parts) if axis.names.len() > 1 => parts,
                    one => vec![one],
                };
                if parts.len() != axis.names.len() {
                    let message = format!(
                        "{} for {}",
                        phrase::count(parts.len(), "value"),
                        phrase::count(axis.names.len(), "name")
                    );
                    return Err(mismatch(span, message));
                }
                let label = |v: Val| match v.constant() {
                    Some(c @ (Value::Record(_) | Value::List(_))) => Err((c, bare())),
                    Some(c) => Ok((quantity::print(&c), v)),
                    None => Err((Value::None, bare())),
                };
                out.push(parts.into_iter().map(label).collect::<Result<Step, _>>().map_err(|(_, d)| d)?);
            }
            out
        }
        other => {
            return Err(mismatch(
                span,
                format!("a sweep runs over a record, a suite or a list, not {}", other.describe()),
            ));
        }
    })
}

/// Evaluates a method of a grid.
pub(super) fn method(
    ev: &mut Evaluator,
    grid: &Arc<Grid>,
    name: &Name,
    mut given: Given,
    span: Span,
    env: &Env,
) -> Eval<Val> {
    match name.text.as_str() {
        "at" => {
            let chosen = part(grid, &given)?;
            let left = without(&chosen, &given);
            match left.cells.as_slice() {
                [] => Err(mismatch(span, "no cell has these labels")),
                [(key, cell)] if key.is_empty() => Ok(cell.clone()),
                _ => Ok(Val::Grid(Arc::new(left))),
            }
        }
        "mean" => {
            let fact = match given.take("of").filter(|_| !grid.axes.iter().any(|a| a == "of")) {
                Some((Val::Value(Value::Str(fact)), _)) => fact,
                _ => "value".to_owned(),
            };
            let cells = select(grid, &given)?;
            let of: Option<Vec<Metric>> = cells.iter().map(|v| number_of(v, &fact)).collect();
            match of {
                Some(of) if !of.is_empty() => Ok(Val::Metric(Metric::Mean(of))),
                _ => Err(mismatch(span, "`.mean(…)` takes cells that are scores or numbers")),
            }
        }
        other => {
            let op = format!("{MODULE}.{other}");
            if ev.catalogue.get(&op).is_none() {
                let d = Diagnostic::new(codes::E0204, name.span, format!("a Grid has no `.{other}()`"), "not there");
                return Err(Box::new(d.help("it has `.at`, `.mean`, `.best`, `.worst_drop`, `.delta` and `.table`")));
            }
            for axis in ["rows", "cols"] {
                if let Some((_, Val::Value(Value::Str(v)), at)) = given.named.iter().find(|(n, ..)| n == axis)
                    && !grid.axes.contains(v)
                {
                    return Err(no_label(v, "axis", &grid.axes, *at));
                }
            }
            for arg in ["baseline", "gain", "from", "to"] {
                if let Some((_, Val::Value(Value::Str(v)), at)) = given.named.iter().find(|(n, ..)| n == arg) {
                    let all: Vec<String> = grid.labels.concat();
                    if !all.contains(v) {
                        return Err(no_label(v, "label", &all, *at));
                    }
                }
            }
            let (labels, rest) = given.named.into_iter().partition(|(n, ..)| grid.axes.contains(n));
            given.named = rest;
            let part = part(grid, &Given { positional: None, named: labels })?;
            given.positional = Some((Val::Grid(part), span));
            ev.operator_call(&op, given, span, name.span, env)
        }
    }
}

/// A number of a cell: of a score any of its facts, else its value.
fn number_of(cell: &Val, fact: &str) -> Option<Metric> {
    match cell {
        Val::Artifact(a) if a.kind == "Score" && SCORE_FACTS.contains(&fact) => {
            Some(Metric::Meta { of: a.clone(), path: fact.to_owned() })
        }
        other if fact == "value" => other.metric(),
        _ => None,
    }
}

/// Returns the part of a grid that has the given labels.
fn part(grid: &Arc<Grid>, given: &Given) -> Eval<Arc<Grid>> {
    if given.named.is_empty() {
        return Ok(Arc::clone(grid));
    }
    let wanted = wanted(grid, given)?;
    let mut out = Grid::clone(grid);
    out.cells.retain(|(key, _)| fits(key, &wanted));
    for (k, labels) in &wanted {
        out.labels[*k].retain(|l| labels.contains(l));
    }
    Ok(Arc::new(out))
}

/// Returns a grid without the axes that labels were given for.
fn without(grid: &Grid, given: &Given) -> Grid {
    let open = |k: &usize| !given.named.iter().any(|(name, ..)| *name == grid.axes[*k]);
    let kept: Vec<usize> = (0..grid.axes.len()).filter(open).collect();
    let pick = |all: &[String]| kept.iter().map(|&k| all[k].clone()).collect();
    Grid {
        axes: pick(&grid.axes),
        labels: kept.iter().map(|&k| grid.labels[k].clone()).collect(),
        cells: grid.cells.iter().map(|(key, cell)| (pick(key), cell.clone())).collect(),
    }
}

/// Returns the cells that have the given labels.
fn select<'g>(grid: &'g Grid, given: &Given) -> Eval<Vec<&'g Val>> {
    let wanted = wanted(grid, given)?;
    Ok(grid.cells.iter().filter(|(key, _)| fits(key, &wanted)).map(|(_, v)| v).collect())
}

fn fits(key: &[String], wanted: &[(usize, Vec<String>)]) -> bool {
    wanted.iter().all(|(k, labels)| labels.contains(&key[*k]))
}

/// Returns the labels asked for by axis: one, or a list of which any will do.
fn wanted(grid: &Grid, given: &Given) -> Eval<Vec<(usize, Vec<String>)>> {
    let mut wanted = Vec::new();
    for (axis, val, at) in &given.named {
        let Some(k) = grid.axes.iter().position(|a| a == axis) else {
            return Err(no_label(axis, "axis", &grid.axes, *at));
        };
        let items = match val {
            Val::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let label = |v: &Val| v.constant().map(|c| quantity::print(&c));
        let Some(labels) = items.iter().map(label).collect::<Option<Vec<String>>>() else {
            return Err(mismatch(*at, "a label is a text"));
        };
        if let Some(label) = labels.iter().find(|l| !grid.labels[k].contains(l)) {
            return Err(no_label(label, "label", &grid.labels[k], *at));
        }
        wanted.push((k, labels));
    }
    Ok(wanted)
}

fn no_label(label: &str, what: &str, all: &[String], span: Span) -> Box<Diagnostic> {
    let d = Diagnostic::new(codes::E0604, span, format!("no {what} `{label}` in this grid"), "not there");
    Box::new(match phrase::nearest(label, all.iter().map(String::as_str)) {
        Some(near) => d.help(format!("did you mean `{near}`?")),
        None => d.help(format!("it has {}", phrase::quoted(all))),
    })
}
