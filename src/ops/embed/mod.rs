//! Operators of module `embed`, and the vectors that all operators with a sentence encoder read: each distinct text is encoded once.

pub mod text;

#[cfg(feature = "torch")]
use crate::base::OpError;
#[cfg(feature = "torch")]
use crate::engine::Context;

/// Texts encoded between two looks at whether the run is being stopped.
#[cfg(feature = "torch")]
const STEP: usize = 1024;

/// The vectors of some texts; equal texts share one.
#[cfg(feature = "torch")]
pub struct Encoded {
    vectors: Vec<Vec<f32>>,
    /// The vector of each text.
    place: Vec<usize>,
    /// Numbers per vector.
    pub width: usize,
}

#[cfg(feature = "torch")]
impl Encoded {
    /// Returns the vector of the text at `i`.
    pub fn get(&self, i: usize) -> &[f32] {
        &self.vectors[self.place[i]]
    }

    /// Returns the vectors of all texts, one after another.
    ///
    /// # Shapes
    /// `[texts · width]` f32.
    pub fn flat(&self) -> Vec<f32> {
        self.place.iter().flat_map(|&p| self.vectors[p].iter().copied()).collect()
    }

    /// Returns the cosine of the vectors of two texts, in −1..1; 0 when one of them has no length.
    pub fn cosine(&self, a: usize, b: usize) -> f64 {
        let (a, b) = (self.get(a), self.get(b));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        if lengths == 0.0 { 0.0 } else { (dot(a, b) / lengths).clamp(-1.0, 1.0) }
    }
}

/// Encodes texts with the encoder in a slot. Which texts share a batch depends on the set of texts only, not on their order.
///
/// # Errors
/// `E0501`, `E0503` when the model is no sentence encoder, or gives vectors that hold other things than numbers.
#[cfg(feature = "torch")]
pub fn encode<T: AsRef<str>>(cx: &Context, slot: &str, texts: &[T]) -> Result<Encoded, OpError> {
    use crate::model::{Encoder, guard, set_threads};

    set_threads(cx.threads);
    let folder = cx.folder_of(cx.input(slot)?, "encoder")?;
    let encoder = guard("loading the encoder", || Encoder::load(&folder))??;
    let mut distinct: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    distinct.sort_unstable_by(|a, b| by_length(a, b));
    distinct.dedup();
    let width = usize::try_from(encoder.width).unwrap_or(0);
    let mut vectors = Vec::with_capacity(distinct.len());
    for some in distinct.chunks(STEP) {
        cx.go_on()?;
        let sentences: Vec<String> = some.iter().map(|&text| text.to_owned()).collect();
        vectors.extend(guard("encoding texts", || encoder.embed(&sentences))??);
        cx.progress(vectors.len() as u64, distinct.len() as u64, "texts");
    }
    if vectors.iter().any(|v| v.len() != width || v.iter().any(|x| !x.is_finite())) {
        let message = format!("the encoder in `{slot}` gives vectors that are not {width} finite numbers");
        return Err(
            OpError::new("E0503", message).help("its weights are damaged, or its config.json is another model's")
        );
    }
    let place = |text: &T| distinct.binary_search_by(|d| by_length(d, text.as_ref())).unwrap_or_default();
    Ok(Encoded { place: texts.iter().map(place).collect(), vectors, width })
}

/// Short texts first, so that batches waste little on padding.
#[cfg(feature = "torch")]
fn by_length(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
