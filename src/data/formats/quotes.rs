//! Separated values on their way to the reader, watched for a quote that is never closed: the reader takes the rest of the file for one field.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memchr3};

/// Passes text on and knows whether a quoted field is open at its end.
pub struct Quotes<R> {
    from: R,
    separator: u8,
    place: Place,
    line: u64,
    /// The line in which the last quoted field began.
    opened: u64,
}

enum Place {
    /// Before the first byte of a field.
    Start,
    /// In a field that is not quoted: quotes in it are text.
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: the next byte says whether it ended.
    Behind,
}

impl<R: Read> Quotes<R> {
    /// Watches text that is separated by a byte.
    pub fn new(from: R, separator: u8) -> Self {
        Self { from, separator, place: Place::Start, line: 1, opened: 0 }
    }

    /// Returns the line of the quote that is open.
    pub fn open(&self) -> Option<u64> {
        matches!(self.place, Place::Quoted).then_some(self.opened)
    }

    fn watch(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.place {
                Place::Quoted => {
                    let inner = memchr(b'"', rest).unwrap_or(rest.len());
                    self.line += memchr_iter(b'\n', &rest[..inner]).count() as u64;
                    at += inner + 1;
                    if inner < rest.len() {
                        self.place = Place::Behind;
                    }
                }
                Place::Start if rest[0] == b'"' => {
                    (self.place, self.opened) = (Place::Quoted, self.line);
                    at += 1;
                }
                Place::Behind if rest[0] == b'"' => {
                    self.place = Place::Quoted;
                    at += 1;
                }
                Place::Start | Place::Behind | Place::Plain => {
                    let inner = memchr3(self.separator, b'\n', b'\r', rest);
                    self.place = if inner.is_some() { Place::Start } else { Place::Plain };
                    let inner = inner.unwrap_or(rest.len());
                    self.line += u64::from(rest.get(inner) == Some(&b'\n'));
                    at += inner + 1;
                }
            }
        }
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.watch(&into[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_quote_is_known_wherever_the_text_is_cut() {
        let cases: [(&str, Option<u64>); 8] = [
            ("a,b\n\"x\ny\",2\n", None),
            ("a,b\n\"x\ny,2\nz,3\n", Some(2)),
            ("a,b\nx,\"say \"\"hi\"\"\"\n", None),
            ("a,b\nx,\"say \"\"hi\"\"\n", Some(2)),
            ("a\n5\" pipe\n", None),
            ("a\n\"x\"y\"\n", None),
            ("a\r\n\"\r\n\r\n", Some(2)),
            ("", None),
        ];
        for (text, open) in cases {
            for most in [1, 3, 64] {
                let mut quotes = Quotes::new(text.as_bytes(), b',');
                let mut bytes = vec![0; most];
                while quotes.read(&mut bytes).expect("memory can be read") > 0 {}
                assert_eq!(quotes.open(), open, "{text:?} by {most}");
            }
        }
    }
}
