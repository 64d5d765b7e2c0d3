//! All operators, by name; a signature is parsed when somebody asks for it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::OnceLock;

use super::OpSpec;
use crate::syntax::ast::UserOp;

/// An operator with its signature.
pub struct Operator {
    /// The declaration.
    pub spec: &'static OpSpec,
    /// `module.name`
    pub name: String,
    /// Parameters and result as written.
    pub signature: Signature,
    /// The `##` lines above the signature.
    pub doc: String,
    /// A whole recipe that uses it; `recipes/operators` has it under the operator's name.
    pub example: Option<&'static str>,
}

/// Parameters and result as written. A recipe reaches few of the operators, so each is parsed when it is first read.
///
/// Reading panics when the text does not parse: a bug of ours, caught by the test that reads them all.
pub struct Signature {
    text: &'static str,
    parsed: OnceLock<UserOp>,
}

impl Deref for Signature {
    type Target = UserOp;

    fn deref(&self) -> &UserOp {
        self.parsed.get_or_init(|| crate::syntax::parse_signature(self.text).0)
    }
}

/// All operators.
pub struct Catalogue {
    /// In documentation order.
    pub operators: Vec<Operator>,
    by_name: BTreeMap<String, usize>,
}

impl Catalogue {
    /// Names the operators of `specs`.
    pub fn new(specs: &[&'static OpSpec]) -> Self {
        let operators: Vec<Operator> = specs.iter().map(|spec| operator(spec)).collect();
        let by_name = operators.iter().enumerate().map(|(i, op)| (op.name.clone(), i)).collect();
        Self { operators, by_name }
    }

    /// Adds whole recipes by the operator that each shows.
    pub fn with_examples(mut self, examples: &[(&str, &'static str)]) -> Self {
        for (name, text) in examples {
            if let Some(&i) = self.by_name.get(*name) {
                self.operators[i].example = Some(text);
            }
        }
        self
    }

    /// Returns an operator by its full name.
    pub fn get(&self, name: &str) -> Option<&Operator> {
        self.by_name.get(name).map(|&i| &self.operators[i])
    }
}

/// Reads name and documentation off the text alone.
fn operator(spec: &'static OpSpec) -> Operator {
    let text = spec.signature;
    let mut doc: Vec<&str> = Vec::new();
    let mut name = "";
    for line in text.lines().map(str::trim_start).filter(|l| !l.is_empty()) {
        match line.strip_prefix("##") {
            Some(said) => doc.push(said.strip_prefix(' ').unwrap_or(said).trim_end()),
            None => {
                name = line.strip_prefix("op ").unwrap_or(line).split('(').next().unwrap_or_default().trim();
                break;
            }
        }
    }
    Operator {
        spec,
        name: name.to_owned(),
        signature: Signature { text, parsed: OnceLock::new() },
        doc: doc.join("\n"),
        example: None,
    }
}
