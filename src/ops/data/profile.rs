//! `data.profile`: what is in a dataset.

use std::collections::BTreeMap;

use serde_json::json;
use tokenizers::Tokenizer;

use super::profile_page;
use crate::base::OpError;
use crate::data::profile::{Profile, Tokens};
use crate::engine::{Artifact, Builtin, Context, Kind, Output, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static PROFILE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Describes a dataset: for each column its type, absent values, lengths of texts in characters (and tokens), ranges of numbers and sizes of pictures; how
## many rows each value of `by` has; how many rows repeat the texts of another. To `.html` it is a page with plots, to `.json` the numbers behind them.
op data.profile(
  d: Dataset[{ ..r }],
  ## The model whose tokens are counted.
  tokenizer: Model? = none,
  ## Columns whose values are counted; one that is not there is passed over.
  by: Cols = [.source],
) -> Report"#,
        version: 2,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    by: Vec<String>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let tokenizer = match cx.inputs.get("tokenizer") {
        Some(model) => {
            let loaded = Tokenizer::from_file(cx.file(model, "tokenizer.json")?);
            Some(loaded.map_err(|e| OpError::new("E0503", format!("tokenizer.json of `tokenizer`: {e}")))?)
        }
        None => None,
    };
    let count = tokenizer.as_ref().map(|tokenizer| {
        |text: &str| match tokenizer.encode_fast(text, false) {
            Ok(tokens) => Ok(tokens.len()),
            Err(e) => Err(OpError::new("E0612", e.to_string())),
        }
    });
    let mut profile = Profile::new(&args.by);
    for chunk in cx.chunks("d")? {
        cx.go_on()?;
        let chunk = chunk?;
        pooled(cx.threads, || profile.add(&chunk, count.as_ref().map(|count| count as Tokens<'_>)))??;
    }
    let profile = profile.to_json();
    let file = cx.put(serde_json::to_string_pretty(&profile)?.as_bytes())?;
    let page = cx.put(profile_page::html(&profile).as_bytes())?;
    let files = BTreeMap::from([("profile.json".to_owned(), file), ("report.html".to_owned(), page)]);
    let report = Artifact { kind: Kind::Report, meta: json!({ "rows": profile["rows"] }), files };
    Ok(vec![(String::new(), Output::Artifact(report))])
}
