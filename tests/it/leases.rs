//! Leases where locks do not reach: two machines on one store, of which one is stopped, killed, or only slow.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::engine::{Place, signal, until};
use crate::promises::{preloaded, with_a_program};

/// A file system whose locks each machine keeps to itself.
const OWN_LOCKS: &str = "int flock(int fd, int how) { return 0; }\n";

/// The first process waits until it may go on, the others do not; each says something of its own where `OWN` is.
const WAITS: &str = "import os, sys, time, uuid\ntry:\n    os.close(os.open('PATH/first', os.O_CREAT | os.O_EXCL))\n    while not os.path.exists('PATH/go'): time.sleep(0.02)\n\
    except FileExistsError: pass\nfor line in sys.stdin: print(line.replace('one', OWN), end='')\n";

/// A run on a machine of its own.
struct Run {
    child: Child,
    events: String,
}

impl Run {
    fn start(place: &Place, machine: &str, library: Option<&Path>) -> Self {
        let events = format!("{machine}.jsonl");
        let mut command: Command =
            place.command(&["run", "recipe.rb2", "--to", "out", "-w", "at_most=1", "--events", &events]);
        command.env("RBPIPE_LEASE_SECONDS", "2").stderr(Stdio::null());
        if let Some(library) = library {
            command.env("RBPIPE_MACHINE", machine).env("LD_PRELOAD", library);
        }
        Self { child: command.spawn().unwrap(), events }
    }

    fn said(&self, place: &Place, event: &str) -> usize {
        let text = fs::read_to_string(place.path(&self.events)).unwrap_or_default();
        let all = text.lines().filter_map(|l| serde_json::from_str::<Json>(l).ok());
        all.filter(|e| e["event"] == event && e["node"] == "out/mine").count()
    }

    fn ends_well(&mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

/// What happens to the first holder.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Slow,
    Stopped,
    Killed,
}

#[test]
fn a_lease_is_taken_over_from_who_is_gone_and_from_nobody_else() {
    for locks_reach in [true, false] {
        for (fate, own) in [
            (Fate::Slow, "'one'"),
            (Fate::Killed, "'one'"),
            (Fate::Stopped, "'one'"),
            (Fate::Stopped, "uuid.uuid4().hex"),
        ] {
            let case = format!("{fate:?}, {own}, locks reach: {locks_reach}");
            let place = with_a_program(&WAITS.replace("OWN", own));
            let library = if locks_reach { None } else { preloaded(&place, OWN_LOCKS) };
            if !locks_reach && library.is_none() {
                return;
            }
            let mut first = Run::start(&place, "a", library.as_deref());
            assert!(until(|| place.path("first").exists()), "{case}: it never ran");
            match fate {
                Fate::Slow => {}
                Fate::Stopped => signal(&first.child, libc::SIGSTOP),
                Fate::Killed => signal(&first.child, libc::SIGKILL),
            }
            let mut second = Run::start(&place, "b", library.as_deref());
            if fate == Fate::Slow {
                assert!(until(|| second.said(&place, "node_waits") == 1), "{case}: it does not say that it waits");
                // Several times as long as a lease holds that nobody touches.
                std::thread::sleep(Duration::from_secs(5));
                assert_eq!(second.said(&place, "node_started"), 0, "{case}: it took what was held");
                fs::write(place.path("go"), "").unwrap();
                first.ends_well();
                second.ends_well();
                assert_eq!((first.said(&place, "node_finished"), second.said(&place, "node_hit")), (1, 1), "{case}");
                assert_eq!(first.said(&place, "lease_lost"), 0, "{case}");
                continue;
            }
            second.ends_well();
            assert_eq!(second.said(&place, "node_finished"), 1, "{case}");
            let output = place.read("out.jsonl");
            fs::write(place.path("go"), "").unwrap();
            if fate == Fate::Killed {
                first.child.wait().unwrap();
            } else {
                // Whoever comes back finds the result of the other there: it stays, and a difference is told.
                signal(&first.child, libc::SIGCONT);
                first.ends_well();
                assert_eq!(first.said(&place, "lease_lost"), 1, "{case}");
                assert_eq!(first.said(&place, "divergence"), usize::from(own != "'one'"), "{case}");
            }
            assert_eq!(place.read("out.jsonl"), output, "{case}: the first record wins");
            assert!(place.command(&["cache", "verify"]).output().unwrap().status.success(), "{case}");
            let left = crate::engine::files_below(&place.cache().join("leases"));
            assert!(fate == Fate::Killed || left.is_empty(), "{case}: {left:?}");
        }
    }
}
