//! How numbers are spread.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

/// Parts of a histogram.
const PARTS: usize = 24;

/// Numbers, each different one held once with how often it came: lengths and sizes take no room for each row.
#[derive(Default)]
pub struct Spread {
    /// By their bits.
    counts: HashMap<u64, u64>,
}

impl Spread {
    /// Adds a number.
    pub fn add(&mut self, value: f64) {
        *self.counts.entry(value.to_bits()).or_default() += 1;
    }

    /// Returns smallest, quartiles, 95th and 99th percentile by nearest rank, largest, mean, and a histogram of equal parts from the smallest to the
    /// largest; nothing if there are no numbers.
    pub fn to_json(&self) -> Option<Json> {
        let mut values: Vec<(f64, u64)> = self.counts.iter().map(|(bits, n)| (f64::from_bits(*bits), *n)).collect();
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let (least, most) = (values.first()?.0, values.last()?.0);
        let all: u64 = values.iter().map(|(_, n)| n).sum();
        let at = |q: f64| {
            let mut left = ((q * all as f64).ceil() as u64).clamp(1, all);
            let place = values.iter().find(|(_, n)| {
                let here = left <= *n;
                left = left.saturating_sub(*n);
                here
            });
            place.map_or(most, |(x, _)| *x)
        };
        // One by one: the sum has the bits that it has for the numbers in order.
        let sum = values.iter().fold(-0.0, |sum, &(x, n)| (0..n).fold(sum, |sum, _| sum + x));
        let mut histogram = vec![0u64; if most > least { PARTS } else { 1 }];
        for &(x, n) in &values {
            let part =
                if most > least { (((x - least) / (most - least) * PARTS as f64) as usize).min(PARTS - 1) } else { 0 };
            histogram[part] += n;
        }
        Some(
            json!({ "min": least, "p25": at(0.25), "p50": at(0.5), "p75": at(0.75), "p95": at(0.95), "p99": at(0.99), "max": most,
            "mean": sum / all as f64, "histogram": histogram }),
        )
    }
}
