//! The graph of a recipe as an editor shows it, for a profile.

use std::path::Path;

use crate::base::{Severity, SourceMap, World};
use crate::plan::{self, render, select};
use crate::semantics::{self, Settings};
use crate::spec::Catalogue;

/// How the graph is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drawing {
    /// Mermaid's language.
    #[default]
    Mermaid,
    /// Graphviz's language.
    Dot,
    /// A picture.
    Svg,
    /// Lines of text.
    Text,
}

/// Returns the graph of the recipe at `path`, as `rbpipe graph` draws it.
///
/// # Errors
/// The first error of the recipe, in a sentence.
pub fn graph(
    world: &dyn World,
    catalogue: &Catalogue,
    path: &Path,
    profile: Option<&str>,
    drawing: Drawing,
) -> Result<String, String> {
    let mut sources = SourceMap::default();
    let (program, mut problems) = semantics::load(world, catalogue, &mut sources, path);
    let profile = profile.map(str::to_owned);
    let mut planned = None;
    if !problems.has_errors() {
        let settings = Settings { profile: profile.clone(), params: Vec::new() };
        problems.extend(semantics::check(&program, catalogue, &settings).1);
    }
    if !problems.has_errors() {
        let options = plan::Options { profile, params: Vec::new(), with: Vec::new() };
        let (made, more) = plan::evaluate(&program, catalogue, &mut sources, world, &options);
        problems.extend(more);
        planned = made;
    }
    let first = problems.sorted().into_iter().find(|d| d.severity == Severity::Error);
    if let Some(d) = first {
        return Err(format!("{}: {}; the graph is drawn once it is mended", d.code, d.message));
    }
    let Some(planned) = planned else { return Err("the recipe gives no graph".to_owned()) };
    let selection = select::select(&planned.graph, &[]).unwrap_or_default();
    Ok(match drawing {
        Drawing::Mermaid => render::mermaid(&planned.graph, &selection),
        Drawing::Dot => render::dot(&planned.graph, &selection),
        Drawing::Svg => render::svg(&planned.graph, &selection, &|_| "#fff"),
        Drawing::Text => render::text(&planned.graph, &selection),
    })
}
