//! Parsed pairs to the typed tree: items and types. Expressions are in `lower_expr`.

use super::ast::{
    Binding, Function, Import, ImportFrom, Item, ItemKind, Name, ParamDecl, RowPart, RowType, StrLit, StrPart, TypeArg,
    TypeExpr, TypeExprKind, UserOp, With,
};
use super::grammar::{Pair, Rule, is_noise};
use super::mend::Mended;
use super::scan::{Scan, Token};
use super::{literals, trivia};
use crate::base::{Problems, SourceId, Span};

/// Lowers the pairs of one piece of a text.
pub(super) struct Lower<'a> {
    pub(super) source: SourceId,
    text: &'a str,
    /// The parsed piece of the text.
    piece: &'a Mended,
    tokens: &'a [Token],
    comments: &'a [super::ast::Comment],
    pub(super) problems: &'a mut Problems,
}

/// The children of a pair that the tree keeps.
pub(super) fn kids(pair: Pair) -> impl Iterator<Item = Pair> {
    pair.into_inner().filter(|p| !is_noise(p.as_rule()))
}

impl<'a> Lower<'a> {
    pub(super) fn new(
        source: SourceId,
        text: &'a str,
        piece: &'a Mended,
        scan: &'a Scan,
        problems: &'a mut Problems,
    ) -> Self {
        Self { source, text, piece, tokens: &scan.tokens, comments: &scan.comments, problems }
    }

    /// Returns where a pair stands, without the blanks and comments that pest counts at its end.
    pub(super) fn span(&self, pair: &Pair) -> Span {
        let start = self.piece.place(pair.as_span().start());
        let end = self.piece.place(pair.as_span().end());
        let last = self.tokens.partition_point(|t| t.end <= end);
        let trimmed = last.checked_sub(1).map_or(end, |i| self.tokens[i].end);
        Span::new(self.source, start, if trimmed > start { trimmed } else { end })
    }

    pub(super) fn name(&self, pair: &Pair) -> Name {
        let text = match pair.as_rule() {
            Rule::string => literals::quoted_name(pair.as_str()),
            _ => pair.as_str().to_owned(),
        };
        Name { text, span: self.span(pair) }
    }

    pub(super) fn string(&mut self, pair: &Pair) -> StrLit {
        let text = pair.as_str();
        let start = self.piece.place(pair.as_span().start());
        let end = self.piece.place(pair.as_span().end());
        if end - start == text.len() {
            return literals::string(self.source, text, start, self.problems);
        }
        // What a fix has put in has no places of its own.
        let whole = Span::new(self.source, start, end);
        let mut literal = literals::string(self.source, text, start, &mut Problems::default());
        literal.span = whole;
        for part in &mut literal.parts {
            if let StrPart::Name(name) = part {
                name.span = whole;
            }
        }
        literal
    }

    fn doc(&self, span: Span) -> Option<String> {
        trivia::above(self.text, self.comments, span.start as usize).doc
    }

    // ---- items

    pub(super) fn file_item(&mut self, one_item: Pair) -> Option<Item> {
        let pair = kids(one_item).next()?;
        let span = self.span(&pair);
        let above = trivia::above(self.text, self.comments, span.start as usize);
        let kind = self.item(kids(pair).next()?)?;
        Some(Item { doc: above.doc, allows: above.allows, span, kind })
    }

    fn item(&mut self, pair: Pair) -> Option<ItemKind> {
        let rule = pair.as_rule();
        let mut kids = kids(pair).peekable();
        Some(match rule {
            Rule::recipe => {
                let name = self.string(&kids.next()?);
                let requires = kids.next_if(|p| p.as_rule() == Rule::string).map(|p| self.string(&p));
                ItemKind::Recipe { name, requires, strict_numerics: kids.next().is_some() }
            }
            Rule::import => ItemKind::Import(self.import(kids)?),
            Rule::param => {
                let name = self.name(&kids.next()?);
                let ty = self.ty(kids.next()?);
                let within =
                    kids.next_if(|p| p.as_rule() == Rule::kw_in).and_then(|_| kids.next()).map(|p| self.expr(p));
                let default = kids.next().map(|p| self.expr(p));
                ItemKind::Param { name, ty, within, default }
            }
            Rule::secret => ItemKind::Secret {
                name: self.name(&kids.next()?),
                from: self.name(&kids.next()?),
                what: self.string(&kids.next()?),
            },
            Rule::schema => ItemKind::Schema { name: self.name(&kids.next()?), row: self.row(kids.next()?) },
            Rule::func => ItemKind::Fn(self.function(kids)?),
            Rule::op => ItemKind::Op(self.user_op(kids)?),
            Rule::binding => {
                let stage = kids.next()?.as_rule() == Rule::kw_stage;
                let binding = self.binding(kids)?;
                if stage { ItemKind::Stage(binding) } else { ItemKind::Let(binding) }
            }
            Rule::expect => {
                let gate = kids.next()?.as_rule() == Rule::kw_expect;
                let cond = self.expr(kids.next()?);
                let message = kids.next().map(|p| self.string(&p));
                if gate { ItemKind::Expect { cond, message } } else { ItemKind::Warn { cond, message } }
            }
            Rule::output => ItemKind::Output {
                name: self.name(&kids.next()?),
                value: self.expr(kids.next()?),
                to: kids.next().map(|p| self.string(&p)),
            },
            Rule::profile => ItemKind::Profile {
                name: self.name(&kids.next()?),
                fields: self.record_fields(kids.next()?),
                with: kids.next().map(|p| self.with(p)),
            },
            other => unreachable!("{other:?} is no item"),
        })
    }

    fn import<'p>(&mut self, mut pairs: impl Iterator<Item = Pair<'p>>) -> Option<Import> {
        let first = pairs.next()?;
        let from = match first.as_rule() {
            Rule::string => ImportFrom::File(self.string(&first)),
            _ => ImportFrom::Path(first.into_inner().map(|p| self.name(&p)).collect()),
        };
        let (mut alias, mut names) = (None, None);
        if let Some(rest) = pairs.next() {
            if rest.as_rule() == Rule::names {
                let list = kids(rest).filter_map(|name| {
                    let mut words = kids(name);
                    Some((self.name(&words.next()?), words.next().map(|p| self.name(&p))))
                });
                names = Some(list.collect());
            } else {
                alias = Some(self.name(&rest));
            }
        }
        Some(Import { from, alias, names })
    }

    fn function<'p>(&mut self, mut pairs: impl Iterator<Item = Pair<'p>>) -> Option<Function> {
        let name = self.name(&pairs.next()?);
        let params = self.params(pairs.next()?);
        let result = self.ty(pairs.next()?);
        let body = pairs.next()?;
        let (mut locals, mut value) = (Vec::new(), None);
        if body.as_rule() == Rule::block {
            for part in kids(body) {
                if part.as_rule() == Rule::local {
                    locals.extend(self.binding(kids(part).skip(1)));
                } else {
                    value = Some(self.expr(part));
                }
            }
        } else {
            value = Some(self.expr(body));
        }
        Some(Function { name, params, result, locals, body: value? })
    }

    /// `name [: type] = value [with]`, after the keyword.
    fn binding<'p>(&mut self, pairs: impl Iterator<Item = Pair<'p>>) -> Option<Binding> {
        let mut pairs = pairs.peekable();
        let name = self.name(&pairs.next()?);
        let ty = pairs.next_if(|p| p.as_rule() == Rule::type_).map(|p| self.ty(p));
        let value = self.expr(pairs.next()?);
        let with = pairs.next().map(|p| self.with(p));
        Some(Binding { name, ty, value, with })
    }

    fn with(&mut self, pair: Pair) -> With {
        let what = kids(pair).next().expect("`with` holds a record or a name");
        match what.as_rule() {
            Rule::record => With::Record { span: self.span(&what), fields: self.record_fields(what) },
            _ => With::Name(self.name(&what)),
        }
    }

    fn user_op<'p>(&mut self, pairs: impl Iterator<Item = Pair<'p>>) -> Option<UserOp> {
        let mut pairs = pairs.peekable();
        let name = self.name(&pairs.next()?);
        let params = self.params(pairs.next()?);
        let result = self.ty(pairs.next()?);
        let runs = Some(self.string(&pairs.next()?));
        let files = pairs.next_if(|p| p.as_rule() == Rule::op_files).and_then(|p| kids(p).next()).map(|p| self.list(p));
        let env = pairs.next_if(|p| p.as_rule() == Rule::op_env).and_then(|p| kids(p).next()).map(|p| self.string(&p));
        let words = pairs.map(|p| self.name(&p)).collect();
        Some(UserOp { name, params, result, runs, files, env, words })
    }

    fn params(&mut self, pair: Pair) -> Vec<ParamDecl> {
        kids(pair).map(|p| self.param(p, false)).collect()
    }

    fn param(&mut self, pdecl: Pair, rest: bool) -> ParamDecl {
        let doc = self.doc(self.span(&pdecl));
        let mut parts = kids(pdecl).peekable();
        let (Some(name), Some(ty)) = (parts.next(), parts.next()) else {
            unreachable!("a parameter has a name and a type")
        };
        let (name, ty) = (self.name(&name), self.ty(ty));
        let within = parts.next_if(|p| p.as_rule() == Rule::kw_in).and_then(|_| parts.next()).map(|p| self.expr(p));
        ParamDecl { doc, name, rest, ty, within, default: parts.next().map(|p| self.expr(p)) }
    }

    /// The signature of a built-in operator and its docs.
    pub(super) fn signature(&mut self, one_signature: Pair) -> (UserOp, String) {
        let pair = kids(one_signature).next().expect("a signature");
        let doc = self.doc(self.span(&pair)).unwrap_or_default();
        let mut parts = kids(pair);
        let (Some(name), Some(params), Some(result)) = (parts.next(), parts.next(), parts.next()) else {
            unreachable!("a signature has a name, parameters and a result")
        };
        let name = self.name(&name);
        let params = kids(params).filter_map(|p| self.signature_param(p)).collect();
        let result = self.ty(result);
        (UserOp { name, params, result, runs: None, files: None, env: None, words: Vec::new() }, doc)
    }

    fn signature_param(&mut self, sparam: Pair) -> Option<ParamDecl> {
        let inner = kids(sparam).next()?;
        if inner.as_rule() == Rule::rest {
            let doc = self.doc(self.span(&inner));
            let pdecl = kids(inner).find(|p| p.as_rule() == Rule::pdecl)?;
            return Some(ParamDecl { doc, ..self.param(pdecl, true) });
        }
        Some(self.param(inner, false))
    }

    // ---- types

    fn ty(&mut self, pair: Pair) -> TypeExpr {
        let span = self.span(&pair);
        let mut arms: Vec<TypeExpr> = kids(pair).map(|p| self.type_arm(p)).collect();
        match arms.len() {
            1 => arms.remove(0),
            _ => TypeExpr { kind: TypeExprKind::Union(arms), span },
        }
    }

    fn type_arm(&mut self, tprim: Pair) -> TypeExpr {
        let span = self.span(&tprim);
        let mut parts = kids(tprim);
        let body = parts.next().expect("a type");
        let body_span = self.span(&body);
        let kind = match body.as_rule() {
            Rule::enum_ => TypeExprKind::Enum(kids(body).map(|p| self.name(&p)).collect()),
            Rule::list_t => TypeExprKind::List(Box::new(self.ty(kids(body).next().expect("an element type")))),
            Rule::tuple_t => TypeExprKind::Tuple(kids(body).map(|p| self.ty(p)).collect()),
            Rule::row_t => TypeExprKind::Row(self.row(body)),
            _ => {
                let mut named = kids(body);
                let name = self.name(&named.next().expect("a type name"));
                let args = named.filter_map(|targ| {
                    let arg = kids(targ).next()?;
                    Some(match arg.as_rule() {
                        Rule::type_ => TypeArg::Type(self.ty(arg)),
                        _ => TypeArg::Word(self.name(&arg)),
                    })
                });
                let args = args.collect();
                TypeExprKind::Named { name, args }
            }
        };
        let inner = TypeExpr { kind, span: body_span };
        match parts.next() {
            Some(_) => TypeExpr { kind: TypeExprKind::Optional(Box::new(inner)), span },
            None => inner,
        }
    }

    fn row(&mut self, pair: Pair) -> RowType {
        let span = self.span(&pair);
        let mut parts = Vec::new();
        let mut pairs = kids(pair);
        while let Some(part) = pairs.next() {
            if part.as_rule() == Rule::rowtail {
                parts.extend(kids(part).find(|p| p.as_rule() != Rule::dotdot).map(|p| RowPart::Tail(self.name(&p))));
            } else if let Some(ty) = pairs.next() {
                let name = self.name(&part);
                let doc = self.doc(name.span);
                parts.push(RowPart::Field { doc, name, ty: self.ty(ty) });
            }
        }
        RowType { parts, span }
    }
}
