//! A real Slurm for the tests: Debian's packages, unpacked into a folder of the build and not installed, with a controller and two nodes on this machine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::shell::{shell, unpacked};

const PACKAGES: [&str; 8] = [
    "slurmctld",
    "slurmd",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "munge",
    "libmunge2",
    "libhwloc15",
    "liblua5.1-0",
];

/// A running cluster; it ends with this value.
pub struct Cluster {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
    /// What its commands need.
    pub env: Vec<(String, String)>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.ask("scancel", &["--me"]);
        for daemon in self.daemons.iter_mut().rev() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Cluster {
    /// Unpacks and starts it; nothing where that cannot be done, which is said.
    pub fn start() -> Option<Self> {
        let started = unpacked("slurm", &PACKAGES).and_then(|root| Self::start_in(&root));
        match started {
            Ok(cluster) => Some(cluster),
            Err(why) => {
                eprintln!("SKIPPED: no Slurm could be started, nothing was tested against it: {why}");
                None
            }
        }
    }

    fn start_in(root: &Path) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["state", "spool", "log", "run"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("munge.key"), [7; 64]).unwrap();
        shell(&format!("chmod 600 {} && chmod 755 {} {}", at("munge.key"), folder.path().display(), at("run")))?;
        let [controller, first, second] = ports();
        let host = shell("hostname -s")?;
        let user = shell("id -un")?;
        let plugins = plugins(root)?;
        let conf = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\nSlurmUser={user}\nSlurmdUser={user}\n\
             AuthType=auth/munge\nCryptoType=crypto/munge\nAuthInfo=socket={munge}\nStateSaveLocation={state}\nSlurmdSpoolDir={spool}/%n\n\
             SlurmctldPidFile={run}/c.pid\nSlurmdPidFile={run}/%n.pid\nSlurmctldLogFile={log}/c.log\nSlurmdLogFile={log}/%n.log\n\
             PluginDir={plugins}\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSchedulerType=sched/builtin\n\
             SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU_Memory\nDefMemPerCPU=10\nMpiDefault=none\nReturnToService=2\nSlurmdTimeout=0\nKillWait=5\n\
             SlurmdParameters=config_overrides\nPreemptType=preempt/partition_prio\nPreemptMode=CANCEL\n\
             NodeName=n1 NodeAddr=127.0.0.1 NodeHostname={host} Port={first} CPUs=4 RealMemory=1000\n\
             NodeName=n2 NodeAddr=127.0.0.1 NodeHostname={host} Port={second} CPUs=4 RealMemory=1000\n\
             PartitionName=main Nodes=n1,n2 Default=YES PriorityTier=1 State=UP\nPartitionName=urgent Nodes=n1,n2 PriorityTier=10 State=UP\n",
            munge = at("run/munge"),
            state = at("state"),
            spool = at("spool"),
            run = at("run"),
            log = at("log"),
            plugins = plugins.display(),
        );
        fs::write(at("slurm.conf"), conf).unwrap();
        let libraries = plugins.parent().unwrap_or(&plugins).display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let usr = root.join("usr").display().to_string();
        let env = vec![
            ("PATH".to_owned(), format!("{usr}/bin:{usr}/sbin:{path}")),
            ("LD_LIBRARY_PATH".to_owned(), format!("{libraries}:{}", plugins.display())),
            ("SLURM_CONF".to_owned(), at("slurm.conf")),
        ];
        let mut cluster = Self { folder, daemons: Vec::new(), env };
        let key = format!("--key-file={}", cluster.at("munge.key"));
        let files = ["socket=run/munge", "pid-file=run/munge.pid", "log-file=log/munge", "seed-file=state/munge.seed"];
        let files = files.map(|f| {
            let (name, file) = f.split_once('=').unwrap();
            format!("--{name}={}", cluster.at(file))
        });
        let mut munge = vec!["--foreground", "--force", &key];
        munge.extend(files.iter().map(String::as_str));
        cluster.daemon("munged", &munge)?;
        cluster.daemon("slurmctld-wlm", &["-D"])?;
        let step = format!("{usr}/sbin/slurmstepd-wlm");
        for node in ["n1", "n2"] {
            cluster.daemon("slurmd-wlm", &["-D", "-N", node, "-d", &step])?;
        }
        for _ in 0..150 {
            if cluster.ask("sinfo", &["-h", "-p", "main", "-t", "idle", "-o", "%D"]).is_ok_and(|out| out == "2") {
                return Ok(cluster);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = shell(&format!("tail -n 5 {}/*", cluster.at("log"))).unwrap_or_default();
        Err(format!("its nodes did not come up: {log}"))
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn daemon(&mut self, program: &str, args: &[&str]) -> Result<(), String> {
        let out = fs::File::create(self.at(&format!("log/{program}.out"))).map_err(|e| e.to_string())?;
        let mut command = Command::new(find(&self.env[0].1, program));
        command.args(args).envs(self.env.iter().cloned()).stdin(Stdio::null()).stdout(out.try_clone().unwrap());
        self.daemons.push(command.stderr(out).spawn().map_err(|e| format!("{program}: {e}"))?);
        // Whoever starts next needs its socket.
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    }

    /// Runs one of Slurm's commands.
    pub fn ask(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let out = Command::new(find(&self.env[0].1, program)).args(args).envs(self.env.iter().cloned()).output();
        let out = out.map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    /// Returns the states of all jobs, by number: `1 COMPLETED`.
    pub fn jobs(&self) -> Vec<String> {
        let text = self.ask("squeue", &["-h", "-r", "-t", "all", "-o", "%i %T"]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a job is in a state.
    pub fn wait_for(&self, state: &str, count: usize) {
        for _ in 0..200 {
            if self.jobs().iter().filter(|job| job.ends_with(&format!(" {state}"))).count() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{count} jobs never were {state}: {:?}", self.jobs());
    }
}

fn find(path: &str, program: &str) -> PathBuf {
    let found = path.split(':').map(|folder| Path::new(folder).join(program)).find(|p| p.exists());
    found.unwrap_or_else(|| program.into())
}

fn ports() -> [u16; 3] {
    // All are open at once, so that no two are the same.
    let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

fn plugins(root: &Path) -> Result<PathBuf, String> {
    let folders = fs::read_dir(root.join("usr/lib")).map_err(|e| e.to_string())?.flatten();
    let mut found = folders.map(|f| f.path().join("slurm-wlm")).filter(|p| p.is_dir());
    found.next().ok_or_else(|| "the packages hold no plugins".to_owned())
}
