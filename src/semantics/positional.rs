//! Arguments given by place where a name is needed, and what an unknown option of one operator is elsewhere.

use super::check::{Checker, Cx};
use super::sig::{Bound, Given, Kind, Sig, dataset_in};
use crate::base::codes::{E0101, E0212, E0304};
use crate::base::{Diagnostic, Span};
use crate::spec::Type;
use crate::spec::catalogue::Operator;
use crate::syntax::ast::{Arg, Expr, ExprKind, Name, ParamDecl};

/// `10,000rows`: digits behind a comma without a blank, after a number.
fn thousands(e: &Expr, args: &[Arg]) -> Option<Diagnostic> {
    let ExprKind::Number(parts, _) = &e.kind else { return None };
    let at = args.iter().position(|a| std::ptr::eq(a.value(), e))?;
    let before = args.get(at.checked_sub(1)?)?.value();
    let ExprKind::Number(first, _) = &before.kind else { return None };
    let ([(a, None)], [(b, unit)]) = (first.as_slice(), parts.as_slice()) else { return None };
    let digits = (e.span.end - e.span.start) as usize - unit.as_ref().map_or(0, String::len);
    if before.span.end + 1 != e.span.start || digits < 1 {
        return None;
    }
    let whole = before.span.to(e.span);
    let unit = unit.as_deref().unwrap_or("");
    let (message, written) = if *a == 0.0 {
        ("the decimal sign is a point", format!("0.{b:0digits$}{unit}"))
    } else if digits == 3 {
        ("digits are grouped with `_`", format!("{a}_{b:03}{unit}"))
    } else {
        return None;
    };
    let d = Diagnostic::new(E0101, whole, message, "a comma in a number");
    Some(d.help(format!("write `{written}`")).fix(whole, written))
}

/// A column as it is written.
fn column(e: &Expr) -> Option<String> {
    match &e.kind {
        ExprKind::Col(name) => Some(format!(".{}", name.text)),
        _ => None,
    }
}

/// Says whether a column follows another one that needs a name too.
fn bundled(e: &Expr, args: &[Arg], first: Span) -> bool {
    let at = args.iter().position(|a| std::ptr::eq(a.value(), e)).unwrap_or_default();
    let before = at.checked_sub(1).map(|i| &args[i]);
    column(e).is_some() && matches!(before, Some(Arg::Positional(b)) if column(b).is_some() && b.span != first)
}

impl<'a> Checker<'a> {
    /// Another operator of the module, of the same kind, that has an option of this name.
    pub(super) fn sibling_with(&self, sig: &Sig, name: &str) -> Option<&'a str> {
        let Kind::Operator(op) = &sig.kind else { return None };
        let module = op.name.split('.').next()?;
        let has = |o: &&Operator| {
            o.name != op.name
                && o.name.split('.').next() == Some(module)
                && o.signature.params.iter().skip(1).any(|p| !p.rest && p.name.text == name)
        };
        self.catalogue.operators.iter().find(has).map(|o| o.name.as_str())
    }

    /// `f(of [.output])`: an option without its colon looks like the index of a value.
    pub(super) fn without_colon(&mut self, sig: &Sig, bound: &mut Bound, e: &Expr) -> bool {
        let ExprKind::Index(base, _) = &e.kind else { return false };
        let ExprKind::Ident(name) = &base.kind else { return false };
        let Some(at) = sig.params.iter().position(|p| !p.rest && p.name.text == *name) else { return false };
        if bound.slots[at].is_some() {
            return false;
        }
        bound.slots[at] = Some(Given::lost(e.span));
        let gap = Span { start: base.span.end, ..base.span };
        let d = Diagnostic::new(E0101, gap, format!("a colon is missing after `{name}`"), "expected `:` here");
        self.report(d.help(format!("write `{name}: …`")).fix(gap, ":"));
        true
    }

    /// The texts of two values given by place that would fit the other way round: `quiz |> eval.run(base)`.
    fn swapped(&mut self, sig: &Sig, bound: &Bound, next: &ParamDecl, e: &Expr, cx: &Cx) -> Option<(String, String)> {
        let Kind::Operator(_) = sig.kind else { return None };
        let Some(Given::Expr(left)) = &bound.slots[0] else { return None };
        let (ExprKind::Ident(a), ExprKind::Ident(b)) = (&left.kind, &e.kind) else { return None };
        let (first, second) = (self.signature_type(&sig.params[0].ty), self.signature_type(&next.ty));
        let have = |this: &mut Self, of: &Expr| {
            let ty = this.infer(of, cx);
            let ty = this.solver.resolve(&ty);
            (!matches!(ty, Type::Error | Type::Var(_))).then_some(ty)
        };
        let (left, right) = (have(self, left)?, have(self, e)?);
        let mut fits = |have: &Type, want: &Type| self.solver.could(have, want).is_ok();
        (!fits(&left, &first) && fits(&right, &first) && fits(&left, &second)).then(|| (a.clone(), b.clone()))
    }

    /// A record of options without its `..`.
    fn unspread(&mut self, sig: &Sig, e: &Expr, cx: &Cx) -> Option<Diagnostic> {
        let ExprKind::Ident(name) = &e.kind else { return None };
        let ty = self.infer(e, cx);
        let Type::Record(row) = self.solver.resolve(&ty) else { return None };
        let options = self.options_of(sig);
        if row.fields.is_empty() || row.fields.iter().any(|(field, _)| !options.contains(&field.as_str())) {
            return None;
        }
        let at = Span { end: e.span.start, ..e.span };
        let message = format!("`{}` takes the fields of a record by their names", sig.name);
        let d = Diagnostic::new(E0212, e.span, message, "a record");
        Some(d.help(format!("spread it: `..{name}`")).fix(at, ".."))
    }

    /// `rows |> train.sft(model: base)`: what is piped belongs to another argument, and what should be piped is named.
    pub(super) fn rows_for_model(&mut self, sig: &Sig, bound: &mut Bound, unknown: &mut Vec<(&Name, &Expr)>, cx: &Cx) {
        let Kind::Operator(_) = sig.kind else { return };
        let (Some(Some(Given::Expr(left))), Some(first)) = (bound.slots.first(), sig.params.first()) else { return };
        let left: &Expr = left;
        if !matches!(self.signature_type(&first.ty), Type::Model(_)) {
            return;
        }
        let ty = self.infer(left, cx);
        let ty = self.solver.resolve(&ty);
        let open = |(i, p): &(usize, &ParamDecl)| *i > 0 && p.default.is_none() && bound.slots[*i].is_none();
        let rows = sig.params.iter().enumerate().filter(open).find(|(_, p)| dataset_in(&self.signature_type(&p.ty)));
        let (Type::Dataset(_), Some((slot, rows))) = (ty, rows) else { return };
        let shown = |e: &Expr| match &e.kind {
            ExprKind::Ident(name) => name.clone(),
            _ => "…".to_owned(),
        };
        let mut model = "model".to_owned();
        if let Some(at) =
            unknown.iter().position(|(name, _)| matches!(name.text.as_str(), "model" | "base" | "base_model"))
        {
            let (_, e) = unknown.remove(at);
            self.infer(e, cx);
            model = shown(e);
        }
        let message = format!("`{}` is given the model first, and the rows by name", sig.name);
        let d = Diagnostic::new(E0304, left.span, message, "a dataset");
        let rows_text = shown(left);
        self.report(d.help(format!("write `{model} |> {}({}: {rows_text}, …)`", sig.name, rows.name.text)));
        let at = left.span;
        bound.slots[0] = Some(Given::lost(at));
        bound.slots[slot] = Some(Given::lost(at));
    }

    /// `fn f(n: Rows = 1rows, d: Dataset[Row])` called as `rows |> f()`: what is given by place belongs to a later parameter.
    pub(super) fn not_the_first(
        &mut self,
        sig: &Sig,
        types: &[Type],
        bound: &mut Bound,
        args: &[Arg],
        piped: bool,
        cx: &Cx,
    ) {
        let (Kind::Fn(..) | Kind::UserOp(_), Some(first)) = (&sig.kind, sig.params.first()) else { return };
        let named = args.iter().any(|a| matches!(a, Arg::Named(n, _) if n.text == first.name.text));
        let Some(Some(Given::Expr(e))) = bound.slots.first() else { return };
        let e: &Expr = e;
        let open = |(i, p): &(usize, &ParamDecl)| *i > 0 && p.default.is_none() && bound.slots[*i].is_none();
        let mut open = sig.params.iter().enumerate().filter(open);
        let (Some((at, other)), None, false) = (open.next(), open.next(), named) else { return };
        let ty = self.infer(e, cx);
        let have = self.solver.resolve(&ty);
        let unknown = matches!(have, Type::Error | Type::Var(_));
        if unknown || self.solver.could(&have, &types[0]).is_ok() || self.solver.could(&have, &types[at]).is_err() {
            return;
        }
        let (name, shown) = (&other.name.text, self.show(&have));
        let message = format!("the first parameter of `{}` is `{}`, and this is {shown}", sig.name, first.name.text);
        let d = Diagnostic::new(E0212, e.span, message, if piped { "piped in" } else { "given by place" });
        let d = d.also(other.name.span, format!("`{name}` takes it"));
        self.report(d.help(format!("declare `{name}` first, or name it: `{}({name}: …)`", sig.name)));
        bound.slots[0] = first.default.is_none().then(|| Given::lost(e.span));
        bound.slots[at] = Some(Given::lost(e.span));
    }

    pub(super) fn second_positional(
        &mut self,
        sig: &Sig,
        bound: &mut Bound,
        e: &Expr,
        first: Span,
        args: &[Arg],
        piped: bool,
        cx: &Cx,
    ) {
        if let Some(glued) = thousands(e, args) {
            bound.open = true;
            // The number before it is a part of this one.
            let before = args.iter().take_while(|a| !std::ptr::eq(a.value(), e)).last();
            if let Some(Arg::Named(name, _)) = before
                && let Some(i) = sig.params.iter().position(|p| p.name.text == name.text)
            {
                bound.slots[i] = Some(Given::lost(e.span));
            }
            self.report(glued);
            return;
        }
        let variadic = sig.params.iter().any(|p| p.rest);
        if variadic && bound.open {
            return; // the first one was reported
        }
        let named = |p: &&ParamDecl| !args.iter().any(|a| matches!(a, Arg::Named(n, _) if n.text == p.name.text));
        let free: Vec<(usize, &ParamDecl)> = sig
            .params
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(i, p)| !p.rest && bound.slots[*i].is_none() && named(p))
            .collect();
        let required = free.iter().find(|(_, p)| p.default.is_none());
        let next = required.or(free.first()).map(|(i, p)| {
            bound.slots[*i] = Some(Given::lost(e.span));
            *p
        });
        if let Some(p) = next
            && let Some((left, right)) = self.swapped(sig, bound, p, e, cx)
        {
            bound.slots[0] = Some(Given::lost(first));
            let message = format!("`{}` takes the two the other way round", sig.name);
            let help = if piped {
                format!("write `{right} |> {}({}: {left})`", sig.name, p.name.text)
            } else {
                format!("write `{}({right}, {}: {left})`", sig.name, p.name.text)
            };
            self.report(
                Diagnostic::new(E0212, e.span, message, "should stand first").also(first, "needs a name").help(help),
            );
            return;
        }
        if let Some(d) = self.unspread(sig, e, cx) {
            bound.open = true;
            if let Some(at) = next.and_then(|p| sig.params.iter().position(|q| std::ptr::eq(p, q))) {
                bound.slots[at] = None;
            }
            self.report(d.also(first, "the one positional argument"));
            return;
        }
        if bundled(e, args, first) {
            return; // said of the first of them
        }
        if let Some(p) = next
            && let ExprKind::Col(_) = e.kind
            && matches!(self.signature_type(&p.ty), Type::List(element) if matches!(*element, Type::Field(_)))
        {
            let name = &p.name.text;
            let columns: Vec<&Expr> = args.iter().map(Arg::value).skip_while(|a| !std::ptr::eq(*a, e)).collect();
            let columns: Vec<String> = columns.iter().map_while(|a| column(a)).collect();
            let run = args.iter().map(Arg::value).skip_while(|a| !std::ptr::eq(*a, e)).take(columns.len());
            let whole = run.last().map_or(e.span, |last| e.span.to(last.span));
            let written = format!("{name}: [{}]", columns.join(", "));
            let message = format!("`{}` takes its columns in a list", sig.name);
            let d = Diagnostic::new(E0212, whole, message, "needs a name").also(first, "the one positional argument");
            self.report(d.help(format!("write `{written}`")).fix(whole, written));
            return;
        }
        let module = sig.name.split('.').next().unwrap_or_default();
        if next.is_none() && bound.has_filter() && matches!(sig.kind, Kind::Operator(_)) && module == "filter" {
            let message = format!("`{}` takes one condition", sig.name);
            let d = Diagnostic::new(E0212, e.span, message, "a second condition");
            self.report(d.help("join them: `where: a and b`"));
            return;
        }
        let label =
            if piped { "the piped value is the one positional argument" } else { "the one positional argument" };
        let d = Diagnostic::new(
            E0212,
            e.span,
            format!("`{}` takes one positional argument; this is another one", sig.name),
            "needs a name",
        )
        .also(first, label);
        let fits = next.is_some_and(|p| {
            let want = self.signature_type(&p.ty);
            let have = self.infer(e, &cx.with_row(Some(crate::spec::Row::any())));
            !matches!(sig.kind, Kind::Operator(_)) || self.solver.could(&have, &want).is_ok()
        });
        self.report(match next {
            Some(p) => {
                let at = Span { end: e.span.start, ..e.span };
                let d = d.help(format!("name it: `{}: …`", p.name.text));
                if fits { d.fix(at, format!("{}: ", p.name.text)) } else { d }
            }
            None if variadic => d.help(format!("give each value a name: `{}(name: …)`", sig.name)),
            None => d.help("leave it out; there is no parameter left for it"),
        });
    }
}
