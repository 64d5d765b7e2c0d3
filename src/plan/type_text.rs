//! Types of the language as a graph holds them: canonical text.

use crate::spec::prelude;
use crate::syntax::ast::{RowPart, TypeExpr, TypeExprKind};

/// Returns a type as canonical text: `[Image]`, `Str?`, `enum { safe, low, high }`.
pub(super) fn type_text(ty: &TypeExpr) -> String {
    let list = |items: &[TypeExpr], by: &str| items.iter().map(type_text).collect::<Vec<_>>().join(by);
    match &ty.kind {
        TypeExprKind::Union(of) => list(of, " | "),
        TypeExprKind::Optional(t) => format!("{}?", type_text(t)),
        TypeExprKind::Enum(names) => {
            format!("enum {{ {} }}", names.iter().map(|n| n.text.as_str()).collect::<Vec<_>>().join(", "))
        }
        TypeExprKind::List(t) => format!("[{}]", type_text(t)),
        TypeExprKind::Tuple(of) => format!("({})", list(of, ", ")),
        TypeExprKind::Row(row) => {
            let parts: Vec<String> = row
                .parts
                .iter()
                .map(|p| match p {
                    RowPart::Field { name, ty, .. } => format!("{}: {}", name.text, type_text(ty)),
                    RowPart::Tail(n) => format!("..{}", n.text),
                })
                .collect();
            format!("{{ {} }}", parts.join(", "))
        }
        TypeExprKind::Named { name, .. } => name.text.clone(),
    }
}

/// Returns a row type of the prelude; nothing for one that is open to columns that nobody has described.
pub(super) fn prelude_schema(name: &str) -> Option<Vec<(String, String)>> {
    let (_, row) = prelude::SCHEMAS.iter().find(|(n, _)| *n == name)?;
    let (signature, _) = crate::syntax::parse_signature(&format!("op schema(row: {row}) -> Str"));
    let TypeExprKind::Row(row) = &signature.params.first()?.ty.kind else { return None };
    let field = |p: &RowPart| match p {
        RowPart::Field { name, ty, .. } => Some((name.text.clone(), type_text(ty))),
        RowPart::Tail(_) => None,
    };
    row.parts.iter().map(field).collect()
}
