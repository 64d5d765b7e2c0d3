//! What is wrong with a recipe, as data. Prose for people is made in `cli::render`.

use super::codes::{E0101, E0106, E0204, E0210, E0211, E0215};
use super::{Code, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// Worth a look; does not stop a run.
    Warning,
}

/// A place with a word about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What to say there.
    pub text: String,
}

/// A change to the source that mends the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What to replace.
    pub span: Span,
    /// With what.
    pub text: String,
}

/// One problem: what, where, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code, one of [`super::codes`].
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// One sentence without a final stop.
    pub message: String,
    /// The place to look at first; always in the user's text.
    pub primary: Label,
    /// Further places.
    pub others: Vec<Label>,
    /// The next step.
    pub help: Option<String>,
    /// A machine-applicable fix.
    pub fix: Option<Edit>,
}

impl Diagnostic {
    /// Returns a diagnostic whose severity follows from the code: W and P codes warn.
    pub fn new(code: Code, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        let severity = if code.0.starts_with('E') { Severity::Error } else { Severity::Warning };
        Self {
            code,
            severity,
            message: message.into(),
            primary: Label { span, text: label.into() },
            others: Vec::new(),
            help: None,
            fix: None,
        }
    }

    /// Adds the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a further place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push(Label { span, text: text.into() });
        self
    }

    /// Adds a fix.
    #[must_use]
    pub fn fix(mut self, span: Span, text: impl Into<String>) -> Self {
        self.fix = Some(Edit { span, text: text.into() });
        self
    }
}

/// Collects problems so that one does not hide the others.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Diagnostic>,
}

impl Problems {
    /// Adds one; an equal one at the same place is kept once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let place = diagnostic.primary.span;
        let has = |list: &[Diagnostic], code| list.iter().any(|d| d.code == code && d.primary.span == place);
        // A pipe step without parentheses is read as a call of nothing: what that lacks is no mistake of its own, and what is no call at all is the
        // better word for it.
        if has(&self.list, diagnostic.code) || diagnostic.code == E0211 && has(&self.list, E0106) {
            return;
        }
        // `f(case = 1)`: the sign is no mistake of its own where the name is refused.
        let named = |d: &Diagnostic| matches!(d.code, E0210 | E0215);
        let sign = |d: &Diagnostic| d.code == E0101 && d.primary.text == "expected `:`";
        let follows = |name: &Diagnostic, sign: &Diagnostic| {
            let (a, b) = (name.primary.span, sign.primary.span);
            a.source == b.source && (a.end..=a.end + 1).contains(&b.start)
        };
        if sign(&diagnostic) && self.list.iter().any(|d| named(d) && follows(d, &diagnostic)) {
            return;
        }
        if named(&diagnostic) {
            self.list.retain(|d| !(sign(d) && follows(&diagnostic, d)));
        }
        if diagnostic.code == E0204 {
            self.list.retain(|d| d.code != E0106 || d.primary.span != place);
        }
        self.list.push(diagnostic);
    }

    /// Adds all of another collection.
    pub fn extend(&mut self, other: Problems) {
        for d in other.list {
            self.push(d);
        }
    }

    /// Says whether anything here stops a run.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// Returns the errors among them, in no order.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(|d| d.severity == Severity::Error)
    }

    /// Says whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns all, sorted by place.
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|d| (d.primary.span, d.code));
        self.list
    }
}
