//! Ways through the syntax tree: what stands at a byte.

use crate::base::Span;
use crate::syntax::ast::{Expr, File, Item};
pub use crate::syntax::{children, expressions, type_parts, types};

/// Says whether a byte lies in a span or right after it.
pub fn touches(span: Span, offset: usize) -> bool {
    span.start as usize <= offset && offset <= span.end as usize
}

/// Returns the item at a byte.
pub fn item_at(file: &File, offset: usize) -> Option<&Item> {
    file.items.iter().find(|item| touches(item.span, offset))
}

/// Returns the expressions around a byte, the outermost first.
pub fn path(item: &Item, offset: usize) -> Vec<&Expr> {
    let mut found = Vec::new();
    let mut next = None;
    expressions(&item.kind, &mut |e| {
        if touches(e.span, offset) {
            next = Some(e);
        }
    });
    while let Some(e) = next.take() {
        found.push(e);
        children(e, &mut |part| {
            // Of two that touch the byte, the one that ends there is meant: the cursor stands behind what was typed.
            let better = next.is_none_or(|known: &Expr| (known.span.end as usize) < offset);
            if touches(part.span, offset) && better {
                next = Some(part);
            }
        });
    }
    found
}
