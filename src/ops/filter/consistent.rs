//! `filter.consistent`: rows by whether their text fits their pictures.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static CONSISTENT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows by how well a text fits the row's pictures, from 0% to 100%. With a vision-language model in `by`: the geometric mean
## of the probabilities that it gives the text's tokens after the pictures and `given`, in its chat template.
## A row in scope without a picture or video is dropped: there is nothing that its text could fit.
op filter.consistent(
  d: Dataset[{ ..r }],
  ## The pictures.
  images: Col,
  ## The text.
  text: Col,
  ## The model that judges.
  by: Model? = none,
  ## model: probability of the text under a vision-language model. clip, labels: not there yet, refused.
  ## auto: model with `by`, labels without.
  backend: enum { auto, model, clip, labels } = "auto",
  ## What the user says before the text, joined with newlines; for backend model.
  given: Cols = [],
  ## A range of shares, or `top(n)`: the n highest.
  keep: Keep[Ratio] = 30%..,
  ## `top` takes its rows in equal shares from every group of rows that agree on these columns.
  within: Cols = [],
) -> Dataset[{ consistency: Ratio, ..r }]"#,
        takes_where: true,
        class: Class::Numeric,
        pool: Pool::Engine,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    images: String,
    text: String,
    backend: String,
    given: Vec<String>,
    #[serde(flatten)]
    selection: super::scored::Selection,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use crate::train::encoder::Limits;
    use crate::train::rows::{Columns, pictures, read};
    use crate::train::scorer::Scorer;

    let args: Args = cx.args()?;
    check_backend(&args.backend, cx.inputs.contains_key("by"))?;
    let table = cx.table("d")?;
    let given: Vec<&str> = args.given.iter().map(String::as_str).collect();
    let mut rows = read(&table, &Columns::of(given, vec![&args.text]))?;
    for (row, images) in rows.iter_mut().zip(pictures(&table, &args.images)?) {
        row.images = images;
    }
    let folder = cx.folder_of(cx.input("by")?, "model")?;
    let scorer = Scorer::open(&folder, Limits::default(), cx.threads)?;
    super::scored::keep(cx, &table, "consistency", &args.selection, super::scored::Best::Highest, |cx, chosen| {
        let seen = |row: usize| !rows[row].images.is_empty() || !rows[row].videos.is_empty();
        let judged: Vec<_> = chosen.iter().filter(|&&row| seen(row)).map(|&row| rows[row].clone()).collect();
        let total = judged.len() as u64;
        let mut logps = scorer.rows(&judged, cx.store, &|done| cx.progress(done as u64, total, "rows"))?.into_iter();
        let score = |&row: &usize| {
            if !seen(row) {
                return Err(format!(".{} has no picture", args.images));
            }
            match logps.next().unwrap_or_else(|| Err("not scored".to_owned()))?.as_slice() {
                [one] if one.tokens > 0 => Ok((one.sum / one.tokens as f64).exp().clamp(0.0, 1.0)),
                _ => Err(format!(".{} has no token to judge", args.text)),
            }
        };
        Ok(chosen.iter().map(score).collect())
    })
}

/// Refuses every backend but a model that is there.
#[cfg(feature = "torch")]
fn check_backend(backend: &str, by: bool) -> Result<(), OpError> {
    let name = match (backend, by) {
        ("auto" | "model", true) => return Ok(()),
        ("model", false) => return Err(OpError::new("E0211", "`backend: \"model\"` needs the argument `by`")),
        ("clip", _) => "clip",
        _ => "labels",
    };
    Err(OpError::new("E0612", format!("backend `{name}` of filter.consistent is not built yet"))
        .help("give a vision-language model: `by: <model>, given: [.instruction]`"))
}
