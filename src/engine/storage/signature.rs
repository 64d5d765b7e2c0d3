//! Who vouches for a shared result: ed25519 signatures over entries, and the list of keys that this user trusts.
//!
//! A key is written `ed25519:` and its 32 bytes in base64. Both files belong to the user, not to a recipe: whom one trusts must not change
//! what a recipe means.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::base::world::settings;

const KIND: &str = "ed25519:";
/// The first bytes of everything that is signed, so that a signature of something else never fits.
const DOMAIN: &[u8] = b"rbpipe/entry/v1";

/// A signature as it stands beside an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The public key of whoever signed.
    pub key: String,
    /// 64 bytes in base64.
    pub signature: String,
}

impl Signature {
    /// Says whether it is that of its key over the checksum of an entry.
    pub fn fits(&self, checksum: Digest) -> bool {
        let bytes = |text: &str| STANDARD.decode(text).ok();
        let key = self.key.strip_prefix(KIND).and_then(bytes);
        let (Some(key), Some(signature)) = (key, bytes(&self.signature)) else { return false };
        UnparsedPublicKey::new(&ED25519, key).verify(&message(checksum), &signature).is_ok()
    }
}

fn message(checksum: Digest) -> Vec<u8> {
    [DOMAIN, &checksum.0].concat()
}

/// Signs with this user's key.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Reads this user's key; nothing if there is none.
    ///
    /// # Errors
    /// It is there and cannot be read, or is none.
    pub fn open() -> io::Result<Option<Self>> {
        let place = key_place();
        match fs::read_to_string(&place) {
            Ok(text) => Self::parse(&text).map(Some).ok_or_else(|| {
                let what = format!("`{}` is no key: `rbpipe cache key` makes one where there is none", place.display());
                io::Error::new(io::ErrorKind::InvalidData, what)
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io::Error::new(e.kind(), format!("cannot read `{}`: {e}", place.display()))),
        }
    }

    /// Makes a key and keeps it where only this user can read it.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn create() -> io::Result<Self> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let place = key_place();
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = format!("{KIND}{}\n", STANDARD.encode(seed));
        fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(place)?.write_all(text.as_bytes())?;
        Self::parse(&text).ok_or_else(|| io::Error::other("the key that was made is none"))
    }

    fn parse(text: &str) -> Option<Self> {
        let seed = STANDARD.decode(text.trim().strip_prefix(KIND)?).ok()?;
        Ed25519KeyPair::from_seed_unchecked(&seed).ok().map(Self)
    }

    /// Returns the public key, to be put on others' lists.
    pub fn public(&self) -> String {
        format!("{KIND}{}", STANDARD.encode(self.0.public_key()))
    }

    /// Signs the checksum of an entry. The same checksum gives the same signature.
    pub fn sign(&self, checksum: Digest) -> Signature {
        Signature { key: self.public(), signature: STANDARD.encode(self.0.sign(&message(checksum))) }
    }
}

/// The keys that this user trusts, by key, with the names that the list gives them.
#[derive(Clone, Debug)]
pub struct Trust {
    place: PathBuf,
    names: BTreeMap<String, String>,
}

impl Trust {
    /// Reads the list; nothing if there is none, and then every result is believed.
    ///
    /// # Errors
    /// It is there and cannot be read, or a line of it is no key.
    pub fn open() -> io::Result<Option<Self>> {
        let place = trust_place();
        let text = match fs::read_to_string(&place) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io::Error::new(e.kind(), format!("cannot read `{}`: {e}", place.display()))),
        };
        let mut names = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (key, name) = line.split_once(char::is_whitespace).unwrap_or((line, "somebody without a name"));
            let bytes = key.strip_prefix(KIND).and_then(|k| STANDARD.decode(k).ok());
            if bytes.is_none_or(|bytes| bytes.len() != 32) {
                let what = format!("`{}`, line {}: `{key}` is no key; write `{KIND}… NAME`", place.display(), at + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            names.insert(key.to_owned(), name.trim().to_owned());
        }
        Ok(Some(Self { place, names }))
    }

    /// Returns the name of somebody on the list who signed; the signatures were found to fit before.
    ///
    /// # Errors
    /// Nobody on the list did: who did, and the next step.
    pub fn who(&self, signatures: &[Signature]) -> Result<&str, String> {
        if let Some(name) = signatures.iter().find_map(|s| self.names.get(&s.key)) {
            return Ok(name);
        }
        let place = self.place.display();
        Err(match signatures {
            [] => format!("it is not signed, and `{place}` asks for a signature"),
            [one, ..] => format!("its signer {} is not on the list; a line in `{place}` trusts them", one.key),
        })
    }
}

/// Where the key lies: `RBPIPE_KEY`, else `key` in the folder of settings.
pub fn key_place() -> PathBuf {
    place("RBPIPE_KEY", "key")
}

/// Where the list lies: `RBPIPE_TRUST`, else `trust` in the folder of settings.
fn trust_place() -> PathBuf {
    place("RBPIPE_TRUST", "trust")
}

fn place(variable: &str, name: &str) -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    named(variable).unwrap_or_else(|| settings(&named).join(name))
}
