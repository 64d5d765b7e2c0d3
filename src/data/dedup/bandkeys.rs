//! Keys of rows, band by band: in memory while they are few, else in a private file for each band.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::Path;

/// More bytes of keys than this lie in files, where nothing speaks for another number.
pub const KEYS_IN_MEMORY: usize = 256 << 20;

/// Where keys go that are too many for memory.
#[derive(Clone, Copy, Debug)]
pub struct Spill<'p> {
    /// A private folder.
    pub folder: &'p Path,
    /// So many bytes of keys stay in memory.
    pub most: usize,
}

/// `bands` keys for each of many rows, written row by row and read band by band.
pub struct Keys {
    bands: Vec<Band>,
}

enum Band {
    Memory(Vec<u64>),
    File(BufWriter<File>),
}

impl Keys {
    /// Makes room for the keys of `rows` rows. Without a place to go all stay in memory.
    pub fn new(rows: usize, bands: usize, spill: Option<Spill<'_>>) -> io::Result<Self> {
        let spill = spill.filter(|spill| rows * bands * size_of::<u64>() > spill.most);
        let band = |_| match spill {
            Some(Spill { folder, .. }) => {
                Ok(Band::File(BufWriter::with_capacity(1 << 16, tempfile::tempfile_in(folder)?)))
            }
            None => Ok(Band::Memory(Vec::with_capacity(rows))),
        };
        Ok(Self { bands: (0..bands).map(band).collect::<io::Result<_>>()? })
    }

    /// Adds the keys of some rows, all bands of a row together.
    pub fn append(&mut self, keys: &[u64]) -> io::Result<()> {
        let bands = self.bands.len().max(1);
        for (number, band) in self.bands.iter_mut().enumerate() {
            let mut own = keys.iter().skip(number).step_by(bands);
            match band {
                Band::Memory(all) => all.extend(own),
                Band::File(file) => own.try_for_each(|key| file.write_all(&key.to_ne_bytes()))?,
            }
        }
        Ok(())
    }

    /// Returns the keys of a band, in the order of the rows.
    pub fn band(&mut self, number: usize) -> io::Result<Cow<'_, [u64]>> {
        let file = match &mut self.bands[number] {
            Band::Memory(keys) => return Ok(Cow::Borrowed(keys)),
            Band::File(file) => file,
        };
        file.flush()?;
        let file = file.get_mut();
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let key = |b: &[u8]| u64::from_ne_bytes(b.try_into().unwrap_or_default());
        Ok(Cow::Owned(bytes.chunks_exact(size_of::<u64>()).map(key).collect()))
    }
}
