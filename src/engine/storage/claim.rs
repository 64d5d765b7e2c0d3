//! Who makes the result of a key, told to machines whose locks do not reach each other: a file that its holder touches again and again. When it is touched no
//! more, whoever waits takes it over.
//!
//! Two may then make one result, if the holder was only slow. That is harmless: the first record wins, and a second, other result is reported.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::store::Store;
use crate::engine::crash::step;
use crate::engine::{event, machine};

/// Names another time in seconds after which a lease that nobody touches is taken over.
const EXPIRY: &str = "RBPIPE_LEASE_SECONDS";
/// Longer than file systems of a network keep what they know of a file.
const SECONDS: f64 = 120.0;

/// After which time without a sign of life a holder counts as gone.
fn expiry() -> Duration {
    static TIME: LazyLock<Duration> = LazyLock::new(|| {
        let asked = std::env::var(EXPIRY).ok().and_then(|text| text.parse::<f64>().ok());
        Duration::from_secs_f64(asked.filter(|s| (0.5..=86_400.0).contains(s)).unwrap_or(SECONDS))
    });
    *TIME
}

/// What a holder says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub process: u32,
    pub host: String,
    /// When it took the lease.
    pub since: String,
    machine: String,
    boot: String,
    /// When its process began, so that another one of the same number is not taken for it.
    began: u64,
    /// When it took the lease, in seconds since 1970.
    at: u64,
    /// Tells claims of one process apart.
    number: u64,
}

impl Holder {
    fn this() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // Asked once for thousands of leases.
        static SELF: LazyLock<(String, u64)> =
            LazyLock::new(|| (machine::host(), machine::began(std::process::id()).unwrap_or(0)));
        let process = std::process::id();
        Self {
            process,
            host: SELF.0.clone(),
            since: event::now(),
            machine: machine::here().to_owned(),
            boot: machine::boot().to_owned(),
            began: SELF.1,
            at: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// When it took the lease.
    pub(super) fn begun(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.at)
    }

    /// Says whether it is known to be no more. Of another machine's processes nothing is known.
    fn is_gone(&self) -> bool {
        self.machine == machine::here()
            && (self.boot != machine::boot() || machine::began(self.process) != Some(self.began))
    }
}

/// A held claim.
pub(super) struct Claim {
    /// Touched as long as it is held.
    #[allow(dead_code)]
    file: Arc<File>,
    path: PathBuf,
    /// Device and inode of the file.
    own: (u64, u64),
}

/// What a waiting process has seen of a claim, and since when by its own clock.
#[derive(Default)]
pub(super) struct Watch(Option<(Sign, Instant)>);

/// What changes with each sign of life.
#[derive(Clone, PartialEq, Eq)]
struct Sign {
    holder: Option<Holder>,
    inode: u64,
    touched: (i64, i64),
}

impl Sign {
    /// Says whether who gave it is known to be no more.
    fn is_gone(&self) -> bool {
        self.holder.as_ref().is_some_and(Holder::is_gone)
    }
}

impl Watch {
    /// Says whether nothing has changed for so long that the holder counts as gone. Clocks of other machines do not matter.
    fn expired(&mut self, sign: &Sign) -> bool {
        match &self.0 {
            Some((seen, since)) if seen == sign => since.elapsed() >= expiry(),
            _ => {
                self.0 = Some((sign.clone(), Instant::now()));
                false
            }
        }
    }
}

impl Claim {
    /// Claims a path in a store if nobody does, or who did is gone; nothing while somebody does.
    pub(super) fn take(store: &Store, path: &Path, watch: &mut Watch) -> io::Result<Option<Self>> {
        loop {
            if let Some(sign) = look(path)? {
                if !sign.is_gone() && !watch.expired(&sign) {
                    return Ok(None);
                }
                push_aside(path, &sign)?;
            }
            // Signed before it has its name: one that a crash leaves unsigned would be waited for until it expires.
            let mut file = store.lasting()?;
            file.write_all(&serde_json::to_vec(&Holder::this())?)?;
            step();
            match file.persist_noclobber(path) {
                Ok(file) => {
                    step();
                    let file = Arc::new(file);
                    let metadata = file.metadata()?;
                    keep_alive(&file);
                    return Ok(Some(Self { file, path: path.to_path_buf(), own: (metadata.dev(), metadata.ino()) }));
                }
                Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e.error),
            }
        }
    }

    /// Says whether somebody has taken it over.
    pub(super) fn is_lost(&self) -> bool {
        !fs::metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == self.own)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_lost() {
            let _ = fs::remove_file(&self.path);
            step();
        }
    }
}

/// Says whether a claim is there whose holder is gone, or counts as that.
pub(super) fn is_abandoned(path: &Path, watch: &mut Watch) -> io::Result<bool> {
    Ok(look(path)?.is_some_and(|sign| sign.is_gone() || watch.expired(&sign)))
}

/// Opened, so that a file system of a network asks anew.
fn look(path: &Path) -> io::Result<Option<Sign>> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let touched = (metadata.mtime(), metadata.mtime_nsec());
    Ok(Some(Sign { holder: serde_json::from_slice(&text).ok(), inode: metadata.ino(), touched }))
}

/// Takes an abandoned claim away. One that came in its place between look and removal is put back.
fn push_aside(path: &Path, seen: &Sign) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", machine::mark()));
    let aside = PathBuf::from(name);
    match fs::rename(path, &aside) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    step();
    if look(&aside)?.is_some_and(|there| there.holder != seen.holder) {
        let _ = fs::hard_link(&aside, path);
        step();
    }
    fs::remove_file(&aside)?;
    step();
    Ok(())
}

/// Returns who claims a path, and when it last showed a sign of life.
pub(super) fn holder(path: &Path) -> Option<(Holder, SystemTime)> {
    let touched = fs::metadata(path).ok()?.modified().ok()?;
    Some((look(path).ok()??.holder?, touched))
}

/// Says whether a claim is held, as far as one look tells: its holder lives here, or was heard of lately by the clocks.
pub(super) fn is_held(path: &Path, slack: Duration) -> bool {
    holder(path).is_some_and(|(holder, touched)| {
        !holder.is_gone() && touched.elapsed().map_or(true, |silent| silent < expiry().max(slack))
    })
}

/// Touches a file again and again as long as somebody has it.
fn keep_alive(file: &Arc<File>) {
    static HELD: Mutex<Vec<Weak<File>>> = Mutex::new(Vec::new());
    static BEATS: Once = Once::new();
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(file));
    BEATS.call_once(|| {
        let beat = || loop {
            std::thread::sleep(expiry() / 8);
            // Not held while files are touched: a network may be slow.
            let held: Vec<Arc<File>> = {
                let mut all = HELD.lock().unwrap_or_else(PoisonError::into_inner);
                all.retain(|file| file.strong_count() > 0);
                all.iter().filter_map(Weak::upgrade).collect()
            };
            for file in held {
                let _ = file.set_modified(SystemTime::now());
            }
        };
        // Without it a lease may be taken over while it is held, and a result be made twice.
        let _ = std::thread::Builder::new().name("leases".into()).spawn(beat);
    });
}
