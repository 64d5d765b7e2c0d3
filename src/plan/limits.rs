//! Whether the values of arguments lie where their parameters take them.

use super::arith;
use super::evaluator::{Env, Evaluator};
use super::quantity;
use super::val::Val;
use crate::base::codes::E0214;
use crate::base::{Diagnostic, Span};
use crate::spec::Value;
use crate::syntax::ast::ParamDecl;

impl<'a> Evaluator<'a> {
    /// Reports a value outside of the range that a parameter declares, and one that no quantity can be, such as half a row.
    pub(super) fn within_limits(&mut self, of: &str, param: &'a ParamDecl, home: usize, val: &Val, span: Span) {
        let Some(value) = val.constant().filter(|v| *v != Value::None) else { return };
        let range = param.within.as_ref().and_then(|e| self.eval(e, &Env::module(home)).ok()?.constant());
        if let Some(range) = range
            && same_kind(&range, &value)
        {
            if arith::contains(&range, &value, span).is_ok_and(|inside| !inside) {
                let bounds = match &range {
                    Value::Range(a, b) => {
                        let end = |v: &Option<Box<Value>>| v.as_ref().map_or(String::new(), |v| quantity::print(v));
                        format!("{}..{}", end(a), end(b))
                    }
                    other => quantity::print(other),
                };
                let message =
                    format!("`{}` of `{of}` is {}, outside {bounds}", param.name.text, quantity::print(&value));
                let d = Diagnostic::new(E0214, span, message, "out of range");
                self.problems.push(d.help(format!("give a value in {bounds}")));
            }
            return;
        }
        if let Value::Quantity(dim, number) = value
            && let Some(why) = dim.impossible(number)
        {
            let message = format!("`{}` of `{of}` is {}: {why}", param.name.text, quantity::print(&value));
            let d = Diagnostic::new(E0214, span, message, "no such quantity");
            self.problems.push(d.help("give a whole number of them, from 0 on"));
        }
    }
}

/// A union of units is limited member by member.
fn same_kind(range: &Value, value: &Value) -> bool {
    let Value::Range(a, b) = range else { return true };
    a.iter().chain(b).all(|end| match (end.as_ref(), value) {
        (Value::Quantity(x, _), Value::Quantity(y, _)) => x == y,
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => true,
        _ => false,
    })
}
