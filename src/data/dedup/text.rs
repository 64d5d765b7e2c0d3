//! Text as dedup sees it: normalised text, and words.

use unicode_normalization::UnicodeNormalization;

/// Returns text by which equal wording is recognised: NFC, lower case, and every run of blanks and punctuation as one blank.
///
/// Symbols (`+ < = > $ %`), signs and decimal points of numbers stay, for they carry meaning: `-5`, `0.42`, `a < b`.
pub fn normalise(text: &str) -> String {
    if text.is_ascii() {
        return normalise_ascii(text.as_bytes());
    }
    let lower: Vec<char> = text.nfc().flat_map(char::to_lowercase).nfc().collect();
    spaced(lower.iter().copied(), |at| lower.get(at).copied())
}

/// As [`spaced`] of lower-cased text: composition changes nothing, and one byte is one character.
fn normalise_ascii(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    for (i, &b) in text.iter().enumerate() {
        let of_number = match b {
            b'.' | b',' => i > 0 && digit(i - 1) && digit(i + 1),
            b'-' => !(i > 0 && text[i - 1].is_ascii_alphanumeric()) && digit(i + 1),
            _ => false,
        };
        if STAYS[usize::from(b)] || of_number {
            if gap && !out.is_empty() {
                out.push(' ');
            }
            gap = false;
            out.push(char::from(b.to_ascii_lowercase()));
        } else {
            gap = true;
        }
    }
    out
}

/// ASCII that is neither blank nor punctuation.
static STAYS: [bool; 256] = {
    let mut stays = [false; 256];
    let mut b = 0;
    while b < 128 {
        let c = b as u8 as char;
        let blank = matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0B' | '\x0C');
        stays[b] = !blank && !(c.is_ascii_punctuation() && !is_symbol(c));
        b += 1;
    }
    stays
};

/// Says whether a punctuation sign carries meaning.
const fn is_symbol(c: char) -> bool {
    matches!(c, '+' | '<' | '=' | '>' | '$' | '%' | '^' | '|' | '~' | '`')
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
        return c.is_ascii_punctuation() && !is_symbol(c);
    }
    matches!(c, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '\u{2000}'..='\u{206F}' | '\u{3000}'..='\u{303F}'
        | '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}' | '\u{FF5B}'..='\u{FF65}')
}

/// Letters in lower case and digits; a blank for all other bytes.
static LOWER: [u8; 256] = {
    let mut lower = [b' '; 256];
    let mut b = 0;
    while b < 128 {
        if (b as u8).is_ascii_alphanumeric() {
            lower[b] = (b as u8).to_ascii_lowercase();
        }
        b += 1;
    }
    lower
};

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
        // Everything is written, and stays only if the place after it moves on: no branch depends on the text.
        self.buffer.resize(text.len() + 1, b' ');
        self.spans.resize(text.len() / 2 + 1, (0, 0));
        let (mut start, mut at, mut words) = (0, 0, 0);
        for &b in text {
            let lower = LOWER[usize::from(b)];
            let letter = lower != b' ';
            let end = !letter & (at > start);
            self.buffer[at] = lower;
            self.spans[words] = (start as u32, at as u32);
            words += usize::from(end);
            at += usize::from(letter | end);
            start = if end { at } else { start };
        }
        if at > start {
            self.spans[words] = (start as u32, at as u32);
            self.buffer[at] = b' ';
            (words, at) = (words + 1, at + 1);
        }
        self.buffer.truncate(at);
        self.spans.truncate(words);
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
