//! Training: schedules, data order, losses, the optimizer, checkpoints, and the loop that puts them together.
//!
//! Reading order: `schedule`, `order`, `split` → `loss`, `dpo`, `clip`, `decay` → `transfer`, `share` (rows of a rank), `shards`, `held` (memory of a
//! rank), `pass`, `blocks` → `adamw`, `adafactor`, `optim` → `run` with `log`, `flops`, `watch` and `checkpoint` → `rows`, `encoder`, `examples`, `album` (pictures of ranks), `micro` → `sft`; `pairs` → `preference`, `reward`; `score`
//! and `scorer` read models without training them.

pub mod adafactor;
pub mod adamw;
pub mod album;
pub mod blocks;
pub mod checkpoint;
pub mod clip;
pub mod decay;
pub mod dpo;
pub mod encoder;
pub mod examples;
pub mod flops;
pub mod held;
pub mod log;
pub mod loss;
pub mod micro;
pub mod optim;
pub mod order;
pub mod pairs;
pub mod pass;
pub mod preference;
pub mod reward;
pub mod rows;
pub mod run;
pub mod schedule;
pub mod score;
pub mod scorer;
pub mod sft;
pub mod shards;
pub mod share;
pub mod split;
pub mod transfer;
pub mod watch;
