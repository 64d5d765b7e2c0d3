//! Operators of module `augment`, and what they share: one draw for each row, all its pictures changed alike, coordinates moved along.

pub mod color;
pub mod geometry;
pub mod pad;

use std::borrow::Cow;

use rayon::prelude::*;

use crate::base::{Digest, OpError};
use crate::data::arrow_type;
use crate::data::cell::{self, Cell};
use crate::data::draw::{Draw, Keyer};
use crate::data::pictures::geometry::{Move, warp_mask};
use crate::data::pictures::picture::Picture;
use crate::data::scenes::points;
use crate::data::table::Table;
use crate::engine::node::context::Fate;
use crate::engine::{Context, Store};
use crate::ops::rows::{count, pooled};

/// The columns that hold places in a picture, and the mask of it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
struct Places {
    #[serde(default)]
    points: Option<String>,
    #[serde(default)]
    boxes: Option<String>,
    #[serde(default)]
    mask: Option<String>,
}

/// What becomes of a row.
enum Change<'a> {
    /// It stays as it is.
    None,
    /// It goes, for this reason.
    Drop(String),
    /// New pictures in place of the old ones, other changed cells by column, and how it was done.
    Done { pictures: Vec<Picture>, cells: Vec<(String, Cell<'a>)>, how: String },
}

/// What an augmentation does to its dataset.
struct Plan<'a> {
    images: &'a str,
    /// Probability that a row is changed.
    share: f64,
    /// Columns, besides the pictures and the row's id, that the operator reads.
    reads: Vec<&'a str>,
    /// Columns that the operator may rewrite.
    writes: Vec<&'a str>,
}

/// Applies `change` to the rows of a chunk that the draw picks, and adds `.parent` and `.transform`. `keyer` has seen the chunks before.
fn apply<'t>(
    cx: &mut Context,
    keyer: &mut Keyer,
    table: &'t Table,
    plan: &Plan<'_>,
    change: impl Fn(usize, &[Picture], &mut Draw) -> Result<Change<'t>, OpError> + Sync,
) -> Result<(Table, Vec<Option<String>>), OpError> {
    let images = table.cells(plan.images)?;
    let mut key = vec![plan.images];
    key.extend(&plan.reads);
    if table.batch.column_by_name("id").is_some() {
        key.push("id");
    }
    key.sort_unstable();
    key.dedup();
    let keys = keyer.keys(table, &key)?;
    let (stream, cancelled): (Digest, _) = (cx.stream, cx.cancelled);
    let changes: Vec<Change<'t>> = pooled(cx.threads, || {
        (0..table.rows())
            .into_par_iter()
            .map(|row| {
                if cancelled.load(std::sync::atomic::Ordering::Relaxed) {
                    return Err(OpError::stopped());
                }
                let mut draw = Draw::new(stream, keys[row]);
                let pictures = Picture::all(&images[row]);
                if !draw.chance(plan.share) || pictures.is_empty() {
                    return Ok(Change::None);
                }
                change(row, &pictures, &mut draw).map_err(|mut e| {
                    e.message = format!("{}: {}", table.place(row), e.message);
                    e
                })
            })
            .collect::<Result<_, OpError>>()
    })??;
    assemble(cx, table, plan, images, changes)
}

fn assemble<'t>(
    cx: &mut Context,
    table: &'t Table,
    plan: &Plan<'_>,
    mut images: Vec<Cell<'t>>,
    changes: Vec<Change<'t>>,
) -> Result<(Table, Vec<Option<String>>), OpError> {
    let mut written = plan.writes.iter().map(|c| Ok((*c, table.cells(c)?))).collect::<Result<Vec<_>, OpError>>()?;
    let had = |name: &str| table.batch.column_by_name(name).map(|_| table.cells(name)).transpose();
    let mut parents = had("parent")?.unwrap_or_else(|| (0..table.rows()).map(|r| text(table.name(r))).collect());
    let mut transforms = had("transform")?.unwrap_or_else(|| vec![text(String::new()); table.rows()]);
    let mut keep = vec![true; table.rows()];
    let mut hows = Vec::with_capacity(table.rows());
    let mut changed = 0;
    for (row, change) in changes.into_iter().enumerate() {
        let (pictures, cells, how) = match change {
            Change::None => {
                hows.push(None);
                continue;
            }
            Change::Drop(why) => {
                keep[row] = false;
                cx.fates.push(Fate { row: table.name(row), what: "dropped".into(), why });
                continue;
            }
            Change::Done { pictures, cells, how } => (pictures, cells, how),
        };
        changed += 1;
        cx.fates.push(Fate { row: table.name(row), what: "changed".into(), why: how.clone() });
        images[row] = match &images[row] {
            Cell::List(_) => Cell::List(pictures.iter().map(Picture::cell).collect()),
            _ => pictures.first().map_or(Cell::None, Picture::cell),
        };
        for (name, cell) in cells {
            if let Some((_, column)) = written.iter_mut().find(|(n, _)| *n == name) {
                column[row] = cell;
            }
        }
        if parents[row] == Cell::None {
            parents[row] = text(table.name(row));
        }
        let before = transforms[row].text().into_owned();
        transforms[row] = text(if before.is_empty() { how.clone() } else { format!("{before}; {how}") });
        hows.push(Some(how));
    }
    let mut out = replaced(table.clone(), plan.images, &images)?;
    for (name, cells) in &written {
        out = replaced(out, name, cells)?;
    }
    let str_type = arrow::datatypes::DataType::Utf8;
    for (name, cells) in [("parent", &parents), ("transform", &transforms)] {
        out = out.with_column(name, cell::column(cells, &str_type).map_err(|m| misfit(table, name, &m))?)?;
    }
    let out = out.filter(&keep)?;
    count(cx, table.rows(), out.rows());
    *cx.counts.entry("changed".into()).or_default() += changed;
    Ok((out, hows))
}

fn text(s: String) -> Cell<'static> {
    Cell::Str(Cow::Owned(s))
}

fn replaced(table: Table, name: &str, cells: &[Cell<'_>]) -> Result<Table, OpError> {
    let ty = table.column(name)?.data_type().clone();
    let array = cell::column(cells, &ty).map_err(|m| misfit(&table, name, &m))?;
    table.with_column(name, array)
}

fn misfit(table: &Table, name: &str, m: &cell::Misfit) -> OpError {
    OpError::new("E0612", format!("column `.{name}`, {}: {}", table.place(m.row), m.message))
}

impl Places {
    /// Returns the columns whose cells move along: the named ones; without a `points` column every column of text, because `[(x, y)]` that stayed
    /// behind would be wrong in any case.
    fn columns<'a>(&'a self, table: &'a Table) -> Result<Vec<String>, OpError> {
        let mut columns: Vec<String> = match &self.points {
            Some(name) => vec![name.clone()],
            None => {
                let own = ["id", "source", "parent", "transform", "pad"];
                let is_text = |ty: &arrow::datatypes::DataType| arrow_type::text(ty) == "Str";
                let texts =
                    table.columns().into_iter().filter(|(n, a)| is_text(a.data_type()) && !own.contains(&n.as_str()));
                texts.map(|(n, _)| n).collect()
            }
        };
        columns.extend(self.boxes.clone());
        columns.extend(self.mask.clone());
        for name in &columns {
            table.column(name)?;
        }
        Ok(columns)
    }

    /// Returns the columns that a recipe names.
    fn named(&self) -> Vec<&str> {
        [&self.points, &self.boxes, &self.mask].into_iter().flatten().map(String::as_str).collect()
    }

    /// Moves all places of a row.
    ///
    /// # Errors
    /// The inner `Err` says which place cannot move along.
    fn moved<'t>(
        &self,
        store: &Store,
        table: &'t Table,
        row: usize,
        columns: &[String],
        by: &Move,
    ) -> Result<Result<Vec<(String, Cell<'t>)>, String>, OpError> {
        let mut out = Vec::new();
        for name in columns {
            let cell = table.cell(name, row)?;
            if Some(name) == self.mask.as_ref() {
                let masks = Picture::all(&cell);
                let mut moved = Vec::with_capacity(masks.len());
                for mask in &masks {
                    let pixels = mask.grey(store)?;
                    moved.push(mask.derived_mask(store, &warp_mask(&pixels, &by.resized(pixels.dimensions())))?.cell());
                }
                let cell = match cell {
                    Cell::List(_) => Cell::List(moved),
                    _ => moved.pop().unwrap_or(Cell::None),
                };
                out.push((name.clone(), cell));
                continue;
            }
            match moved_cell(cell, by) {
                Ok(Some(cell)) => out.push((name.clone(), cell)),
                Ok(None) => {}
                Err(why) => return Ok(Err(format!("`.{name}`: {why}"))),
            }
        }
        Ok(Ok(out))
    }
}

/// Moves the points and boxes inside a cell; `None` when there are none. Four numbers are a box in pixels, two a point in unit coordinates.
fn moved_cell<'a>(cell: Cell<'a>, by: &Move) -> Result<Option<Cell<'a>>, String> {
    match cell {
        Cell::Str(s) => {
            let moved = points::rewrite(&s, |x, y| by.unit_point(x, y)).map_err(|e| e.to_string())?;
            Ok((moved != *s).then(|| text(moved)))
        }
        Cell::List(items) => {
            let numbers: Option<Vec<f64>> = items.iter().map(Cell::as_f64).collect();
            match numbers.as_deref() {
                Some(&[x, y]) => {
                    let (x, y) = by.unit_point(x, y).ok_or_else(|| points::Stuck::Outside(x, y).to_string())?;
                    Ok(Some(Cell::List(vec![Cell::Float(x), Cell::Float(y)])))
                }
                Some(&[x, y, w, h]) => {
                    let rect =
                        by.rect([x, y, w, h]).ok_or_else(|| format!("box [{x}, {y}, {w}, {h}] leaves the picture"))?;
                    Ok(Some(Cell::List(rect.map(Cell::Float).to_vec())))
                }
                _ => {
                    let moved = items.into_iter().map(|item| Ok(moved_cell(item.clone(), by)?.unwrap_or(item)));
                    Ok(Some(Cell::List(moved.collect::<Result<_, String>>()?)))
                }
            }
        }
        Cell::Record(fields) if !fields.iter().any(|(k, _)| k == "digest") => {
            let moved = fields.into_iter().map(|(k, v)| {
                let place = matches!(v, Cell::List(_));
                let cell = if place { moved_cell(v.clone(), by)?.unwrap_or(v) } else { v };
                Ok((k, cell))
            });
            Ok(Some(Cell::Record(moved.collect::<Result<_, String>>()?)))
        }
        _ => Ok(None),
    }
}

/// Rounds a draw to four decimals, so that `.transform` repeats it exactly.
fn rounded(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

/// A range whose ends must both be given.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
struct Ends {
    from: Option<f64>,
    to: Option<f64>,
}

impl Ends {
    /// Returns both ends.
    ///
    /// # Errors
    /// `E0214` when one is open, they are the wrong way round, or the lower one is under `least`.
    fn within(self, name: &str, least: f64) -> Result<(f64, f64), OpError> {
        match (self.from, self.to) {
            (Some(a), Some(b)) if a <= b && a >= least && b.is_finite() => Ok((a, b)),
            (a, b) => Err(OpError::new(
                "E0214",
                format!("`{name}` is {a:?}..{b:?}, expected both ends, the lower first and at least {least}"),
            )),
        }
    }
}
