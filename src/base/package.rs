//! Packages: folders of recipes in a Git repository of their own, imported at a revision or by a range of versions.
//!
//! `git:URL@REVISION` names a repository by its address, `hub:OWNER/NAME@RANGE` one of the hub, whose tags are versions ([Semantic
//! Versioning](https://semver.org) 2.0, with or without a leading `v`). `#PATH` chooses a file of it; without, it is `lib.rb2`. What
//! was chosen stands in the lock; the bytes lie in [`folder`], by their digest.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use semver::{Version, VersionReq};
use serde::Deserialize;

/// The file of a package that is imported where none is named.
const ENTRY: &str = "lib.rb2";

/// What an import says of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The package and what is wanted of it, as the lock names it: the text of the import without its `#PATH`.
    pub name: String,
    /// Where it comes from.
    pub place: Place,
    /// The file that is imported, below the folder of the package.
    pub file: String,
}

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A repository by its address, at a tag, a branch or a commit.
    Git {
        /// As `git` takes it.
        url: String,
        /// As `git` takes it.
        revision: String,
    },
    /// A repository of the hub, at the newest version of a range.
    Hub {
        /// `OWNER/NAME`.
        repository: String,
        /// The versions that will do.
        range: VersionReq,
    },
}

/// What is wrong with the text of an import, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What.
    pub message: String,
    /// The next step.
    pub help: String,
}

/// A package as a lock pins it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Pin {
    /// Of its files: their paths and bytes.
    pub digest: String,
    /// The commit.
    pub revision: String,
    /// The version, of a package of the hub.
    pub version: Option<Version>,
}

/// Says whether the text of an import names a package.
pub fn is_package(text: &str) -> bool {
    text.starts_with("git:") || text.starts_with("hub:")
}

impl Address {
    /// Reads the text of an import that [`is_package`].
    ///
    /// # Errors
    /// It names no version, or one that cannot be understood.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (name, file) = text.split_once('#').unwrap_or((text, ENTRY));
        let malformed = |message: String, help: String| Err(Malformed { message, help });
        if file.is_empty() || file.starts_with('/') || !file.ends_with(".rb2") {
            let help =
                format!("after `#` stands the path of a `.rb2` file in the package; without `#` it is `{ENTRY}`");
            return malformed(format!("`{file}` names no recipe of the package"), help);
        }
        let (kind, rest) = name.split_once(':').unwrap_or(("", name));
        let (place, wanted) = match rest[after_host(rest)..].rfind('@').map(|at| rest.split_at(at + after_host(rest))) {
            Some((place, wanted)) if wanted.len() > 1 => (place, &wanted[1..]),
            found => {
                let place = found.map_or(rest, |(place, _)| place);
                let (what, next) = match kind {
                    "hub" => ("version", format!("add a range of versions: `\"hub:{place}@^1.0\"`")),
                    _ => ("revision", format!("add a tag or a commit: `\"git:{place}@v1.0.0\"`")),
                };
                return malformed(format!("the package has no {what}"), next);
            }
        };
        let place = match kind {
            "hub" => {
                let parts: Vec<&str> = place.split('/').collect();
                let plain = |part: &&str| {
                    let usual = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                    !part.is_empty() && !part.starts_with(['-', '.']) && part.chars().all(usual)
                };
                if parts.len() != 2 || !parts.iter().all(plain) {
                    let help = "a package of the hub is written `hub:OWNER/NAME@RANGE`; an address is written `git:URL@REVISION`";
                    return malformed(format!("`{place}` names no package of the hub"), help.to_owned());
                }
                let range = match VersionReq::parse(wanted) {
                    Ok(range) => range,
                    Err(e) => {
                        let help = "ranges are written as Cargo does: `^1.2` (up to the next major version), `~1.2`, `=1.2.3`, `>=1.2, <3`";
                        return malformed(format!("`{wanted}` is no range of versions: {e}"), help.to_owned());
                    }
                };
                Place::Hub { repository: place.to_owned(), range }
            }
            _ => {
                if !is_address(place) {
                    let help = "write `https://HOST/PATH`, `ssh://HOST/PATH`, `file:///PATH` or `USER@HOST:PATH`; a folder of this repository is imported by its path";
                    return malformed(format!("`{place}` is no address of a repository"), help.to_owned());
                }
                let host = place.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.split_once('@'));
                if host.is_some_and(|(user, _)| user.contains(':')) {
                    let help =
                        "leave name and password out: `git` has a helper for them, `git config credential.helper`";
                    return malformed("an address in a recipe holds no password".to_owned(), help.to_owned());
                }
                Place::Git { url: place.to_owned(), revision: wanted.to_owned() }
            }
        };
        Ok(Self { name: name.to_owned(), place, file: file.to_owned() })
    }

    /// Says whether a pin is what the import asks for: a range of versions has to hold the pinned one.
    pub fn takes(&self, pin: &Pin) -> bool {
        match &self.place {
            Place::Git { .. } => true,
            Place::Hub { range, .. } => pin.version.as_ref().is_some_and(|version| range.matches(version)),
        }
    }
}

/// Where the path of an address begins: an `@` before it belongs to the host.
fn after_host(address: &str) -> usize {
    match address.split_once("://") {
        Some((scheme, rest)) => scheme.len() + 3 + rest.find('/').unwrap_or(0),
        None => address.find([':', '/']).unwrap_or(0),
    }
}

/// The addresses that are handed to `git`: nothing that it could take for an option, a helper program or a folder of this machine alone.
fn is_address(text: &str) -> bool {
    let schemes = ["https://", "http://", "ssh://", "git://", "file://"];
    let scp = || text.split_once(':').is_some_and(|(host, path)| host.contains('@') && !path.starts_with(':'));
    !text.starts_with('-')
        && !text.contains(char::is_whitespace)
        && (schemes.iter().any(|s| text.starts_with(s)) || scp())
}

/// Returns the packages that the text of a lock pins, by name; none where it cannot be read, which those say that read all of it.
pub fn pins(lock: &str) -> BTreeMap<String, Pin> {
    #[derive(Deserialize)]
    struct Packages {
        #[serde(default)]
        packages: BTreeMap<String, Pin>,
    }
    toml::from_str::<Packages>(lock).map(|lock| lock.packages).unwrap_or_default()
}

/// Returns the folder that a package with this digest lies in, below the folder of the store.
pub fn folder(cache: &Path, digest: &str) -> PathBuf {
    cache.join("packages").join(digest)
}

/// Returns where the lock of a recipe lies.
pub fn lock(recipe: &Path) -> PathBuf {
    let mut name = recipe.file_name().map(OsStr::to_os_string).unwrap_or_default();
    name.push(".lock");
    recipe.with_file_name(name)
}
