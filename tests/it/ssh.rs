//! Nodes on a machine that `ssh` reaches: a real sshd (Debian's package, unpacked) on a high port of this one, with keys made for the test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::engine::{Place, Ran, signal};
use crate::shell::{shell, unpacked};

/// A running sshd; it ends with this value.
struct Server {
    folder: tempfile::TempDir,
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the server's program and what it needs to find its libraries.
fn unpack() -> Result<(PathBuf, String), String> {
    let installed = Path::new("/usr/sbin/sshd");
    if installed.exists() {
        return Ok((installed.into(), String::new()));
    }
    let root = unpacked("sshd", &["openssh-server", "libwrap0"])?;
    let libraries = shell(&format!(
        "ls -d {0}/lib/*-linux-gnu* {0}/usr/lib/*-linux-gnu* 2>/dev/null | tr '\\n' ':'; true",
        root.display()
    ))?;
    Ok((root.join("usr/sbin/sshd"), libraries))
}

impl Server {
    fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(server) => Some(server),
            Err(why) => {
                eprintln!("SKIPPED: no sshd could be started, nothing was tested over ssh: {why}");
                None
            }
        }
    }

    fn try_start() -> Result<Self, String> {
        let (program, libraries) = unpack()?;
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let at = folder.path().display().to_string();
        for key in ["host", "key"] {
            shell(&format!("ssh-keygen -q -t ed25519 -N '' -f {at}/{key}"))?;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let conf = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/key.pub\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile {at}/pid\nSetEnv HOME={at}\n"
        );
        fs::write(folder.path().join("conf"), conf).unwrap();
        // As root sshd wants an account to give its rights up for. It sees one that the system does not have, and nothing of the system changes.
        let mut start = format!("exec {} -D -e -f {at}/conf", program.display());
        if shell("id -u")? == "0" && shell("id sshd").is_err() {
            let line = "sshd:x:74:65534::/run/sshd:/usr/sbin/nologin";
            start = format!(
                "cp /etc/passwd {at}/passwd && echo {line} >> {at}/passwd && mkdir -p /run/sshd && \
                 exec unshare -m sh -c 'mount --bind {at}/passwd /etc/passwd && {start}'"
            );
        }
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &start]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if !libraries.is_empty() {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let server = Self { child: command.spawn().map_err(|e| e.to_string())?, folder, port };
        let options = server.options().join(" ");
        for _ in 0..50 {
            if shell(&format!("ssh {options} -o BatchMode=yes 127.0.0.1 true")).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(fs::read_to_string(server.folder.path().join("log")).unwrap_or_default())
    }

    fn options(&self) -> Vec<String> {
        let at = self.folder.path().display();
        let port = self.port.to_string();
        let known = format!("UserKnownHostsFile={at}/known");
        let key = format!("{at}/key");
        [
            "-F",
            "none",
            "-p",
            &port,
            "-i",
            &key,
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            &known,
            "-o",
            "StrictHostKeyChecking=accept-new",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

const RECIPE: &str = r#"
recipe "far"
import std.{data, filter}

schema Row { id: Str, image: Image }
secret word from env "WORD"
op weigh(d: Dataset[{ image: Image, ..r }], word: Secret) -> Dataset[{ weight: Str, ..r }] runs "sh weigh.sh" files ["weigh.sh"]

let rows = data.jsonl("rows.jsonl", as: Row, media: "pictures")
let heavy = rows |> weigh(word: word) |> filter.rule(where: .weight != "") with { executor: "box", gpus: 1, at_most: 1 }
output o = heavy to "out.jsonl"
"#;

/// Answers every row with its picture's size, a secret and the GPU; waits as long as a file says.
const WEIGH: &str = r#"echo start >> PLACE/started
echo said on stderr >&2
while [ -f PLACE/hold ]; do sleep 0.05; done
while read line; do
  row=$(echo "$line" | sed 's/.*"__row":"\([^"]*\)".*/\1/')
  picture=$(echo "$line" | sed 's/.*"path":"\([^"]*\)".*/\1/')
  echo "{\"__row\":\"$row\",\"weight\":\"$(wc -c < $picture) $RBPIPE_SECRET_WORD $CUDA_VISIBLE_DEVICES\"}"
done
"#;

struct Far<'s> {
    place: Place,
    server: &'s Server,
}

impl<'s> Far<'s> {
    /// `more`: further fields of the executor in the site file.
    fn new(server: &'s Server, more: &str) -> Self {
        let place = Place::new();
        let from = crate::workbench::tabletop();
        let pictures: Vec<PathBuf> = pictures_of(&from).into_iter().take(3).collect();
        let mut rows = String::new();
        fs::create_dir_all(place.path("pictures")).unwrap();
        for (i, picture) in pictures.iter().enumerate() {
            let name = format!("{i}.{}", picture.extension().unwrap().to_str().unwrap());
            fs::copy(picture, place.path("pictures").join(&name)).unwrap();
            rows += &format!("{{\"id\":\"r{i}\",\"image\":\"{name}\"}}\n");
        }
        place.write("rows.jsonl", &rows);
        place.write("weigh.sh", &WEIGH.replace("PLACE", place.folder.to_str().unwrap()));
        place.write("recipe.rb2", RECIPE);
        let far = Self { place, server };
        far.site(more);
        far
    }

    fn site(&self, more: &str) {
        let options: Vec<String> = self.server.options().iter().map(|o| format!("{o:?}")).collect();
        let options = options.join(", ");
        let site = format!(
            "let box = {{ kind: \"ssh\", host: \"127.0.0.1\", options: [{options}], gpus: [\"5\"], {more} }}\n"
        );
        self.place.write_quietly("site.rb2", &site);
    }

    fn env(&self) -> Vec<(&str, String)> {
        vec![("RBPIPE_SITE", self.place.path("site.rb2").display().to_string()), ("WORD", "pst".to_owned())]
    }

    fn run(&self) -> Ran {
        let env = self.env();
        self.place.run_in(&env.iter().map(|(k, v)| (*k, v.as_str())).collect::<Vec<_>>(), &[])
    }

    fn starts(&self) -> usize {
        fs::read_to_string(self.place.path("started")).unwrap_or_default().lines().count()
    }

    /// Starts a run whose operator waits, and comes back when it does.
    fn held(&self) -> Child {
        fs::write(self.place.path("hold"), "").unwrap();
        let child = self.place.command(&["run", "recipe.rb2"]).envs(self.env()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..300 {
            if self.starts() > 0 {
                return child;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the operator never started");
    }

    /// Waits until no process names the place any more.
    fn nothing_is_left(&self) {
        let folder = self.place.root.path().to_str().unwrap().to_owned();
        let mut last = String::new();
        for _ in 0..150 {
            last = shell(&format!("pgrep -af {folder} | grep -v 'pgrep -af'; true")).unwrap();
            if last.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("processes are left: {last}");
    }
}

fn pictures_of(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "png" || e == "jpg") {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

fn own() -> String {
    format!("rbpipe: {:?}", env!("CARGO_BIN_EXE_rbpipe"))
}

#[test]
fn nodes_run_on_a_machine_that_ssh_reaches() {
    let Some(server) = Server::start() else { return };
    a_shared_store_and_one_of_its_own_give_what_this_machine_gives(&server);
    what_stops_here_stops_there(&server);
    a_machine_that_cannot_take_nodes_is_refused_before_anything_starts(&server);
}

fn a_shared_store_and_one_of_its_own_give_what_this_machine_gives(server: &Server) {
    let here = Far::new(server, &own());
    here.place.write_quietly("recipe.rb2", &RECIPE.replace("executor: \"box\", gpus: 1", "cpus: 1"));
    let ran = here.run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let wanted = here.place.read("out.jsonl").replace(" pst ", " pst 5");
    assert!(wanted.contains(" pst 5"), "{wanted}");
    for store in [false, true] {
        let far = Far::new(server, &own());
        let other = far.place.root.path().join("other");
        if store {
            far.site(&format!("{}, store: {:?}", own(), other.display().to_string()));
        }
        let ran = far.run();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(far.place.read("out.jsonl"), wanted);
        let placed = ran.events.iter().filter(|e| e["event"] == "node_placed").count(); // `weigh` and `filter.rule`
        assert_eq!((placed, other.join("blobs").exists()), (2, store), "{}", ran.stderr);
        let logs: Vec<String> = fs::read_dir(far.place.cache().join("logs"))
            .unwrap()
            .flatten()
            .map(|f| fs::read_to_string(f.path()).unwrap())
            .collect();
        assert!(logs.iter().any(|l| l.contains("said on stderr")), "{logs:?}");
        let verified = far.place.command(&["cache", "verify"]).output().unwrap();
        assert!(verified.status.success());
        assert_eq!(
            far.place
                .run_in(
                    &[("RBPIPE_SITE", far.place.path("site.rb2").to_str().unwrap()), ("WORD", "pst")],
                    &["--no-exec"]
                )
                .code,
            0
        );
    }
}

fn what_stops_here_stops_there(server: &Server) {
    for (asked, code) in [(libc::SIGINT, Some(130)), (libc::SIGKILL, None)] {
        let far = Far::new(server, &own());
        let mut run = far.held();
        signal(&run, asked);
        assert_eq!(run.wait().unwrap().code(), code);
        far.nothing_is_left();
        fs::remove_file(far.place.path("hold")).unwrap();
        let ran = far.run();
        assert_eq!((ran.code, far.starts()), (0, 2), "{}", ran.stderr);
    }
}

/// Fields of the executor, and what is said of a machine that has them.
const REFUSED: &[(&str, &[&str])] = &[
    ("rbpipe: \"/nowhere/rbpipe\"", &["E0623", "does not run `rbpipe`", "let the site file name it"]),
    ("options: [\"-F\", \"none\", \"-p\", \"1\"]", &["E0623", "cannot be reached", "Connection refused"]),
    ("OWN, gpus: []", &["E0620", "`gpus: 1`, `box` has 0"]),
];

fn a_machine_that_cannot_take_nodes_is_refused_before_anything_starts(server: &Server) {
    for (fields, words) in REFUSED {
        let far = Far::new(server, &own());
        let options: Vec<String> = server.options().iter().map(|o| format!("{o:?}")).collect();
        let mut all = format!("kind: \"ssh\", host: \"127.0.0.1\", {}", fields.replace("OWN", &own()));
        if !all.contains("options") {
            all += &format!(", options: [{}]", options.join(", "));
        }
        far.place.write_quietly("site.rb2", &format!("let box = {{ {all} }}\n"));
        let ran = far.run();
        assert_eq!((ran.code, ran.events.len()), (1, 0), "{fields}: {}", ran.stderr);
        let said = ran.stderr.replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ");
        for word in *words {
            assert!(said.contains(word), "{fields}: no `{word}` in {}", ran.stderr);
        }
    }
}
