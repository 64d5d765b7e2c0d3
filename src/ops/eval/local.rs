//! Models in the engine's own process, as `eval.run` hears them.

use std::path::Path;

use crate::base::OpError;
use crate::engine::{Artifact, Context};
use crate::eval::Generate;

/// Opens a model folder.
///
/// # Errors
/// E0612 as long as this build cannot generate.
pub fn open(_: &Context, _: &Artifact, _: &Path, _: (Option<u64>, Option<u64>)) -> Result<Box<dyn Generate>, OpError> {
    Err(OpError::new("E0612", "generating replies in this process is not there yet"))
}
