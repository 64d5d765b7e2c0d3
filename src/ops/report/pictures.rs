//! The pictures of a report page, made small: the first in the page, further ones as files beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use base64::Engine as _;
use rayon::prelude::*;
use serde_json::{Map, Value as Json, json};

use crate::base::{Digest, OpError};
use crate::data::pictures::media;
use crate::engine::Context;
use crate::engine::artifact::{BESIDE, FileRef};

/// Longer side of a picture, in pixels.
const THUMB: u32 = 224;
/// Pictures in the page itself at most.
const MOST: usize = 900;
/// Pictures that are held at once while they are made small.
const BATCH: usize = 512;

/// What became of the pictures, by short digest.
#[derive(Default)]
pub(super) struct Pictures {
    /// In the page: data URIs.
    pub within: BTreeMap<String, String>,
    /// Beside it: path in the report, and the file.
    pub beside: BTreeMap<String, (String, FileRef)>,
    /// Nowhere: why.
    absent: BTreeMap<String, String>,
}

struct Thumb {
    bytes: Vec<u8>,
    media: &'static str,
    extension: &'static str,
}

impl Pictures {
    /// Makes pictures small.
    ///
    /// # Errors
    /// A file cannot be stored; a picture that cannot be read or decoded is absent.
    pub fn of(cx: &Context, wanted: &BTreeSet<Digest>) -> Result<Self, OpError> {
        let mut out = Self::default();
        let wanted: Vec<Digest> = wanted.iter().copied().collect();
        for batch in wanted.chunks(BATCH) {
            cx.go_on()?;
            let read = |d: &Digest| thumb(&cx.store.read(*d).map_err(|e| format!("cannot be read: {e}"))?);
            let made: Vec<Result<Thumb, String>> = batch.par_iter().map(read).collect();
            for (digest, made) in batch.iter().map(|d| d.short()).zip(made) {
                out.add(cx, digest, made)?;
            }
        }
        Ok(out)
    }

    /// Returns what the page must know of those that it does not hold: `beside`, the path of each, and `absent`, why.
    pub fn index(&self) -> Json {
        let beside: Map<String, Json> = self.beside.iter().map(|(d, (path, _))| (d.clone(), json!(path))).collect();
        json!({ "beside": beside, "absent": self.absent })
    }

    fn add(&mut self, cx: &Context, digest: String, made: Result<Thumb, String>) -> Result<(), OpError> {
        match made {
            Err(why) => drop(self.absent.insert(digest, why)),
            Ok(thumb) if self.within.len() < MOST => {
                let data = base64::engine::general_purpose::STANDARD.encode(thumb.bytes);
                self.within.insert(digest, format!("data:{};base64,{data}", thumb.media));
            }
            Ok(thumb) => {
                let path = format!("{BESIDE}{digest}.{}", thumb.extension);
                self.beside.insert(digest, (path, cx.put(&thumb.bytes)?));
            }
        }
        Ok(())
    }
}

fn thumb(bytes: &[u8]) -> Result<Thumb, String> {
    let (_, picture) = media::decode(bytes)?;
    let grey = matches!(picture.color(), image::ColorType::L8 | image::ColorType::L16);
    let small = if picture.width().max(picture.height()) > THUMB { picture.thumbnail(THUMB, THUMB) } else { picture };
    let mut bytes = Vec::new();
    if grey {
        let written = small.to_luma8().write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png);
        written.map_err(|e| e.to_string())?;
        return Ok(Thumb { bytes, media: "image/png", extension: "png" });
    }
    let written = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 68).encode_image(&small.to_rgb8());
    written.map_err(|e| e.to_string())?;
    Ok(Thumb { bytes, media: "image/jpeg", extension: "jpg" })
}
