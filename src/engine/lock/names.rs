//! What inputs are called in a lock: as the recipe could name them, so that two machines write the same.

use std::io;
use std::path::{Component, Path};

use crate::plan::PathArg;

/// Names an argument as the recipe could: a repository, or a path that starts from the recipe's folder.
pub(super) fn name_of(arg: &PathArg, below: &dyn Fn(&Path) -> io::Result<String>) -> io::Result<String> {
    let Some(repository) = &arg.repository else { return below(&arg.path) };
    Ok(match repository.revision.as_deref() {
        None | Some("main") => repository.name.clone(),
        Some(revision) => format!("{}@{revision}", repository.name),
    })
}

/// Names a file by the way that leads to it from the recipe's folder.
///
/// # Errors
/// The folder of this process is not there.
pub fn below(path: &Path, home: &Path) -> io::Result<String> {
    let home = parts(&std::path::absolute(if home.as_os_str().is_empty() { Path::new(".") } else { home })?);
    let place = parts(&std::path::absolute(path)?);
    let shared = home.iter().zip(&place).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return Ok(path.display().to_string());
    }
    let mut out: Vec<&str> = vec![".."; home.len() - shared];
    out.extend(place[shared..].iter().map(String::as_str));
    Ok(if out.is_empty() { ".".to_owned() } else { out.join("/") })
}

fn parts(path: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    out
}
