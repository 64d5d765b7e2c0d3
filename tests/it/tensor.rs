//! What needs the tensor engine. Elsewhere too such tests lie in a module `tensor`, so that `cargo test --features torch -- tensor::` runs them alone.

mod amplify;
mod blocks;
mod clip;
mod decode;
mod embed;
mod films;
mod fused;
mod nodes;
mod numerics;
mod preflight;
mod prolong;
mod ranks;
mod roundtrip;
mod text_model;
mod train;
mod train_ops;
