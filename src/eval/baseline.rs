//! What a benchmark gives to someone who never looks: guessing, and the best constant answer.

use std::collections::{BTreeMap, BTreeSet};

use super::benchmark::Benchmark;
use super::coords::Coords;
use super::item::{Item, ItemKind};
use super::marker::{Masks, key_point};
use super::read_points::{Frame, Points, Shape};
use super::read_text::plain;
use super::reader::Parsed;
use super::scored::units;
use crate::base::OpError;
use crate::data::blobs::Blobs;

/// Places tried per side for the best constant point.
const GRID: u32 = 20;

/// Texts tried as the best constant answer: the most common keys. A rarer one could win only by parts of words.
const TEXTS: usize = 256;

/// Returns `(chance, majority)` under the headline total.
///
/// Chance is the expected score of guessing among the options, and of yes or no. Majority gives every item of a kind the same
/// answer, the one that scores best on these items' own keys: a letter or an option text, yes or no, a number, a text, a place.
pub fn baselines(bench: &Benchmark, blobs: &dyn Blobs) -> Result<(f64, f64), OpError> {
    let total = bench.declare.headline()?;
    let chance = total.estimate(&units(bench.items.iter().map(|i| (i, 0, i.chance))))?.value;
    let masks = Masks::new(blobs);
    let mut scores = vec![0.0; bench.items.len()];
    let kinds: BTreeSet<ItemKind> = bench.items.iter().map(|i| i.kind).collect();
    for kind in kinds {
        let marker = bench.declare.rule(kind)?.marker;
        let members: Vec<usize> = (0..bench.items.len()).filter(|&i| bench.items[i].kind == kind).collect();
        let mut best: Option<(f64, Vec<f64>)> = None;
        for constant in constants(kind, members.iter().map(|&i| &bench.items[i])) {
            let mut marks = Vec::with_capacity(members.len());
            for &i in &members {
                let item = &bench.items[i];
                marks.push(match constant.for_item(item) {
                    Some(value) => marker.mark(&value, item, &Coords::default(), &masks)?,
                    None => 0.0,
                });
            }
            let sum: f64 = marks.iter().sum();
            if best.as_ref().is_none_or(|(most, _)| sum > *most) {
                best = Some((sum, marks));
            }
        }
        if let Some((_, marks)) = best {
            members.iter().zip(marks).for_each(|(&i, mark)| scores[i] = mark);
        }
    }
    let majority = total.estimate(&units(bench.items.iter().zip(&scores).map(|(i, s)| (i, 0, *s))))?.value;
    Ok((chance, majority))
}

enum Constant {
    Value(Parsed),
    Option(String),
}

impl Constant {
    fn for_item(&self, item: &Item) -> Option<Parsed> {
        match self {
            Constant::Value(value) => Some(value.clone()),
            Constant::Option(text) => {
                let at = item.options.iter().position(|o| plain(o, false, false) == *text)?;
                Some(Parsed::Letter(char::from(b'A' + at as u8)))
            }
        }
    }
}

/// The medians of both coordinates.
fn median_point(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let middle = |of: &dyn Fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = points.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some((middle(&|p| p.0)?, middle(&|p| p.1)?))
}

fn constants<'a>(kind: ItemKind, items: impl Iterator<Item = &'a Item>) -> Vec<Constant> {
    let keys =
        |items: &mut dyn Iterator<Item = &'a Item>| -> BTreeSet<String> { items.map(|i| i.key.clone()).collect() };
    let mut items = items;
    match kind {
        ItemKind::Choice => {
            let items: Vec<&Item> = items.collect();
            let most = items.iter().map(|i| i.options.len()).max().unwrap_or(0);
            let letters = (0..most).map(|i| Constant::Value(Parsed::Letter(char::from(b'A' + i as u8))));
            let texts: BTreeSet<String> =
                items.iter().flat_map(|i| i.options.iter().map(|o| plain(o, false, false))).collect();
            letters.chain(texts.into_iter().map(Constant::Option)).collect()
        }
        ItemKind::YesNo => vec![Constant::Value(Parsed::YesNo(true)), Constant::Value(Parsed::YesNo(false))],
        ItemKind::Number => {
            let numbers = keys(&mut items).into_iter().filter_map(|k| k.trim().parse().ok());
            numbers.map(|n| Constant::Value(Parsed::Number(n))).collect()
        }
        ItemKind::Choices => keys(&mut items).into_iter().map(|k| Constant::Value(Parsed::Letters(k))).collect(),
        ItemKind::Pair => Vec::new(),
        ItemKind::Text | ItemKind::Judge => {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            items.for_each(|item| *counts.entry(&item.key).or_default() += 1);
            let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
            counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n)); // stable: equal ones by their text
            counts.iter().take(TEXTS).map(|(k, _)| Constant::Value(Parsed::Text((*k).to_owned()))).collect()
        }
        ItemKind::Point => {
            let place = |i: u32| (f64::from(i) + 0.5) / f64::from(GRID);
            let cells = (0..GRID).flat_map(|y| (0..GRID).map(move |x| (place(x), place(y))));
            let median = median_point(&items.filter_map(|i| key_point(&i.key)).collect::<Vec<_>>());
            let point = |(x, y)| Points {
                shapes: vec![Shape::Point(x, y)],
                frame: Frame::Model,
                json: false,
                boxes: Vec::new(),
            };
            cells.chain(median).map(|c| Constant::Value(Parsed::Points(point(c)))).collect()
        }
    }
}
