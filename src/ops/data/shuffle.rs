//! `data.shuffle`: rows in random order.

use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Class, Effect, OpSpec};

/// The operator.
pub static SHUFFLE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Puts rows in random order. A row's place among others depends on the seed and its content only, so the order in which rows arrive does not matter.
op data.shuffle(d: Dataset[{ ..r }]) -> Dataset[{ ..r }]"#,
        class: Class::Sampled,
        effect: Effect::RowMap,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let order = super::shuffled(cx, "d", cx.stream)?;
    rows::reordered(cx, &order)
}
