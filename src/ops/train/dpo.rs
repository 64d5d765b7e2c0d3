//! `train.dpo`: preference optimisation.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

use super::signature::{WITH, shared};

/// The operator.
pub static DPO: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Moves a model towards the better of two replies to one prompt.
##
## The log-probabilities of the reference, which is the start model itself unless `reference` says otherwise, are computed once before the first step,
## so that no second model stays in memory. Rows' pictures are read as `train.sft` does. The log also holds rewards, their margin and how
## often the better reply has the higher one.
##
## Source: Rafailov et al. 2023 (sigmoid), Zhao et al. 2023 (hinge), Azar et al. 2023 (ipo), Meng et al. 2024 (simpo), Hong et al.
## 2024 (orpo), as TRL 0.24 and LLaMA-Factory compute them.
op train.dpo(
  m: Model,
  ## A prompt with a better and a worse reply.
  pairs: Dataset[{ prompt: Str, chosen: Str, rejected: Str, ..r }],
  ## Strength of the pull to the reference; 0.1 to 0.5 is usual, larger stays closer.
  beta: Float in 0.0.. = 0.1,
  ## Which loss; `simpo` and `orpo` have no reference, `ipo`, `simpo` and `orpo` average over tokens.
  loss: enum { sigmoid, ipo, hinge, simpo, orpo } = "sigmoid",
  ## Share of pairs assumed to be labelled the wrong way round (sigmoid, simpo).
  smoothing: Float in 0.0..1.0 = 0.0,
  ## Target margin of `simpo`.
  gamma: Float = 0.5,
  ## Weight of the better reply's mean negative log-likelihood, added to the loss.
  sft: Float = 0.0,
  ## What the policy is compared with: the start model, nothing, or a model whose log-probabilities stand in the columns `logp_chosen` and
  ## `logp_rejected`, as `other |> train.logps(pairs: …)` adds them: a result of its own, which several trainings share.
  reference: enum { start, columns, none } = "start","#,
            shared!(),
            r#"
) -> Model"#
        ),
        version: 5,
        class: Class::Sampled,
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
    beta: f64,
    loss: crate::train::dpo::Variant,
    smoothing: f64,
    gamma: f64,
    sft: f64,
    reference: String,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use super::session::{Learns, Session};
    use crate::plan::memory::recompute::Recompute;
    use crate::train::blocks::pass;
    use crate::train::dpo::Preference;
    use crate::train::preference::{Dpo, fill_reference};

    let args: Args = cx.args()?;
    args.shared.check()?;
    if args.beta <= 0.0 {
        return Err(OpError::new("E0214", format!("beta: {} is not above 0", args.beta)));
    }
    if args.reference == "none" && args.loss.needs_reference() {
        return Err(OpError::new("E0214", "reference: \"none\" goes with loss \"simpo\" or \"orpo\" only"));
    }
    let asked = args.loss.needs_reference() && args.reference == "start";
    let session = Session::open(cx, &args.shared, Learns::Replies)?;
    let preference =
        Preference { variant: args.loss, beta: args.beta, gamma: args.gamma, smoothing: args.smoothing, sft: args.sft };
    let given = args.loss.needs_reference() && args.reference == "columns";
    let mut objective = Dpo { data: session.pairs(cx, &args.shared, given)?, preference };
    let mut held = session.held();
    if asked {
        let told = |done: usize, total: usize| cx.progress(done as u64, total as u64, "reference pairs");
        session.place.group.tell("computes the log-probabilities of the reference");
        fill_reference(&mut objective, pass(&mut held, Recompute::None).as_mut(), &session.place.group, &told)?;
    }
    let trained = session.train(cx, &args.shared, 1, held, &objective)?;
    drop(objective);
    session.publish(cx, trained)
}
