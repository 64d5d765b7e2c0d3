//! Text as dedup sees it: normalised text, and words.

use unicode_normalization::UnicodeNormalization;

/// Returns text by which equal wording is recognised: NFC, lower case, and every run of blanks and punctuation as one blank.
///
/// Symbols (`+ < = > $ %`), signs and decimal points of numbers stay, for they carry meaning: `-5`, `0.42`, `a < b`.
pub fn normalise(text: &str) -> String {
    if text.is_ascii() {
        // Composition changes nothing, and one byte is one character.
        let lower = text.to_ascii_lowercase();
        return spaced(lower.chars(), |at| lower.as_bytes().get(at).map(|b| char::from(*b)));
    }
    let lower: Vec<char> = text.nfc().flat_map(char::to_lowercase).nfc().collect();
    spaced(lower.iter().copied(), |at| lower.get(at).copied())
}

/// Joins what is no gap by single blanks; `at` gives the character at a place.
fn spaced(lower: impl Iterator<Item = char>, at: impl Fn(usize) -> Option<char>) -> String {
    let mut out = String::with_capacity(lower.size_hint().0);
    let mut gap = false;
    for (i, c) in lower.enumerate() {
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let before = || i.checked_sub(1).and_then(&at);
        let of_number = match c {
            '.' | ',' => digit(before()) && digit(at(i + 1)),
            '-' => !before().is_some_and(char::is_alphanumeric) && digit(at(i + 1)),
            _ => false,
        };
        if of_number || !(c.is_whitespace() || is_punctuation(c)) {
            if gap && !out.is_empty() {
                out.push(' ');
            }
            gap = false;
            out.push(c);
        } else {
            gap = true;
        }
    }
    out
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_punctuation() && !matches!(c, '+' | '<' | '=' | '>' | '$' | '%' | '^' | '|' | '~' | '`');
    }
    matches!(c, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2000}'..='\u{206F}' | '\u{3000}'..='\u{303F}'
        | '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF65}')
}

/// The lower-cased words of a text in one buffer, for hashing shingles without allocating.
#[derive(Default)]
pub struct Words {
    /// Words, each followed by one blank.
    buffer: Vec<u8>,
    /// Start and end of each word in `buffer`.
    spans: Vec<(u32, u32)>,
}

impl Words {
    /// Splits a text into runs of letters and digits; a character of a script without blanks between words is a word of its own.
    pub fn read(&mut self, text: &str) {
        self.buffer.clear();
        self.spans.clear();
        if text.is_ascii() {
            self.read_ascii(text.as_bytes());
        } else {
            self.read_unicode(text);
        }
    }

    fn read_ascii(&mut self, text: &[u8]) {
        let mut start = 0;
        for &b in text {
            if b.is_ascii_alphanumeric() {
                self.buffer.push(b.to_ascii_lowercase());
            } else if self.buffer.len() > start {
                self.end(start);
                start = self.buffer.len();
            }
        }
        if self.buffer.len() > start {
            self.end(start);
        }
    }

    fn read_unicode(&mut self, text: &str) {
        let mut start = 0;
        for c in text.nfc() {
            let alone = matches!(c, '\u{0E00}'..='\u{0E7F}' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}'
                | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}');
            let part = c.is_alphanumeric() || ('\u{0300}'..='\u{036F}').contains(&c);
            if (alone || !part) && self.buffer.len() > start {
                self.end(start);
                start = self.buffer.len();
            }
            if part {
                for l in c.to_lowercase() {
                    self.buffer.extend_from_slice(l.encode_utf8(&mut [0; 4]).as_bytes());
                }
                if alone {
                    self.end(start);
                    start = self.buffer.len();
                }
            }
        }
        if self.buffer.len() > start {
            self.end(start);
        }
    }

    fn end(&mut self, start: usize) {
        self.spans.push((start as u32, self.buffer.len() as u32));
        self.buffer.push(b' ');
    }

    /// Returns the number of words.
    pub fn count(&self) -> usize {
        self.spans.len()
    }

    /// Returns the words in their normal form, each followed by one blank.
    pub fn normal(&self) -> &[u8] {
        &self.buffer
    }

    /// Hands over each run of `n` words, or all words as one run if there are fewer; none for a text without words.
    pub fn shingles(&self, n: usize, mut each: impl FnMut(&[u8])) {
        let (Some(first), Some(last)) = (self.spans.first(), self.spans.last()) else { return };
        if self.spans.len() <= n {
            return each(&self.buffer[first.0 as usize..last.1 as usize]);
        }
        for window in self.spans.windows(n) {
            each(&self.buffer[window[0].0 as usize..window[n - 1].1 as usize]);
        }
    }
}
