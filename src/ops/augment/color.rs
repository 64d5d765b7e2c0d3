//! `augment.color`: colour jitter that leaves chosen hues alone.

use super::{Change, Ends, Plan, apply, rounded};
use crate::base::OpError;
use crate::data::draw::Keyer;
use crate::data::pictures::color::{Jitter, KeptHues, jitter};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Class, Effect, OpSpec};

/// The operator.
pub static COLOR: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Changes hue, saturation and value of pictures, one draw for each row. Pixels with a kept hue keep it within `tolerance`, measured on the
## 8-bit pixels as stored: a pixel that rounding would move further changes only in brightness. Pictures are written as PNG, since JPEG's colour
## subsampling alone moves hues by more than any useful tolerance. Beside a kept range the change of hue fades in over 15 degrees.
op augment.color(
  d: Dataset[{ ..r }],
  ## The pictures, one or a list.
  images: Col = .images,
  ## Saturation and value are multiplied by 1 ± this; the hue moves by ± this share of 60 degrees, the distance between two named colours,
  ## so that at the default a red cube stays red.
  jitter: Ratio in 0%..100% = 20%,
  ## Hues that must stay, such as those of hazard marks: `[-15deg..15deg, 40deg..65deg]`.
  keep_hue: [Range[Angle]] = [],
  ## How far a kept hue may move.
  tolerance: Angle = 2deg,
  ## Probability that a row is changed.
  share: Ratio in 0%..100% = 100%,
) -> Dataset[{ parent: Str, transform: Str, ..r }]"#,
        class: Class::Sampled,
        effect: Effect::RowMap,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    images: String,
    jitter: f64,
    keep_hue: Vec<Ends>,
    tolerance: f64,
    share: f64,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let ranges = args.keep_hue.iter().map(|r| r.within("keep_hue", -360.0)).collect::<Result<_, _>>()?;
    let kept = KeptHues { ranges, tolerance: args.tolerance };
    let plan = Plan { images: &args.images, share: args.share, reads: Vec::new(), writes: Vec::new() };
    let store = cx.store;
    let mut keyer = Keyer::default();
    rows::each(cx, "d", |cx, chunk| {
        let (out, _) = apply(cx, &mut keyer, &chunk, &plan, |_, pictures, draw| {
            let by = Jitter {
                hue: rounded(draw.between(-60.0, 60.0) * args.jitter),
                saturation: rounded((1.0 + draw.between(-1.0, 1.0) * args.jitter).max(0.0)),
                value: rounded((1.0 + draw.between(-1.0, 1.0) * args.jitter).max(0.0)),
            };
            let mut changed = Vec::with_capacity(pictures.len());
            for picture in pictures {
                let mut pixels = picture.pixels(store)?;
                jitter(&mut pixels, by, &kept);
                changed.push(picture.derived(store, &pixels)?);
            }
            let how = format!("color hue={}deg saturation={} value={}", by.hue, by.saturation, by.value);
            Ok(Change::Done { pictures: changed, cells: Vec::new(), how })
        })?;
        Ok(out)
    })
}
