//! Plain data of the room to types of the protocol.

use std::path::Path;

use gen_lsp_types as lsp;

use super::Server;
use crate::base::{Diagnostic, Severity};
use crate::lsp::complete::{Proposal, Sort};
use crate::lsp::goto::Found;
use crate::lsp::names::Kind;
use crate::lsp::snapshot::Snapshot;
use crate::lsp::symbols::Symbol;
use crate::lsp::text::{self, Encoding, Place};
use crate::lsp::uri;

/// Returns a place of ours.
pub(super) fn from_position(position: lsp::Position) -> Place {
    Place { line: position.line, column: position.character }
}

/// Returns the range of some bytes.
pub(super) fn range(text: &str, start: usize, end: usize, encoding: Encoding) -> lsp::Range {
    let position = |offset| {
        let place = text::place(text, offset, encoding);
        lsp::Position { line: place.line, character: place.column }
    };
    lsp::Range { start: position(start), end: position(end) }
}

pub(super) fn address(path: &Path) -> lsp::Uri {
    uri::from_path(path).into()
}

pub(super) fn markdown(value: String) -> lsp::MarkupContent {
    lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value }
}

impl Server {
    /// Returns a place as the editor can open it.
    pub(super) fn location(&mut self, found: &Found) -> lsp::Location {
        if crate::lsp::goto::in_std(&found.path) {
            self.write_library();
        }
        let range = range(&found.text, found.start, found.end, self.encoding);
        lsp::Location { uri: address(&self.on_disk(&found.path)), range }
    }

    /// Returns a problem; its other places, in whatever file, become related information.
    pub(super) fn diagnostic(&mut self, snapshot: &Snapshot, problem: &Diagnostic) -> lsp::Diagnostic {
        let source = problem.primary.span.source;
        let text = &snapshot.sources.get(source).text;
        let (start, end) = (problem.primary.span.start as usize, problem.primary.span.end as usize);
        let mut related = Vec::new();
        for label in &problem.others {
            let Some(module) = snapshot.module_of(label.span.source) else { continue };
            let found = crate::lsp::goto::at(snapshot, module, label.span);
            let location = self.location(&found);
            related.push(lsp::DiagnosticRelatedInformation { location, message: label.text.clone() });
        }
        let help = problem.help.as_ref().map_or(String::new(), |help| format!("\nhelp: {help}"));
        let unused = problem.code.0 == "W0201";
        lsp::Diagnostic {
            range: range(text, start, end, self.encoding),
            severity: Some(match problem.severity {
                Severity::Error => lsp::DiagnosticSeverity::Error,
                Severity::Warning => lsp::DiagnosticSeverity::Warning,
            }),
            code: Some(problem.code.0.to_owned().into()),
            source: Some("rbpipe".to_owned()),
            message: format!("{}{help}", problem.message).into(),
            tags: unused.then(|| vec![lsp::DiagnosticTag::Unnecessary]),
            related_information: (!related.is_empty()).then_some(related),
            code_description: None,
            data: None,
        }
    }

    pub(super) fn symbol(&self, text: &str, symbol: Symbol) -> lsp::DocumentSymbol {
        let span = |span: crate::base::Span| range(text, span.start as usize, span.end as usize, self.encoding);
        let children: Vec<_> = symbol.children.into_iter().map(|child| self.symbol(text, child)).collect();
        let kind = match symbol.kind {
            Some(Kind::Param | Kind::Secret | Kind::Output) => lsp::SymbolKind::Constant,
            Some(Kind::Fn | Kind::Op) => lsp::SymbolKind::Function,
            Some(Kind::Let | Kind::Stage | Kind::Argument | Kind::Local) => lsp::SymbolKind::Variable,
            Some(Kind::Schema) => lsp::SymbolKind::Struct,
            Some(Kind::Field) => lsp::SymbolKind::Field,
            Some(Kind::Profile) => lsp::SymbolKind::Object,
            Some(Kind::Import) => lsp::SymbolKind::Module,
            None => lsp::SymbolKind::Event,
        };
        #[allow(deprecated)] // the protocol's own old field must be named too
        lsp::DocumentSymbol {
            name: symbol.name,
            detail: (!symbol.detail.is_empty()).then_some(symbol.detail),
            kind,
            tags: None,
            deprecated: None,
            range: span(symbol.span),
            selection_range: span(symbol.at),
            children: (!children.is_empty()).then_some(children),
        }
    }

    pub(super) fn proposal(&self, at: usize, range: lsp::Range, called: bool, p: Proposal) -> lsp::CompletionItem {
        let call = p.insert.strip_suffix("()");
        let (new_text, snippet) = match call {
            Some(name) if self.snippets && !called => (format!("{name}($0)"), true),
            Some(name) => (name.to_owned(), false),
            None => (p.insert.clone(), false),
        };
        lsp::CompletionItem {
            label: p.label,
            kind: Some(match p.sort {
                Sort::Keyword => lsp::CompletionItemKind::Keyword,
                Sort::Module => lsp::CompletionItemKind::Module,
                Sort::Function => lsp::CompletionItemKind::Function,
                Sort::Method => lsp::CompletionItemKind::Method,
                Sort::Variable => lsp::CompletionItemKind::Variable,
                Sort::Argument => lsp::CompletionItemKind::Property,
                Sort::Column => lsp::CompletionItemKind::Field,
                Sort::Variant => lsp::CompletionItemKind::EnumMember,
                Sort::Unit => lsp::CompletionItemKind::Unit,
                Sort::Type => lsp::CompletionItemKind::Struct,
            }),
            detail: (!p.detail.is_empty()).then_some(p.detail),
            documentation: (!p.doc.is_empty()).then(|| markdown(p.doc).into()),
            sort_text: Some(format!("{at:04}")),
            insert_text_format: snippet.then_some(lsp::InsertTextFormat::Snippet),
            text_edit: Some(lsp::TextEdit { range, new_text }.into()),
            ..lsp::CompletionItem::default()
        }
    }
}
