//! The analysis of one recipe with all that it imports: made once, asked often, never changed.

use std::path::Path;
use std::sync::Arc;

use super::names::{self, Use};
use super::walk;
use crate::base::{Diagnostic, SourceId, SourceMap, Span, World};
use crate::plan::{self, lints::Known};
use crate::semantics::{self, Checked, Facts, ParseCache, Program, Settings};
use crate::spec::Catalogue;

/// What is known of a recipe.
#[derive(Debug)]
pub struct Snapshot {
    /// All texts.
    pub sources: SourceMap,
    /// The recipe, module 0, and its imports.
    pub program: Program,
    /// Types of top-level values.
    pub checked: Checked,
    /// Types of everything else.
    pub facts: Facts,
    /// What `rbpipe check` says of it.
    pub problems: Vec<Diagnostic>,
    /// What the names of each module stand for.
    pub uses: Vec<Vec<Use>>,
}

impl Snapshot {
    /// Reads and checks the recipe at `path`. Files that `cache` knows with the same text are not parsed anew; `known` is what its lock has seen;
    /// without it nobody asks for warnings.
    pub fn new(
        world: &dyn World,
        catalogue: &Catalogue,
        path: &Path,
        cache: &mut ParseCache,
        known: Option<&dyn Known>,
    ) -> Self {
        let mut sources = SourceMap::default();
        let (program, mut problems) = semantics::load_again(world, catalogue, &mut sources, path, cache);
        let (checked, facts, found) = semantics::inspect(&program, catalogue, &Settings::default());
        problems.extend(found);
        if let Some(known) = known {
            let options = plan::Options::default();
            problems.extend(plan::lints::of(&program, catalogue, &mut sources, world, &options, known, &problems));
        }
        let uses = names::resolve(&program, catalogue);
        Self { sources, program, checked, facts, problems: problems.sorted(), uses }
    }

    /// Returns the text of a module.
    pub fn text(&self, module: usize) -> &Arc<str> {
        &self.sources.get(self.program.modules[module].file.source).text
    }

    /// Returns the module that a source is.
    pub fn module_of(&self, source: SourceId) -> Option<usize> {
        self.program.modules.iter().position(|m| m.file.source == source)
    }

    /// Says whether the recipe reads this file.
    pub fn reads(&self, path: &Path) -> bool {
        self.program.modules.iter().any(|m| m.path == path)
    }

    /// Returns the name at a byte of a module, or right before it.
    pub fn name_at(&self, module: usize, offset: usize) -> Option<&Use> {
        self.uses[module].iter().filter(|u| walk::touches(u.span, offset)).min_by_key(|u| u.span.end - u.span.start)
    }

    /// Returns the text at a place.
    pub fn slice(&self, span: Span) -> &str {
        self.sources.text(span)
    }
}
