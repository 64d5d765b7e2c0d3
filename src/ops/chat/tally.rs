//! What became of questions so far, and when it is no use to ask on.

use super::request::Class;
use crate::base::OpError;

/// What became of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// The answer.
    Said(T),
    /// There is none, and why. Never counts as a verdict.
    Failed {
        /// What kind of failure; none where an answer came that does not fit.
        class: Option<Class>,
        /// In words.
        why: String,
    },
}

/// Questions in a row that failed for the server's fault, all their tries, after which the server counts as down.
const DOWN: usize = 10;
/// A share of failures above which the run stops, once this many questions have been asked.
const FAILED_SHARE: f64 = 0.05;
const FAILED_AFTER: usize = 200;
/// Requests refused as malformed in a row from the start, after which the run stops: the configuration is wrong.
const MALFORMED: usize = 5;

/// Counts of outcomes.
#[derive(Default)]
pub struct Tally {
    /// Questions that are done with, answered or not.
    pub done: usize,
    failed: usize,
    malformed: usize,
    /// Failures in a row that are the server's fault.
    down: usize,
}

impl Tally {
    /// Counts an answer that was remembered: it says nothing of the server.
    pub fn remembered(&mut self) {
        self.done += 1;
    }

    /// Counts an outcome of asking at `url`; returns why asking should stop, if it should.
    pub fn count<T>(&mut self, outcome: &Outcome<T>, url: &str) -> Option<OpError> {
        self.done += 1;
        let Outcome::Failed { class, why } = outcome else {
            self.down = 0;
            return None;
        };
        self.failed += 1;
        self.malformed += usize::from(*class == Some(Class::BadRequest));
        self.down = if class.is_some_and(Class::is_of_server) { self.down + 1 } else { 0 };
        if self.malformed == self.done && self.malformed >= MALFORMED {
            return Some(OpError::new("E0612", format!("every request is malformed to the server: {why}")));
        }
        if let (Some(class), DOWN..) = (*class, self.down) {
            let answered = self.done - self.failed;
            let message = format!(
                "{DOWN} questions in a row failed, the last: {why}; {url} is asked no more, {answered} of {} are answered",
                self.done
            );
            return Some(OpError::new("E0612", message).class("server").help(mend(class)));
        }
        if self.done >= FAILED_AFTER && self.failed as f64 > FAILED_SHARE * self.done as f64 {
            let share = format!("{} of {} questions failed, the last: {why}", self.failed, self.done);
            return Some(OpError::new("E0612", share).class("flaky"));
        }
        None
    }
}

/// Says what to do about a server that fails all questions in one way.
fn mend(class: Class) -> String {
    let first = match class {
        Class::Network => "see that it runs and that this machine reaches it",
        Class::Busy => "wait until its limit or quota allows more, or ask less at a time (`with { at_most }`)",
        Class::Timeout => "give it longer for a reply (`with { stall }`), or ask less at a time (`with { at_most }`)",
        _ => "look into its log",
    };
    format!("{first}; then run again: what was answered is remembered, the rest alone is asked")
}
