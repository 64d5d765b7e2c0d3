//! The types of columns, read from their canonical text: `[Image]`, `Str?`, `enum { safe, low }`.

use super::types::{Dim, Row, Type};

/// Parses the text of a column's type; nothing if it is none.
pub fn parse(text: &str) -> Option<Type> {
    let mut parser = Parser { rest: text.trim() };
    let ty = parser.ty()?;
    parser.rest.is_empty().then_some(ty)
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn ty(&mut self) -> Option<Type> {
        let mut ty = if self.eat("[") {
            let item = self.ty()?;
            self.expect("]")?;
            Type::List(Box::new(item))
        } else if self.eat("(") {
            let mut items = vec![self.ty()?];
            while self.eat(",") {
                items.push(self.ty()?);
            }
            self.expect(")")?;
            Type::Tuple(items)
        } else if self.eat("{") {
            let mut fields = Vec::new();
            while !self.eat("}") {
                let name = self.name()?;
                self.expect(":")?;
                fields.push((name, self.ty()?));
                self.eat(",");
            }
            Type::Record(Row { fields, tail: None })
        } else {
            match self.word()? {
                "enum" => {
                    self.expect("{")?;
                    let mut variants = Vec::new();
                    while !self.eat("}") {
                        variants.push(self.name()?);
                        self.eat(",");
                    }
                    Type::Enum(variants)
                }
                word => simple(word)?,
            }
        };
        while self.eat("?") {
            ty = Type::Optional(Box::new(ty));
        }
        Some(ty)
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    fn word(&mut self) -> Option<&'t str> {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    /// A word, or a quoted name.
    fn name(&mut self) -> Option<String> {
        if self.eat("\"") {
            let (name, rest) = self.rest.split_once('"')?;
            self.rest = rest.trim_start();
            return Some(name.to_owned());
        }
        self.word().map(str::to_owned)
    }
}

/// Returns the type of a word that a column's type may be, and needs nothing more.
pub fn simple(word: &str) -> Option<Type> {
    Some(match word {
        "Str" => Type::Str,
        "Int" => Type::Int,
        "Float" => Type::Float,
        "Bool" => Type::Bool,
        "Image" => Type::Image,
        "Video" => Type::Video,
        "Json" => Type::Json,
        "Box" => Type::Box,
        "Point" => Type::Point,
        "Duration" => Type::Dim(Dim::Duration),
        "Bytes" => Type::Dim(Dim::Bytes),
        "Ratio" => Type::Dim(Dim::Ratio),
        "Tokens" => Type::Dim(Dim::Tokens),
        "Steps" => Type::Dim(Dim::Steps),
        "Rows" => Type::Dim(Dim::Rows),
        "Pixels" => Type::Dim(Dim::Pixels),
        "Angle" => Type::Dim(Dim::Angle),
        "Points" => Type::Dim(Dim::Points),
        "Rate" => Type::Dim(Dim::Rate),
        _ => return None,
    })
}
