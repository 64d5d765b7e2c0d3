//! Evaluation without tensors: reading replies, marking them, totals with intervals, comparisons.
//!
//! A reply travels `strip → reader → marker → total`; every step records what it did, so that leniency can be audited.

pub mod answers;
pub mod baseline;
pub mod benchmark;
pub mod calibration;
pub mod compare;
pub mod coords;
pub mod examples;
pub mod generate;
pub mod item;
pub mod letters;
pub mod marker;
pub mod mask;
pub mod normalise;
pub mod numerals;
pub mod polygon;
pub mod prompt;
pub mod read_choice;
pub mod read_choices;
pub mod read_number;
pub mod read_points;
pub mod read_text;
pub mod read_yes_no;
pub mod reader;
pub mod repeats;
pub mod runs;
pub mod score;
pub mod scored;
pub mod similarity;
pub mod stats;
pub mod stored;
pub mod strip;
pub mod table_text;
pub mod total;

pub use benchmark::{Benchmark, Declaration};
pub use generate::{Decoding, Generate, Part, Prompt, Reply};
pub use item::{Item, ItemKind, Picture};
