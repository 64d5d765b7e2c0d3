//! Reads GGUF files: their metadata, and their tensors dequantised to f32.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::base::OpError;

use super::gguf_blocks::Block;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Str(String),
    /// Values of one type.
    List(Vec<Value>),
}

impl Value {
    /// Returns the text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }
}

/// Where a tensor lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its axes, slowest first, as safetensors counts them.
    pub shape: Vec<usize>,
    /// How its numbers are packed.
    pub block: Block,
    /// Its first byte after the start of the data.
    offset: u64,
}

impl Tensor {
    /// Returns its number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Says whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An open GGUF file.
pub struct Gguf {
    path: PathBuf,
    file: File,
    data: u64,
    /// What the file says of the model.
    pub metadata: BTreeMap<String, Value>,
    /// Its tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Gguf {
    /// Opens a file and reads all but the tensors' data.
    ///
    /// # Errors
    /// `E0501` when it is absent; `E0503` when it is no GGUF of version 2 or 3, is cut short, or packs a tensor in a way that is not read.
    ///
    /// # Source
    /// The format's description in the repository of ggml, page `gguf.md`.
    pub fn open(path: &Path) -> Result<Self, OpError> {
        let file = File::open(path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))?;
        let size = file.metadata()?.len();
        let mut reader = Reader { inner: BufReader::new(file), left: size, path };
        if &reader.bytes::<4>()? != b"GGUF" {
            return Err(reader.bad("it does not begin with `GGUF`"));
        }
        let version = reader.u32()?;
        if !(2..=3).contains(&version) {
            return Err(reader.bad(&format!("version {version} is not read, only 2 and 3 are")));
        }
        let (tensors, pairs) = (reader.count()?, reader.count()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..pairs {
            let key = reader.text()?;
            let kind = reader.u32()?;
            metadata.insert(key, reader.value(kind, 0)?);
        }
        let mut found = BTreeMap::new();
        for _ in 0..tensors {
            let (name, tensor) = reader.tensor()?;
            found.insert(name, tensor);
        }
        let step = match metadata.get("general.alignment") {
            Some(Value::Int(n)) if *n > 0 => *n as u64,
            _ => 32,
        };
        let data = reader.inner.stream_position()?.next_multiple_of(step);
        for (name, tensor) in &found {
            let bytes = tensor.block.bytes(tensor.len()) as u64;
            if data.checked_add(tensor.offset).and_then(|at| at.checked_add(bytes)).is_none_or(|end| end > size) {
                return Err(reader.bad(&format!("the data of `{name}` is cut short")));
            }
        }
        Ok(Self { path: path.to_owned(), file: reader.inner.into_inner(), data, metadata, tensors: found })
    }

    /// Returns the numbers of a tensor, row-major.
    ///
    /// # Errors
    /// `E0503` when there is no such tensor; when the file cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, OpError> {
        let tensor = self.tensors.get(name).ok_or_else(|| bad(&self.path, &format!("it has no tensor `{name}`")))?;
        let mut bytes = vec![0; tensor.block.bytes(tensor.len())];
        self.file.read_exact_at(&mut bytes, self.data + tensor.offset)?;
        Ok(tensor.block.unpack(&bytes))
    }

    /// Returns a number of the metadata.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.metadata.get(key)? {
            Value::Int(n) => Some(*n as f64),
            Value::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// Returns a text of the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key)?.text()
    }

    /// Returns a list of the metadata; empty where there is none.
    pub fn list(&self, key: &str) -> &[Value] {
        match self.metadata.get(key) {
            Some(Value::List(values)) => values,
            _ => &[],
        }
    }
}

fn bad(path: &Path, what: &str) -> OpError {
    OpError::new("E0503", format!("{}: {what}", path.display()))
}

/// Reads the head of a file; lengths that it claims are held against what is left of it.
struct Reader<'a> {
    inner: BufReader<File>,
    left: u64,
    path: &'a Path,
}

impl Reader<'_> {
    fn bad(&self, what: &str) -> OpError {
        bad(self.path, what)
    }

    fn take(&mut self, count: u64) -> Result<Vec<u8>, OpError> {
        if count > self.left {
            return Err(self.bad("it is cut short"));
        }
        self.left -= count;
        let mut bytes = vec![0; count as usize];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], OpError> {
        Ok(self.take(N as u64)?.try_into().unwrap_or([0; N]))
    }

    fn u32(&mut self) -> Result<u32, OpError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, OpError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    /// Reads how many things follow: each takes a byte at least.
    fn count(&mut self) -> Result<u64, OpError> {
        let count = self.u64()?;
        if count > self.left { Err(self.bad("it is cut short")) } else { Ok(count) }
    }

    fn text(&mut self) -> Result<String, OpError> {
        let count = self.count()?;
        let bytes = self.take(count)?;
        String::from_utf8(bytes).map_err(|_| self.bad("a text in it is no UTF-8"))
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, OpError> {
        Ok(match kind {
            0 => Value::Int(i64::from(u8::from_le_bytes(self.bytes()?))),
            1 => Value::Int(i64::from(i8::from_le_bytes(self.bytes()?))),
            2 => Value::Int(i64::from(u16::from_le_bytes(self.bytes()?))),
            3 => Value::Int(i64::from(i16::from_le_bytes(self.bytes()?))),
            4 => Value::Int(i64::from(self.u32()?)),
            5 => Value::Int(i64::from(i32::from_le_bytes(self.bytes()?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.bytes()?))),
            7 => Value::Bool(self.bytes::<1>()? != [0]),
            8 => Value::Str(self.text()?),
            9 if depth < 4 => {
                let (kind, count) = (self.u32()?, self.count()?);
                Value::List((0..count).map(|_| self.value(kind, depth + 1)).collect::<Result<_, _>>()?)
            }
            10 | 11 => Value::Int(self.u64()? as i64),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            _ => return Err(self.bad(&format!("metadata of type {kind} is not read"))),
        })
    }

    fn tensor(&mut self) -> Result<(String, Tensor), OpError> {
        let name = self.text()?;
        let axes = self.u32()?;
        if axes > 4 {
            return Err(self.bad(&format!("`{name}` has {axes} axes")));
        }
        let mut shape = (0..axes).map(|_| Ok(self.u64()? as usize)).collect::<Result<Vec<_>, OpError>>()?;
        let kind = self.u32()?;
        let offset = self.u64()?;
        let block = Block::of(kind).ok_or_else(|| {
            self.bad(&format!("`{name}` is packed in a way that is not read (ggml type {kind})"))
                .help("known: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K")
        })?;
        let len = shape.iter().try_fold(1_usize, |len, &n| len.checked_mul(n));
        // No packing takes less than half a byte a number, so a larger count is a broken file.
        if len.is_none_or(|len| len as u64 / 2 > self.left || !len.is_multiple_of(block.numbers())) {
            return Err(self.bad(&format!("`{name}` has the shape {shape:?}, which does not fit the file")));
        }
        shape.reverse();
        Ok((name, Tensor { shape, block, offset }))
    }
}
