//! Pictures of rows: their cells, and the pixels behind them.

use std::borrow::Cow;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder, RgbImage};

use super::media;
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::data::cell::Cell;

/// The cell of a picture; see [`crate::data::arrow_type::image_type`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// BLAKE3 of the file.
    pub digest: String,
    /// Media type.
    pub media: String,
    /// Pixels across.
    pub width: i64,
    /// Pixels down.
    pub height: i64,
    /// Digest of the picture that augmentation made it from; its own otherwise.
    pub origin: String,
}

impl Picture {
    /// Reads a cell; `None` when it holds no picture.
    pub fn read(cell: &Cell<'_>) -> Option<Self> {
        let text = |name: &str| cell.field(name).and_then(Cell::as_str).map(str::to_owned);
        let number = |name: &str| cell.field(name).and_then(Cell::as_f64).map_or(0, |n| n as i64);
        let digest = text("digest")?;
        let origin = text("origin").unwrap_or_else(|| digest.clone());
        let media = text("media").unwrap_or_default();
        Some(Self { media, width: number("width"), height: number("height"), origin, digest })
    }

    /// Returns all pictures of a cell that holds one or a list of them.
    pub fn all(cell: &Cell<'_>) -> Vec<Self> {
        match cell {
            Cell::List(items) => items.iter().filter_map(Self::read).collect(),
            one => Self::read(one).into_iter().collect(),
        }
    }

    /// Returns the cell.
    pub fn cell(&self) -> Cell<'static> {
        let text = |s: &str| Cell::Str(Cow::Owned(s.to_owned()));
        Cell::Record(vec![
            ("digest".into(), text(&self.digest)),
            ("media".into(), text(&self.media)),
            ("width".into(), Cell::Int(self.width)),
            ("height".into(), Cell::Int(self.height)),
            ("origin".into(), text(&self.origin)),
        ])
    }

    /// Returns the bytes of its file.
    pub fn bytes(&self, blobs: &dyn Blobs) -> Result<Vec<u8>, OpError> {
        let digest = Digest::parse(&self.digest)
            .ok_or_else(|| OpError::new("E0503", format!("`{}` is no digest of a picture", self.digest)))?;
        blobs.get(digest)
    }

    /// Decodes its pixels as 8-bit RGB.
    pub fn pixels(&self, blobs: &dyn Blobs) -> Result<RgbImage, OpError> {
        Ok(decode(&self.bytes(blobs)?, &self.digest)?.into_rgb8())
    }

    /// Decodes its pixels as 8-bit grey.
    pub fn grey(&self, blobs: &dyn Blobs) -> Result<GrayImage, OpError> {
        Ok(decode(&self.bytes(blobs)?, &self.digest)?.into_luma8())
    }

    /// Stores pixels that were made from this picture. The file is a PNG: lossless, so that hues stay exact and a chain of augmentations adds
    /// no compression noise of its own, and with the fast encoder cheaper to write than a good JPEG.
    pub fn derived(&self, blobs: &dyn Blobs, pixels: &RgbImage) -> Result<Self, OpError> {
        self.store(blobs, pixels.as_raw(), pixels.dimensions(), ExtendedColorType::Rgb8)
    }

    /// Stores a grey mask that was made from this one, as PNG.
    pub fn derived_mask(&self, blobs: &dyn Blobs, pixels: &GrayImage) -> Result<Self, OpError> {
        self.store(blobs, pixels.as_raw(), pixels.dimensions(), ExtendedColorType::L8)
    }

    fn store(
        &self,
        blobs: &dyn Blobs,
        raw: &[u8],
        (width, height): (u32, u32),
        color: ExtendedColorType,
    ) -> Result<Self, OpError> {
        let mut file = Vec::with_capacity(raw.len() / 2);
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
            .write_image(raw, width, height, color)
            .map_err(|e| OpError::new("E0612", format!("a picture made from {} does not encode: {e}", self.digest)))?;
        Ok(Self {
            digest: blobs.put(&file)?.hex(),
            media: "image/png".into(),
            width: i64::from(width),
            height: i64::from(height),
            origin: self.origin.clone(),
        })
    }
}

fn decode(bytes: &[u8], digest: &str) -> Result<image::DynamicImage, OpError> {
    media::decode(bytes).map(|(_, picture)| picture).map_err(|why| {
        OpError::new("E0302", format!("picture {} {why}", digest.get(..12).unwrap_or(digest)))
            .help("drop broken pictures first: `filter.image(broken: \"drop\")`")
    })
}
