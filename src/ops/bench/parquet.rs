//! Rows of a Parquet file as the hub keeps datasets: pictures lie in columns, as records of bytes and a name.

use std::path::Path;

use base64::Engine as _;
use serde_json::{Map, Value as Json};

use super::archive::facts;
use crate::base::OpError;
use crate::data::formats::columnar;
use crate::data::formats::load::{self, RawRow};
use crate::data::pictures::media::examine;
use crate::engine::Store;
use crate::spec::Type;

/// Reads all rows and columns. A picture is put into the store, and its cell becomes a name in `pictures`.
///
/// # Errors
/// As [`columnar::parquet`]; E0610 for bytes that are no picture.
pub(super) fn rows(
    file: &Path,
    name: &str,
    store: &Store,
    pictures: &mut Map<String, Json>,
) -> Result<Vec<RawRow>, OpError> {
    let columns: Vec<(String, Type)> = columnar::names(file)?.into_iter().map(|n| (n, Type::Str)).collect();
    let mut rows =
        load::collected(|feed| columnar::parquet(file, name, columnar::Into { schema: &columns, blobs: None, feed }))?;
    for row in &mut rows {
        if let Ok(value) = &mut row.value {
            take(value, store, pictures)
                .map_err(|why| OpError::new("E0610", format!("{}: a picture {why}", row.place)))?;
        }
    }
    Ok(rows)
}

/// Puts every picture of a value into the store and its name in its place.
fn take(value: &mut Json, store: &Store, pictures: &mut Map<String, Json>) -> Result<(), String> {
    match value {
        Json::Array(items) => items.iter_mut().try_for_each(|item| take(item, store, pictures)),
        Json::Object(fields) => {
            let picture = fields.len() == 2 && fields.contains_key("path");
            match fields.get("bytes").filter(|_| picture) {
                Some(Json::String(text)) => {
                    let bytes = base64::engine::general_purpose::STANDARD
                        .decode(text)
                        .map_err(|e| format!("is no base64: {e}"))?;
                    let found = examine(&bytes, store)?;
                    let name = format!("{}.picture", found.digest);
                    pictures.insert(name.clone(), facts(&found));
                    *value = Json::String(name);
                    Ok(())
                }
                // Without bytes the name says where it lies.
                Some(Json::Null) => {
                    *value = fields["path"].take();
                    Ok(())
                }
                _ => fields.values_mut().try_for_each(|field| take(field, store, pictures)),
            }
        }
        _ => Ok(()),
    }
}
