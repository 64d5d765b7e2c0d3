//! All integration tests in one binary.

mod acceptance;
#[cfg(feature = "torch")]
mod amplify;
mod augment;
mod author;
mod bench;
mod browser;
mod cache;
mod chat_server;
mod check;
mod chunks;
#[cfg(feature = "torch")]
mod clip;
mod cluster;
mod cot;
mod data;
#[cfg(feature = "torch")]
mod decode;
mod diff;
#[cfg(feature = "torch")]
mod embed;
mod embodied17;
mod engine;
mod eval;
mod explain;
mod export;
mod formats;
#[cfg(feature = "torch")]
mod fused;
mod fuzz;
mod gguf;

mod judge;
mod keys;
mod knn;
mod layout;
mod lints;
mod lock;
mod lsp;
mod memory;
mod mission;
mod mistakes;
#[cfg(feature = "torch")]
mod numerics;
mod packages;
mod pages;
mod placement;
mod promises;
mod python;
mod random;
#[cfg(feature = "torch")]
mod ranks;
mod rehearse;
mod remote;
mod report;
mod s3;
mod scores;
mod semantics;
mod served;
mod shell;
mod signature;
mod slurm;
mod ssh;
mod syntax;
mod tabletop;
#[cfg(feature = "torch")]
mod text_model;
mod tidy;
mod trace;
#[cfg(feature = "torch")]
mod train;
#[cfg(feature = "torch")]
mod train_ops;
mod user_op;
mod workbench;
