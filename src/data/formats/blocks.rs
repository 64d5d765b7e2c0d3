//! Files of JSON rows as a stream of blocks: whole lines, or whole items of an array.

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use memchr::{memchr2, memrchr};

use super::packed;
use crate::base::OpError;

/// Bytes that are read at once: for each thread, at least and at most. Whoever reads holds three blocks and what is in two of them, and memory that a
/// process takes for the first time costs more than parsing what it holds.
const BLOCK: (usize, usize, usize) = (1 << 20, 2 << 20, 16 << 20);
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Some rows of a file as they stand there.
#[derive(Default)]
pub struct Block {
    /// The text.
    pub bytes: Vec<u8>,
    /// Where in it the items of an array stand; none where each line is a row.
    pub items: Option<Vec<Range<usize>>>,
    /// Why the array ends after these items, if it should not.
    pub fault: Option<String>,
}

impl Block {
    /// Says whether there are no more rows.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.fault.is_none()
    }
}

/// A file that is read block by block. How many rows a block has depends on the number of threads; which rows there are does not.
pub struct Blocks {
    from: Box<dyn Read + Send>,
    /// Bytes that are read at once.
    block: usize,
    /// What was read after the last whole row.
    rest: Vec<u8>,
    ended: bool,
    array: Option<Array>,
    begun: bool,
}

impl Blocks {
    /// Opens a file, which may be packed as `.gz` or `.zst`.
    ///
    /// # Errors
    /// `E0501` when it is missing, `E0503` when it cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpError> {
        Ok(Self::new(packed::open(path)?))
    }

    /// Reads from anywhere.
    pub fn new(from: Box<dyn Read + Send>) -> Self {
        let (each, least, most) = BLOCK;
        let block = (each * rayon::current_num_threads()).clamp(least, most);
        Self { from, block, rest: Vec::new(), ended: false, array: None, begun: false }
    }

    /// Returns the next rows; an empty block at the end.
    pub fn next(&mut self) -> io::Result<Block> {
        let mut bytes = std::mem::take(&mut self.rest);
        while !self.ended {
            let from = bytes.len();
            bytes.reserve(self.block);
            let read = self.from.by_ref().take(self.block as u64).read_to_end(&mut bytes)?;
            self.ended = read < self.block;
            if !self.begun {
                self.begin(&mut bytes);
            }
            if let Some(array) = &mut self.array {
                let items = array.scan(&bytes);
                if !items.is_empty() && !self.ended {
                    return Ok(self.cut(bytes, items));
                }
                if self.ended || array.closed {
                    return self.last(bytes, items);
                }
            } else if let Some(at) = memrchr(b'\n', &bytes[from..])
                && !self.ended
            {
                self.rest = bytes.split_off(from + at + 1);
                break;
            }
        }
        Ok(Block { bytes, ..Block::default() })
    }

    /// Finds out what the file holds; skips a byte order mark.
    fn begin(&mut self, bytes: &mut Vec<u8>) {
        self.begun = true;
        if bytes.starts_with(MARK) {
            bytes.drain(..MARK.len());
        }
        let blank = bytes.len() - bytes.trim_ascii_start().len();
        if bytes.get(blank) == Some(&b'[') {
            self.array = Some(Array { from: blank + 1, at: blank + 1, ..Array::default() });
        }
    }

    /// Keeps what comes after the last whole item for the next block.
    fn cut(&mut self, mut bytes: Vec<u8>, items: Vec<Range<usize>>) -> Block {
        if let Some(array) = &mut self.array {
            self.rest = bytes.split_off(array.from);
            array.at -= array.from;
            array.from = 0;
        }
        Block { bytes, items: Some(items), fault: None }
    }

    /// Returns the last items of an array, and what is wrong with its end.
    fn last(&mut self, bytes: Vec<u8>, items: Vec<Range<usize>>) -> io::Result<Block> {
        let closed = self.array.as_ref().filter(|a| a.closed).map(|a| a.at);
        let fault = match closed {
            None => Some("the array is cut off here".to_owned()),
            Some(at) => {
                let mut blank = bytes[at..].trim_ascii().is_empty();
                let mut more = vec![0; 1 << 16];
                while blank && !self.ended {
                    let read = self.from.read(&mut more)?;
                    self.ended = read == 0;
                    blank = more[..read].trim_ascii().is_empty();
                }
                (!blank).then(|| "more text follows the end of the array".to_owned())
            }
        };
        self.ended = true;
        // Without a byte it would pass for the end of the file, which it is.
        let bytes = if items.is_empty() { Vec::new() } else { bytes };
        Ok(Block { bytes, items: Some(items), fault })
    }
}

/// Where in the text of an array the reader is.
#[derive(Default)]
struct Array {
    /// Where the item begins that is open.
    from: usize,
    /// Up to where the text was looked at.
    at: usize,
    depth: usize,
    in_text: bool,
    escaped: bool,
    any: bool,
    closed: bool,
}

impl Array {
    /// Goes on to the end of what was read, and returns the items that end there.
    fn scan(&mut self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut items = Vec::new();
        while self.at < bytes.len() && !self.closed {
            if self.escaped {
                self.escaped = false;
            } else if self.in_text {
                match memchr2(b'"', b'\\', &bytes[self.at..]) {
                    Some(further) => self.at += further,
                    None => {
                        self.at = bytes.len();
                        break;
                    }
                }
                self.escaped = bytes[self.at] == b'\\';
                self.in_text = self.escaped;
            } else {
                match bytes[self.at] {
                    b'"' => self.in_text = true,
                    b'{' | b'[' => self.depth += 1,
                    b']' if self.depth == 0 => {
                        // An array without items has nothing between its brackets; a comma before the end is a mistake.
                        if self.any || !bytes[self.from..self.at].trim_ascii().is_empty() {
                            items.push(self.from..self.at);
                        }
                        self.closed = true;
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b',' if self.depth == 0 => {
                        items.push(self.from..self.at);
                        self.from = self.at + 1;
                        self.any = true;
                    }
                    _ => {}
                }
            }
            self.at += 1;
        }
        items
    }
}
