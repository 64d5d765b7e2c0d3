//! A line of JSON straight into growing columns, without a value in between.
//!
//! It accepts only what is plainly right and fits the schema, and says [`Unsure`] of all else: then the careful way of [`super::load`]
//! reads the line, and either makes the same row or says what is wrong.

use crate::data::growing::{Growing, TooLong};
use crate::data::schema;
use crate::spec::{Dim, Type};

/// The line is not plainly right.
#[derive(Debug)]
pub struct Unsure;

impl From<TooLong> for Unsure {
    fn from(_: TooLong) -> Self {
        Unsure
    }
}

/// What a line must hold: one value for each column.
pub struct Shape {
    fields: Vec<(String, Want)>,
}

/// What a value must be.
struct Want {
    optional: bool,
    kind: Kind,
}

enum Kind {
    Text,
    OneOf(Vec<String>),
    Int,
    Float,
    Bool,
    List(Box<Want>),
    /// So many numbers.
    Numbers(usize),
    Record(Shape),
}

/// So deep may a value lie that no column asks for.
const DEEPEST: usize = 100;
/// So many digits and signs make a number that cannot be too large.
const SAFE_DIGITS: usize = 200;

impl Shape {
    /// Returns the shape of a schema; nothing if some type needs more than the text of the line.
    pub fn new(fields: &[(String, Type)]) -> Option<Self> {
        // One bit for each field remembers whether it was seen.
        if fields.len() > 64 {
            return None;
        }
        let fields = fields.iter().map(|(name, ty)| Some((name.clone(), Want::new(ty)?))).collect::<Option<_>>()?;
        Some(Self { fields })
    }

    /// Begins the columns of a schema that has a shape.
    pub fn columns(schema: &[(String, Type)]) -> Option<Vec<Growing>> {
        schema.iter().map(|(_, ty)| Growing::new(&schema::arrow(ty))).collect()
    }

    /// Reads a line of UTF-8 and adds its row to the columns. If it is unsure, a part of the row may have been added: cut it back.
    pub fn read(&self, line: &[u8], columns: &mut [Growing]) -> Result<(), Unsure> {
        let mut text = Text { line, at: 0 };
        text.blanks();
        self.object(&mut text, columns)?;
        text.blanks();
        if text.at == line.len() { Ok(()) } else { Err(Unsure) }
    }

    fn object(&self, text: &mut Text<'_>, columns: &mut [Growing]) -> Result<(), Unsure> {
        text.expect(b'{')?;
        let mut seen = 0u64;
        let mut next = 0;
        text.blanks();
        if !text.eat(b'}') {
            loop {
                text.blanks();
                let name = text.name()?;
                text.blanks();
                text.expect(b':')?;
                text.blanks();
                // Files mostly name the fields in one order.
                let found = match self.fields.get(next) {
                    Some((expected, _)) if expected.as_bytes() == name => Some(next),
                    _ => self.fields.iter().position(|(field, _)| field.as_bytes() == name),
                };
                match found {
                    Some(at) => {
                        if seen & 1 << at != 0 {
                            return Err(Unsure);
                        }
                        seen |= 1 << at;
                        next = at + 1;
                        self.fields[at].1.value(text, &mut columns[at])?;
                    }
                    None => text.skip(DEEPEST)?,
                }
                text.blanks();
                if text.eat(b'}') {
                    break;
                }
                text.expect(b',')?;
            }
        }
        for (at, (_, want)) in self.fields.iter().enumerate() {
            if seen & 1 << at == 0 {
                if !want.optional {
                    return Err(Unsure);
                }
                columns[at].push_none();
            }
        }
        Ok(())
    }
}

impl Want {
    fn new(ty: &Type) -> Option<Self> {
        let kind = match ty {
            Type::Optional(inner) => return Some(Self { optional: true, ..Self::new(inner)? }),
            Type::Str | Type::Prompt | Type::Regex => Kind::Text,
            Type::Enum(variants) => Kind::OneOf(variants.clone()),
            Type::Int | Type::Dim(Dim::Tokens | Dim::Steps | Dim::Rows | Dim::Pixels | Dim::Bytes) => Kind::Int,
            Type::Float | Type::Dim(_) => Kind::Float,
            Type::Bool => Kind::Bool,
            Type::Box => Kind::Numbers(4),
            Type::Point => Kind::Numbers(2),
            Type::List(item) => Kind::List(Box::new(Self::new(item)?)),
            Type::Record(row) => Kind::Record(Shape::new(&row.fields)?),
            _ => return None,
        };
        Some(Self { optional: false, kind })
    }

    fn value(&self, text: &mut Text<'_>, column: &mut Growing) -> Result<(), Unsure> {
        if self.optional && text.word(b"null") {
            column.push_none();
            return Ok(());
        }
        match &self.kind {
            Kind::Text => column.push_text(|bytes| text.string(bytes)),
            Kind::OneOf(variants) => {
                let name = text.name()?;
                if !variants.iter().any(|v| v.as_bytes() == name) {
                    return Err(Unsure);
                }
                column.push_text(|bytes| {
                    bytes.extend_from_slice(name);
                    Ok(())
                })
            }
            Kind::Int => {
                column.push_int(text.int()?);
                Ok(())
            }
            Kind::Float => {
                column.push_float(text.float()?);
                Ok(())
            }
            Kind::Bool => {
                let value = text.word(b"true");
                if !value && !text.word(b"false") {
                    return Err(Unsure);
                }
                column.push_bool(value);
                Ok(())
            }
            Kind::List(item) => column.push_list(|items| text.items(|text| item.value(text, items)).map(drop)),
            Kind::Numbers(count) => column.push_list(|items| {
                let found = text.items(|text| {
                    items.push_float(text.float()?);
                    Ok(())
                })?;
                if found == *count { Ok(()) } else { Err(Unsure) }
            }),
            Kind::Record(shape) => column.push_record(|columns| shape.object(text, columns)),
        }
    }
}

/// A line and how far it was read.
struct Text<'l> {
    line: &'l [u8],
    at: usize,
}

impl<'l> Text<'l> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unsure> {
        if self.eat(byte) { Ok(()) } else { Err(Unsure) }
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let there = self.line[self.at..].starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// Reads a string without escapes.
    fn name(&mut self) -> Result<&'l [u8], Unsure> {
        self.expect(b'"')?;
        let rest = &self.line[self.at..];
        let name = &rest[..plain(rest)];
        self.at += name.len();
        self.expect(b'"')?;
        Ok(name)
    }

    /// Reads a string and appends its text.
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Unsure> {
        self.expect(b'"')?;
        loop {
            let rest = &self.line[self.at..];
            let run = plain(rest);
            out.extend_from_slice(&rest[..run]);
            self.at += run;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(out)?,
                _ => return Err(Unsure),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Unsure> {
        let kind = self.line.get(self.at + 1).copied().ok_or(Unsure)?;
        self.at += 2;
        out.push(match kind {
            b'"' | b'\\' | b'/' => kind,
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let mut code = self.hex()?;
                if (0xD800..0xDC00).contains(&code) {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    let low = self.hex()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(Unsure);
                    }
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                let character = char::from_u32(code).ok_or(Unsure)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(Unsure),
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, Unsure> {
        let digits = self.line.get(self.at..self.at + 4).ok_or(Unsure)?;
        self.at += 4;
        digits.iter().try_fold(0, |code, b| Ok(code << 4 | char::from(*b).to_digit(16).ok_or(Unsure)?))
    }

    /// Reads a number; returns its text and whether it has neither a point nor an exponent.
    fn number(&mut self) -> Result<(&'l str, bool), Unsure> {
        let from = self.at;
        self.eat(b'-');
        let whole = self.digits();
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return Err(Unsure);
        }
        let mut int = true;
        if self.eat(b'.') {
            int = false;
            if self.digits().is_empty() {
                return Err(Unsure);
            }
        }
        if self.eat(b'e') || self.eat(b'E') {
            int = false;
            let _ = self.eat(b'-') || self.eat(b'+');
            // Larger exponents may leave the range of numbers.
            if !(1..=2).contains(&self.digits().len()) {
                return Err(Unsure);
            }
        }
        let number = &self.line[from..self.at];
        match std::str::from_utf8(number) {
            Ok(number) if number.len() <= SAFE_DIGITS => Ok((number, int)),
            _ => Err(Unsure),
        }
    }

    fn digits(&mut self) -> &'l [u8] {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        &self.line[from..self.at]
    }

    fn int(&mut self) -> Result<i64, Unsure> {
        match self.number()? {
            // To JSON this is a number with a sign and no whole one.
            ("-0", _) | (_, false) => Err(Unsure),
            (number, true) => number.parse().map_err(|_| Unsure),
        }
    }

    fn float(&mut self) -> Result<f64, Unsure> {
        self.number()?.0.parse().ok().filter(|f: &f64| f.is_finite()).ok_or(Unsure)
    }

    /// Reads a list, each item with `item`; returns how many there are.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Unsure>) -> Result<usize, Unsure> {
        self.expect(b'[')?;
        self.blanks();
        if self.eat(b']') {
            return Ok(0);
        }
        let mut count = 0;
        loop {
            self.blanks();
            item(self)?;
            count += 1;
            self.blanks();
            if self.eat(b']') {
                return Ok(count);
            }
            self.expect(b',')?;
        }
    }

    /// Reads over a value that no column asks for.
    fn skip(&mut self, deepest: usize) -> Result<(), Unsure> {
        let deeper = deepest.checked_sub(1).ok_or(Unsure)?;
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(b'{') => {
                self.at += 1;
                self.blanks();
                if self.eat(b'}') {
                    return Ok(());
                }
                loop {
                    self.blanks();
                    self.skip_string()?;
                    self.blanks();
                    self.expect(b':')?;
                    self.blanks();
                    self.skip(deeper)?;
                    self.blanks();
                    if self.eat(b'}') {
                        return Ok(());
                    }
                    self.expect(b',')?;
                }
            }
            Some(b'[') => self.items(|text| text.skip(deeper)).map(drop),
            Some(b't') if self.word(b"true") => Ok(()),
            Some(b'f') if self.word(b"false") => Ok(()),
            Some(b'n') if self.word(b"null") => Ok(()),
            _ => self.number().map(drop),
        }
    }

    fn skip_string(&mut self) -> Result<(), Unsure> {
        self.expect(b'"')?;
        loop {
            self.at += plain(&self.line[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(&mut Vec::new())?,
                _ => return Err(Unsure),
            }
        }
    }
}

/// Bytes of a string that are looked at together.
const STRIDE: usize = 32;

/// Returns how many bytes come before the first quote, backslash or control character.
pub fn plain(bytes: &[u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { plain_avx2(bytes) };
        }
    }
    plain_anywhere(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn plain_avx2(bytes: &[u8]) -> usize {
    plain_anywhere(bytes)
}

/// One body for all instruction sets: the compiler vectorises the look at a stride for the caller's.
#[inline(always)]
fn plain_anywhere(bytes: &[u8]) -> usize {
    let ends = |b: u8| (b == b'"') | (b == b'\\') | (b < b' ');
    let mut from = 0;
    for stride in bytes.chunks_exact(STRIDE) {
        if stride.iter().fold(0, |any, &b| any | u8::from(ends(b))) != 0 {
            break;
        }
        from += STRIDE;
    }
    from + bytes[from..].iter().position(|&b| ends(b)).unwrap_or(bytes.len() - from)
}
