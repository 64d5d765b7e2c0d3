//! Arguments given by place where a name is needed, and what an unknown option of one operator is elsewhere.

use std::rc::Rc;

use super::calls::{Bound, Given, Kind, Sig};
use super::check::Checker;
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

    pub(super) fn second_positional(
        &mut self,
        sig: &Sig,
        bound: &mut Bound,
        e: &Expr,
        first: Span,
        args: &[Arg],
        piped: bool,
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
            None => d.help("leave it out; there is no parameter left for it"),
        });
    }
}
