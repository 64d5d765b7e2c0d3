//! Reads the address of a remote. Credentials, regions and endpoints come from the usual variables of each service.

use std::sync::Once;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

use super::Remote;
use crate::engine::storage::signature::{Signer, Trust};

/// The forms of an address, for messages.
const FORMS: &str =
    "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, https://host/path, file:///folder, or a folder";

impl Remote {
    /// Opens a remote. Nothing is asked of it yet.
    ///
    /// # Errors
    /// A sentence: the address has no such form, a variable that its service needs is not set, or this user's key or list of trusted keys
    /// cannot be read.
    pub fn open(address: &str) -> Result<Self, String> {
        use_one_crypto_provider();
        let address = address.trim();
        let (scheme, rest) = address.split_once("://").unwrap_or(("file", address));
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.is_empty() || (bucket.is_empty() && scheme != "file") {
            return Err(format!("`{address}` names nothing; write {FORMS}"));
        }
        // A folder and a web server are opened where the address points to.
        let below = if matches!(scheme, "file" | "http" | "https") { "" } else { prefix };
        let first = objects(scheme, address, rest, bucket, ONCE_MORE)?;
        let objects = objects(scheme, address, rest, bucket, STUMBLES)?;
        let prefix = Path::parse(below).map_err(|e| format!("`{address}`: {e}"))?;
        let read_only = scheme.starts_with("http");
        let (runtime, failures, reached) = Default::default();
        let signer = Signer::open().map_err(|e| e.to_string())?;
        let trust = Trust::open().map_err(|e| e.to_string())?;
        let address = address.to_owned();
        Ok(Self { address, first, objects, reached, prefix, read_only, runtime, failures, signer, trust })
    }
}

/// Opens the objects of an address; a request is tried again `retries` times.
fn objects(
    scheme: &str,
    address: &str,
    rest: &str,
    bucket: &str,
    retries: usize,
) -> Result<Box<dyn ObjectStore>, String> {
    let insecure =
        |urls: &[&str]| urls.iter().any(|url| std::env::var(url).is_ok_and(|url| url.starts_with("http://")));
    let retry = retry(retries);
    let opened: Result<Box<dyn ObjectStore>, object_store::Error> = match scheme {
        "s3" | "s3a" => AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_retry(retry)
            .with_client_options(client(insecure(&["AWS_ENDPOINT_URL", "AWS_ENDPOINT"])))
            .build()
            .map(|s| Box::new(s) as _),
        "gs" => GoogleCloudStorageBuilder::from_env()
            .with_bucket_name(bucket)
            .with_retry(retry)
            .with_client_options(client(insecure(&["GOOGLE_BASE_URL"])))
            .build()
            .map(|s| Box::new(s) as _),
        "az" | "azure" | "abfs" => MicrosoftAzureBuilder::from_env()
            .with_container_name(bucket)
            .with_retry(retry)
            .with_client_options(client(insecure(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"])))
            .build()
            .map(|s| Box::new(s) as _),
        "http" | "https" => HttpBuilder::new()
            .with_url(address.trim_end_matches('/'))
            .with_retry(retry)
            .with_client_options(client(scheme == "http"))
            .build()
            .map(|s| Box::new(s) as _),
        "file" => {
            let folder = std::path::absolute(rest).map_err(|e| format!("`{address}`: {e}"))?;
            std::fs::create_dir_all(&folder).map_err(|e| format!("`{}`: {e}", folder.display()))?;
            LocalFileSystem::new_with_prefix(folder).map(|s| Box::new(s) as _)
        }
        _ => return Err(format!("`{address}` is no address of a remote; write {FORMS}")),
    };
    opened.map_err(|e| format!("`{address}`: {}{}", super::shorten(&e), needs(scheme)))
}

/// Says which variables the service of an address reads.
fn needs(scheme: &str) -> &'static str {
    match scheme {
        "s3" | "s3a" => {
            "; it is told by `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`"
        }
        "gs" => "; it is told by `GOOGLE_APPLICATION_CREDENTIALS`, the file of a key",
        "az" | "azure" | "abfs" => "; it is told by `AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ACCOUNT_KEY`",
        _ => "",
    }
}

/// How often a server that stumbles is asked again: after 0.1 s, 0.2 s, … up to a minute in all.
const STUMBLES: usize = 6;
/// The same before it has answered anything: most likely it is not there. A service may have several hosts, each of which is tried so often.
const ONCE_MORE: usize = 1;

fn retry(max_retries: usize) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries,
        retry_timeout: Duration::from_secs(60),
    }
}

fn client(insecure: bool) -> ClientOptions {
    let options = ClientOptions::new().with_connect_timeout(Duration::from_secs(5)).with_timeout_disabled();
    let options = options.with_read_timeout(Duration::from_secs(60));
    if insecure { options.with_allow_http(true) } else { options }
}

/// The HTTP client leaves the choice of its cryptography to the program; the other client here uses `ring` as well.
fn use_one_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails if one was chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
