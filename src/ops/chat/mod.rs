//! A client of chat servers that speak OpenAI's protocol: what judges and evaluation share.

pub mod asking;
mod line;
mod memo;
pub mod request;

pub use asking::{Asked, Manner, Outcome, ask_all};
pub use request::{Endpoint, Part, Question, Reply, Sampling};
