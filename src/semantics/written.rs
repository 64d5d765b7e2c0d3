//! Types as written to types: names, row variables, and the special types of signatures.

use std::collections::BTreeMap;

use super::check::Checker;
use super::misdeclared::Kind;
use super::modules::ImportTarget;
use super::row_types;
use crate::base::codes::{E0201, E0202, E0305, E0602};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{GridAxis, Row, Type, column_type, foreign};
use crate::syntax::BUILTIN_SOURCE;
use crate::syntax::ast::{ItemKind, RowPart, RowType, TypeArg, TypeExpr, TypeExprKind};

/// Whose names a written type uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The signature of a built-in operator.
    Builtin,
    /// A file of the program.
    Module(usize),
}

/// The variables of one signature while its types are read.
#[derive(Debug)]
pub(super) struct Vars {
    home: Home,
    /// In the body of a function, its variables stand for themselves.
    rigid: bool,
    rows: BTreeMap<String, u32>,
    /// Row variables of datasets in parameters.
    given: Vec<u32>,
}

impl Vars {
    pub(super) fn new(home: Home, rigid: bool) -> Self {
        Self { home, rigid, rows: BTreeMap::new(), given: Vec::new() }
    }

    /// Forgets the further columns of all parameters but the first: an `op` takes no second dataset.
    pub(super) fn rows_of_first(&mut self) {
        self.given.truncate(1);
    }
}

/// Where a written type stands: datasets are open in parameters and take the parameters' row variable in results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Param,
    Result,
    Plain,
}

/// The types that need no declaration.
pub const TYPE_NAMES: &[&str] = &[
    "Int",
    "Float",
    "Bool",
    "Str",
    "Duration",
    "Bytes",
    "Ratio",
    "Tokens",
    "Steps",
    "Rows",
    "Pixels",
    "Angle",
    "Points",
    "Image",
    "Video",
    "Json",
    "Box",
    "Point",
    "Regex",
    "Prompt",
    "Secret",
    "Dataset",
    "Model",
    "Classifier",
    "Benchmark",
    "Suite",
    "Score",
    "Grid",
    "Table",
    "Report",
    "File",
    "Metric",
    "Range",
    "Field",
];

impl Checker<'_> {
    /// Reads a written type.
    pub(super) fn written(&mut self, ty: &TypeExpr, vars: &mut Vars, at: Position) -> Type {
        if self.meant.contains(&ty.span) {
            return match row_types::schema_of(ty) {
                Some(schema) => self.dataset(Some(&TypeArg::Type(schema.clone())), vars, at),
                None => Type::Dataset(Row::any()),
            };
        }
        match &ty.kind {
            TypeExprKind::Union(members) => Type::Union(members.iter().map(|m| self.written(m, vars, at)).collect()),
            TypeExprKind::Optional(inner) => Type::Optional(Box::new(self.written(inner, vars, at))),
            TypeExprKind::Enum(variants) => {
                for (i, variant) in variants.iter().enumerate() {
                    if let Some(first) = variants[..i].iter().find(|v| v.text == variant.text) {
                        let message = format!("`{}` stands twice in this `enum`", variant.text);
                        let d = Diagnostic::new(E0202, variant.span, message, "again here");
                        self.report(d.also(first.span, "first here").help("delete one of them"));
                    }
                }
                Type::Enum(variants.iter().map(|v| v.text.clone()).collect())
            }
            TypeExprKind::Tuple(items) => Type::Tuple(items.iter().map(|t| self.written(t, vars, at)).collect()),
            TypeExprKind::List(inner) => Type::List(Box::new(self.written(inner, vars, at))),
            TypeExprKind::Row(row) => Type::Record(self.written_row(row, vars)),
            TypeExprKind::Named { name, args } => self.named(&name.text, name.span, args, vars, at),
        }
    }

    fn named(&mut self, name: &str, span: Span, args: &[TypeArg], vars: &mut Vars, at: Position) -> Type {
        if let Some(ty) = column_type::simple(name) {
            return ty;
        }
        let inner = |this: &mut Self, vars: &mut Vars| match args.first() {
            Some(TypeArg::Type(t)) => this.written(t, vars, at),
            Some(TypeArg::Word(_)) | None => Type::Error,
        };
        match name {
            "Regex" => Type::Regex,
            "Prompt" => Type::Prompt,
            "Secret" => Type::Secret,
            "Classifier" => Type::Classifier,
            "Benchmark" => Type::Benchmark,
            "Suite" => Type::Suite,
            "Score" if matches!(args.first(), Some(TypeArg::Type(_))) => Type::Loss,
            "Score" => Type::Score,
            "Table" => Type::Table,
            "Report" => Type::Report,
            "File" => Type::File,
            "Reader" => Type::Reader,
            "Marker" => Type::Marker,
            "Total" => Type::Total,
            "Top" => Type::Top,
            "Schema" => Type::Schema(Row::any()),
            "Col" => Type::Field(Box::new(Type::Error)),
            "Cols" => Type::List(Box::new(Type::Field(Box::new(Type::Error)))),
            "Where" => Type::RowFn(Box::new(Type::Bool)),
            "Expr" => Type::RowFn(Box::new(inner(self, vars))),
            "Field" => Type::Field(Box::new(inner(self, vars))),
            "Metric" => Type::Metric(Box::new(inner(self, vars))),
            "Range" => Type::Range(Box::new(inner(self, vars))),
            "Keep" => Type::Union(vec![Type::Range(Box::new(inner(self, vars))), Type::Top]),
            "Grid" => {
                let axes: Vec<GridAxis> = Vec::new();
                Type::Grid(axes, Box::new(Type::Error))
            }
            "Model" => Type::Model(args.first().and_then(|a| match a {
                TypeArg::Word(family) => Some(family.text.clone()),
                TypeArg::Type(_) => None,
            })),
            "Dataset" => self.dataset(args.first(), vars, at),
            _ => match self.schema(name, vars.home) {
                Some(row) => Type::Record(row),
                None => {
                    self.unknown_type(name, span, vars.home);
                    Type::Error
                }
            },
        }
    }

    fn dataset(&mut self, arg: Option<&TypeArg>, vars: &mut Vars, at: Position) -> Type {
        if let (Some(TypeArg::Word(word)), Home::Module(module)) = (arg, vars.home) {
            self.unknown_type(&word.text, word.span, Home::Module(module));
            return Type::Error;
        }
        let (mut row, closed) = match arg {
            None | Some(TypeArg::Word(_)) => (Row::default(), true),
            Some(TypeArg::Type(t)) => match &t.kind {
                TypeExprKind::Union(members) => {
                    let members = members.iter().map(|m| self.dataset(Some(&TypeArg::Type(m.clone())), vars, at));
                    return Type::Union(members.collect());
                }
                TypeExprKind::Row(row) => {
                    let row = self.written_row(row, vars);
                    let closed = row.tail.is_none();
                    (row, closed)
                }
                TypeExprKind::Named { name, .. } => match self.schema(&name.text, vars.home) {
                    Some(row) => (row.clone(), row.tail.is_none()),
                    // A loader's `Dataset[S]`: its columns come from the schema argument.
                    None if vars.home == Home::Builtin => (Row::any(), false),
                    None => {
                        self.unknown_type(&name.text, name.span, vars.home);
                        (Row::any(), false)
                    }
                },
                _ => (Row::any(), false),
            },
        };
        let named = matches!(arg, Some(TypeArg::Type(TypeExpr { kind: TypeExprKind::Named { .. }, .. })));
        match at {
            Position::Param => {
                if closed {
                    let tail = if vars.rigid { self.solver.rigid() } else { self.solver.free() };
                    row.tail = Some(tail);
                }
                if let Some(tail) = row.tail.filter(|&t| t != Row::ANY && !vars.given.contains(&t)) {
                    vars.given.push(tail);
                }
            }
            Position::Result if closed && named && vars.home != Home::Builtin => match vars.given.as_slice() {
                [] => {}
                [only] => row.tail = Some(*only),
                _ => {
                    if let Some(TypeArg::Type(t)) = arg {
                        self.report(
                            Diagnostic::new(
                                E0305,
                                t.span,
                                "it is not clear whose other columns the result keeps",
                                "two parameters have further columns",
                            )
                            .help("name them: `a: Dataset[{ ..S, ..r }]`, `b: Dataset[{ ..T, ..s }]`, and write `..r` or `..s` here"),
                        );
                    }
                    row.tail = Some(Row::ANY);
                }
            },
            Position::Result | Position::Plain => {}
        }
        Type::Dataset(row)
    }

    fn written_row(&mut self, row: &RowType, vars: &mut Vars) -> Row {
        let mut out = Row::default();
        for part in &row.parts {
            match part {
                RowPart::Field { name, ty, .. } => {
                    let ty = self.written(ty, vars, Position::Plain);
                    match out.fields.iter_mut().find(|(n, _)| *n == name.text) {
                        Some(slot) => {
                            slot.1 = ty;
                            self.report(
                                Diagnostic::new(
                                    E0202,
                                    name.span,
                                    format!("`{}` is declared twice", name.text),
                                    "declared again here",
                                )
                                .help("delete or rename one of them"),
                            );
                        }
                        None => out.fields.push((name.text.clone(), ty)),
                    }
                }
                RowPart::Tail(name) if name.is_schema() => match self.schema(&name.text, vars.home) {
                    Some(more) => {
                        for (field, ty) in more.fields {
                            if out.get(&field).is_none() {
                                out.fields.push((field, ty));
                            }
                        }
                        out.tail = out.tail.or(more.tail);
                    }
                    None => self.unknown_type(&name.text, name.span, vars.home),
                },
                RowPart::Tail(name) if name.text == "any" => out.tail = Some(Row::ANY),
                RowPart::Tail(name) => {
                    let var = match vars.rows.get(&name.text) {
                        Some(&var) => var,
                        None => {
                            let var = if vars.rigid { self.solver.rigid() } else { self.solver.free() };
                            vars.rows.insert(name.text.clone(), var);
                            var
                        }
                    };
                    out.tail = Some(var);
                }
            }
        }
        out
    }

    /// Reads a type of a built-in signature by itself.
    pub(super) fn signature_type(&mut self, ty: &TypeExpr) -> Type {
        self.written(ty, &mut Vars::new(Home::Builtin, false), Position::Param)
    }

    /// Returns the row of a schema: the file's own before the built-in ones, or that of an imported file, `file.Schema`.
    pub(super) fn schema(&mut self, name: &str, home: Home) -> Option<Row> {
        if let (Home::Module(module), Some((file, name))) = (home, name.split_once('.')) {
            self.mark(module, file);
            let &&ImportTarget::Module(id) = self.names[module].imports.get(file)? else { return None };
            let ItemKind::Schema { row, .. } = self.names[id].schemas.get(name).copied()? else { return None };
            self.read_schemas.insert((id, name.to_owned()));
            return Some(self.schema_row(row, id));
        }
        if let Home::Module(module) = home
            && let Some(ItemKind::Schema { row, .. }) = self.names[module].schemas.get(name).copied()
        {
            self.read_schemas.insert((module, name.to_owned()));
            return Some(self.schema_row(row, module));
        }
        let schemas = self.schemas;
        let (_, signature) = schemas.iter().find(|(n, _)| *n == name)?;
        let mut vars = Vars::new(Home::Builtin, false);
        match self.written(&signature.params.first()?.ty, &mut vars, Position::Plain) {
            Type::Record(row) => Some(row),
            _ => None,
        }
    }

    /// Reads the row of a declared schema.
    pub(super) fn schema_row(&mut self, row: &RowType, module: usize) -> Row {
        if let Some(read) = self.rows.get(&row.span) {
            return read.clone();
        }
        let at = row.span;
        if self.open.iter().any(|(_, name, span)| name == "schema" && *span == at) {
            let d = Diagnostic::new(E0602, at, "this schema is made of itself", "spreads itself");
            self.report(d.help("spread another schema, or write the columns out"));
            return Row::any();
        }
        self.open.push((module, "schema".to_owned(), at));
        let row = self.written_row(row, &mut Vars::new(Home::Module(module), false));
        self.open.pop();
        if row.tail.is_none() {
            self.rows.insert(at, row.clone());
        }
        row
    }

    fn unknown_type(&mut self, name: &str, span: Span, home: Home) {
        if span.source == BUILTIN_SOURCE {
            return;
        }
        if let Home::Module(module) = home
            && (self.names[module].missing.contains(name) || self.unknown_of_file(name, span, module))
        {
            return;
        }
        let mut known: Vec<&str> = match home {
            Home::Module(module) => self.names[module].schemas.keys().copied().collect(),
            Home::Builtin => Vec::new(),
        };
        known.extend(TYPE_NAMES);
        let d = Diagnostic::new(E0201, span, format!("there is no type `{name}`"), "unknown type");
        let theirs = foreign::ours(foreign::TYPES, name);
        if matches!(name, "None" | "Null" | "Nil" | "Undefined") {
            return self.report(d.help("a value that may be absent has a `?` behind its type: `Str?`"));
        }
        if let Some(ours) = theirs {
            let d = d.help(format!("write `{ours}`"));
            self.report(if matches!(ours, "[T]" | "T?") { d } else { d.fix(span, ours) });
            return;
        }
        let d = match phrase::nearest(name, known) {
            Some(near) => {
                let near = near.to_owned();
                if let Home::Module(module) = home
                    && !TYPE_NAMES.contains(&near.as_str())
                {
                    self.guess(Kind::Schema(module), name, &near, span);
                }
                d.help(format!("did you mean `{near}`?")).fix(span, near)
            }
            None => d.help(format!("declare it: `schema {name} {{ id: Str, … }}`")),
        };
        self.report(d);
    }
}
