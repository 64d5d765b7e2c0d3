//! One function for each request.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::rc::Rc;

use gen_lsp_types as lsp;
use lsp_server::ErrorCode;
use serde_json::{Value as Json, json};

use super::{Answer, Failure, Server, convert, read, say};
use crate::lsp::snapshot::Snapshot;
use crate::lsp::text::{self, Encoding};
use crate::lsp::{complete, fixes, goto, graph, hints, hover, rename, symbols, tokens, uri, workspace};
use crate::semantics::ParseCache;
use crate::syntax;

/// Returns what the server can do.
pub(super) fn capabilities(encoding: Encoding) -> Json {
    let kind = match encoding {
        Encoding::Utf8 => "utf-8",
        Encoding::Utf16 => "utf-16",
    };
    json!({
        "positionEncoding": kind,
        "textDocumentSync": { "openClose": true, "change": 2, "save": true },
        "hoverProvider": true,
        "completionProvider": { "triggerCharacters": [".", "\"", "{", "(", ":"] },
        "definitionProvider": true,
        "referencesProvider": true,
        "documentHighlightProvider": true,
        "renameProvider": { "prepareProvider": true },
        "documentSymbolProvider": true,
        "codeActionProvider": { "codeActionKinds": ["quickfix"] },
        "documentFormattingProvider": true,
        "inlayHintProvider": true,
        "semanticTokensProvider": {
            "legend": { "tokenTypes": tokens::COLORS, "tokenModifiers": tokens::MARKS },
            "full": true,
        },
        "workspace": { "workspaceFolders": { "supported": true, "changeNotifications": true } },
    })
}

/// A file, its analysis and a byte of it.
struct Spot {
    path: PathBuf,
    snapshot: Rc<Snapshot>,
    offset: usize,
}

impl Server {
    pub(super) fn answer(&mut self, method: &str, params: Json) -> Answer {
        match method {
            "textDocument/hover" => self.hover(read(params)?),
            "textDocument/completion" => self.complete(read(params)?),
            "textDocument/definition" => self.definition(read(params)?),
            "textDocument/references" => self.references(read(params)?),
            "textDocument/documentHighlight" => self.highlight(read(params)?),
            "textDocument/prepareRename" => self.prepare_rename(read(params)?),
            "textDocument/rename" => self.rename(read(params)?),
            "textDocument/documentSymbol" => self.symbols(read(params)?),
            "textDocument/codeAction" => self.actions(read(params)?),
            "textDocument/formatting" => self.format(read(params)?),
            "textDocument/inlayHint" => self.hints(read(params)?),
            "textDocument/semanticTokens/full" => self.tokens(read(params)?),
            "rbpipe/graph" => self.graph(&params),
            _ => Err(Failure(ErrorCode::MethodNotFound, format!("there is no method `{method}`"))),
        }
    }

    fn open(&mut self, document: &lsp::TextDocumentIdentifier) -> Result<(PathBuf, Rc<Snapshot>), Failure> {
        let path = uri::to_path(document.uri.as_ref());
        let snapshot = self.snapshot(&path)?;
        Ok((path, snapshot))
    }

    fn spot(&mut self, at: &lsp::TextDocumentPositionParams) -> Result<Spot, Failure> {
        let (path, snapshot) = self.open(&at.text_document)?;
        let offset = text::offset(snapshot.text(0), convert::from_position(at.position), self.encoding);
        Ok(Spot { path, snapshot, offset })
    }

    fn hover(&mut self, params: lsp::HoverParams) -> Answer {
        let Spot { snapshot, offset, .. } = self.spot(&params.text_document_position_params)?;
        let hover = hover::hover(&snapshot, &self.config.catalogue, 0, offset);
        say(hover.map(|h| lsp::Hover {
            contents: convert::markdown(h.text).into(),
            range: Some(self.range(&snapshot, h.span.start as usize, h.span.end as usize)),
        }))
    }

    fn complete(&mut self, params: lsp::CompletionParams) -> Answer {
        let Spot { path, snapshot, offset } = self.spot(&params.text_document_position_params)?;
        let cache = self.recipes.get(&path).map(|r| r.cache.clone()).unwrap_or_default();
        let found = complete::complete(&self.world, &self.config.catalogue, &path, offset, &cache);
        let range = self.range(&snapshot, found.typed.0, found.typed.1);
        let called = snapshot.text(0)[found.typed.1..].starts_with('(');
        let list = found.list.into_iter().enumerate();
        let items: Vec<_> = list.map(|(at, p)| self.proposal(at, range, called, p)).collect();
        say(json!({ "isIncomplete": false, "items": items }))
    }

    fn definition(&mut self, params: lsp::DefinitionParams) -> Answer {
        let Spot { snapshot, offset, .. } = self.spot(&params.text_document_position_params)?;
        let found = goto::definition(&snapshot, &self.config.catalogue, 0, offset);
        say(found.map(|found| self.location(&found)))
    }

    /// Returns the recipes that may use a name: the file itself first, then what is open, then files of the workspace that
    /// hold the word.
    fn users(&mut self, spot: &Spot, word: &str) -> Vec<Rc<Snapshot>> {
        let mut found = vec![Rc::clone(&spot.snapshot)];
        let open: Vec<PathBuf> = self.recipes.keys().filter(|p| **p != spot.path).cloned().collect();
        found.extend(open.iter().filter_map(|path| self.snapshot(path).ok()));
        for path in workspace::recipes(&self.folders) {
            let holds = std::fs::read_to_string(&path).is_ok_and(|text| text.contains(word));
            if holds && !self.recipes.contains_key(&path) {
                let made = Snapshot::new(&self.world, &self.config.catalogue, &path, &mut ParseCache::default(), None);
                found.push(Rc::new(made));
            }
        }
        found
    }

    fn references(&mut self, params: lsp::ReferenceParams) -> Answer {
        let spot = self.spot(&params.text_document_position_params)?;
        let Some(name) = spot.snapshot.name_at(0, spot.offset) else { return Ok(Json::Null) };
        let Some(meaning) = goto::meaning(&spot.snapshot, &name.target) else { return Ok(Json::Null) };
        let users = self.users(&spot, spot.snapshot.slice(name.span));
        let found = goto::references(users.iter().map(Rc::as_ref), &meaning, params.context.include_declaration);
        say(found.iter().map(|found| self.location(found)).collect::<Vec<_>>())
    }

    fn highlight(&mut self, params: lsp::DocumentHighlightParams) -> Answer {
        let Spot { snapshot, offset, .. } = self.spot(&params.text_document_position_params)?;
        let Some(meaning) = snapshot.name_at(0, offset).and_then(|name| goto::meaning(&snapshot, &name.target)) else {
            return Ok(Json::Null);
        };
        let here = goto::uses(&snapshot, &meaning).filter(|(id, _)| *id == 0);
        let list = here.map(|(_, u)| lsp::DocumentHighlight {
            range: self.range(&snapshot, u.span.start as usize, u.span.end as usize),
            kind: Some(if u.declares { lsp::DocumentHighlightKind::Write } else { lsp::DocumentHighlightKind::Read }),
        });
        say(list.collect::<Vec<_>>())
    }

    fn prepare_rename(&mut self, params: lsp::PrepareRenameParams) -> Answer {
        let Spot { snapshot, offset, .. } = self.spot(&params.text_document_position_params)?;
        let name = rename::renamable(&snapshot, 0, offset).map_err(Failure::refused)?;
        let range = self.range(&snapshot, name.span.start as usize, name.span.end as usize);
        say(json!({ "range": range, "placeholder": snapshot.slice(name.span) }))
    }

    fn rename(&mut self, params: lsp::RenameParams) -> Answer {
        let spot = self.spot(&params.text_document_position_params)?;
        let name = rename::renamable(&spot.snapshot, 0, spot.offset).map_err(Failure::refused)?;
        let users = self.users(&spot, spot.snapshot.slice(name.span));
        let users: Vec<&Snapshot> = users.iter().map(Rc::as_ref).collect();
        let changes = rename::rename(&self.world, &self.config.catalogue, &users, spot.offset, &params.new_name);
        let mut edits = HashMap::new();
        for (path, list) in changes.map_err(Failure::refused)? {
            let known = users.iter().find_map(|s| {
                let module = s.program.modules.iter().position(|m| m.path == path)?;
                Some(s.text(module))
            });
            let Some(text) = known else { continue };
            let list = list.into_iter().map(|change| lsp::TextEdit {
                range: convert::range(text, change.start, change.end, self.encoding),
                new_text: change.text,
            });
            edits.insert(convert::address(&path), list.collect::<Vec<_>>());
        }
        say(lsp::WorkspaceEdit { changes: Some(edits), ..lsp::WorkspaceEdit::default() })
    }

    fn symbols(&mut self, params: lsp::DocumentSymbolParams) -> Answer {
        let (_, snapshot) = self.open(&params.text_document)?;
        let list = symbols::symbols(&snapshot, 0).into_iter();
        say(list.map(|symbol| self.symbol(snapshot.text(0), symbol)).collect::<Vec<_>>())
    }

    fn actions(&mut self, params: lsp::CodeActionParams) -> Answer {
        let (path, snapshot) = self.open(&params.text_document)?;
        let text = snapshot.text(0);
        let offset = |position| text::offset(text, convert::from_position(position), self.encoding);
        let (start, end) = (offset(params.range.start), offset(params.range.end));
        let mut actions = Vec::new();
        for fix in fixes::fixes(&snapshot, 0, start, end) {
            let range = self.range(&snapshot, fix.edit.span.start as usize, fix.edit.span.end as usize);
            let edit = lsp::TextEdit { range, new_text: fix.edit.text.clone() };
            let changes = HashMap::from([(convert::address(&path), vec![edit])]);
            actions.push(lsp::CodeAction {
                title: fix.title,
                kind: Some(lsp::CodeActionKind::QuickFix),
                diagnostics: Some(vec![self.diagnostic(&snapshot, fix.problem)]),
                is_preferred: Some(true),
                edit: Some(lsp::WorkspaceEdit { changes: Some(changes), ..lsp::WorkspaceEdit::default() }),
                ..lsp::CodeAction::default()
            });
        }
        say(actions)
    }

    /// A text that does not parse is left as it is.
    fn format(&mut self, params: lsp::DocumentFormattingParams) -> Answer {
        let (_, snapshot) = self.open(&params.text_document)?;
        let text = snapshot.text(0);
        let Ok(formatted) = syntax::format(text) else { return Ok(Json::Null) };
        let (start, end, new) = difference(text, &formatted);
        if start == end && new.is_empty() {
            return say(Vec::<lsp::TextEdit>::new());
        }
        say(vec![lsp::TextEdit { range: self.range(&snapshot, start, end), new_text: new.to_owned() }])
    }

    fn hints(&mut self, params: lsp::InlayHintParams) -> Answer {
        let (_, snapshot) = self.open(&params.text_document)?;
        let text = snapshot.text(0);
        let offset = |position| text::offset(text, convert::from_position(position), self.encoding);
        let list = hints::hints(&snapshot, 0, offset(params.range.start), offset(params.range.end)).into_iter();
        let list = list.map(|hint| lsp::InlayHint {
            position: self.range(&snapshot, hint.offset, hint.offset).start,
            label: hint.label.into(),
            kind: Some(lsp::InlayHintKind::Type),
            text_edits: None,
            tooltip: Some(hint.whole.into()),
            padding_left: None,
            padding_right: Some(true),
            data: None,
        });
        say(list.collect::<Vec<_>>())
    }

    fn tokens(&mut self, params: lsp::SemanticTokensParams) -> Answer {
        let (_, snapshot) = self.open(&params.text_document)?;
        let text = snapshot.text(0);
        let mut data: Vec<u32> = Vec::new();
        let (mut line, mut column, mut at) = (0, 0, 0);
        let mut current = text::Place::default();
        for token in tokens::tokens(&snapshot, 0) {
            // From the last token on, as the whole text from its start would take long in a long file.
            let ahead = text::place(&text[at..token.start], token.start - at, self.encoding);
            let first = if ahead.line == 0 { current.column + ahead.column } else { ahead.column };
            current = text::Place { line: current.line + ahead.line, column: first };
            at = token.start;
            let after = if current.line == line { current.column - column } else { current.column };
            let marks = u32::from(token.declares) | u32::from(token.library) << 1;
            let width = text::width(&text[token.start..token.end], self.encoding);
            data.extend([current.line - line, after, width, token.color as u32, marks]);
            (line, column) = (current.line, current.column);
        }
        say(json!({ "data": data }))
    }

    /// `{ textDocument, profile?, format? }` to `{ format, text }`; formats are those of `rbpipe graph`.
    fn graph(&mut self, params: &Json) -> Answer {
        let address = params["textDocument"]["uri"].as_str().unwrap_or_default();
        let format = params["format"].as_str().unwrap_or("mermaid");
        let known = BTreeMap::from([
            ("mermaid", graph::Drawing::Mermaid),
            ("dot", graph::Drawing::Dot),
            ("svg", graph::Drawing::Svg),
            ("text", graph::Drawing::Text),
        ]);
        let Some(drawing) = known.get(format) else {
            let message = format!("there is no format `{format}`; formats are mermaid, dot, svg and text");
            return Err(Failure(ErrorCode::InvalidParams, message));
        };
        let profile = params["profile"].as_str();
        let path = uri::to_path(address);
        let drawn = graph::graph(&self.world, &self.config.catalogue, &path, profile, *drawing);
        say(json!({ "format": format, "text": drawn.map_err(Failure::refused)? }))
    }

    fn range(&self, snapshot: &Snapshot, start: usize, end: usize) -> lsp::Range {
        convert::range(snapshot.text(0), start, end, self.encoding)
    }
}

/// Returns the bytes of `old` that differ, and what comes there: whole lines.
fn difference<'a>(old: &str, new: &'a str) -> (usize, usize, &'a str) {
    let same = old.split_inclusive('\n').zip(new.split_inclusive('\n')).take_while(|(a, b)| a == b);
    let start: usize = same.map(|(a, _)| a.len()).sum();
    let (rest_old, rest_new) = (&old[start..], &new[start..]);
    let tail =
        rest_old.split_inclusive('\n').rev().zip(rest_new.split_inclusive('\n').rev()).take_while(|(a, b)| a == b);
    let end: usize = tail.map(|(a, _)| a.len()).sum();
    (start, old.len() - end, &rest_new[..rest_new.len() - end])
}
