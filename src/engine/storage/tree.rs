//! The tree below a blob's digest: BLAKE3 hashes a file as a tree, so its inner nodes can vouch for parts of it. Of that tree one level is kept: a node for
//! each group of bytes. All nodes above follow from it, up to the root, which is the digest that names the blob: nodes that do not come to that root are none.

use std::io::{self, Read};
use std::ops::Range;

use blake3::hazmat::{ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::base::Digest;

/// Bytes that a node vouches for: the least that is fetched again. A node has 32 bytes, so a tree has 1/8192 of its blob.
pub const GROUP: u64 = 256 << 10;
/// A smaller blob has no tree: to fetch it anew takes less than a second on most lines, and most blobs are smaller.
pub const LEAST: u64 = 4 << 20;
/// How a file of nodes begins. The size of a group and of the blob follow, eight bytes each, little-endian.
const MAGIC: &[u8; 16] = b"rbpipe/tree/v1\0\0";
const HEAD: usize = 32;
const NODE: usize = 32;
/// Sizes of a group that are read: another build may choose another.
const GROUPS: Range<u64> = 64 << 10..(16 << 20) + 1;

/// The nodes of a blob, which came to its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    group: u64,
    bytes: u64,
    nodes: Vec<ChainingValue>,
}

impl Tree {
    /// Reads the nodes of a blob; nothing if the bytes are none, or do not come to its digest.
    pub fn parse(file: &[u8], digest: Digest) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(file.get(at..at + 8)?.try_into().ok()?));
        let (group, bytes) = (number(16)?, number(24)?);
        if !file.starts_with(MAGIC) || !GROUPS.contains(&group) || !group.is_power_of_two() || bytes <= group {
            return None;
        }
        let rest = file.get(HEAD..)?;
        if !rest.len().is_multiple_of(NODE) || (rest.len() / NODE) as u64 != bytes.div_ceil(group) {
            return None;
        }
        let nodes: Vec<ChainingValue> = rest.chunks_exact(NODE).filter_map(|node| node.try_into().ok()).collect();
        (root(&nodes) == digest).then_some(Self { group, bytes, nodes })
    }

    /// Returns the bytes of a file that [`Tree::parse`] reads.
    pub fn file(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.nodes.len() * NODE);
        out.extend(MAGIC);
        out.extend(self.group.to_le_bytes());
        out.extend(self.bytes.to_le_bytes());
        out.extend(self.nodes.iter().flatten());
        out
    }

    /// Returns how large such a file is at most for a blob of some bytes.
    pub fn most(bytes: u64) -> u64 {
        HEAD as u64 + bytes.div_ceil(GROUPS.start) * NODE as u64
    }

    /// Returns how many bytes the blob has. The digest vouches for them together with the last group.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the bytes of a group.
    pub fn group(&self) -> u64 {
        self.group
    }

    /// Returns the place of each group in the blob, in order.
    pub fn groups(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        (0..self.nodes.len()).map(|at| self.range(at))
    }

    /// Returns the place of the group that begins at a byte or holds it.
    pub fn around(&self, byte: u64) -> Range<u64> {
        self.range((byte / self.group) as usize)
    }

    fn range(&self, at: usize) -> Range<u64> {
        let from = at as u64 * self.group;
        from..(from + self.group).min(self.bytes)
    }

    /// Says whether a group, given in pieces, has the right bytes. `from` is where it begins.
    pub fn fits<'a>(&self, from: u64, pieces: impl Iterator<Item = &'a [u8]>) -> bool {
        let range = self.around(from);
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(range.start);
        let mut left = range.end - range.start;
        for piece in pieces {
            // More than a group is no part of the tree.
            let Some(rest) = left.checked_sub(piece.len() as u64) else { return false };
            left = rest;
            hasher.update(piece);
        }
        let node = self.nodes.get((from / self.group) as usize);
        range.start == from && left == 0 && node == Some(&hasher.finalize_non_root())
    }

    /// Says of each group whether a file has it, where it belongs.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn found_in(&self, file: &mut dyn Read) -> io::Result<Vec<bool>> {
        let mut buffer = Vec::new();
        self.groups()
            .map(|range| {
                buffer.clear();
                let length = range.end - range.start;
                Ok((&mut *file).take(length).read_to_end(&mut buffer)? as u64 == length
                    && self.fits(range.start, std::iter::once(&buffer[..])))
            })
            .collect()
    }

    /// Returns the bytes of a file that are wrong or missing; groups beside each other are one range.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn wrong_in(&self, file: &mut dyn Read) -> io::Result<Vec<Range<u64>>> {
        let mut out: Vec<Range<u64>> = Vec::new();
        for (range, found) in self.groups().zip(self.found_in(file)?) {
            match out.last_mut() {
                _ if found => {}
                Some(last) if last.end == range.start => last.end = range.end,
                _ => out.push(range),
            }
        }
        Ok(out)
    }
}

/// A blob whose bytes come one after the other: its digest, and its tree.
pub struct Growing {
    nodes: Vec<ChainingValue>,
    group: blake3::Hasher,
    filled: u64,
}

impl Default for Growing {
    fn default() -> Self {
        Self { nodes: Vec::new(), group: blake3::Hasher::new(), filled: 0 }
    }
}

impl Growing {
    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == GROUP {
                self.nodes.push(self.group.finalize_non_root());
                self.group = blake3::Hasher::new();
                self.group.set_input_offset(self.nodes.len() as u64 * GROUP);
                self.filled = 0;
            }
            let (now, rest) = bytes.split_at(bytes.len().min((GROUP - self.filled) as usize));
            self.group.update(now);
            self.filled += now.len() as u64;
            bytes = rest;
        }
    }

    /// Adds all that a reader has.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => self.update(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Returns how many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.nodes.len() as u64 * GROUP + self.filled
    }

    /// Returns the digest of the bytes so far.
    pub fn digest(&self) -> Digest {
        match self.nodes.is_empty() {
            true => Digest(*self.group.finalize().as_bytes()),
            false => root(&self.all()),
        }
    }

    /// Returns the tree of the bytes so far; nothing for a blob that has none, see [`LEAST`].
    pub fn tree(&self) -> Option<Tree> {
        (self.bytes() >= LEAST).then(|| Tree { group: GROUP, bytes: self.bytes(), nodes: self.all() })
    }

    fn all(&self) -> Vec<ChainingValue> {
        let mut nodes = self.nodes.clone();
        nodes.push(self.group.finalize_non_root());
        nodes
    }
}

/// Returns the digest that two or more nodes come to.
fn root(nodes: &[ChainingValue]) -> Digest {
    let (left, right) = halves(nodes);
    Digest(*merge_subtrees_root(&above(left), &above(right), Mode::Hash).as_bytes())
}

/// Returns the node above one or more.
fn above(nodes: &[ChainingValue]) -> ChainingValue {
    if let [one] = nodes {
        return *one;
    }
    let (left, right) = halves(nodes);
    merge_subtrees_non_root(&above(left), &above(right), Mode::Hash)
}

/// Parts two or more nodes as BLAKE3 does: on the left the largest power of two that leaves some on the right.
fn halves(nodes: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    nodes.split_at(nodes.len().next_power_of_two() / 2)
}
