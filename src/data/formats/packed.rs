//! Files that may be packed, read as what is in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::base::OpError;

/// Opens a file to be read from its start, unpacking `.gz` and `.zst`.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>, OpError> {
    let failed = |e| unreadable(path, &e);
    let file = File::open(path).map_err(failed)?;
    unpacked(file, path).map_err(failed)
}

/// Returns what is packed in an open file, by its name's ending: `.gz`, `.tgz` or `.zst`.
pub fn unpacked(file: impl Read + Send + 'static, path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let plain: Box<dyn Read + Send> = match path.extension().and_then(|e| e.to_str()) {
        Some("gz" | "tgz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    };
    Ok(plain)
}

/// Reads a file whole, unpacking `.gz` and `.zst`.
pub fn read(path: &Path) -> Result<Vec<u8>, OpError> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

/// Says that a file cannot be read.
pub(super) fn unreadable(path: &Path, e: &std::io::Error) -> OpError {
    let code = if e.kind() == std::io::ErrorKind::NotFound { "E0501" } else { "E0503" };
    OpError::new(code, format!("{}: {e}", path.display()))
}
