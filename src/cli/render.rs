//! Diagnostics for people (miette) and for scripts (JSON), with the same content.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents,
};
use serde_json::{Value, json};

use crate::base::{Diagnostic, Label, OpError, Severity, Source, SourceMap, Span, codes, phrase};
use crate::syntax::BUILTIN_SOURCE;

/// Returns what went wrong while something ran as a problem with a place in the recipe.
pub(super) fn problem(e: &OpError, span: Span, label: &str) -> Diagnostic {
    let code = codes::lookup(e.code).map_or(codes::E0612, |(code, _)| code);
    Diagnostic { help: e.help.clone(), ..Diagnostic::new(code, span, e.message.clone(), label) }
}

/// Prints problems for people on stderr, and how many there were.
pub(super) fn print_human(sources: &SourceMap, problems: &[Diagnostic]) {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let text = human(sources, problems, color);
    // A closed pipe is the only way to fail here, and then nobody reads.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Renders problems for people; the last line counts them. Nothing for no problems.
pub(super) fn human(sources: &SourceMap, problems: &[Diagnostic], color: bool) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(110).with_links(false).with_context_lines(1);
    let mut out = String::new();
    for problem in problems {
        let report = Report::new(sources, problem);
        if handler.render_report(&mut out, &report).is_err() {
            out.push_str(&format!("{}: {}\n", problem.code, problem.message));
        }
        out.push('\n');
    }
    let errors = problems.iter().filter(|d| d.severity == Severity::Error).count();
    let parts = [(errors, "error"), (problems.len() - errors, "warning")];
    let counts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| phrase::count(*n, word)).collect();
    out.push_str(&format!("{}; `rbpipe explain CODE` says more\n", counts.join(", ")));
    out
}

/// Renders problems for scripts: `{"diagnostics":[…]}`.
pub(super) fn json(sources: &SourceMap, problems: &[Diagnostic]) -> Value {
    json!({ "diagnostics": problems.iter().map(|d| one_json(sources, d)).collect::<Vec<_>>() })
}

fn one_json(sources: &SourceMap, problem: &Diagnostic) -> Value {
    let labels: Vec<Value> = labels(problem)
        .map(|(label, primary)| {
            let mut place = place(sources, label.span);
            place["text"] = json!(label.text);
            place["primary"] = json!(primary);
            place
        })
        .collect();
    let mut out = json!({
        "code": problem.code.0,
        "severity": severity(problem),
        "message": problem.message,
        "help": problem.help,
        "labels": labels,
    });
    if let Some(fix) = &problem.fix {
        let mut edit = place(sources, fix.span);
        edit["text"] = json!(fix.text);
        out["fix"] = edit;
    }
    out
}

fn severity(problem: &Diagnostic) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn place(sources: &SourceMap, span: Span) -> Value {
    let source = sources.get(span.source);
    let (line, col) = source.line_col(span.start as usize);
    let (end_line, end_col) = source.line_col(span.end as usize);
    json!({ "file": source.name, "line": line, "col": col, "end_line": end_line, "end_col": end_col })
}

/// All labels in texts of the user's or of the standard library, the primary one first.
fn labels(problem: &Diagnostic) -> impl Iterator<Item = (&Label, bool)> {
    let all = std::iter::once((&problem.primary, true)).chain(problem.others.iter().map(|l| (l, false)));
    all.filter(|(label, _)| label.span.source != BUILTIN_SOURCE)
}

/// A diagnostic as miette wants it.
struct Report<'a> {
    problem: &'a Diagnostic,
    source: Option<Text<'a>>,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
}

impl<'a> Report<'a> {
    fn new(sources: &'a SourceMap, problem: &'a Diagnostic) -> Self {
        let file = problem.primary.span.source;
        let source = (file != BUILTIN_SOURCE).then(|| Text(sources.get(file)));
        let mut spans = Vec::new();
        let mut notes: Vec<String> = problem.help.iter().cloned().collect();
        for (label, primary) in labels(problem) {
            let span = label.span;
            if span.source == file {
                let (start, length) = (span.start as usize, (span.end - span.start) as usize);
                let text = Some(label.text.clone());
                spans.push(if primary {
                    LabeledSpan::new_primary_with_span(text, (start, length))
                } else {
                    LabeledSpan::new(text, start, length)
                });
            } else {
                // miette draws one file per report.
                let other = sources.get(span.source);
                let (line, col) = other.line_col(span.start as usize);
                notes.push(format!("{}:{line}:{col}: {}", other.name, label.text));
            }
        }
        let help = (!notes.is_empty()).then(|| notes.join("\n"));
        Self { problem, source, labels: spans, help }
    }
}

/// A source as miette reads it.
struct Text<'a>(&'a Source);

impl SourceCode for Text<'_> {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let text: &str = &self.0.text;
        let read = text.read_span(span, before, after)?;
        // miette counts the lines from the beginning of the file, and then takes two places for neighbours that are not: all between them would be drawn.
        let lines = String::from_utf8_lossy(read.data()).lines().count();
        Ok(Box::new(MietteSpanContents::new_named(
            self.0.name.clone(),
            read.data(),
            *read.span(),
            read.line(),
            read.column(),
            lines,
        )))
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(format!("{}[{}]", severity(self.problem), self.problem.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|s| s as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
