//! Columns that an operator shows to a model, and that hold no pictures.

use super::check::{Checker, Cx};
use super::sig::{Kind, Sig};
use crate::base::codes::E0304;
use crate::base::{Diagnostic, Span};
use crate::spec::Type;

/// The columns in which models look for pictures and videos.
const COLUMNS: &[(&str, &str)] =
    &[("images", "[Image]"), ("image", "Image"), ("videos", "[Video]"), ("video", "Video")];

impl Checker<'_> {
    /// E0304 for a column of that name and another type: its rows would be read as if they had no pictures.
    pub(super) fn no_pictures(&mut self, sig: &Sig, rows: &Cx, callee: Span) {
        let Kind::Operator(op) = &sig.kind else { return };
        let Some(row) = rows.row.as_ref().filter(|_| op.spec.shows_media).map(|r| self.solver.row(r)) else { return };
        for (name, asked) in COLUMNS {
            let Some(ty) = row.get(name).filter(|ty| !may_show(ty)) else { continue };
            let ty = self.show(ty);
            let message = format!("`{}` reads pictures from `.{name}`, which is {ty}", sig.name);
            let at = rows.from.as_ref().map_or(callee, |e| e.span);
            let mut d = Diagnostic::new(E0304, at, message, format!("`{name}: {ty}`"));
            let steps = rows.from.as_ref().map(|e| self.lineage(e, rows.module)).unwrap_or_default();
            if let Some(origin) = steps.last() {
                d = d.also(origin.span, "the rows come from here");
            }
            self.report(d.help(format!(
                "declare it so in the schema, `{name}: {asked}`; if it holds none, `data.drop(columns: [.{name}])`"
            )));
        }
    }
}

/// Says whether a column may hold pictures or videos.
fn may_show(ty: &Type) -> bool {
    match ty {
        Type::Image | Type::Video | Type::Json | Type::Error | Type::Var(_) => true,
        Type::List(t) | Type::Optional(t) => may_show(t),
        _ => false,
    }
}
