//! Training: schedules, data order, losses, the optimizer, checkpoints, and the loop that puts them together.
//!
//! Reading order: `schedule`, `order`, `split` → `loss`, `dpo`, `clip`, `optim` → `micro` → `run` with `log` and `checkpoint` →
//! `examples` → `sft`, `preference`.

pub mod checkpoint;
pub mod clip;
pub mod dpo;
pub mod examples;
pub mod log;
pub mod loss;
pub mod micro;
pub mod optim;
pub mod order;
pub mod preference;
pub mod run;
pub mod schedule;
pub mod sft;
pub mod split;
