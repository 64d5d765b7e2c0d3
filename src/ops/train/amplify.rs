//! The argument `amplify`: the constants of the amplifier, and the rows from which it learns.

use serde_json::Value as Json;

use super::arguments::Amplify;
use crate::base::OpError;
use crate::data::table::Table;
use crate::model::{Strength, amplifier};
use crate::ops::rows;
use crate::spec::RowExpr;

const HELP: &str = "say from which rows the amplifier learns: `amplify: { on: … }`; `on: true` for all";

impl Amplify {
    /// Returns the constants.
    ///
    /// # Errors
    /// `E0214` naming the one that makes no sense.
    pub fn strength(&self) -> Result<Strength, OpError> {
        let strength = Strength { gain: self.gain.unwrap_or(2.0), attention: self.attention.unwrap_or(0.0) };
        let named = |e: OpError| OpError { message: format!("amplify: {}", e.message), ..e };
        amplifier::check(strength).map_err(named)?;
        Ok(strength)
    }

    /// Says of each row whether the gate learns from it.
    ///
    /// # Errors
    /// `E0301` when a column that `on` reads is not there.
    pub fn teaching(&self, table: &Table, threads: usize) -> Result<Vec<bool>, OpError> {
        let on = match &self.on {
            None | Some(Json::Null) => RowExpr::Binary(
                "==".into(),
                Box::new(RowExpr::Col("risk".into())),
                Box::new(RowExpr::Lit("high".into())),
            ),
            Some(given) => serde_json::from_value(given.clone())?,
        };
        rows::condition(&on, table, threads).map_err(|e| if e.help.is_some() { e } else { e.help(HELP) })
    }
}

/// Refuses a training in which an amplifier would learn nothing.
///
/// # Errors
/// `E0711`.
pub fn needs_a_teacher(teachers: usize) -> Result<(), OpError> {
    if teachers > 0 {
        return Ok(());
    }
    Err(OpError::new("E0711", "amplify: `on` holds for none of the training rows: the amplifier would learn nothing")
        .help(HELP))
}
