//! Signs in the log of a training that it goes wrong, so that they are told while it runs and not found in its result.

use super::log::Record;

/// Log lines that a sign must last.
const LASTS: usize = 3;

/// A sign: a name, and what is told.
pub type Sign = (&'static str, String);

/// Looks for signs in the lines of a log so far, oldest first; a sign that is there stays there in later calls.
///
/// # Units
/// Losses and log-probabilities in nats.
///
/// # Source
/// Rising losses and norms are what lets a run be stopped by hand; that better replies become less likely while they win: Razin et al. 2024, likelihood
/// displacement.
pub fn signs(records: &[Record]) -> Vec<Sign> {
    let lines: Vec<&Record> = records.iter().filter(|r| r.loss.is_some()).collect();
    [rising_loss(&lines), rising_norm(&lines), fading(&lines), reversed(&lines)].into_iter().flatten().collect()
}

fn rising_loss(lines: &[&Record]) -> Option<Sign> {
    let losses: Vec<f64> = lines.iter().filter_map(|r| r.loss).collect();
    let (before, now) = apart(&losses)?;
    let lowest = before.iter().copied().fold(f64::INFINITY, f64::min);
    let least = now.iter().copied().fold(f64::INFINITY, f64::min);
    let told = || {
        format!(
            "the loss rises: {least:.4} or more for {LASTS} lines of the log, {lowest:.4} before; a lower `lr` or a longer `warmup` helps"
        )
    };
    (least > 2.0 * lowest && least > lowest + 0.5).then(|| ("loss", told()))
}

fn rising_norm(lines: &[&Record]) -> Option<Sign> {
    let norms: Vec<f64> = lines.iter().filter_map(|r| r.grad_norm).collect();
    let (before, now) = apart(&norms)?;
    let mut sorted = before.to_vec();
    sorted.sort_by(f64::total_cmp);
    let usual = sorted[sorted.len() / 2];
    let least = now.iter().copied().fold(f64::INFINITY, f64::min);
    let told = || {
        format!(
            "the gradient norm is {least:.3e} or more, {usual:.3e} in the middle before: the training leaves its path; a lower `lr` helps"
        )
    };
    (least > 100.0 * usual && usual > 0.0).then(|| ("norm", told()))
}

/// Better replies that become much less likely: the model is pushed away from both, to texts that nobody wrote.
fn fading(lines: &[&Record]) -> Option<Sign> {
    let chosen = measured(lines, "logps/chosen");
    let (before, now) = apart(&chosen)?;
    let (first, most) = (before[0], now.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let told = || {
        format!(
            "the better replies become less likely: logps/chosen was {first:.1} and is {most:.1} or less; `sft: 0.1`, a larger `beta` or a lower `lr` holds them"
        )
    };
    (most < first - f64::max(10.0, 0.5 * first.abs())).then(|| ("logps", told()))
}

/// Worse replies that win on the rows that are trained on, however long they are.
fn reversed(lines: &[&Record]) -> Option<Sign> {
    let right = measured(lines, "rewards/accuracies");
    let (_, now) = apart(&right)?;
    let most = now.iter().copied().fold(0.0, f64::max);
    let told = || {
        format!(
            "the worse replies win: rewards/accuracies is {most:.2} or less for {LASTS} lines of the log; are `chosen` and `rejected` swapped?"
        )
    };
    (most < 0.25).then(|| ("accuracy", told()))
}

fn measured(lines: &[&Record], name: &str) -> Vec<f64> {
    let of = |r: &&Record| r.measures.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
    lines.iter().filter_map(of).collect()
}

/// Returns the values before the last few, and these; nothing while there are as few before them.
fn apart(values: &[f64]) -> Option<(&[f64], &[f64])> {
    (values.len() >= 2 * LASTS).then(|| values.split_at(values.len() - LASTS))
}
