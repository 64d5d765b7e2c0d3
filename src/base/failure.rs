//! Why an operator stopped while it ran.

/// Why an operator stopped: the code says whose matter it is.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpError {
    /// A code of [`super::codes`], E0612 if nothing better fits.
    pub code: &'static str,
    /// `oom`, `preempted`, `flaky`, `budget`, `damaged` (bytes of the store), `server` (one that was asked is down; its requests had their retries) or `bug`:
    /// decides about retries.
    pub class: &'static str,
    /// What happened, with the offending numbers, file and line.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
}

impl OpError {
    /// Returns a failure that a retry would not mend.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, class: "bug", message: message.into(), help: None }
    }

    /// Returns the failure of what was asked to stop: it goes on in the next run.
    pub fn stopped() -> Self {
        Self::new("E0612", "stopped on request").class("preempted")
    }

    /// Returns the failure that a file system's refusal is: E0504 with the ways to room when a disk is full, else E0612.
    pub fn of_io(e: &std::io::Error, message: impl Into<String>) -> Self {
        if e.kind() != std::io::ErrorKind::StorageFull {
            return Self::new("E0612", message);
        }
        Self::new("E0504", message).help(
            "make room on that disk and run again; `rbpipe cache stats` says what the store takes, `rbpipe cache gc` frees what no recent run used",
        )
    }

    /// Sets the class.
    #[must_use]
    pub fn class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }

    /// Adds the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<std::io::Error> for OpError {
    fn from(e: std::io::Error) -> Self {
        Self::of_io(&e, e.to_string())
    }
}

impl From<serde_json::Error> for OpError {
    fn from(e: serde_json::Error) -> Self {
        Self::new("E0612", e.to_string())
    }
}
