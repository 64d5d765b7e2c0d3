//! Which rank this process is, by the variables that torchrun, Kubernetes operators and our own scheduler set.

use std::net::{ToSocketAddrs, UdpSocket};

use crate::base::OpError;

/// A socket on which rank 0 serves the meeting place, open already: its number. Our scheduler sets it, so that no port can be taken in between.
pub const LISTENING: &str = "RBPIPE_MASTER_FD";

/// This process among those of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// From 0; rank 0 writes what the group makes.
    pub rank: usize,
    /// Ranks in all.
    pub world: usize,
    /// From 0 on this machine: which of its GPUs is this rank's.
    pub local: usize,
    /// Ranks on this machine.
    pub beside: usize,
    /// Where the ranks meet.
    pub host: String,
    /// Where the ranks meet.
    pub port: u16,
    /// See [`LISTENING`].
    pub listening: Option<i32>,
}

impl Launch {
    /// A process of its own.
    pub fn alone() -> Self {
        Self { rank: 0, world: 1, local: 0, beside: 1, host: String::new(), port: 0, listening: None }
    }

    /// Reads `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `LOCAL_WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`. Without `WORLD_SIZE`, or with 1, the process is
    /// alone. `LOCAL_RANK` and `LOCAL_WORLD_SIZE` are `RANK` and `WORLD_SIZE` unless they are given.
    ///
    /// # Errors
    /// `E0612` that names the variable which is absent or no number.
    pub fn from(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, OpError> {
        let number = |name: &str| match variable(name).filter(|v| !v.is_empty()) {
            None => Ok(None),
            Some(text) => {
                text.trim().parse::<usize>().map(Some).map_err(|_| bad(&format!("{name}={text} is not a number")))
            }
        };
        let Some(world) = number("WORLD_SIZE")?.filter(|&world| world > 1) else { return Ok(Self::alone()) };
        let needed = |name: &str| bad(&format!("WORLD_SIZE={world}, but {name} is not set"));
        let rank = number("RANK")?.ok_or_else(|| needed("RANK"))?;
        if rank >= world {
            return Err(bad(&format!("RANK={rank} is not below WORLD_SIZE={world}")));
        }
        let host = variable("MASTER_ADDR").filter(|v| !v.is_empty()).ok_or_else(|| needed("MASTER_ADDR"))?;
        let port = number("MASTER_PORT")?.ok_or_else(|| needed("MASTER_PORT"))?;
        let port = u16::try_from(port).map_err(|_| bad(&format!("MASTER_PORT={port} is above 65535")))?;
        let listening = number(LISTENING)?.and_then(|n| i32::try_from(n).ok());
        let beside = number("LOCAL_WORLD_SIZE")?.unwrap_or(world);
        Ok(Self { rank, world, local: number("LOCAL_RANK")?.unwrap_or(rank), beside, host, port, listening })
    }

    /// As [`Self::from`], of this process's environment.
    ///
    /// # Errors
    /// As [`Self::from`].
    pub fn from_env() -> Result<Self, OpError> {
        Self::from(&|name| std::env::var(name).ok())
    }

    /// Returns the address of this machine that the others reach it by: the one from which it reaches the meeting place.
    pub(super) fn own_address(&self) -> Result<String, OpError> {
        let there = (self.host.as_str(), self.port).to_socket_addrs().ok().and_then(|mut all| all.next());
        let there = there.ok_or_else(|| bad(&format!("MASTER_ADDR={} is not the name of a machine", self.host)))?;
        let any = if there.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        // Nothing is sent: the system only chooses the way.
        let socket = UdpSocket::bind(any)?;
        socket.connect(there)?;
        Ok(socket.local_addr()?.ip().to_string())
    }
}

fn bad(why: &str) -> OpError {
    OpError::new("E0612", format!("the launcher's variables do not fit together: {why}"))
        .help("a launcher sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT for each process; see `docs/training.md`")
}
