//! From a checked program to a graph of nodes, their keys, and what would run. Executes nothing.

pub mod arith;
pub mod artifact;
pub mod call;
pub mod columns;
pub mod diff;
pub mod eval;
pub mod explain;
mod faults;
pub mod graph;
pub mod grid;
mod groups;
pub mod hub;
pub mod inputs;
pub mod key;
pub mod licences;
mod limits;
pub mod lints;
pub mod looks;
pub mod lower;
pub mod memory;
pub mod metric;
mod outputs;
mod own_op;
pub mod params;
pub mod quantity;
pub mod render;
pub mod select;
pub mod serving;
mod type_text;
pub mod val;

pub use artifact::NodeId;
pub use eval::{Options, Planned, evaluate};
pub use graph::{Gate, Graph, Input, Look, Node, Output, PathArg, Repository};
pub use metric::Metric;
