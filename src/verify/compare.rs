//! Rows of the verification table and how tensors are compared.

use std::fmt::Write;

use tch::{Device, Kind, Tensor, with_grad};

use crate::base::OpError;
use crate::model::guard;

/// One golden and how far we are from it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was compared.
    pub name: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// Largest difference relative to the golden.
    pub max_rel: f64,
    /// Whether it is within its tolerance.
    pub ok: bool,
    /// Why it failed or was skipped.
    pub note: String,
}

/// Collects rows.
#[derive(Default)]
pub struct Rows {
    rows: Vec<Row>,
}

impl Rows {
    /// Compares tensors: ok when |a - b| <= abs + rel |b| everywhere.
    pub fn close(&mut self, name: &str, ours: &Tensor, golden: &Tensor, abs: f64, rel: f64) {
        self.fraction(name, ours, golden, abs, rel, 1.0);
    }

    /// As [`Self::close`], but a share of the elements is enough.
    pub fn fraction(&mut self, name: &str, ours: &Tensor, golden: &Tensor, abs: f64, rel: f64, share: f64) {
        if ours.size() != golden.size() {
            return self.push(
                name,
                f64::NAN,
                f64::NAN,
                false,
                format!("shape {:?}, golden {:?}", ours.size(), golden.size()),
            );
        }
        let ours = ours.to_kind(Kind::Double).to_device(Device::Cpu).detach();
        let golden = golden.to_kind(Kind::Double).to_device(Device::Cpu);
        let apart = (&ours - &golden).abs();
        let within = apart.le_tensor(&(golden.abs() * rel + abs)).to_kind(Kind::Double).mean(Kind::Double);
        let relative = &apart / golden.abs().clamp_min(1e-12);
        let (max_abs, max_rel) = (apart.max().double_value(&[]), relative.max().double_value(&[]));
        let within = within.double_value(&[]);
        let note =
            if within < share { format!("{:.4} of the elements within tolerance", within) } else { String::new() };
        self.push(name, max_abs, max_rel, within >= share, note);
    }

    /// Compares numbers.
    pub fn number(&mut self, name: &str, ours: f64, golden: f64, abs: f64, rel: f64) {
        let apart = (ours - golden).abs();
        self.push(name, apart, apart / golden.abs().max(1e-12), apart <= abs + rel * golden.abs(), String::new());
    }

    /// Compares values that must be equal.
    pub fn equal<T: PartialEq + std::fmt::Debug>(&mut self, name: &str, ours: &T, golden: &T) {
        let same = ours == golden;
        let note = if same { String::new() } else { first_difference(&format!("{ours:?}"), &format!("{golden:?}")) };
        self.push(name, if same { 0.0 } else { f64::NAN }, if same { 0.0 } else { f64::NAN }, same, note);
    }

    /// Records that a check was not run; it counts as ok, and the note says why.
    pub fn skip(&mut self, name: &str, why: &str) {
        self.push(name, f64::NAN, f64::NAN, true, format!("SKIPPED: {why}"));
    }

    /// Runs a group of checks; when it fails as a whole, that is one row.
    pub fn section(&mut self, name: &str, check: impl FnOnce() -> Result<Rows, OpError>) {
        // A failure inside `no_grad` must not leave the next section without gradients.
        match guard(name, || with_grad(check)).and_then(|r| r) {
            Ok(rows) => self.rows.extend(rows.rows),
            Err(e) => self.push(name, f64::NAN, f64::NAN, false, e.message),
        }
    }

    /// Returns the rows.
    pub fn done(self) -> Vec<Row> {
        self.rows
    }

    fn push(&mut self, name: &str, max_abs: f64, max_rel: f64, ok: bool, note: String) {
        self.rows.push(Row { name: name.to_owned(), max_abs, max_rel, ok, note });
    }
}

/// Renders rows as text: `name  max_abs  max_rel  ok`.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|r| r.name.len()).max().unwrap_or(4);
    let mut out = format!("{:width$}  {:>9}  {:>9}  ok\n", "name", "max_abs", "max_rel");
    for row in rows {
        let number = |x: f64| if x.is_nan() { "-".to_owned() } else { format!("{x:.2e}") };
        let ok = if row.ok { "ok" } else { "FAIL" };
        let line =
            format!("{:width$}  {:>9}  {:>9}  {ok}  {}", row.name, number(row.max_abs), number(row.max_rel), row.note);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn first_difference(ours: &str, golden: &str) -> String {
    let at = ours.chars().zip(golden.chars()).take_while(|(a, b)| a == b).count();
    let around = |s: &str| s.chars().skip(at.saturating_sub(10)).take(60).collect::<String>();
    format!("ours …{}…, golden …{}…", around(ours), around(golden))
}
