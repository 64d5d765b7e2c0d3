//! `dedup.exact`: rows whose texts are the same.

use rayon::prelude::*;

use super::{Compared, Scope, signature};
use crate::base::{Digest, OpError};
use crate::data::dedup::clusters::Links;
use crate::data::dedup::text;
use crate::data::dedup::texts::Texts as _;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Looks, OpSpec};

/// The operator.
pub static EXACT: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Drops rows whose texts are the same as those of another row. A row without a value in any of the columns is like no other.
op dedup.exact(
  d: Dataset[{ ..r }],
  ## Columns compared, joined with a newline.
  on: Cols,
  ## Compare without regard to case, Unicode form, blanks and punctuation. Signs, decimal points and symbols such as `<` count.
  normalise: Bool = true,"#
        ),
        version: 2,
        takes_where: true,
        looks: Looks::At(&[]),
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
    let texts = scope.texts(cx, &args.on)?;
    let stated = scope.stated(cx, &args.on)?;
    let key = |row: usize| {
        let digest = |text: &str| Digest::of(text.as_bytes()).0;
        let key = texts.with(row, |t| if args.normalise { digest(&text::normalise(t)) } else { digest(t) });
        (scope.rows[row] && stated[row]).then_some((scope.group[row], key))
    };
    let links = pooled(cx.threads, || {
        let keys: Vec<Option<(u32, [u8; 32])>> = (0..texts.rows()).into_par_iter().with_min_len(64).map(key).collect();
        Links::by_key(&keys)
    })?;
    texts.check()?;
    scope.finish(cx, &links, Compared::Words(&texts), |_, _| "same text as".to_owned())
}
