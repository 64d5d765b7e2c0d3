//! What Arrow refused, as the failure of an operator.

use arrow::error::ArrowError;

use crate::base::OpError;

impl From<ArrowError> for OpError {
    fn from(e: ArrowError) -> Self {
        match &e {
            ArrowError::IoError(_, cause) => Self::of_io(cause, e.to_string()),
            _ => Self::new("E0612", e.to_string()),
        }
    }
}
