//! Checks a whole program: every name, call and row, all problems of all files in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::OnceLock;

use super::accepted::Accepted;
use super::allow;
use super::declared::{self, Names};
use super::facts::Facts;
use super::infer::Solver;
use super::misdeclared::{self, Guess, Kind};
use super::modules::{Module, Program};
use crate::base::{Diagnostic, Problems, Span};
use crate::spec::{Catalogue, Row, Type, prelude};
use crate::syntax::ast::{Expr, ItemKind, UserOp};

/// What the command line chooses.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--profile`
    pub profile: Option<String>,
    /// `-p name=value`, in order.
    pub params: Vec<(String, String)>,
}

/// What checking found out.
#[derive(Debug, Default)]
pub struct Checked {
    /// The type of each top-level value, by module and name.
    pub bindings: BTreeMap<(usize, String), Type>,
    /// The built-in operator behind each call, by the span of the call.
    pub operators: BTreeMap<Span, String>,
}

/// Checks `program` against the operators of `catalogue`.
pub fn check(program: &Program, catalogue: &Catalogue, settings: &Settings) -> (Checked, Problems) {
    let (checked, _, problems) = run(program, catalogue, settings, None);
    (checked, problems)
}

/// As [`check`], and notes what it saw at each place.
pub fn inspect(program: &Program, catalogue: &Catalogue, settings: &Settings) -> (Checked, Facts, Problems) {
    let (checked, facts, problems) = run(program, catalogue, settings, Some(Facts::default()));
    (checked, facts.unwrap_or_default(), problems)
}

/// What the prelude says in the language itself, parsed once.
struct Prelude {
    functions: Vec<UserOp>,
    schemas: Vec<(&'static str, UserOp)>,
    with: Vec<(&'static str, UserOp)>,
}

fn prelude() -> &'static Prelude {
    static PARSED: OnceLock<Prelude> = OnceLock::new();
    let signature = |text: &str| crate::syntax::parse_signature(text).0;
    PARSED.get_or_init(|| Prelude {
        functions: prelude::FUNCTIONS.iter().map(|t| signature(t)).collect(),
        schemas: prelude::SCHEMAS
            .iter()
            .map(|(name, row)| (*name, signature(&format!("op row_type(row: {row}) -> Str"))))
            .collect(),
        with: prelude::WITH
            .iter()
            .map(|(name, ty)| (*name, signature(&format!("op with_option(value: {ty}) -> Str"))))
            .collect(),
    })
}

fn run(
    program: &Program,
    catalogue: &Catalogue,
    settings: &Settings,
    facts: Option<Facts>,
) -> (Checked, Option<Facts>, Problems) {
    let Prelude { functions, schemas, with } = prelude();
    let mut checker = Checker {
        program,
        catalogue,
        settings,
        functions,
        schemas,
        with,
        names: Vec::new(),
        solver: Solver::default(),
        problems: Problems::default(),
        lets: BTreeMap::new(),
        open: Vec::new(),
        bodies: BTreeMap::new(),
        closed: BTreeSet::new(),
        accepted: Vec::new(),
        used: BTreeSet::new(),
        rows: BTreeMap::new(),
        read_schemas: BTreeSet::new(),
        meant: BTreeSet::new(),
        guesses: Vec::new(),
        wanted: None,
        unimported: BTreeSet::new(),
        types: BTreeMap::new(),
        compared: BTreeSet::new(),
        operators: BTreeMap::new(),
        facts,
    };
    checker.names = program.modules.iter().map(|m| declared::collect(m, &mut checker.problems)).collect();
    for module in &program.modules {
        checker.module(module);
    }
    checker.settings();
    // What is read may follow from what is mended.
    if !checker.problems.has_errors() {
        checker.unused();
    }
    let Checker { problems, guesses, lets, operators, solver, mut facts, .. } = checker;
    let mut bindings = BTreeMap::new();
    for (key, state) in lets {
        if let Progress::Done(ty) = state {
            bindings.insert(key, solver.resolve(&ty));
        }
    }
    let mut out = Problems::default();
    let mut rest = misdeclared::merge(problems.sorted(), &guesses, program);
    let mended: Vec<Span> = program.modules.iter().flat_map(|m| &m.file.mended).copied().collect();
    if !mended.is_empty() {
        rest.retain(|d| !mended.iter().any(|place| begins_in(d.primary.span, *place)));
    }
    for module in &program.modules {
        let (mine, others) = rest.into_iter().partition(|d: &Diagnostic| d.primary.span.source == module.file.source);
        rest = others;
        let mut list = Problems::default();
        let mine: Vec<Diagnostic> = mine;
        mine.into_iter().for_each(|d| list.push(d));
        out.extend(allow::apply(&module.file, list, allow::Stage::Check));
    }
    rest.into_iter().for_each(|d| out.push(d));
    if let Some(facts) = &mut facts {
        facts.solver = solver;
    }
    (Checked { bindings, operators }, facts, out)
}

/// Says whether a place begins where another stands, or where that one is empty and put in.
fn begins_in(span: Span, place: Span) -> bool {
    let behind = if place.start == place.end { span.start == place.end } else { span.start < place.end };
    span.source == place.source && span.start >= place.start && behind
}

/// How far the checking of a name has come.
#[derive(Clone, Debug)]
pub(super) enum Progress<T> {
    Open,
    Done(T),
}

/// The checker's state. Its methods are spread over the files of this folder by subject.
pub(super) struct Checker<'a> {
    pub(super) program: &'a Program,
    pub(super) catalogue: &'a Catalogue,
    pub(super) settings: &'a Settings,
    /// Signatures of the prelude's functions.
    pub(super) functions: &'a [UserOp],
    /// Built-in schemas, each as the type of the one parameter of a signature.
    pub(super) schemas: &'a [(&'a str, UserOp)],
    /// Options of `with`, likewise.
    pub(super) with: &'a [(&'a str, UserOp)],
    pub(super) names: Vec<Names<'a>>,
    pub(super) solver: Solver,
    pub(super) problems: Problems,
    /// Types of top-level values.
    pub(super) lets: BTreeMap<(usize, String), Progress<Type>>,
    /// Top-level values being inferred, outermost first.
    pub(super) open: Vec<(usize, String, Span)>,
    /// Function bodies, with what `with` options they accept.
    pub(super) bodies: BTreeMap<(usize, String), Progress<Accepted>>,
    /// Functions whose result has no columns but those that its type names.
    pub(super) closed: BTreeSet<(usize, String)>,
    /// What the bindings being checked accept in `with`, innermost last.
    pub(super) accepted: Vec<Accepted>,
    /// Top-level names and imports that something reads.
    pub(super) used: BTreeSet<(usize, String)>,
    /// The rows of declared schemas, by the place of their columns.
    pub(super) rows: BTreeMap<Span, Row>,
    /// Schemas that something reads.
    pub(super) read_schemas: BTreeSet<(usize, String)>,
    /// Written types that name a row and are read as rows, which has been said.
    pub(super) meant: BTreeSet<Span>,
    /// Names that are not there, with those that were likely meant.
    pub(super) guesses: Vec<Guess>,
    /// What the name that is read next is asked to be.
    pub(super) wanted: Option<Type>,
    /// Modules of the library that a file names and does not import.
    pub(super) unimported: BTreeSet<(usize, String)>,
    /// Types of calls and names as they were inferred, for tracing where a column came from.
    pub(super) types: BTreeMap<Span, Type>,
    /// Names that stand beside the column of their name, so that both are meant: `.stars >= stars`.
    pub(super) compared: BTreeSet<Span>,
    pub(super) operators: BTreeMap<Span, String>,
    /// Kept for editors only.
    pub(super) facts: Option<Facts>,
}

/// Where an expression stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Cx {
    /// The module whose names are in scope.
    pub(super) module: usize,
    /// Parameters, local `let`s and sweep variables, innermost last.
    pub(super) locals: Vec<(String, Type)>,
    /// Inside a row function: the columns of the current row.
    pub(super) row: Option<Row>,
    /// Columns of it that a test has shown to be there.
    pub(super) there: Vec<String>,
    /// The expression that the current row comes from, to trace a column that is not there.
    pub(super) from: Option<Rc<Expr>>,
    /// What asks for the row.
    pub(super) callee: String,
}

impl Cx {
    pub(super) fn of(module: usize) -> Self {
        Self { module, ..Self::default() }
    }

    pub(super) fn with_row(&self, row: Option<Row>) -> Self {
        Self { row, there: Vec::new(), ..self.clone() }
    }
}

/// What a value is wanted for, for messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    /// Such as "`cutoff` of `train.sft`".
    pub(super) what: String,
    /// The operator or function alone.
    pub(super) callee: String,
    /// Its declaration, if the user wrote it.
    pub(super) decl: Option<Span>,
}

impl Site {
    pub(super) fn new(what: impl Into<String>, decl: Option<Span>) -> Self {
        Self { what: what.into(), callee: String::new(), decl }
    }
}

impl<'a> Checker<'a> {
    /// Adds a problem, unless it points at nothing in the user's text.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    /// Notes which declared name was likely meant by one that is not there.
    pub(super) fn guess(&mut self, kind: Kind, said: &str, near: &str, span: Span) {
        self.guesses.push(Guess { kind, said: said.to_owned(), near: near.to_owned(), span });
    }

    /// Says whether something was wrong in a place.
    pub(super) fn has_error(&self, span: Span) -> bool {
        self.problems.errors().any(|d| span.covers(d.primary.span))
    }

    /// Notes that a top-level name or an import is read.
    pub(super) fn mark(&mut self, module: usize, name: &str) {
        self.used.insert((module, name.to_owned()));
    }

    /// Notes the type of a name or expression for editors.
    pub(super) fn saw(&mut self, span: Span, ty: &Type) {
        if let Some(facts) = &mut self.facts {
            facts.saw(span, ty);
        }
    }

    /// Notes what a place asks for, for editors.
    pub(super) fn wants(&mut self, span: Span, want: &Type) {
        if let Some(facts) = &mut self.facts {
            facts.wants.insert(span, want.clone());
        }
    }

    fn module(&mut self, module: &'a Module) {
        for item in &module.file.items {
            self.item(module.id, &item.kind);
        }
    }

    fn item(&mut self, module: usize, item: &'a ItemKind) {
        let cx = Cx::of(module);
        match item {
            ItemKind::Recipe { name, requires, .. } => self.recipe(name, requires.as_ref(), &cx),
            ItemKind::Import(_) => {}
            ItemKind::Secret { from, .. } => self.secret_source(from),
            ItemKind::Param { name, .. } => {
                self.global(module, &name.text, name.span);
                self.param_value(module, item);
            }
            ItemKind::Schema { row, .. } => {
                self.schema_row(row, module);
            }
            ItemKind::Fn(function) => {
                self.body(module, function);
            }
            ItemKind::Op(op) => self.user_op(module, op),
            ItemKind::Let(binding) | ItemKind::Stage(binding) => {
                self.global(module, &binding.name.text, binding.name.span);
            }
            ItemKind::Expect { cond, message } => self.gate(cond, message.as_ref(), "expect", &cx),
            ItemKind::Warn { cond, message } => self.gate(cond, message.as_ref(), "warn", &cx),
            ItemKind::Output { name, value, to } => self.output(name, value, to.as_ref(), &cx),
            ItemKind::Profile { name, fields, with } => self.profile(module, name, fields, with.as_ref()),
        }
    }

    /// Infers an expression's type and remembers it for later looks at its origin.
    pub(super) fn noted(&mut self, e: &Expr, ty: Type) -> Type {
        self.types.insert(e.span, ty.clone());
        ty
    }
}
