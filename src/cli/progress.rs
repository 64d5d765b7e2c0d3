//! Shows a run to people: bars on a terminal, plain lines otherwise.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::say;
use crate::base::phrase;
use crate::engine::event::{CROWD, Event, Listener, in_crowds};

/// Returns the listener that suits the place where standard error goes.
pub(super) fn for_terminal() -> Box<dyn Listener> {
    for_bars().unwrap_or_else(|| Box::new(Plain::default()))
}

/// Returns bars, on a terminal.
pub(super) fn for_bars() -> Option<Box<dyn Listener>> {
    std::io::stderr().is_terminal().then(|| Box::new(Bars::default()) as Box<dyn Listener>)
}

/// One line per thing that happened.
#[derive(Default)]
struct Plain {
    /// Lines of results that were there, not shown yet.
    gathered: Mutex<String>,
}

impl Plain {
    fn show(gathered: &mut String) {
        if let Some(lines) = gathered.strip_suffix('\n') {
            say(lines);
            gathered.clear();
        }
    }

    fn gathered(&self) -> MutexGuard<'_, String> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Plain {
    fn hear(&self, event: &Event) {
        if let Some(line) = line(event) {
            let mut gathered = self.gathered();
            gathered.push_str(&line);
            gathered.push('\n');
            if !in_crowds(event) || gathered.len() >= CROWD {
                Self::show(&mut gathered);
            }
        }
    }

    fn settled(&self) {
        Self::show(&mut self.gathered());
    }
}

/// A spinner or bar for each running node, and lines for what has ended.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    open: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Listener for Bars {
    fn hear(&self, event: &Event) {
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let node = event.node.clone().unwrap_or_default();
        match event.event.as_str() {
            "node_started" => {
                let bar = self.all.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {msg}  {elapsed}") {
                    bar.set_style(style);
                }
                bar.set_prefix(node.clone());
                bar.enable_steady_tick(Duration::from_millis(120));
                open.insert(node, bar);
                return;
            }
            "node_progress" => {
                if let Some(bar) = open.get(&node) {
                    if let (Some(done), Some(total)) = (event.number("done"), event.number("total"))
                        && total > 0.0
                    {
                        if bar.length().is_none()
                            && let Ok(style) = ProgressStyle::with_template(
                                "{spinner} {prefix}  {bar:30} {pos}/{len} {msg}  {elapsed}",
                            )
                        {
                            bar.set_style(style);
                        }
                        bar.set_length(total as u64);
                        bar.set_position(done as u64);
                    }
                    bar.set_message(extras(event));
                }
                return;
            }
            _ => {}
        }
        if !["node_log", "node_foreseen", "node_memory", "node_gpus", "node_submitted", "node_queued", "node_placed"]
            .contains(&event.event.as_str())
            && let Some(bar) = open.remove(&node)
        {
            bar.finish_and_clear();
        }
        if let Some(line) = line(event) {
            // Lines and bars share the terminal; what cannot be written there is lost to nobody.
            let _ = self.all.suspend(|| writeln!(std::io::stderr(), "{line}"));
        }
    }
}

/// Numbers that a training reports beside its progress: `loss 1.32, lr 2.0e-5`.
fn extras(event: &Event) -> String {
    let known = ["done", "total", "unit", "step"];
    let unit = event.text("unit").unwrap_or_default();
    let numbers = event.fields.iter().filter(|(k, _)| !known.contains(&k.as_str()));
    let numbers: Vec<String> = numbers
        .filter_map(|(k, v)| {
            let x = v.as_f64()?;
            Some(if x != 0.0 && x.abs() < 1e-2 { format!("{k} {x:.1e}") } else { format!("{k} {x:.4}") })
        })
        .take(4)
        .collect();
    if numbers.is_empty() { unit.to_owned() } else { format!("{unit}  {}", numbers.join(", ")) }
}

/// The first bad rows, each on a line of its own.
fn quarantined(event: &Event) -> String {
    let Some(rows) = event.fields.get("quarantined").and_then(|q| q.as_array()) else { return String::new() };
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let mut out: String =
        rows.iter().map(|row| format!("\n      {}: {}", text(row, "row"), text(row, "why"))).collect();
    if event.number("more").is_some_and(|more| more > 0.0) {
        let node = event.node.as_deref().unwrap_or_default();
        out.push_str(&format!("\n      and more; `rbpipe show RECIPE {node}` lists them all"));
    }
    out
}

fn line(event: &Event) -> Option<String> {
    let node = event.node.as_deref().unwrap_or_default();
    let op = event.op.as_deref().unwrap_or_default();
    let rows = event.number("rows").map_or(String::new(), |r| format!("  {}", phrase::count(r as usize, "row")));
    Some(match event.event.as_str() {
        "node_hit" if event.fields.get("passed").is_some_and(|p| p == true) => {
            format!("hit   {node}{rows}, beside columns that changed")
        }
        "node_hit" => format!("hit   {node}{rows}"),
        "bytes_left" => {
            let size = phrase::bytes(event.number("bytes").unwrap_or(0.0) as u64);
            format!("left  {node}  {size} in the remote")
        }
        "node_started" => format!("run   {node}  ({op})"),
        "node_waits" => {
            let by = event.text("process").map_or(String::new(), |process| {
                let text = |field| event.text(field).unwrap_or_default();
                format!(" by process {process} on {} since {}", text("host"), text("since"))
            });
            format!("wait  {node}  is being made{by}")
        }
        "node_finished" => {
            let seconds = event.number("seconds").unwrap_or(0.0);
            let counts = event.fields.get("counts").and_then(|c| c.as_object()).map_or(String::new(), |c| {
                let parts: Vec<String> = c.iter().map(|(k, v)| format!("{k} {v}")).collect();
                format!("  ({})", parts.join(", "))
            });
            format!("done  {node}  {seconds:.1} s{rows}{counts}{}", quarantined(event))
        }
        "node_failed" => {
            let code = event.text("code").unwrap_or_default();
            let message = event.text("message").unwrap_or_default();
            let help = event.text("help").map_or(String::new(), |h| format!("\n      help: {h}"));
            format!("FAIL  {node}  [{code}] {message}{help}")
        }
        "node_stopped" => format!("stop  {node}  {}", event.text("message").unwrap_or_default()),
        "node_skipped" => format!("skip  {node}  because of `{}`", event.text("because").unwrap_or_default()),
        "node_log" => format!("note  {node}  {}", event.text("text").unwrap_or_default()),
        "node_submitted" => {
            let job = event.text("job").unwrap_or_default();
            let how = if event.fields.get("adopted").is_some_and(|a| a == true) { "found" } else { "is" };
            format!("queue {node}  {how} job {job} at {}", event.text("executor").unwrap_or_default())
        }
        "node_queued" => {
            let text = |field| event.text(field).unwrap_or_default();
            format!("queue {node}  job {} {}", text("job"), text("state"))
        }
        "node_missed" => format!("miss  {node}  ({op})"),
        "node_retried" => format!("again {node}  {}", event.text("message").unwrap_or_default()),
        "expect_passed" => format!("ok    {node}"),
        "expect_failed" | "warning" => {
            let word = if event.event == "warning" { "WARN " } else { "FAIL " };
            let values = event.text("values").unwrap_or_default();
            let message = event.text("message").map_or(String::new(), |m| format!(": {m}"));
            format!("{word} {node}{message}  ({values})")
        }
        "node_fetched" => {
            let size = phrase::bytes(event.number("bytes").unwrap_or(0.0) as u64);
            let by = event.text("signed_by").map_or(String::new(), |name| format!(", signed by {name}"));
            format!("fetch {node}  {size} from {}{by}", event.text("from").unwrap_or_default())
        }
        "remote_refused" => {
            let text = |field| event.text(field).unwrap_or_default();
            format!("WARN  {node}: the remote's {} is refused: {}", text("what"), text("message"))
        }
        "remote_failed" => {
            let last = event.fields.get("given_up").is_some_and(|g| g == true);
            let end = if last { "; it is not asked again" } else { "" };
            let text = |field| event.text(field).unwrap_or_default();
            format!("WARN  {node}: `{}` gave nothing: {}{end}", text("from"), text("message"))
        }
        "bytes_damaged" => {
            format!("WARN  {node}: {}; it is made anew", event.text("message").unwrap_or_default())
        }
        "lease_lost" => format!("WARN  {node}: this process was silent for so long that another one took it over"),
        "divergence" => {
            format!("WARN  {node}: another run made other bytes under the same key; the first result stays")
        }
        "output_published" => format!("wrote {}", event.text("path").unwrap_or_default()),
        "notice" => event.text("message").unwrap_or_default().to_owned(),
        _ => return None,
    })
}
