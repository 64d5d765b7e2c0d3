//! Which rows of a step, and which rows that are evaluated, are this rank's.

use crate::dist::Group;

/// This rank among those of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// From 0.
    pub rank: usize,
    /// Ranks in all.
    pub world: usize,
}

impl Share {
    /// Everything is this rank's.
    pub const WHOLE: Self = Self { rank: 0, world: 1 };

    /// Returns this rank among those of a group.
    pub fn of(group: &Group) -> Self {
        Self { rank: group.rank(), world: group.world() }
    }

    /// Deals things with their costs to the ranks so that all have about as much to do, and returns which are this rank's, in order. Every
    /// rank gets the same answer; a thing is dealt to one rank.
    pub fn deal(self, costs: &[usize]) -> Vec<usize> {
        if self.world == 1 {
            return (0..costs.len()).collect();
        }
        let mut order: Vec<usize> = (0..costs.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(costs[i]), i));
        let mut loads = vec![0; self.world];
        let mut own = Vec::new();
        for i in order {
            let least = (0..self.world).min_by_key(|&rank| loads[rank]).unwrap_or(0);
            loads[least] += costs[i].max(1);
            if least == self.rank {
                own.push(i);
            }
        }
        own.sort_unstable();
        own
    }

    /// Deals so many things in turn and returns this rank's.
    pub fn turns(self, count: usize) -> impl Iterator<Item = usize> {
        (self.rank..count).step_by(self.world)
    }
}
