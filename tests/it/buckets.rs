//! Servers of objects that the tests install from registries and start: S3, Azure Blob Storage, and Google Cloud Storage.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::installed::kept;
use crate::proxy::Proxy;
use crate::python;
use crate::remote::Shared;

const MOTO: [&str; 3] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
const AZURITE: &str = "3.37.0";

/// Makes the container, as `rbpipe` never does; the account and its key are those of every Azurite.
const MAKE_CONTAINER: &str = r"
const crypto = require('crypto'), http = require('http'), [port] = process.argv.slice(1), account = 'devstoreaccount1';
const key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';
const date = new Date().toUTCString(), version = '2023-11-03';
const said = `PUT${'\n'.repeat(12)}x-ms-date:${date}\nx-ms-version:${version}\n/${account}/${account}/share\nrestype:container`;
const sign = crypto.createHmac('sha256', Buffer.from(key, 'base64')).update(said).digest('base64');
const headers = { 'x-ms-date': date, 'x-ms-version': version, 'content-length': 0, authorization: `SharedKey ${account}:${sign}` };
const done = answer => process.exit(answer.statusCode == 201 ? 0 : 1);
http.request({ host: '127.0.0.1', port, method: 'PUT', path: `/${account}/share?restype=container`, headers }, done).on('error', () => process.exit(1)).end();
";

/// Whose protocol a server speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Service {
    S3,
    Azure,
    /// No server of the registries answers the XML API that the client speaks: that of S3 does, behind a proxy which translates what differs.
    Google,
}

/// A running server with a bucket `share`; it ends with this value.
pub struct Bucket {
    pub service: Service,
    pub port: u16,
    child: Child,
    /// Stands before the server.
    _dialect: Option<Proxy>,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bucket {
    /// Starts one after the other, as far as they can be installed.
    pub fn each() -> impl Iterator<Item = Self> {
        [Service::S3, Service::Azure, Service::Google].into_iter().filter_map(Self::start)
    }

    /// Installs and starts a server; nothing, and a loud word, where its language or registry is not at hand.
    pub fn start(service: Service) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let number = port.to_string();
        let mut command = match service {
            Service::S3 | Service::Google => {
                let mut command = Command::new(loudly(python::environment("moto-5.2.5", &MOTO), service)?);
                command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &number]);
                command
            }
            Service::Azure => {
                let mut command = Command::new("node");
                command.arg(loudly(azurite(), service)?);
                command.args(["--blobHost", "127.0.0.1", "--blobPort", &number, "--inMemoryPersistence"]);
                command.args(["--skipApiVersionCheck", "--disableTelemetry"]);
                command
            }
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let dialect = (service == Service::Google).then(|| Proxy::as_google(port));
        let shown = dialect.as_ref().map_or(port, |proxy| proxy.port);
        let bucket = Self { service, port: shown, child, _dialect: dialect };
        for _ in 0..300 {
            if bucket.make(&number) {
                return Some(bucket);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server of {service:?} did not start");
    }

    /// A remote in it.
    pub fn shared(&self, prefix: &str) -> Shared {
        self.shared_at(self.port, prefix)
    }

    /// The same, asked at another port of this machine.
    pub fn shared_at(&self, port: u16, prefix: &str) -> Shared {
        let url = format!("http://127.0.0.1:{port}");
        let (scheme, env) = match self.service {
            Service::S3 => (
                "s3",
                vec![
                    ("AWS_ENDPOINT_URL", url),
                    ("AWS_ACCESS_KEY_ID", "test".into()),
                    ("AWS_SECRET_ACCESS_KEY", "test".into()),
                    ("AWS_REGION", "us-east-1".into()),
                ],
            ),
            Service::Azure => {
                ("az", vec![("AZURE_STORAGE_USE_EMULATOR", "true".into()), ("AZURITE_BLOB_STORAGE_URL", url)])
            }
            Service::Google => ("gs", vec![("GOOGLE_BASE_URL", url), ("GOOGLE_BEARER_TOKEN", "test".into())]),
        };
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Shared { address: format!("{scheme}://share/{prefix}"), env }
    }

    /// Makes the bucket; says whether the server was there to do so.
    fn make(&self, port: &str) -> bool {
        if self.service == Service::Azure {
            let made = Command::new("node").args(["-e", MAKE_CONTAINER, port]).output();
            return made.is_ok_and(|out| out.status.success());
        }
        // Never through a proxy of the machine's.
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().proxy(None).build());
        agent.put(format!("http://127.0.0.1:{port}/share")).send_empty().is_ok()
    }
}

fn loudly(installed: Option<PathBuf>, service: Service) -> Option<PathBuf> {
    if installed.is_none() {
        eprintln!("SKIPPED: no server of {service:?} could be installed, nothing was tested against one");
    }
    installed
}

/// Returns the program of an Azurite from npm, which is kept between runs of the tests.
fn azurite() -> Option<PathBuf> {
    let folder = kept(&format!("azurite-{AZURITE}"), |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(folder);
        npm.arg(format!("azurite@{AZURITE}"));
        npm.output().is_ok_and(|out| out.status.success())
    })?;
    Some(folder.join("node_modules/azurite/dist/src/blob/main.js"))
}
