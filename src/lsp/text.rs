//! Places in a text as editors count them: lines from 0, columns in UTF-8 or UTF-16 units.

/// In which units an editor counts columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Bytes.
    Utf8,
    /// Code units of UTF-16: what every editor speaks.
    #[default]
    Utf16,
}

/// A place: line and column, both from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column in units of the encoding.
    pub column: u32,
}

/// Returns the place of a byte; one inside a character counts as its start.
pub fn place(text: &str, offset: usize, encoding: Encoding) -> Place {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|&b| b == b'\n').count() as u32;
    Place { line, column: width(&before[start..], encoding) }
}

/// Returns the byte of a place. One beyond the end of its line or of the text is taken back to that end.
pub fn offset(text: &str, place: Place, encoding: Encoding) -> usize {
    let mut start = 0;
    for _ in 0..place.line {
        match text[start..].find('\n') {
            Some(at) => start += at + 1,
            None => return text.len(),
        }
    }
    let line = text[start..].split('\n').next().unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut column = 0;
    for (at, c) in line.char_indices() {
        if column >= place.column {
            return start + at;
        }
        column += char_width(c, encoding);
        if column > place.column {
            return start + at; // inside of a character
        }
    }
    start + line.len()
}

/// Returns how wide a piece of a line is.
pub fn width(text: &str, encoding: Encoding) -> u32 {
    match encoding {
        Encoding::Utf8 => text.len() as u32,
        Encoding::Utf16 => text.chars().map(|c| char_width(c, encoding)).sum(),
    }
}

fn char_width(c: char, encoding: Encoding) -> u32 {
    match encoding {
        Encoding::Utf8 => c.len_utf8() as u32,
        Encoding::Utf16 => c.len_utf16() as u32,
    }
}

/// Returns the word around a byte: its start and end, empty where none is.
pub fn word(text: &str, offset: usize) -> (usize, usize) {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let bytes = text.as_bytes();
    let start = offset - bytes[..offset].iter().rev().take_while(|b| is_word(b)).count();
    let end = offset + bytes[offset..].iter().take_while(|b| is_word(b)).count();
    (start, end)
}
