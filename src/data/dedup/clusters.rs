//! From pairs of duplicates to the row that each row is represented by.

use std::collections::BTreeMap;

use rayon::prelude::*;

/// Which rows are duplicates of which: rows of one class are the same, edges join representatives of classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// For each row the first row of its class.
    pub class: Vec<u32>,
    /// Pairs of class representatives, the smaller first, sorted, each once.
    pub edges: Vec<(u32, u32)>,
}

impl Links {
    /// Puts rows with equal keys into one class; `None` is equal to nothing.
    pub fn by_key<K: Ord + Sync>(keys: &[Option<K>]) -> Self {
        let mut order: Vec<(&K, u32)> = (0..).zip(keys).filter_map(|(row, key)| Some((key.as_ref()?, row))).collect();
        order.par_sort_unstable();
        let mut class: Vec<u32> = (0..keys.len() as u32).collect();
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            same.iter().for_each(|(_, row)| class[*row as usize] = same[0].1);
        }
        Self { class, edges: Vec::new() }
    }

    /// Says whether a row represents its class.
    pub fn represents(&self, row: u32) -> bool {
        self.class[row as usize] == row
    }
}

/// How clusters form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A~B~C is one cluster though A is unlike C.
    Components,
    /// In keep order, a row goes only if it is near a row already kept; no chains.
    Star,
}

/// Returns for each row the row that stays for it: itself if it stays.
///
/// `rank` is the keep order: a permutation's inverse, 0 for the row that is kept before all others.
pub fn resolve(links: &Links, rule: Rule, rank: &[u32]) -> Vec<u32> {
    let rows = links.class.len();
    // The best row of each class stands for the class.
    let mut best: Vec<u32> = (0..rows as u32).collect();
    for row in 0..rows as u32 {
        let class = links.class[row as usize] as usize;
        if rank[row as usize] < rank[best[class] as usize] {
            best[class] = row;
        }
    }
    let keeper_of_class = match rule {
        Rule::Components => {
            let mut sets = Sets::new(rows);
            links.edges.iter().for_each(|&(a, b)| sets.union(a, b));
            let mut keeper = best.clone();
            for class in (0..rows as u32).filter(|&r| links.represents(r)) {
                let root = sets.find(class) as usize;
                if rank[best[class as usize] as usize] < rank[keeper[root] as usize] {
                    keeper[root] = best[class as usize];
                }
            }
            (0..rows as u32).map(|class| keeper[sets.find(class) as usize]).collect::<Vec<_>>()
        }
        Rule::Star => star(links, &best, rank),
    };
    links.class.iter().map(|&class| keeper_of_class[class as usize]).collect()
}

fn star(links: &Links, best: &[u32], rank: &[u32]) -> Vec<u32> {
    let mut near: Vec<Vec<u32>> = vec![Vec::new(); best.len()];
    for &(a, b) in &links.edges {
        near[a as usize].push(b);
        near[b as usize].push(a);
    }
    let mut classes: Vec<u32> = (0..best.len() as u32).filter(|&r| links.represents(r)).collect();
    classes.sort_unstable_by_key(|&c| rank[best[c as usize] as usize]);
    let mut keeper = best.to_vec();
    let mut kept = vec![false; best.len()];
    for class in classes {
        let twins = near[class as usize].iter().filter(|&&n| kept[n as usize]).map(|&n| best[n as usize]);
        match twins.min_by_key(|&r| rank[r as usize]) {
            Some(twin) => keeper[class as usize] = twin,
            None => kept[class as usize] = true,
        }
    }
    keeper
}

/// Disjoint sets of rows; the smallest row is the root.
pub struct Sets {
    parent: Vec<u32>,
}

impl Sets {
    /// Makes `rows` sets of one.
    pub fn new(rows: usize) -> Self {
        Self { parent: (0..rows as u32).collect() }
    }

    /// Returns the root of a row's set, shortening the way to it.
    pub fn find(&mut self, mut row: u32) -> u32 {
        while self.parent[row as usize] != row {
            self.parent[row as usize] = self.parent[self.parent[row as usize] as usize];
            row = self.parent[row as usize];
        }
        row
    }

    /// Returns the root of a row's set.
    pub fn root(&self, mut row: u32) -> u32 {
        while self.parent[row as usize] != row {
            row = self.parent[row as usize];
        }
        row
    }

    /// Joins two sets.
    pub fn union(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b) as usize] = a.min(b);
    }
}

/// Returns the rows of each group, in order of the first row; groups of one are left out.
pub fn groups(of: &[u32], rows: impl Iterator<Item = u32>) -> Vec<Vec<u32>> {
    let mut by_group: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for row in rows {
        by_group.entry(of[row as usize]).or_default().push(row);
    }
    by_group.into_values().filter(|g| g.len() > 1).collect()
}
