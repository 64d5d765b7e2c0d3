//! `rbpipe new DIR`: a folder with a recipe and some rows that run as they are.

use std::fs;
use std::io;
use std::path::Path;

use super::Exit;
use super::args::NewArgs;

const FILES: [(&str, &str); 3] = [
    ("recipe.rb2", include_str!("new/recipe.rb2")),
    ("rows.jsonl", include_str!("new/rows.jsonl")),
    (".gitignore", "out/\n"),
];

/// Runs the command.
pub(super) fn run(args: &NewArgs) -> Exit {
    let folder = &args.dir;
    let shown = folder.display();
    if let Ok(mut there) = fs::read_dir(folder)
        && there.next().is_some()
    {
        eprintln!("`{shown}` is there and not empty; choose another folder");
        return Exit::Usage;
    }
    if let Err(error) = fill(folder, &name_of(folder)) {
        eprintln!("cannot write into `{shown}`: {error}");
        return Exit::Usage;
    }
    println!("{shown}: a recipe and eight rows for it. Next:\n");
    println!("  cd {shown}");
    println!("  rbpipe check recipe.rb2    # is it sound?");
    println!("  rbpipe plan recipe.rb2     # what would run, and why?");
    println!("  rbpipe run recipe.rb2      # do it");
    Exit::Done
}

fn fill(folder: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (file, text) in FILES {
        fs::write(folder.join(file), text.replace("NAME", name))?;
    }
    Ok(())
}

/// Returns the folder's own name, in the letters that the name of a recipe may have.
fn name_of(folder: &Path) -> String {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let last = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fits = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = last.chars().map(fits).collect();
    if name.is_empty() { "recipe".to_owned() } else { name }
}
