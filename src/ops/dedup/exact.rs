//! `dedup.exact`: rows whose texts are the same.

use rayon::prelude::*;

use super::{Scope, signature};
use crate::base::OpError;
use crate::data::clusters::Links;
use crate::data::text;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::OpSpec;

/// The operator.
pub static EXACT: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Drops rows whose texts are the same as those of another row.
op dedup.exact(
  d: Dataset[{ ..r }],
  ## Columns compared, joined with a newline.
  on: Cols,
  ## Compare without regard to case, Unicode form, blanks and punctuation. Signs, decimal points and symbols such as `<` count.
  normalise: Bool = true,"#
        ),
        takes_where: true,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    on: Vec<String>,
    normalise: bool,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let scope = Scope::new(cx)?;
    let texts = scope.texts(&args.on)?;
    let keys: Vec<Option<(u32, String)>> = pooled(cx.threads, || {
        texts
            .par_iter()
            .zip(&scope.rows)
            .zip(&scope.group)
            .map(|((text, scoped), group)| {
                let key = || if args.normalise { text::normalise(text) } else { text.clone() };
                scoped.then(|| (*group, key()))
            })
            .collect()
    })?;
    scope.finish(cx, &Links::by_key(&keys), &args.on, |_, _| "same text as".to_owned())
}
