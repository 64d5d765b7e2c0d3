//! Annotated scenes, and questions with exact answers about them.

pub mod answer;
pub mod asking;
pub mod comparison;
pub mod episode;
pub mod grounding;
pub mod inquiry;
pub mod mention;
pub mod mistake;
pub mod points;
pub mod questions;
pub mod scene;
pub mod wordings;
