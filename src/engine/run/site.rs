//! `site.rb2`: what this machine has, where else nodes can run, and what `with` says where a recipe is silent. It changes no result, so it stands in
//! no recipe and no key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value as Json};

use crate::base::world::{World, settings};
use crate::base::{Diagnostic, Problems, SourceMap, Span, codes, phrase};
use crate::engine::capacity::{Facts, Machine};
use crate::engine::executors::LOCAL;
use crate::engine::executors::slurm::SlurmSite;
use crate::engine::executors::ssh::SshSite;
use crate::plan::Graph;
use crate::plan::params::constant;
use crate::spec::{Dim, Value, prelude};
use crate::syntax::ast::{Expr, ExprKind, ItemKind, RecordField};

const MACHINE: &str = "machine";
const DEFAULTS: &str = "defaults";

/// What the site file says.
#[derive(Clone, Debug)]
pub struct Site {
    /// This machine.
    pub machine: Machine,
    /// Other places to run nodes, by name.
    pub executors: BTreeMap<String, Elsewhere>,
    /// Options of `with` for nodes that do not name them.
    pub defaults: Map<String, Json>,
}

/// A place other than this machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Elsewhere {
    /// A Slurm whose machines share the store's folder.
    Slurm(SlurmSite),
    /// A machine that `ssh` reaches.
    Ssh(SshSite),
}

/// What a field may hold.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Int,
    Bytes,
    Duration,
    Text,
    Texts,
    /// Operators with a number: `{ eval: { run: 1 } }`.
    Counts,
}

impl Kind {
    fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Kind::Int, Value::Int(n)) => *n > 0,
            (Kind::Bytes, Value::Quantity(Dim::Bytes, n)) => *n > 0.0,
            (Kind::Duration, Value::Quantity(Dim::Duration, _)) | (Kind::Text, Value::Str(_)) => true,
            (Kind::Texts, Value::List(items)) => items.iter().all(|i| matches!(i, Value::Str(_))),
            (Kind::Counts, Value::Record(fields)) => {
                fields.iter().all(|(_, v)| Kind::Int.takes(v) || Kind::Counts.takes(v))
            }
            _ => false,
        }
    }

    fn example(self) -> &'static str {
        match self {
            Kind::Int => "4",
            Kind::Bytes => "64GiB",
            Kind::Duration => "10s",
            Kind::Text => "\"text\"",
            Kind::Texts => "[\"0\", \"1\"]",
            Kind::Counts => "{ eval: { run: 1 } }",
        }
    }
}

/// The kinds of executor.
const KINDS: &[&str] = &["slurm", "ssh"];

type Fields = &'static [(&'static str, Kind)];

const MACHINE_FIELDS: Fields =
    &[("cpus", Kind::Int), ("mem", Kind::Bytes), ("gpus", Kind::Texts), ("at_most", Kind::Counts)];

const SLURM_FIELDS: Fields = &[
    ("kind", Kind::Text),
    ("partition", Kind::Text),
    ("account", Kind::Text),
    ("qos", Kind::Text),
    ("options", Kind::Texts),
    ("setup", Kind::Text),
    ("rbpipe", Kind::Text),
    ("engine", Kind::Text),
    ("at_once", Kind::Int),
    ("poll", Kind::Duration),
    ("per_node", Kind::Int),
];

const SSH_FIELDS: Fields = &[
    ("kind", Kind::Text),
    ("host", Kind::Text),
    ("options", Kind::Texts),
    ("setup", Kind::Text),
    ("rbpipe", Kind::Text),
    ("engine", Kind::Text),
    ("store", Kind::Text),
    ("cpus", Kind::Int),
    ("mem", Kind::Bytes),
    ("gpus", Kind::Texts),
    ("at_most", Kind::Counts),
];

/// Returns where the site file lies: `RBPIPE_SITE`, else `rbpipe/site.rb2` in the folder of settings; the former must be there.
fn place(world: &dyn World) -> (PathBuf, bool) {
    let named = |name: &str| world.env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = named("RBPIPE_SITE") {
        return (path, true);
    }
    (settings(&named).join("site.rb2"), false)
}

impl Site {
    /// Reads the site file; without one, this machine is all there is. Problems: E0622, and those of the language.
    pub fn read(world: &dyn World, sources: &mut SourceMap) -> (Self, Problems) {
        let (path, wanted) = place(world);
        let (executors, defaults) = (BTreeMap::new(), Map::new());
        let mut site = Self { machine: Machine::this(), executors, defaults };
        let mut problems = Problems::default();
        match world.read(&path) {
            Ok(text) => {
                let source = sources.add(path.display().to_string(), path.parent(), text.as_str());
                let (file, wrong) = crate::syntax::parse(source, &text);
                problems.extend(wrong);
                for item in &file.items {
                    if let Err(d) = site.item(&item.kind, item.span, &mut problems) {
                        problems.push(*d);
                    }
                }
            }
            Err(e) if wanted || e.kind() != std::io::ErrorKind::NotFound => {
                let text = path.display().to_string();
                let source = sources.add("the site file", None, text.as_str());
                let message = format!("cannot read the site file `{text}`: {e}");
                let d = Diagnostic::new(codes::E0622, Span::new(source, 0, text.len()), message, "this file");
                problems
                    .push(d.help("`RBPIPE_SITE` names it; without that variable, ~/.config/rbpipe/site.rb2 is read"));
            }
            Err(_) => {}
        }
        (site, problems)
    }

    fn item(&mut self, item: &ItemKind, span: Span, problems: &mut Problems) -> Result<(), Box<Diagnostic>> {
        let wrong =
            |span: Span, message: String, label: &str| Box::new(Diagnostic::new(codes::E0622, span, message, label));
        let ItemKind::Let(binding) = item else {
            let d = wrong(span, "a site file has `let` items alone".into(), "not a `let`");
            return Err(Box::new(d.help("recipes have the rest; `docs/placement.md` shows a site file")));
        };
        let name = binding.name.text.as_str();
        let ExprKind::Record(fields) = &binding.value.kind else {
            let d = wrong(binding.value.span, format!("`{name}` is a record here"), "not a record");
            return Err(Box::new(d.help(format!("write `let {name} = {{ … }}`"))));
        };
        match name {
            MACHINE => {
                let facts: Facts = read(fields, MACHINE_FIELDS, &format!("`{MACHINE}`"), problems);
                self.machine = facts.over(self.machine.clone());
            }
            DEFAULTS => self.defaults = defaults(fields, problems),
            LOCAL => {
                let d = wrong(binding.name.span, "`local` is this machine".into(), "taken");
                return Err(Box::new(d.help("`let machine = { … }` says what it has")));
            }
            _ => {
                let kind = fields.iter().find_map(|f| match f {
                    RecordField::Named(n, e) if n.text == "kind" => Some((constant(e)?.constant()?, e.span)),
                    _ => None,
                });
                let of = format!("the executor `{name}`");
                let elsewhere = match &kind {
                    Some((Value::Str(kind), _)) if kind == "slurm" => {
                        Elsewhere::Slurm(read(fields, SLURM_FIELDS, &of, problems))
                    }
                    Some((Value::Str(kind), _)) if kind == "ssh" => {
                        let ssh: SshSite = read(fields, SSH_FIELDS, &of, problems);
                        if ssh.host.is_empty() {
                            let d = wrong(binding.name.span, format!("{of} names no `host`"), "no host");
                            return Err(Box::new(d.help("write `host: \"user@machine\"`, as `ssh` takes it")));
                        }
                        Elsewhere::Ssh(ssh)
                    }
                    _ => {
                        let span = kind.map_or(binding.name.span, |(_, span)| span);
                        let d = wrong(span, format!("`{name}` does not say what kind of executor it is"), "not known");
                        let help = format!(
                            "write `kind: …`, one of {}; beside executors a site file has `{MACHINE}` and `{DEFAULTS}`",
                            phrase::quoted(KINDS)
                        );
                        return Err(Box::new(d.help(help)));
                    }
                };
                self.executors.insert(name.to_owned(), elsewhere);
            }
        }
        Ok(())
    }

    /// Gives nodes the options of `with` that the site has and that neither recipe nor command line names. `accepts` says which option an operator takes.
    pub fn apply(&self, graph: &mut Graph, accepts: &dyn Fn(&str, &str) -> bool) {
        for node in graph.dag.node_weights_mut().filter(|node| node.gate.is_none()) {
            for (name, value) in &self.defaults {
                if accepts(&node.op, name) && !node.with.contains_key(name) {
                    node.with.insert(name.clone(), value.clone());
                }
            }
        }
    }
}

/// Reads the fields of a record whose names and kinds are known.
fn read<T: Default + serde::de::DeserializeOwned>(
    fields: &[RecordField],
    known: Fields,
    of: &str,
    problems: &mut Problems,
) -> T {
    let mut out = Map::new();
    for (name, span, value) in named(fields, problems) {
        let Some((_, kind)) = known.iter().find(|(n, _)| *n == name) else {
            let d = Diagnostic::new(codes::E0622, span, format!("{of} has no field `{name}`"), "not known");
            let names: Vec<&str> = known.iter().map(|(n, _)| *n).collect();
            problems.push(match phrase::nearest(&name, names.iter().copied()) {
                Some(near) => d.help(format!("did you mean `{near}`?")).fix(span, near),
                None => d.help(format!("its fields are {}", phrase::quoted(&names))),
            });
            continue;
        };
        match constant(value).and_then(|v| v.constant()).filter(|v| kind.takes(v)) {
            Some(v) => {
                out.insert(name, v.to_json());
            }
            None => {
                let d = Diagnostic::new(codes::E0622, value.span, format!("`{name}` does not fit"), "does not fit");
                problems.push(d.help(format!("write it as `{name}: {}`", kind.example())));
            }
        }
    }
    serde_json::from_value(Json::Object(out)).unwrap_or_default()
}

/// Reads options of `with`.
fn defaults(fields: &[RecordField], problems: &mut Problems) -> Map<String, Json> {
    let mut out = Map::new();
    for (name, span, value) in named(fields, problems) {
        let Some((_, of)) = prelude::WITH.iter().find(|(n, _)| *n == name) else {
            let names = prelude::WITH.iter().map(|(n, _)| *n);
            let d = Diagnostic::new(codes::E0622, span, format!("`with` has no option `{name}`"), "unknown option");
            problems.push(match phrase::nearest(&name, names) {
                Some(near) => d.help(format!("did you mean `{near}`?")).fix(span, near),
                None => d.help("`defaults` holds options of `with`; the reference of the language lists them"),
            });
            continue;
        };
        let (ty, least) = prelude::least(of);
        let fits = |v: &Value| match ty {
            "Int" => matches!(v, Value::Int(n) if least.is_none_or(|least| *n >= least)),
            "Bytes" => Kind::Bytes.takes(v),
            "Duration" => Kind::Duration.takes(v),
            "Str" => Kind::Text.takes(v),
            "Bool" => matches!(v, Value::Bool(_)),
            _ => true,
        };
        match constant(value).and_then(|v| v.constant()).filter(fits) {
            Some(v) => {
                out.insert(name.clone(), crate::plan::params::tagged_if_steps(&name, &v));
            }
            None => problems.push(
                Diagnostic::new(codes::E0622, value.span, format!("`{name}` does not fit"), "does not fit")
                    .help(format!("`{name}` in `with` is {of}")),
            ),
        }
    }
    out
}

fn named<'f>(fields: &'f [RecordField], problems: &mut Problems) -> Vec<(String, Span, &'f Expr)> {
    let mut out: Vec<(String, Span, &Expr)> = Vec::new();
    for field in fields {
        let (name, value) = match field {
            RecordField::Named(name, value) => (name, value),
            RecordField::Pun(name) => {
                problems.push(Diagnostic::new(codes::E0622, name.span, "a site file has constants alone", "a name"));
                continue;
            }
            RecordField::Spread(_, span) => {
                problems.push(Diagnostic::new(codes::E0622, *span, "a site file has constants alone", "a spread"));
                continue;
            }
        };
        if out.iter().any(|(n, ..)| *n == name.text) {
            problems.push(Diagnostic::new(codes::E0622, name.span, format!("`{}` stands twice", name.text), "again"));
            continue;
        }
        out.push((name.text.clone(), name.span, value));
    }
    out
}
