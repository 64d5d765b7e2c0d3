//! Arguments given by place where a name is needed, and what an unknown option of one operator is elsewhere.

use std::rc::Rc;

use super::calls::{Bound, Given, Kind, Sig};
use super::check::{Checker, Cx};
use crate::base::codes::{E0101, E0212};
use crate::base::{Diagnostic, Span};
use crate::spec::Type;
use crate::spec::catalogue::Operator;
use crate::syntax::ast::{Arg, Expr, ExprKind, ParamDecl};

impl Given<'_> {
    /// Stands for a value that was given in a way that has been reported.
    pub(super) fn lost(span: Span) -> Self {
        Given::Spread(Type::Error, Rc::new(Expr { kind: ExprKind::None, span }))
    }
}

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
            format!("`{}` takes one positional argument; this is a second one", sig.name),
            "needs a name",
        )
        .also(first, label);
        self.report(match next {
            Some(p) => {
                let at = Span { end: e.span.start, ..e.span };
                d.help(format!("name it: `{}: …`", p.name.text)).fix(at, format!("{}: ", p.name.text))
            }
            None if variadic => d.help(format!("give each value a name: `{}(name: …)`", sig.name)),
            None => d.help("leave it out; there is no parameter left for it"),
        });
    }
}
