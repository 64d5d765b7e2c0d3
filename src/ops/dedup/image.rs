//! `dedup.image`: rows whose pictures look the same.

use std::collections::{BTreeMap, BTreeSet};

use super::{Compared, Scope, signature};
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::dedup::clusters::Links;
use crate::data::dedup::phash::{self, Hash};
use crate::data::dedup::{simhash, within};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Looks, OpSpec};

/// The operator.
pub static IMAGE: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Drops rows whose pictures look like those of another row: as many pictures, and each pair within the distance. Rows without pictures stay.
op dedup.image(
  d: Dataset[{ ..r }],
  ## A picture or a list of pictures.
  images: Col = .images,
  ## Bits by which two hashes may differ.
  distance: Int in 0..64 = 4,
  ## The 64-bit hash: of low frequencies, or of horizontal differences.
  hash: enum { phash, dhash } = "phash","#
        ),
        takes_where: true,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    images: String,
    distance: u32,
    hash: Hash,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let scope = Scope::new(cx)?;
    let (lists, links) = pooled(cx.threads, || -> Result<_, OpError> {
        let mut lists: Vec<Vec<u64>> = Vec::with_capacity(scope.rows.len());
        for chunk in cx.chunks("d")?.only(|name, _| name == args.images) {
            cx.go_on()?;
            let chunk = chunk?;
            let cells = chunk.cells(&args.images)?;
            let mut digests = BTreeSet::new();
            cells.iter().for_each(|cell| within::collect(cell, &mut digests));
            let known = phash::hashes(&digests, args.hash, cx.store)?;
            let scoped = cells.iter().zip(&scope.rows[chunk.before..]);
            lists.extend(scoped.map(|(cell, scoped)| if *scoped { hashes_of(cell, &known) } else { Vec::new() }));
        }
        let links = links(&lists, &scope.group, args.distance);
        Ok((lists, links))
    })??;
    scope.finish(cx, &links, Compared::Pictures, |a, b| {
        format!("same picture ({} of 64 bits differ) as", apart(&lists[a], &lists[b]))
    })
}

fn hashes_of(cell: &Cell<'_>, known: &BTreeMap<String, u64>) -> Vec<u64> {
    match cell {
        Cell::List(items) => items.iter().flat_map(|item| hashes_of(item, known)).collect(),
        other => other.field("digest").and_then(Cell::as_str).and_then(|d| known.get(d)).copied().into_iter().collect(),
    }
}

/// Returns the largest distance between pictures at the same place.
fn apart(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(x, y)| (x ^ y).count_ones()).max().unwrap_or(0)
}

/// Links rows by the first picture, then checks the others.
fn links(lists: &[Vec<u64>], group: &[u32], distance: u32) -> Links {
    let keys: Vec<Option<(u32, &[u64])>> =
        lists.iter().zip(group).map(|(l, g)| (!l.is_empty()).then_some((*g, l.as_slice()))).collect();
    let mut links = Links::by_key(&keys);
    // Rows with the same pictures are one class already; lists of different lengths never meet.
    let mut shapes: BTreeMap<(u32, usize), u32> = BTreeMap::new();
    let mut shape = |g: u32, len: usize| {
        let next = shapes.len() as u32;
        *shapes.entry((g, len)).or_insert(next)
    };
    let shapes: Vec<u32> = lists.iter().zip(group).map(|(l, g)| shape(*g, l.len())).collect();
    let firsts: Vec<Option<u64>> = lists
        .iter()
        .enumerate()
        .map(|(row, list)| list.first().copied().filter(|_| links.represents(row as u32)))
        .collect();
    let near = simhash::links(&firsts, &shapes, distance);
    // Rows whose first pictures are equal are one class there, though their other pictures may differ: look at all pairs of classes.
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for row in (0..lists.len() as u32).filter(|&r| firsts[r as usize].is_some()) {
        members.entry(near.class[row as usize]).or_default().push(row);
    }
    let mut check = |a: u32, b: u32| {
        if apart(&lists[a as usize], &lists[b as usize]) <= distance {
            links.edges.push((a.min(b), a.max(b)));
        }
    };
    for rows in members.values() {
        for (i, &a) in rows.iter().enumerate() {
            rows[i + 1..].iter().for_each(|&b| check(a, b));
        }
    }
    for (a, b) in &near.edges {
        for &x in &members[a] {
            members[b].iter().for_each(|&y| check(x, y));
        }
    }
    links.edges.sort_unstable();
    links.edges.dedup();
    links
}
