//! `filter.language`: texts in certain languages.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use rayon::prelude::*;
use serde::Deserialize;
use whatlang::{Detector, Lang};

use crate::base::{OpError, phrase};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::{self, Reason, pooled};
use crate::spec::{Looks, OpSpec};

/// The operator.
pub static LANGUAGE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows whose text is in one of some languages, told by its script and its three-letter pieces. Two-letter codes (ISO 639-1) where a language has
## one, else three letters. Short texts tell little: leave answers of a few words out with `where: .output.words in 6..`.
op filter.language(
  d: Dataset[{ ..r }],
  ## The text.
  of: Col,
  ## The languages that stay: `["en", "de"]`.
  keep: [Str],
  ## How sure the guess must be; a text below it is dropped as unsure.
  least: Ratio = 65%,
) -> Dataset[{ language: Str?, ..r }]"#,
        takes_where: true,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(Deserialize)]
struct Args {
    of: String,
    keep: Vec<String>,
    least: f64,
}

/// Three-letter codes and their two letters, where ISO 639-1 has two.
const SHORT: &str = "\
    afr af, aka ak, amh am, ara ar, aze az, bel be, ben bn, bul bg, cat ca, ces cs, cmn zh, dan da, deu de, ell el, eng en, epo eo, \
    est et, fin fi, fra fr, guj gu, heb he, hin hi, hrv hr, hun hu, hye hy, ind id, ita it, jav jv, jpn ja, kan kn, kat ka, khm km, \
    kor ko, lat la, lav lv, lit lt, mal ml, mar mr, mkd mk, mya my, nep ne, nld nl, nob nb, ori or, pan pa, pes fa, pol pl, por pt, \
    ron ro, rus ru, sin si, slk sk, slv sl, sna sn, spa es, srp sr, swe sv, tam ta, tel te, tgl tl, tha th, tuk tk, tur tr, ukr uk, \
    urd ur, uzb uz, vie vi, yid yi, zul zu, cym cy";

fn short(long: &str) -> Option<&'static str> {
    SHORT.split(", ").filter_map(|pair| pair.split_once(' ')).find(|(three, _)| *three == long).map(|(_, two)| two)
}

fn code(language: Lang) -> &'static str {
    short(language.code()).unwrap_or(language.code())
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let known: Vec<&str> = Lang::all().iter().map(|l| code(*l)).collect();
    if let Some(unknown) = args.keep.iter().find(|wanted| !known.contains(&wanted.as_str())) {
        let near = short(unknown);
        let near = near.or_else(|| phrase::nearest(unknown, known.iter().copied()));
        let help =
            near.map_or_else(|| format!("known are {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        return Err(
            OpError::new("E0612", format!("`keep` names the language {unknown:?}, which is not known")).help(help)
        );
    }
    let detector = Detector::new();
    rows::sift(cx, |cx, chunk| {
        let scope = rows::in_scope(cx, &chunk)?;
        let texts = chunk.texts(std::slice::from_ref(&args.of))?;
        let found: Vec<Option<(&'static str, f64)>> = pooled(cx.threads, || {
            let guess = |(text, scoped): (&String, &bool)| {
                let info = scoped.then(|| detector.detect(text)).flatten()?;
                Some((code(info.lang()), info.confidence()))
            };
            texts.par_iter().zip(&scope).with_min_len(64).map(guess).collect()
        })?;
        let judge = |row: usize| match found[row] {
            _ if !scope[row] => None,
            None => Some(Reason::new("no language", format!(".{} has no text that tells a language", args.of))),
            Some((language, sure)) if sure < args.least => {
                Some(Reason::new("unsure", format!(".{} may be {language}, at {:.0} %", args.of, sure * 100.0)))
            }
            Some((language, sure)) => (!args.keep.iter().any(|k| k == language))
                .then(|| Reason::new(language, format!(".{} is {language}, at {:.0} %", args.of, sure * 100.0))),
        };
        let reasons = (0..chunk.rows()).map(judge).collect();
        let column: ArrayRef = Arc::new(StringArray::from_iter(found.iter().map(|f| f.map(|(language, _)| language))));
        Ok((chunk.with_column("language", column)?, reasons))
    })
}
