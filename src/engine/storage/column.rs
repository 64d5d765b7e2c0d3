//! A column's blob, read chunk by chunk: an Arrow stream whose record batches are mapped into memory, not copied.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use arrow::ipc::convert::try_fb_to_schema;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::root_as_message;
use memmap2::MmapOptions;

/// An open column.
pub struct Column {
    stream: Stream,
    schema: Arc<Schema>,
}

impl Column {
    /// Opens the blob of a column and reads its type.
    ///
    /// # Errors
    /// What is no Arrow stream of one column.
    pub fn open(path: &Path) -> Result<Self, ArrowError> {
        let mut stream = Stream::open(path)?;
        let first = stream.next().transpose()?;
        let schema = match &first {
            Some(first) => first.read()?.header_as_schema().map(try_fb_to_schema).transpose()?,
            None => None,
        };
        let schema =
            schema.filter(|schema| schema.fields().len() == 1).ok_or_else(|| broken("no stream of one column"))?;
        Ok(Self { stream, schema: Arc::new(schema) })
    }

    /// Returns the type of the column.
    pub fn ty(&self) -> &DataType {
        self.schema.field(0).data_type()
    }

    fn chunk(&mut self) -> Result<Option<ArrayRef>, ArrowError> {
        while let Some(message) = self.stream.next().transpose()? {
            let described = message.read()?;
            let Some(batch) = described.header_as_record_batch() else { continue };
            let body = self.stream.buffers(&message)?;
            let schema = Arc::clone(&self.schema);
            let chunk = read_record_batch(&body, batch, schema, &HashMap::new(), None, &described.version())?;
            return Ok(Some(Arc::clone(chunk.column(0))));
        }
        Ok(None)
    }
}

impl Iterator for Column {
    type Item = Result<ArrayRef, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunk().transpose()
    }
}

/// The messages of an Arrow stream in a file, one after the other; what they describe is not read.
pub struct Stream {
    file: File,
    bytes: u64,
    at: u64,
}

/// One message: a mark, the length of its description, the description, the buffers.
pub struct Message {
    described: Vec<u8>,
    /// Where the buffers begin in the file.
    buffers: u64,
    /// How long they are together.
    bytes: u64,
}

impl Stream {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes, at: 0 })
    }

    /// Returns the file.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Returns the buffers of a message.
    fn buffers(&self, message: &Message) -> io::Result<Buffer> {
        let bytes = usize::try_from(message.bytes).map_err(io::Error::other)?;
        if bytes == 0 {
            return Ok(Buffer::from_vec(Vec::<u8>::new()));
        }
        // SAFETY: the files of a store are read-only and are never written again once they have their name.
        match unsafe { MmapOptions::new().offset(message.buffers).len(bytes).populate().map(&self.file) } {
            Ok(map) => {
                let start = NonNull::from(&map[..]).cast();
                // SAFETY: the map is `bytes` long, and the buffer keeps it.
                Ok(unsafe { Buffer::from_custom_allocation(start, bytes, Arc::new(map)) })
            }
            // Some file systems map nothing.
            Err(_) => {
                let mut read = vec![0; bytes];
                self.file.read_exact_at(&mut read, message.buffers)?;
                Ok(Buffer::from_vec(read))
            }
        }
    }

    fn message(&mut self) -> Result<Option<Message>, ArrowError> {
        if self.at + 8 > self.bytes {
            return Ok(None);
        }
        let mut head = [0; 8];
        self.file.read_exact_at(&mut head, self.at)?;
        let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        if length == 0 {
            return Ok(None);
        }
        let cut = || broken("it ends within a message");
        let left = self.bytes - self.at - 8;
        let mut described = vec![0; usize::try_from(length).ok().filter(|_| length <= left).ok_or_else(cut)?];
        self.file.read_exact_at(&mut described, self.at + 8)?;
        let mut message = Message { described, buffers: self.at + 8 + length, bytes: 0 };
        let bytes = u64::try_from(message.read()?.bodyLength()).ok().filter(|bytes| *bytes <= left - length);
        message.bytes = bytes.ok_or_else(cut)?;
        self.at = message.buffers + message.bytes;
        Ok(Some(message))
    }
}

impl Iterator for Stream {
    type Item = Result<Message, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.message().transpose()
    }
}

impl Message {
    fn read(&self) -> Result<arrow::ipc::Message<'_>, ArrowError> {
        root_as_message(&self.described).map_err(|e| broken(&e.to_string()))
    }

    /// Where the text of a chunk of texts begins in the file; nothing for a message that is no chunk.
    ///
    /// # Errors
    /// A chunk of something else.
    pub fn text(&self) -> Result<Option<u64>, ArrowError> {
        let Some(batch) = self.read()?.header_as_record_batch() else { return Ok(None) };
        // The bits of those that are there, where each text ends, the text.
        let buffers = batch.buffers().filter(|b| b.len() == 3).ok_or_else(|| broken("it is no text"))?;
        let offset = u64::try_from(buffers.get(2).offset()).map_err(|e| broken(&e.to_string()))?;
        Ok(Some(self.buffers + offset))
    }
}

fn broken(why: &str) -> ArrowError {
    ArrowError::IpcError(why.to_owned())
}
