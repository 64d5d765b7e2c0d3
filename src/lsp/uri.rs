//! Addresses of files as editors write them, and back.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Returns the path of a `file:` address; any other address stands for itself, as an unsaved text does.
pub fn to_path(uri: &str) -> PathBuf {
    let Some(rest) = uri.strip_prefix("file://") else { return PathBuf::from(uri) };
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let mut bytes = Vec::with_capacity(path.len());
    let mut left = path.bytes();
    while let Some(b) = left.next() {
        let mut ahead = left.clone();
        let digits = [ahead.next(), ahead.next()].map(|d| d.and_then(|d| char::from(d).to_digit(16)));
        if let (b'%', [Some(high), Some(low)]) = (b, digits) {
            bytes.push((high * 16 + low) as u8);
            left = ahead;
        } else {
            bytes.push(b);
        }
    }
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the address of a path.
pub fn from_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if !path.is_absolute() {
        return text.into_owned();
    }
    let mut out = String::from("file://");
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"/-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}
