//! Points inside polygons, by three rules.

use serde::Deserialize;

/// How a point is found inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolygonRule {
    /// Ray casting: an edge counts when `ymin < y <= ymax` and `x` is not right of its crossing.
    EvenOdd,
    /// The same with the published fault: every vertical edge that spans `y` counts, wherever it lies.
    EvenOddV1,
    /// Ray casting over the convex hull, for vertices that are not in boundary order.
    Hull,
}

/// Says whether a point is inside, in the units of the vertices.
pub fn inside(point: (f64, f64), vertices: &[(f64, f64)], rule: PolygonRule) -> bool {
    match rule {
        PolygonRule::Hull => cast(point, &hull(vertices), false),
        PolygonRule::EvenOdd => cast(point, vertices, false),
        PolygonRule::EvenOddV1 => cast(point, vertices, true),
    }
}

/// Reads vertices as benchmarks write them: `[(0.1, 0.2), (0.3, 0.4), …]`, also with square brackets.
pub fn parse(text: &str) -> Option<Vec<(f64, f64)>> {
    let mut numbers = Vec::new();
    for part in text.split(['(', ')', '[', ']', ',', ' ', '\n', '\t']).filter(|p| !p.is_empty()) {
        numbers.push(part.parse::<f64>().ok().filter(|n| n.is_finite())?);
    }
    (numbers.len() >= 6 && numbers.len() % 2 == 0).then(|| numbers.chunks(2).map(|p| (p[0], p[1])).collect())
}

fn cast((x, y): (f64, f64), vertices: &[(f64, f64)], v1: bool) -> bool {
    let mut inside = false;
    for (k, &(x1, y1)) in vertices.iter().enumerate() {
        let (x2, y2) = vertices[(k + 1) % vertices.len()];
        if !(y > y1.min(y2) && y <= y1.max(y2)) {
            continue;
        }
        let crossing = (y - y1) * (x2 - x1) / (y2 - y1) + x1;
        if (v1 && x1 == x2) || x <= crossing {
            inside = !inside;
        }
    }
    inside
}

/// Andrew's monotone chain.
fn hull(vertices: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut points = vertices.to_vec();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let cross = |o: (f64, f64), a: (f64, f64), b: (f64, f64)| (a.0 - o.0) * (b.1 - o.1) - (a.1 - o.1) * (b.0 - o.0);
    let chain = |points: &mut dyn Iterator<Item = (f64, f64)>| {
        let mut out: Vec<(f64, f64)> = Vec::new();
        for p in points {
            while out.len() >= 2 && cross(out[out.len() - 2], out[out.len() - 1], p) <= 0.0 {
                out.pop();
            }
            out.push(p);
        }
        out.pop();
        out
    };
    let mut lower = chain(&mut points.iter().copied());
    lower.extend(chain(&mut points.iter().rev().copied()));
    lower
}
