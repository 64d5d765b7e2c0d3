//! A client of chat servers that speak OpenAI's protocol: what judges and evaluation share.

pub mod asking;
mod budget;
mod line;
mod memo;
pub mod request;
mod tally;

use crate::base::OpError;
use crate::engine::Context;

pub use asking::{Asked, Manner, ask_all};
pub use budget::Budget;
pub use request::{Endpoint, Part, Question, Reply, Sampling};
pub use tally::Outcome;

/// A secret that an argument names.
#[derive(serde::Deserialize)]
pub struct SecretName {
    secret: String,
}

impl SecretName {
    /// Returns its text.
    ///
    /// # Errors
    /// `E0701` when it is missing.
    pub fn read(&self, cx: &Context) -> Result<String, OpError> {
        let name = &self.secret;
        cx.secrets.get(name).cloned().ok_or_else(|| OpError::new("E0701", format!("the secret `{name}` is missing")))
    }
}
