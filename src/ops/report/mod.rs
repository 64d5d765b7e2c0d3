//! Operators of module `report`.

pub mod card;
pub mod chart;
pub mod page;
mod payload;
mod pictures;
mod samples;

use minijinja::{Environment, Value};

/// The looks of every page that we write.
pub const STYLE: &str = include_str!("page.css");

/// Fills the template of a page. It begins with `{% include "head.html" %}`, which asks for `title` and `style`.
///
/// # Errors
/// What is wrong with the template or its values.
pub fn fill(template: &'static str, values: Value) -> Result<String, minijinja::Error> {
    let mut env = Environment::new();
    env.add_template("head.html", include_str!("head.html"))?;
    env.add_template("page.html", template)?;
    env.get_template("page.html")?.render(values)
}
