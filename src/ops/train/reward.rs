//! `train.reward`: a reward model from pairs of replies.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

use super::signature::{WITH, shared};

/// The operator.
pub static REWARD: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Makes a reward model: a fresh value head behind the model, and the model itself, learn to give the better of two replies to one prompt
## the higher score at its last token. `filter.reward` ranks rows by it.
##
## The head lies in `value_head.safetensors` beside the weights, as LLaMA-Factory and Skywork-VL-Reward have it. The head of the language
## model has no part in the scores and stays as it is. Rows' pictures are read as `train.sft` does; the log also holds both scores, their
## margin and how often the better reply has the higher one.
##
## Source: Ouyang et al. 2022, equation 1.
op train.reward(
  m: Model,
  ## A prompt with a better and a worse reply.
  pairs: Dataset[{ prompt: Str, chosen: Str, rejected: Str, ..r }],
  ## Weight of the squared sum of both scores, which keeps them around zero (Eisenstein et al. 2023); 0.01 is usual.
  center: Float in 0.0.. = 0.0,"#,
            shared!(),
            r#"
) -> Model[reward]"#
        ),
        class: Class::Sampled,
        version: 4,
        effect: Effect::Train,
        pool: Pool::Engine,
        with: WITH,
        shows_media: true,
        looks: super::signature::LOOKS,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    #[serde(flatten)]
    shared: super::arguments::Shared,
    center: f64,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use super::session::{Learns, Session};
    use crate::train::reward::Ranking;

    let args: Args = cx.args()?;
    args.shared.check()?;
    let session = Session::open(cx, &args.shared, Learns::Scores)?;
    let objective = Ranking { data: session.pairs(cx, &args.shared, false)?, center: args.center };
    let trained = session.train(cx, &args.shared, 1, session.held(), &objective)?;
    drop(objective);
    session.publish(cx, trained)
}
