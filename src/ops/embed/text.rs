//! `embed.text`: the vector of each row's text.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Columns, Effect, Looks, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static TEXT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Adds the vector of a text under a sentence encoder, pooled and scaled as the model's own files say.
## Source: Reimers and Gurevych 2019, Sentence-BERT.
op embed.text(
  d: Dataset[{ ..r }],
  ## The text: these columns, joined with a newline.
  on: Cols,
  ## The sentence encoder.
  by: Model,
  ## Name of the new column.
  into: Str = "vector",
) -> Dataset[{ into: [Float], ..r }]"#,
        class: Class::Numeric,
        effect: Effect::RowMap,
        pool: Pool::Engine,
        columns: Columns::AddNamed("into"),
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    on: Vec<String>,
    into: String,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use std::sync::Arc;

    use arrow::array::{Float64Array, ListArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field};

    let args: Args = cx.args()?;
    let table = cx.table("d")?;
    let encoded = super::encode(cx, "by", &table.texts(&args.on)?)?;
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(encoded.width, table.rows()));
    let values = Float64Array::from_iter_values(encoded.flat().into_iter().map(f64::from));
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let vectors = ListArray::try_new(item, offsets, Arc::new(values), None)?;
    Ok(Context::rows(table.with_column(&args.into, Arc::new(vectors))?))
}
