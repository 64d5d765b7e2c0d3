//! How a run ends: the event and the line that say so, once, also where it is ended in the middle of something.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Exit, say};
use crate::engine::event::{Event, Listener};
use crate::engine::stop::Stop;
use crate::engine::storage::journal::{self, Journal};

/// How to go on after a run was stopped.
pub(super) const RESUME: &str = "the same command goes on from here";

/// What became of the nodes of a run.
#[derive(Clone, Copy)]
pub(super) struct Counts {
    pub run: usize,
    pub hit: usize,
    pub failed: usize,
    pub stopped: usize,
    pub skipped: usize,
}

impl Counts {
    /// The event that a run ends with.
    pub(super) fn event(self, exit: Exit, seconds: f64) -> Event {
        Event::new("run_finished")
            .with("exit", exit as u8)
            .with("seconds", seconds)
            .with("run", self.run)
            .with("hit", self.hit)
            .with("failed", self.failed)
            .with("stopped", self.stopped)
            .with("skipped", self.skipped)
    }
}

/// So long a run has to end by itself after the second request.
const AT_ONCE: Duration = Duration::from_secs(2);

/// The last word of a run.
pub(super) struct Ending {
    since: Instant,
    said: AtomicBool,
    journal: Arc<Journal>,
    events: Option<Arc<dyn Listener + Send>>,
}

impl Ending {
    pub(super) fn new(journal: &Arc<Journal>, events: Option<Arc<dyn Listener + Send>>) -> Self {
        Self { since: Instant::now(), said: AtomicBool::new(false), journal: Arc::clone(journal), events }
    }

    /// Takes the last word for the run itself. Where it has been taken, the process is about to end.
    pub(super) fn take(&self) {
        while self.said.swap(true, Ordering::Relaxed) {
            std::thread::park();
        }
    }

    /// Says what became of a run that is ended in the middle of something, from its journal.
    fn in_the_middle(&self) {
        if self.said.swap(true, Ordering::Relaxed) {
            return;
        }
        self.journal.settled();
        let mut nodes: BTreeMap<String, Event> = BTreeMap::new();
        for event in journal::read(self.journal.path()) {
            if let Some(name) = event.node.clone().filter(|_| event.event.starts_with("node_")) {
                nodes.insert(name, event);
            }
        }
        let count = |kind: &str| nodes.values().filter(|e| e.event == kind).count();
        let over = ["node_finished", "node_hit", "node_failed", "node_skipped", "node_missed", "node_stopped"];
        let cut: Vec<&Event> = nodes.values().filter(|e| !over.contains(&e.event.as_str())).collect();
        for last in &cut {
            let mut event = Event::new("node_stopped").with("message", "ended at once on request");
            (event.node, event.op, event.key) = (last.node.clone(), last.op.clone(), last.key.clone());
            self.hear(&event);
        }
        let stopped = cut.len() + count("node_stopped");
        let (run, hit, failed) = (count("node_finished"), count("node_hit"), count("node_failed"));
        let seconds = self.since.elapsed().as_secs_f64();
        let counts = Counts { run, hit, failed, stopped, skipped: count("node_skipped") };
        self.hear(&counts.event(Exit::Interrupted, seconds));
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let stopped = if stopped > 0 { format!(", {stopped} stopped") } else { String::new() };
        say(&format!("ended at once: {run} run, {hit} hit{failed}{stopped} · {seconds:.1} s; {RESUME}"));
    }

    fn hear(&self, event: &Event) {
        self.journal.hear(event);
        if let Some(events) = &self.events {
            events.hear(event);
        }
    }
}

/// The first Ctrl-C asks processes to stop and keep their checkpoints, the second ends them.
pub(super) fn stop_on_signals(stop: &Arc<Stop>, ending: Option<Arc<Ending>>) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if stop.soon.swap(true, Ordering::Relaxed) {
                stop.now.store(true, Ordering::Relaxed);
                // Operators in this process cannot be ended one by one; what they made so far is recorded.
                std::thread::sleep(AT_ONCE);
                if let Some(ending) = &ending {
                    ending.in_the_middle();
                }
                std::process::exit(i32::from(Exit::Interrupted as u8));
            }
            say("stopping; once more ends at once");
        }
    });
}
