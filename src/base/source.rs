//! Sources and the places in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names one source of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A half-open byte range of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The source it lies in.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// Returns the span of `start..end` in `source`.
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        Self { source, start: start as u32, end: end as u32 }
    }

    /// Returns the smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { source: self.source, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Says whether another span lies in this one.
    pub fn covers(self, inner: Self) -> bool {
        self.source == inner.source && self.start <= inner.start && inner.end <= self.end
    }
}

/// One text: a file of the user's, or a file of the standard library under a virtual path `std/…`.
#[derive(Debug)]
pub struct Source {
    /// How messages name it.
    pub name: String,
    /// The folder that relative paths in it start from; `None` for virtual files.
    pub folder: Option<PathBuf>,
    /// The whole text.
    pub text: Arc<str>,
    line_starts: Vec<usize>,
}

impl Source {
    /// Returns line and column of a byte offset, both from 1; columns count characters.
    pub fn line_col(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|&s| s <= offset) - 1;
        let start = self.line_starts[line];
        let column = self.text.get(start..offset).map_or(0, |t| t.chars().count());
        (line + 1, column + 1)
    }
}

/// All sources of one invocation.
#[derive(Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a text and returns its name.
    pub fn add(&mut self, name: impl Into<String>, folder: Option<&Path>, text: impl Into<Arc<str>>) -> SourceId {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        self.sources.push(Source { name: name.into(), folder: folder.map(Path::to_path_buf), text, line_starts });
        SourceId((self.sources.len() - 1) as u32)
    }

    /// Returns all sources in the order in which they were added.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// Forgets all but the first `count`, for a program that is read again.
    pub fn truncate(&mut self, count: usize) {
        self.sources.truncate(count);
    }

    /// Returns a source by name.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.sources[id.0 as usize]
    }

    /// Returns the text that a span covers.
    pub fn text(&self, span: Span) -> &str {
        &self.get(span.source).text[span.start as usize..span.end as usize]
    }
}
