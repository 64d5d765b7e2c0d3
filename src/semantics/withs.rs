//! `with`: which options exist, of what type, and whether anything in the expression accepts them.

use super::accepted::Accepted;
use super::check::{Checker, Cx, Site};
use super::infer::Misfit;
use super::written::{Home, Position, Vars};
use crate::base::codes::{E0210, E0216};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Type, foreign, prelude};
use crate::syntax::ast::{Expr, ExprKind, Name, RecordField, With};

impl Checker<'_> {
    /// Checks a `with`; `accepted` is `None` on a profile, which reaches every operator.
    pub(super) fn with(&mut self, with: &With, accepted: Option<&Accepted>, cx: &Cx) {
        match with {
            With::Name(name) => {
                let e = Expr { kind: ExprKind::Ident(name.text.clone()), span: name.span };
                self.with_spread(&e, name.span, accepted, cx);
            }
            With::Record { fields, .. } => {
                let mut seen: Vec<&Name> = Vec::new();
                for field in fields {
                    match field {
                        RecordField::Named(name, value) => {
                            self.twice(&seen, name);
                            seen.push(name);
                            self.with_field(&name.text, name.span, value, accepted, cx);
                        }
                        RecordField::Pun(name) => {
                            self.twice(&seen, name);
                            seen.push(name);
                            let e = Expr { kind: ExprKind::Ident(name.text.clone()), span: name.span };
                            self.with_field(&name.text, name.span, &e, accepted, cx);
                        }
                        RecordField::Spread(value, span) => self.with_spread(value, *span, accepted, cx),
                    }
                }
            }
        }
    }

    fn with_field(&mut self, name: &str, span: Span, value: &Expr, accepted: Option<&Accepted>, cx: &Cx) {
        match self.with_type(name) {
            Some(ty) => {
                let site = Site::new(format!("`{name}` in `with`"), None);
                let within =
                    self.with.iter().find(|(n, _)| *n == name).and_then(|(_, s)| s.params.first()?.within.as_ref());
                self.argument_value(value, &ty, within, &format!("`{name}` in `with`"));
                self.expect(value, &Type::Metric(Box::new(ty)), cx, &site);
                self.accepts(name, span, accepted);
            }
            None => {
                self.no_with_option(name, span);
                self.infer(value, cx);
            }
        }
    }

    fn with_spread(&mut self, value: &Expr, span: Span, accepted: Option<&Accepted>, cx: &Cx) {
        let ty = self.infer(value, cx);
        let row = match self.solver.resolve(&ty) {
            Type::Record(row) => row,
            Type::Error | Type::Var(_) => return,
            other => {
                self.no_record(span, &other);
                return;
            }
        };
        for (name, have) in row.fields {
            let origin = self.field_origin(value, &name, cx).unwrap_or_else(|| value.clone());
            let Some(want) = self.with_type(&name) else {
                self.no_with_option(&name, origin.span);
                continue;
            };
            let want = Type::Metric(Box::new(want));
            if let Err(misfit) = self.solver.fits(&have, &want) {
                let site = Site::new(format!("`{name}` in `with`"), None);
                let misfit: Misfit = misfit;
                self.misfit(&origin, &have, &want, misfit, &site, cx);
            }
            self.accepts(&name, span, accepted);
        }
    }

    fn with_type(&mut self, name: &str) -> Option<Type> {
        let with = self.with;
        let (_, signature) = with.iter().find(|(n, _)| *n == name)?;
        let ty = &signature.params.first()?.ty;
        Some(self.written(ty, &mut Vars::new(Home::Builtin, false), Position::Plain))
    }

    fn accepts(&mut self, name: &str, span: Span, accepted: Option<&Accepted>) {
        let Some(accepted) = accepted else { return };
        if accepted.takes(name) {
            return;
        }
        let (message, help) = if accepted.any {
            let takers: Vec<&str> = self
                .catalogue
                .operators
                .iter()
                .filter(|op| op.spec.options().any(|own| own == name))
                .map(|op| op.name.as_str())
                .take(3)
                .collect();
            let help = if takers.is_empty() {
                "leave it out".to_owned()
            } else {
                format!("leave it out, or move it to the binding that calls {}", phrase::quoted(&takers))
            };
            (format!("nothing in this expression accepts `{name}`"), help)
        } else {
            (
                format!("`{name}` reaches nothing: this expression creates no node"),
                "put the `with` on the binding that calls the operator; names are not followed".to_owned(),
            )
        };
        self.report(Diagnostic::new(E0216, span, message, "accepted by nothing").help(help));
    }

    fn no_with_option(&mut self, name: &str, span: Span) {
        let names: Vec<&str> = prelude::WITH.iter().map(|(n, _)| *n).collect();
        let d = Diagnostic::new(E0210, span, format!("`with` has no option `{name}`"), "unknown option");
        let argument = self
            .catalogue
            .operators
            .iter()
            .find(|op| op.signature.params.iter().any(|p| !p.rest && p.name.text == name));
        let foreign = foreign::option(foreign::FOREIGN, name).or_else(|| foreign::option(foreign::MEASURING, name));
        let theirs = foreign::ours(foreign::WITH, name);
        let ours = foreign.and_then(foreign::argument);
        let taker = ours.and_then(|ours| {
            let takes =
                |op: &&crate::spec::catalogue::Operator| op.signature.params.iter().any(|p| p.name.text == ours);
            let trains = |op: &&crate::spec::catalogue::Operator| op.name.starts_with("train.") && takes(op);
            let mut operators = self.catalogue.operators.iter();
            let of_training = foreign::option(foreign::FOREIGN, name).and_then(|_| operators.clone().find(trains));
            Some((ours, of_training.or_else(|| operators.find(takes))?.name.as_str()))
        });
        self.report(match phrase::nearest(name, names.iter().copied()) {
            _ if theirs.is_some_and(|t| names.contains(&t)) => {
                let ours = theirs.unwrap_or_default();
                d.help(format!("write `{ours}`")).fix(span, ours)
            }
            _ if theirs.is_some() => d.help(theirs.unwrap_or_default()),
            _ if taker.is_some() => {
                let (ours, op) = taker.unwrap_or_default();
                d.help(format!("it changes results, so it is an argument of the call: `{op}({ours}: …)`"))
            }
            _ if foreign.is_some() => d.help(foreign.unwrap_or_default()),
            _ if argument.is_some() => d.help(format!(
                "`{name}` changes results, so it is an argument of the call: `{}({name}: …)`",
                argument.map_or("", |op| op.name.as_str())
            )),
            Some(near) => d.help(format!("did you mean `{near}`?")).fix(span, near),
            None => d.help(format!("its options are {}", phrase::quoted(&names))),
        });
    }
}
