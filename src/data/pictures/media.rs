//! Pictures and videos that rows name: resolved against a folder or zip, read, checked, stored by digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use image::metadata::Orientation;
use image::{ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;
use zip::ZipArchive;

use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::data::cell::Cell;

/// Largest file that is unpacked from an archive: more is a mistake, or made to fill the memory.
pub const MOST_UNPACKED: u64 = 1 << 30;
/// Bytes by which the kind of a picture or video is known.
const SIGNATURE: u64 = 64;
/// Size up to which a header is believed.
const LIKELY: u64 = 64 << 20;
/// Most memory that the pixels of one picture may take.
const MOST_PIXEL_BYTES: u64 = 512 << 20;

/// Where relative media paths start: a folder, or an archive.
pub enum Media {
    /// A folder. Links in it are followed: whoever made the folder made them.
    Folder(PathBuf),
    /// A zip file.
    Zip(Mutex<ZipArchive<File>>),
}

/// Pictures and videos by the name that rows give them: looked at already, or why they cannot be used.
pub type Members = BTreeMap<String, Result<Medium, String>>;

/// One of [`Members`].
pub type Member = (String, Result<Medium, String>);

/// A picture or video whose bytes lie in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Medium {
    /// Hex of the BLAKE3 of its bytes.
    pub digest: String,
    /// Its media type.
    pub media: &'static str,
    /// Width and height in pixels; none for videos.
    pub size: Option<(u32, u32)>,
}

impl Medium {
    /// Returns it as a value of an image column.
    pub fn cell(&self) -> Cell<'static> {
        let text = |s: &str| Cell::Str(s.to_owned().into());
        let side = |n: Option<u32>| n.map_or(Cell::None, |n| Cell::Int(i64::from(n)));
        Cell::Record(vec![
            ("digest".into(), text(&self.digest)),
            ("media".into(), text(self.media)),
            ("width".into(), side(self.size.map(|s| s.0))),
            ("height".into(), side(self.size.map(|s| s.1))),
            ("origin".into(), text(&self.digest)),
        ])
    }
}

impl Media {
    /// Opens a folder or a zip.
    pub fn open(path: &Path) -> Result<Self, OpError> {
        let missing = |e: std::io::Error| OpError::new("E0501", format!("{}: {e}", path.display()));
        if path.is_dir() {
            return Ok(Media::Folder(path.to_owned()));
        }
        let file = File::open(path).map_err(missing)?;
        let archive = ZipArchive::new(file)
            .map_err(|e| OpError::new("E0503", format!("{}: not a folder and no zip: {e}", path.display())))?;
        Ok(Media::Zip(Mutex::new(archive)))
    }

    /// Reads, checks and stores all of `paths`, each once, in parallel; a reason for each that is missing or broken.
    ///
    /// Paths come from rows and are not trusted: one that is absolute or leaves the folder is refused.
    pub fn load_all(&self, paths: &BTreeSet<String>, blobs: &dyn Blobs) -> Members {
        let paths: Vec<&String> = paths.iter().collect();
        let loaded: Vec<_> = paths.par_iter().map(|path| self.load(path, blobs)).collect();
        paths.into_iter().cloned().zip(loaded).collect()
    }

    fn load(&self, path: &str, blobs: &dyn Blobs) -> Result<Medium, String> {
        if path.trim().is_empty() {
            return Err("the path is empty".to_owned());
        }
        let inside = inside(path).ok_or_else(|| format!("`{path}` leaves the media folder"))?;
        let bytes = match self {
            Media::Folder(root) => {
                let whole = root.join(&inside);
                let failed = |e: std::io::Error| match e.kind() {
                    std::io::ErrorKind::NotFound => format!("`{path}` is missing"),
                    _ => format!("`{path}`: {e}"),
                };
                // Opening a pipe would wait for somebody to write to it.
                let about = std::fs::metadata(&whole).map_err(failed)?;
                if !about.is_file() {
                    return Err(format!("`{path}` is no file"));
                }
                let file = File::open(&whole).map_err(failed)?;
                known(file, about.len(), u64::MAX).map_err(|why| format!("`{path}` {why}"))?
            }
            Media::Zip(archive) => {
                let mut archive = archive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let name = inside.to_string_lossy().replace('\\', "/");
                let entry = archive.by_name(&name).map_err(|e| match e {
                    zip::result::ZipError::FileNotFound => format!("`{path}` is missing in the zip"),
                    other => format!("`{path}` in the zip: {other}"),
                })?;
                let size = entry.size();
                known(entry, size, MOST_UNPACKED).map_err(|why| format!("`{path}` {why}"))?
            }
        };
        examine(&bytes, blobs).map_err(|why| format!("`{path}` {why}"))
    }
}

/// Reads a member of an archive, at most [`MOST_UNPACKED`] bytes whatever its header says; `size` is what it says.
///
/// # Errors
/// A reason that reads after the member's name.
pub fn unpacked(member: impl Read, size: u64) -> Result<Vec<u8>, String> {
    at_most(Vec::new(), member, size, MOST_UNPACKED)
}

/// Reads a picture or video, at most `most` bytes; what does not begin like one is not read to its end.
fn known(mut file: impl Read, size: u64, most: u64) -> Result<Vec<u8>, String> {
    let mut start = Vec::new();
    file.by_ref().take(SIGNATURE).read_to_end(&mut start).map_err(|e| format!("is damaged: {e}"))?;
    if start.is_empty() {
        return Err("is empty".to_owned());
    }
    if video_type(&start).is_none() && image::guess_format(&start).is_err() {
        return Err("is no picture or video of a known kind".to_owned());
    }
    at_most(start, file, size, most)
}

/// Reads what follows `start`, `most` bytes in all.
fn at_most(start: Vec<u8>, file: impl Read, size: u64, most: u64) -> Result<Vec<u8>, String> {
    let too_large = || format!("is larger than {} MiB unpacked", most >> 20);
    if size > most {
        return Err(too_large());
    }
    let mut bytes = start;
    // A header may lie: memory is taken for what comes, at once for what is likely.
    bytes.reserve_exact(size.min(LIKELY) as usize);
    let left = most.saturating_sub(bytes.len() as u64).saturating_add(1);
    file.take(left).read_to_end(&mut bytes).map_err(|e| format!("is damaged: {e}"))?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// Returns the path without `.` and `..`, or nothing if it is absolute or climbs out.
fn inside(path: &str) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(p) => parts.push(p),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.into_iter().collect())
}

/// Decodes a picture once to find damage, and stores its bytes; videos are recognised by their first bytes and stored as they are.
///
/// A picture whose EXIF says that it lies on its side is stored upright, as PNG: boxes and points are meant as people see it, and whoever reads the
/// stored file need not know EXIF.
///
/// # Errors
/// A reason that reads after the file's name: "is empty", "is no picture or video", "is damaged: …".
pub fn examine(bytes: &[u8], blobs: &dyn Blobs) -> Result<Medium, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    let (media, size, turned) = match video_type(bytes) {
        Some(media) => (media, None, None),
        None => {
            let (media, mut picture) = decode(bytes)?;
            match orientation(bytes) {
                Orientation::NoTransforms => (media, Some((picture.width(), picture.height())), None),
                turn => {
                    picture.apply_orientation(turn);
                    let mut png = Cursor::new(Vec::new());
                    picture.write_to(&mut png, ImageFormat::Png).map_err(|e| format!("does not turn upright: {e}"))?;
                    ("image/png", Some((picture.width(), picture.height())), Some(png.into_inner()))
                }
            }
        }
    };
    let digest = blobs.put(turned.as_deref().unwrap_or(bytes)).map_err(|e| format!("could not be stored: {e}"))?;
    Ok(Medium { digest: digest.hex(), media, size })
}

/// Decodes a picture whole, the first one of an animation.
///
/// # Errors
/// As [`examine`]. A JPEG must have its end marker: decoders fill up what a truncated file lacks. A picture whose pixels take more
/// than 512 MiB is refused before memory is taken for them.
pub fn decode(bytes: &[u8]) -> Result<(&'static str, image::DynamicImage), String> {
    let reader = reader(bytes)?;
    let format = reader.format().ok_or("is no picture or video of a known kind")?;
    if format == ImageFormat::Jpeg && !jpeg_ends(bytes) {
        return Err("is damaged: the JPEG is cut off".to_owned());
    }
    // Decoders are other people's code: one that gives up on a picture must not take the other rows with it.
    let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reader.decode()));
    let picture = decoded.map_err(|_| "is damaged: its decoder gave up".to_owned())?.map_err(|e| match e {
        ImageError::Limits(_) => format!("is too large: its pixels take more than {} MiB", MOST_PIXEL_BYTES >> 20),
        other => format!("is damaged: {other}"),
    })?;
    if picture.width() == 0 || picture.height() == 0 {
        return Err("is damaged: it has no pixels".to_owned());
    }
    Ok((format.to_mime_type(), picture))
}

fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, String> {
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| format!("is damaged: {e}"))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_PIXEL_BYTES);
    reader.limits(limits);
    Ok(reader)
}

/// Returns how the picture must be turned to stand upright; EXIF that cannot be read says nothing.
fn orientation(bytes: &[u8]) -> Orientation {
    let read = || reader(bytes).ok()?.into_decoder().ok()?.orientation().ok();
    std::panic::catch_unwind(read).ok().flatten().unwrap_or(Orientation::NoTransforms)
}

/// Says whether the end marker follows the last scan.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|w| w == [0xFF, marker]);
    match (last(0xDA), last(0xD9)) {
        (Some(scan), Some(end)) => end > scan,
        _ => false,
    }
}

fn video_type(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(4..8)?;
    if brand == b"ftyp" && !matches!(bytes.get(8..12), Some(b"avif" | b"heic" | b"mif1")) {
        Some("video/mp4")
    } else if bytes.starts_with(&[0x1A, 0x45, 0xDF, 0xA3]) {
        Some("video/webm")
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"AVI ") {
        Some("video/x-msvideo")
    } else {
        None
    }
}
