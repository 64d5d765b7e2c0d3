//! The syntax tree: what a file says, each part with its place. Nothing here is resolved or checked.

use crate::base::{SourceId, Span};

/// A name as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The word; for a quoted column, without its quotes.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Name {
    /// Says whether it is a schema's: `Row`, or `file.Row` of an imported file.
    pub fn is_schema(&self) -> bool {
        self.text.rsplit('.').next().is_some_and(|last| last.starts_with(char::is_uppercase))
    }
}

/// A comment, kept for docs, lint suppression, the formatter and the language server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The whole text with its `#`.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// One parsed file. Items that did not parse are missing here and present in the problems.
#[derive(Clone, Debug)]
pub struct File {
    /// Which source.
    pub source: SourceId,
    /// `#!` lines at the top, without the marks.
    pub doc: Option<String>,
    /// What parsed.
    pub items: Vec<Item>,
    /// All comments, in order.
    pub comments: Vec<Comment>,
    /// Names that items declare which did not parse: whoever reads one of them is not to blame.
    pub missing: Vec<String>,
    /// Some of it was wrong, even if it could be read as if it were mended.
    pub flawed: bool,
    /// Where something else was read than stands there: what follows from that alone is no mistake of its own.
    pub mended: Vec<Span>,
}

/// A top-level item.
#[derive(Clone, Debug)]
pub struct Item {
    /// `##` lines right above, without the marks.
    pub doc: Option<String>,
    /// `# allow CODE: reason` lines right above.
    pub allows: Vec<Allow>,
    /// The whole item.
    pub span: Span,
    /// What it is.
    pub kind: ItemKind,
}

/// One `# allow CODE: reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// The code.
    pub code: String,
    /// The reason; empty when none was given.
    pub reason: String,
    /// The comment.
    pub span: Span,
}

/// The kinds of item.
#[derive(Clone, Debug)]
pub enum ItemKind {
    /// `recipe "name" requires ">=0.1" strict_numerics`
    Recipe { name: StrLit, requires: Option<StrLit>, strict_numerics: bool },
    /// `import …`
    Import(Import),
    /// `param n: T in range = default`
    Param { name: Name, ty: TypeExpr, within: Option<Expr>, default: Option<Expr> },
    /// `secret k from env "VAR"`
    Secret { name: Name, from: Name, what: StrLit },
    /// `schema S { … }`
    Schema { name: Name, row: RowType },
    /// `fn f(a: T) -> U = …`
    Fn(Function),
    /// `op f(a: T) -> U runs "…" …`
    Op(UserOp),
    /// `let x: T = … with …`
    Let(Binding),
    /// `stage x = … with …`
    Stage(Binding),
    /// `expect e else "…"`
    Expect { cond: Expr, message: Option<StrLit> },
    /// `warn e else "…"`
    Warn { cond: Expr, message: Option<StrLit> },
    /// `output x = e to "…"`
    Output { name: Name, value: Expr, to: Option<StrLit> },
    /// `profile p { … } with …`
    Profile { name: Name, fields: Vec<RecordField>, with: Option<With> },
}

/// An import.
#[derive(Clone, Debug)]
pub struct Import {
    /// What is imported.
    pub from: ImportFrom,
    /// `as x`.
    pub alias: Option<Name>,
    /// `.{a, b as c}`: name and alias.
    pub names: Option<Vec<(Name, Option<Name>)>>,
}

/// What an import names.
#[derive(Clone, Debug)]
pub enum ImportFrom {
    /// `std.eval.embodied17`
    Path(Vec<Name>),
    /// `"./x.rb2"`, `"hub:team/pkg@^1.2"`
    File(StrLit),
}

/// A `fn`.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name.
    pub name: Name,
    /// Its parameters.
    pub params: Vec<ParamDecl>,
    /// Its result type.
    pub result: TypeExpr,
    /// `let`s of a block body.
    pub locals: Vec<Binding>,
    /// The result.
    pub body: Expr,
}

/// A user's `op`. The signatures of built-in operators are written in the same form, without `runs`.
#[derive(Clone, Debug)]
pub struct UserOp {
    /// Its name; dotted for built-in operators.
    pub name: Name,
    /// Its parameters.
    pub params: Vec<ParamDecl>,
    /// Its result type.
    pub result: TypeExpr,
    /// The command.
    pub runs: Option<StrLit>,
    /// `files [...]`.
    pub files: Option<Expr>,
    /// `env "…"`.
    pub env: Option<StrLit>,
    /// Class and effect words.
    pub words: Vec<Name>,
}

/// One declared parameter.
#[derive(Clone, Debug)]
pub struct ParamDecl {
    /// `##` lines right above.
    pub doc: Option<String>,
    /// Its name.
    pub name: Name,
    /// `..name: T`: takes every further named argument (built-in signatures only).
    pub rest: bool,
    /// Its type.
    pub ty: TypeExpr,
    /// The values that it takes, a range.
    pub within: Option<Expr>,
    /// Its default.
    pub default: Option<Expr>,
}

/// `x: T = e with …`
#[derive(Clone, Debug)]
pub struct Binding {
    /// The name.
    pub name: Name,
    /// An annotation.
    pub ty: Option<TypeExpr>,
    /// The value.
    pub value: Expr,
    /// How to run it.
    pub with: Option<With>,
}

/// What stands after `with`.
#[derive(Clone, Debug)]
pub enum With {
    /// `with { … }`
    Record { fields: Vec<RecordField>, span: Span },
    /// `with box`
    Name(Name),
}

/// A type as written.
#[derive(Clone, Debug)]
pub struct TypeExpr {
    /// What it is.
    pub kind: TypeExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of written type.
#[derive(Clone, Debug)]
pub enum TypeExprKind {
    /// `A | B`
    Union(Vec<TypeExpr>),
    /// `T?`
    Optional(Box<TypeExpr>),
    /// `enum { a, b }`
    Enum(Vec<Name>),
    /// `[T]`
    List(Box<TypeExpr>),
    /// `(A, B)`
    Tuple(Vec<TypeExpr>),
    /// `{ a: T, ..r }`
    Row(RowType),
    /// `Dataset[…]`; arguments are types or lower-case names (`Model[reward]`, `Field[Str, r]`).
    Named { name: Name, args: Vec<TypeArg> },
}

/// An argument of a named type.
#[derive(Clone, Debug)]
pub enum TypeArg {
    /// A type.
    Type(TypeExpr),
    /// A lower-case word: a family or a row variable.
    Word(Name),
}

/// `{ a: T, "level-1": Str, ..Sample, ..r }`
#[derive(Clone, Debug)]
pub struct RowType {
    /// Fields and tails, in order.
    pub parts: Vec<RowPart>,
    /// Where it stands.
    pub span: Span,
}

/// A part of a row type.
#[derive(Clone, Debug)]
pub enum RowPart {
    /// A column.
    Field { doc: Option<String>, name: Name, ty: TypeExpr },
    /// `..Schema` (upper case) or `..r` (a row variable).
    Tail(Name),
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `20_000rows`: the number and its unit, as glued parts (`2h30m` has two).
    Number(Vec<(f64, Option<String>)>, /** digits without point or exponent */ bool),
    /// A string.
    Str(StrLit),
    /// `true`
    Bool(bool),
    /// `none`
    None,
    /// `name`
    Ident(String),
    /// `TypeName`, as in `as: Sample`.
    TypeName(String),
    /// `.col`
    Col(Name),
    /// `e.field`
    Field(Box<Expr>, Name),
    /// `e[i]`
    Index(Box<Expr>, Box<Expr>),
    /// `f(…)`
    Call {
        callee: Box<Expr>,
        args: Vec<Arg>,
        /** with its parentheses */
        args_span: Span,
    },
    /// `e |> f(…)`: `call` is always a [`ExprKind::Call`].
    Pipe { left: Box<Expr>, call: Box<Expr>, op: Span },
    /// `a + b`, `a and b`, `a == b`, `a in b`, `a ?? b`
    Binary { op: BinaryOp, op_span: Span, left: Box<Expr>, right: Box<Expr> },
    /// `-e`, `not e`
    Unary { op: UnaryOp, value: Box<Expr> },
    /// `a..b`, `a..`, `..b`
    Range(Option<Box<Expr>>, Option<Box<Expr>>),
    /// `if a then b else c`
    If { cond: Box<Expr>, then: Box<Expr>, other: Box<Expr> },
    /// `sweep m in zoo, b in suite where c { e }`
    Sweep { axes: Vec<Axis>, filter: Option<Box<Expr>>, body: Box<Expr> },
    /// `{ a: 1, b, ..c }`
    Record(Vec<RecordField>),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `(a, b)`; a single parenthesised expression is [`ExprKind::Paren`].
    Tuple(Vec<Expr>),
    /// `(e)`
    Paren(Box<Expr>),
}

/// An argument of a call.
#[derive(Clone, Debug)]
pub enum Arg {
    /// `e`
    Positional(Expr),
    /// `name: e`
    Named(Name, Expr),
    /// `..e`
    Spread(Expr, Span),
}

/// A field of a record.
#[derive(Clone, Debug)]
pub enum RecordField {
    /// `name: e`
    Named(Name, Expr),
    /// `name`, short for `name: name`
    Pun(Name),
    /// `..e`
    Spread(Expr, Span),
}

/// `m in zoo`, `(lr, beta) in [...]`
#[derive(Clone, Debug)]
pub struct Axis {
    /// One name, or several for a zip.
    pub names: Vec<Name>,
    /// What it runs over.
    pub over: Expr,
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
    Coalesce,
    Add,
    Sub,
    Mul,
    Div,
}

/// Unary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Neg,
    Not,
}

/// A string literal.
#[derive(Clone, Debug)]
pub struct StrLit {
    /// Text and interpolated names, escapes resolved and blocks dedented. A raw string has one text part.
    pub parts: Vec<StrPart>,
    /// `r"…"`
    pub raw: bool,
    /// With its quotes.
    pub span: Span,
}

impl StrLit {
    /// Returns the text when nothing is interpolated.
    pub fn plain(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|p| match p {
                StrPart::Text(t) => Some(t.as_str()),
                StrPart::Name(_) => None,
            })
            .collect()
    }
}

/// A part of a string.
#[derive(Clone, Debug)]
pub enum StrPart {
    /// Verbatim.
    Text(String),
    /// `{name}`
    Name(Name),
}
