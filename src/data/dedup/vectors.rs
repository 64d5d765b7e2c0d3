//! Vectors of equal length and their cosines.

/// Vectors of equal length, scaled to length 1; all zeros stay.
pub struct Vectors {
    data: Vec<f32>,
    width: usize,
}

impl Vectors {
    /// Scales vectors of `width` numbers each, one after another.
    ///
    /// # Shapes
    /// `data`: `[n · width]` f32.
    pub fn new(mut data: Vec<f32>, width: usize) -> Self {
        for vector in data.chunks_exact_mut(width.max(1)) {
            let norm = vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
            if norm > 0.0 {
                vector.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
            }
        }
        Self { data, width: width.max(1) }
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.data.len() / self.width
    }

    /// Returns how many numbers each has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns one.
    pub fn get(&self, i: usize) -> &[f32] {
        &self.data[i * self.width..(i + 1) * self.width]
    }

    /// Returns the cosine of two.
    pub fn cosine(&self, a: usize, b: usize) -> f32 {
        self.cosine_to(a, self, b)
    }

    /// Returns the cosine of one and one of `others`.
    pub fn cosine_to(&self, a: usize, others: &Self, b: usize) -> f32 {
        dot(self.get(a), others.get(b))
    }
}

/// Returns the sum of products of two vectors, in the same order on every machine.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        return unsafe { dot_avx2(a, b) };
    }
    dot_lanes(a, b, |x, y, sum| x * y + sum)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    dot_lanes(a, b, f32::mul_add)
}

/// Sums in 32 lanes, which are added up in order at the end.
#[inline(always)]
fn dot_lanes(a: &[f32], b: &[f32], fused: impl Fn(f32, f32, f32) -> f32) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0f32; LANES];
    let (a_whole, b_whole) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_whole.remainder().iter().zip(b_whole.remainder()).map(|(x, y)| x * y).sum::<f32>();
    for (x, y) in a_whole.zip(b_whole) {
        for lane in 0..LANES {
            sums[lane] = fused(x[lane], y[lane], sums[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest
}
