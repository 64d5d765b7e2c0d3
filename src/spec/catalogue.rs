//! All operators, by name, with their signatures parsed.

use std::collections::BTreeMap;

use super::OpSpec;
use crate::syntax::ast::UserOp;

/// An operator with its parsed signature.
pub struct Operator {
    /// The declaration.
    pub spec: &'static OpSpec,
    /// `module.name`
    pub name: String,
    /// Parameters and result as written.
    pub signature: UserOp,
    /// The `##` lines above the signature.
    pub doc: String,
}

/// All operators.
pub struct Catalogue {
    /// In documentation order.
    pub operators: Vec<Operator>,
    by_name: BTreeMap<String, usize>,
}

impl Catalogue {
    /// Parses the signatures of `specs`.
    ///
    /// # Panics
    /// When a signature does not parse: a bug of ours, caught by the test that builds the catalogue.
    pub fn new(specs: &[&'static OpSpec]) -> Self {
        let operators: Vec<Operator> = specs
            .iter()
            .map(|spec| {
                let (signature, doc) = crate::syntax::parse_signature(spec.signature);
                Operator { spec, name: signature.name.text.clone(), signature, doc }
            })
            .collect();
        let by_name = operators.iter().enumerate().map(|(i, op)| (op.name.clone(), i)).collect();
        Self { operators, by_name }
    }

    /// Returns an operator by its full name.
    pub fn get(&self, name: &str) -> Option<&Operator> {
        self.by_name.get(name).map(|&i| &self.operators[i])
    }
}
