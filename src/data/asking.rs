//! What each kind of question asks about an annotated scene, and what is right.

use super::draw::Draw;
use super::grounding::{centre, centre_cell, point_text};
use super::inquiry::{Ask, Inquiry, shuffle};
use super::scene::{Object, Scene};

/// How a point is asked for.
const ONE_POINT: &str = "Answer with one point as [(x, y)], both between 0 and 1.";

/// Asks about one scene.
pub struct Asker<'a> {
    scene: &'a Scene,
    /// Cells along each side of the grid.
    grid: usize,
    /// Every noun of the data set, in order.
    labels: &'a [String],
    draw: &'a mut Draw,
    /// Objects whose full name no other has, hazard marks left out.
    things: Vec<usize>,
}

impl<'a> Asker<'a> {
    /// Asks about `scene`; `labels` are the nouns of all scenes.
    pub fn new(scene: &'a Scene, grid: usize, labels: &'a [String], draw: &'a mut Draw) -> Self {
        let names: Vec<String> = scene.objects.iter().map(Object::name).collect();
        let alone = |i: &usize| names.iter().filter(|n| **n == names[*i]).count() == 1;
        let things = (0..names.len()).filter(|i| alone(i) && !scene.objects[*i].is_mark()).collect();
        Self { scene, grid, labels, draw, things }
    }

    /// Returns all questions of a kind.
    pub fn all(&mut self, ask: Ask) -> Vec<Inquiry> {
        match ask {
            Ask::Cell => self.cell(),
            Ask::Point => self.point(),
            Ask::What => self.what(),
            Ask::Side => self.either(ask, &SIDES, &SIDE_WORDINGS),
            Ask::Depth => self.either(ask, &DEPTHS, &DEPTH_WORDINGS),
            Ask::Whether => self.whether(),
            Ask::Touch => self.touch(),
            Ask::Closer => self.closer(),
            Ask::Nearest => self.nearest(),
            Ask::Edge => self.edge(),
            Ask::Stacked => self.stacked(),
            Ask::Color => self.color(),
            Ask::Count => self.count(),
            Ask::Total => self.total(),
            Ask::Mark => self.mark(),
            Ask::Free => self.free(),
            Ask::Between => self.between(),
        }
    }

    /// Words a question: one of the wordings, with `{a}` and `{b}` filled in.
    fn say(&mut self, wordings: &[&str], a: &str, b: &str) -> String {
        let wording = wordings[self.draw.below(wordings.len())];
        wording.replace("{a}", a).replace("{b}", b)
    }

    /// Says what an object is called: by its noun alone in half of the cases where that is clear.
    fn call(&mut self, i: usize) -> String {
        let object = &self.scene.objects[i];
        let clear = self.scene.objects.iter().filter(|o| o.label == object.label).count() == 1;
        if clear && self.draw.chance(0.5) { object.label.clone() } else { object.name() }
    }

    fn name(&self, i: usize) -> String {
        self.scene.objects[i].name()
    }

    /// Returns the names of the things except some.
    fn names_but(&self, but: &[usize]) -> Vec<String> {
        self.things.iter().filter(|i| !but.contains(i)).map(|&i| self.name(i)).collect()
    }

    fn cell(&mut self) -> Vec<Inquiry> {
        let things = self.things.clone();
        let wordings = ["Which cell holds the {a}?", "In which cell of the grid is the {a}?"];
        let ask = |&i: &usize| {
            let (name, cell) = (self.call(i), centre_cell(self.scene, &self.scene.objects[i], self.grid));
            Inquiry::new(Ask::Cell, self.say(&wordings, &name, ""), cell)
        };
        things.iter().map(ask).collect()
    }

    fn point(&mut self) -> Vec<Inquiry> {
        let things = self.things.clone();
        let wordings = ["Point to the {a}.", "Where is the {a}?", "Show where the {a} is."];
        let ask = |&i: &usize| {
            let name = self.call(i);
            let question = format!("{} {ONE_POINT}", self.say(&wordings, &name, ""));
            Inquiry::new(Ask::Point, question, point_text(self.scene, centre(&self.scene.objects[i])))
        };
        things.iter().map(ask).collect()
    }

    fn what(&mut self) -> Vec<Inquiry> {
        let things = self.things.clone();
        let wordings = ["Which object is at {a}?", "What stands at {a}?"];
        let ask = |&i: &usize| {
            let place = point_text(self.scene, centre(&self.scene.objects[i]));
            Inquiry::new(Ask::What, self.say(&wordings, &place, ""), self.name(i)).among(self.names_but(&[i]))
        };
        things.iter().map(ask).collect()
    }

    /// Asks which of two opposite relations holds between two things.
    fn either(&mut self, ask: Ask, words: &Opposites, wordings: &[&str]) -> Vec<Inquiry> {
        let related = self.related(words);
        let ask = |(a, b, first): (usize, usize, bool)| {
            let (right, wrong) = if first { (words[0].1, words[1].1) } else { (words[1].1, words[0].1) };
            let (a, b) = (self.call(a), self.call(b));
            Inquiry::new(ask, self.say(wordings, &a, &b), right.to_owned()).among(vec![wrong.to_owned()])
        };
        related.into_iter().map(ask).collect()
    }

    fn whether(&mut self) -> Vec<Inquiry> {
        let mut found = Vec::new();
        for (words, phrases) in [(&SIDES, ["to the left of", "to the right of"]), (&DEPTHS, ["in front of", "behind"])]
        {
            for (a, b, first) in self.related(words) {
                let said = self.draw.below(2);
                let wording = format!("Is the {{a}} {} the {{b}}?", phrases[said]);
                let other = format!("Does the {{a}} stand {} the {{b}}?", phrases[said]);
                let (a, b) = (self.call(a), self.call(b));
                let question = self.say(&[&wording, &other], &a, &b);
                found.push(self.yes_or_no(Ask::Whether, question, (said == 0) == first));
            }
        }
        found
    }

    /// Returns the pairs of things that one of two opposite relations joins, in a random direction, and whether it is the first one.
    fn related(&mut self, words: &Opposites) -> Vec<(usize, usize, bool)> {
        let mut found = Vec::new();
        for relation in &self.scene.relations {
            let Some(at) = words.iter().position(|(predicate, _)| *predicate == relation.predicate) else { continue };
            if self.things.contains(&relation.subject) && self.things.contains(&relation.object) {
                found.push(if self.draw.chance(0.5) {
                    (relation.subject, relation.object, at == 0)
                } else {
                    (relation.object, relation.subject, at == 1)
                });
            }
        }
        found
    }

    fn yes_or_no(&mut self, ask: Ask, question: String, yes: bool) -> Inquiry {
        let question = self.with_hint(question, "Answer yes or no.");
        let (right, wrong) = if yes { ("yes", "no") } else { ("no", "yes") };
        Inquiry::new(ask, question, right.to_owned()).among(vec![wrong.to_owned()])
    }

    fn number(&mut self, ask: Ask, question: String, n: usize) -> Inquiry {
        let question = self.with_hint(question, "Answer with a number only.");
        let others = [n + 1, n + 2, n.saturating_sub(1), n.saturating_sub(2)];
        Inquiry::new(ask, question, n.to_string()).among(others.iter().map(ToString::to_string).collect())
    }

    /// Says in a third of the cases what form the answer has.
    fn with_hint(&mut self, question: String, hint: &str) -> String {
        if self.draw.chance(1.0 / 3.0) { format!("{question} {hint}") } else { question }
    }

    /// Pairs that stand right beside each other, and as many that stand well apart; a hazard mark that is the only one counts as a thing.
    fn touch(&mut self) -> Vec<Inquiry> {
        let marks: Vec<usize> = (0..self.scene.objects.len()).filter(|&i| self.scene.objects[i].is_mark()).collect();
        let mut all = self.things.clone();
        all.extend(if marks.len() == 1 { &marks[..] } else { &[] });
        let (mut near, mut apart) = (Vec::new(), Vec::new());
        for (n, &a) in all.iter().enumerate() {
            for &b in &all[n + 1..] {
                if self.scene.beside(a, b) {
                    near.push((a, b, true));
                } else if gap(&self.scene.objects[a], &self.scene.objects[b]) > 0.12 * self.scene.image.width as f64 {
                    apart.push((a, b, false));
                }
            }
        }
        shuffle(&mut apart, self.draw);
        apart.truncate(near.len().max(1));
        near.append(&mut apart);
        let wordings = ["Is the {a} right next to the {b}?", "Do the {a} and the {b} stand right beside each other?"];
        let ask = |(a, b, yes): (usize, usize, bool)| {
            let mut called = [a, b].map(|i| if marks.contains(&i) { MARK.to_owned() } else { self.call(i) });
            if !marks.contains(&b) && self.draw.chance(0.5) {
                called.swap(0, 1);
            }
            let question = self.say(&wordings, &called[0], &called[1]);
            self.yes_or_no(Ask::Touch, question, yes)
        };
        near.into_iter().map(ask).collect()
    }

    /// Which of two to four things is closest to the camera or farthest from it, where the annotations order the winner before all others.
    fn closer(&mut self) -> Vec<Inquiry> {
        let front = |a: usize, b: usize| {
            let holds = |s: usize, p: &str, o: usize| {
                self.scene.relations.iter().any(|r| r.subject == s && r.object == o && r.predicate == p)
            };
            holds(a, "in front of", b) || holds(b, "behind", a)
        };
        let mut found = Vec::new();
        for &winner in &self.things {
            for near in [true, false] {
                let beaten = |&&i: &&usize| if near { front(winner, i) } else { front(i, winner) };
                found.push((winner, near, self.things.iter().filter(beaten).copied().collect::<Vec<usize>>()));
            }
        }
        let mut inquiries = Vec::new();
        for (winner, near, mut beaten) in found.into_iter().filter(|(_, _, beaten)| !beaten.is_empty()) {
            shuffle(&mut beaten, self.draw);
            beaten.truncate(1 + self.draw.below(3));
            let mut listed = [&[winner], &beaten[..]].concat();
            shuffle(&mut listed, self.draw);
            let names: Vec<String> = listed.iter().map(|&i| format!("the {}", self.name(i))).collect();
            let (last, first) = names.split_last().expect("a winner");
            let list = format!("{} or {last}", first.join(", "));
            let wordings = match (near, listed.len()) {
                (true, 2) => ["Which is closer to the camera, {a}?", "Which one stands nearer to the viewer, {a}?"],
                (true, _) => ["Which is closest to the camera, {a}?", "Which one stands nearest to the viewer, {a}?"],
                (false, 2) => {
                    ["Which is farther from the camera, {a}?", "Which one stands farther from the viewer, {a}?"]
                }
                (false, _) => {
                    ["Which is farthest from the camera, {a}?", "Which one stands farthest from the viewer, {a}?"]
                }
            };
            let question = self.say(&wordings, &list, "");
            let others = beaten.iter().map(|&i| self.name(i)).collect();
            inquiries.push(Inquiry::new(Ask::Closer, question, self.name(winner)).among(others));
        }
        inquiries
    }

    /// The neighbour whose centre is nearest in the picture, if the next one is a third farther away.
    fn nearest(&mut self) -> Vec<Inquiry> {
        let wordings = ["Which object stands nearest to the {a}?", "What is the nearest object to the {a}?"];
        let mut found = Vec::new();
        for a in self.things.clone() {
            let far = |b: usize| {
                let ((ax, ay), (bx, by)) = (centre(&self.scene.objects[a]), centre(&self.scene.objects[b]));
                (ax - bx).hypot(ay - by)
            };
            let mut others: Vec<(usize, f64)> =
                (0..self.scene.objects.len()).filter(|&b| b != a).map(|b| (b, far(b))).collect();
            others.sort_by(|x, y| x.1.total_cmp(&y.1));
            let Some(&(b, distance)) = others.first() else { continue };
            if self.things.contains(&b) && others.get(1).is_none_or(|(_, next)| *next > distance * 4.0 / 3.0) {
                let called = self.call(a);
                let question = self.say(&wordings, &called, "");
                found.push(Inquiry::new(Ask::Nearest, question, self.name(b)).among(self.names_but(&[a, b])));
            }
        }
        found
    }

    fn edge(&mut self) -> Vec<Inquiry> {
        let edges: [(&[&str], usize, f64); 4] = [
            (&["Which object is farthest to the left?", "What is the leftmost object?"], 0, 1.0),
            (&["Which object is farthest to the right?", "What is the rightmost object?"], 0, -1.0),
            (&["Which object is nearest to the upper edge of the picture?"], 1, 1.0),
            (&["Which object is nearest to the lower edge of the picture?"], 1, -1.0),
        ];
        let mut found = Vec::new();
        for (wordings, axis, sign) in edges {
            let along = |i: usize| {
                let (x, y) = centre(&self.scene.objects[i]);
                sign * if axis == 0 { x } else { y }
            };
            let mut order: Vec<usize> = (0..self.scene.objects.len()).collect();
            order.sort_by(|&a, &b| along(a).total_cmp(&along(b)));
            let clear = order.len() > 1 && along(order[1]) - along(order[0]) > 0.04 * self.scene.image.width as f64;
            if clear && self.things.contains(&order[0]) {
                let question = self.say(wordings, "", "");
                let others = self.names_but(&order[..1]);
                found.push(Inquiry::new(Ask::Edge, question, self.name(order[0])).among(others));
            }
        }
        found
    }

    fn stacked(&mut self) -> Vec<Inquiry> {
        let mut found = Vec::new();
        for relation in &self.scene.relations.clone() {
            let (mut upper, mut lower) = (relation.subject, relation.object);
            match relation.predicate.as_str() {
                "on top of" => {}
                "under" => std::mem::swap(&mut upper, &mut lower),
                _ => continue,
            }
            if self.things.contains(&upper) && self.things.contains(&lower) {
                let (over, under) = (self.call(lower), self.call(upper));
                let others = self.names_but(&[upper, lower]);
                let question = self.say(&["What is on top of the {a}?", "Which object stands on the {a}?"], &over, "");
                found.push(Inquiry::new(Ask::Stacked, question, self.name(upper)).among(others.clone()));
                let question = self.say(&["What is under the {a}?", "Which object does the {a} stand on?"], &under, "");
                found.push(Inquiry::new(Ask::Stacked, question, self.name(lower)).among(others));
            }
        }
        found
    }

    /// The first attribute of an object whose noun no other has and does not tell it.
    fn color(&mut self) -> Vec<Inquiry> {
        let wordings = ["What color is the {a}?", "Which color does the {a} have?"];
        let mut found = Vec::new();
        for object in self.scene.objects.iter().filter(|o| !o.is_mark()) {
            let alone = self.scene.objects.iter().filter(|o| o.label == object.label).count() == 1;
            let Some(color) = object.attributes.first().filter(|a| alone && !object.label.contains(a.as_str())) else {
                continue;
            };
            let all = self.scene.objects.iter().filter_map(|o| o.attributes.first());
            let others: Vec<String> = all.filter(|c| *c != color && *c != "hazard").cloned().collect();
            let question = self.say(&wordings, &object.label, "");
            found.push(Inquiry::new(Ask::Color, question, color.clone()).among(others));
        }
        found
    }

    /// Every noun of the scene, and as many others of the data set.
    fn count(&mut self) -> Vec<Inquiry> {
        let wordings = ["How many {a} are in the picture?", "Count the {a}.", "How many {a} do you see?"];
        let number = |label: &str| self.scene.objects.iter().filter(|o| o.label == label && !o.is_mark()).count();
        let (here, mut absent): (Vec<&String>, Vec<&String>) = self.labels.iter().partition(|l| number(l) > 0);
        shuffle(&mut absent, self.draw);
        absent.truncate(here.len());
        let counted: Vec<(String, usize)> = here.into_iter().chain(absent).map(|l| (plural(l), number(l))).collect();
        let ask = |(label, n): (String, usize)| {
            let question = self.say(&wordings, &label, "");
            self.number(Ask::Count, question, n)
        };
        counted.into_iter().map(ask).collect()
    }

    fn total(&mut self) -> Vec<Inquiry> {
        let wordings = ["How many objects are on the table?", "Count all objects in the picture."];
        let n = self.scene.objects.iter().filter(|o| !o.is_mark()).count();
        let question = self.say(&wordings, "", "");
        vec![self.number(Ask::Total, question, n)]
    }

    fn mark(&mut self) -> Vec<Inquiry> {
        let wordings = ["Is there a hazard mark on the table?", "Does the picture show a hazard mark?"];
        let question = self.say(&wordings, "", "");
        let yes = self.scene.objects.iter().any(Object::is_mark);
        vec![self.yes_or_no(Ask::Mark, question, yes)]
    }

    /// A point beside a thing, about its own width away, if it lies in the picture and on no box.
    fn free(&mut self) -> Vec<Inquiry> {
        let mut found = Vec::new();
        for i in self.things.clone() {
            let [x, y, w, h] = self.scene.objects[i].bbox;
            let (middle, foot) = (x + w / 2.0, y + h);
            let places = [
                ("to the left of", (middle - 1.15 * w, foot - 0.2 * h)),
                ("to the right of", (middle + 1.15 * w, foot - 0.2 * h)),
                ("in front of", (middle, foot + 0.6 * w)),
            ];
            for (relation, place) in places.into_iter().filter(|(_, place)| self.bare(*place)).collect::<Vec<_>>() {
                let called = self.call(i);
                let wordings = ["Point to free table space {b} the {a}.", "Show an empty place {b} the {a}."];
                let question = format!("{} {ONE_POINT}", self.say(&wordings, &called, relation));
                found.push(Inquiry::new(Ask::Free, question, point_text(self.scene, place)));
            }
        }
        found
    }

    /// The point half way between the feet of two things, if it lies on no box.
    fn between(&mut self) -> Vec<Inquiry> {
        let wordings =
            ["Point to the middle between the {a} and the {b}.", "Show the place between the {a} and the {b}."];
        let mut found = Vec::new();
        for (n, &a) in self.things.clone().iter().enumerate() {
            for &b in &self.things.clone()[n + 1..] {
                let foot = |i: usize| {
                    let [x, y, w, h] = self.scene.objects[i].bbox;
                    (x + w / 2.0, y + 0.85 * h)
                };
                let place = ((foot(a).0 + foot(b).0) / 2.0, (foot(a).1 + foot(b).1) / 2.0);
                if self.bare(place) {
                    let (a, b) = (self.call(a), self.call(b));
                    let question = format!("{} {ONE_POINT}", self.say(&wordings, &a, &b));
                    found.push(Inquiry::new(Ask::Between, question, point_text(self.scene, place)));
                }
            }
        }
        found
    }

    /// Says whether a point lies well inside the picture and on no object.
    fn bare(&self, (x, y): (f64, f64)) -> bool {
        let inside = |p: f64, size: f64| (0.03..0.97).contains(&(p / size));
        let covers = |o: &Object| {
            let [ox, oy, w, h] = o.bbox;
            (ox..ox + w).contains(&x) && (oy..oy + h).contains(&y)
        };
        inside(x, self.scene.image.width as f64)
            && inside(y, self.scene.image.height as f64)
            && !self.scene.objects.iter().any(covers)
    }
}

/// What a hazard mark is called.
pub const MARK: &str = "hazard mark";

/// Two opposite predicates with the words of their answers.
type Opposites = [(&'static str, &'static str); 2];

const SIDES: Opposites = [("left of", "left"), ("right of", "right")];
const SIDE_WORDINGS: [&str; 2] =
    ["Is the {a} left or right of the {b}?", "On which side of the {b} do you see the {a}, left or right?"];
const DEPTHS: Opposites = [("in front of", "in front"), ("behind", "behind")];
const DEPTH_WORDINGS: [&str; 2] =
    ["Is the {a} in front of or behind the {b}?", "Does the {a} stand in front of the {b} or behind it?"];

/// Returns the pixels between two boxes, 0 when they overlap.
fn gap(a: &Object, b: &Object) -> f64 {
    let along = |p: f64, pl: f64, q: f64, ql: f64| (q - (p + pl)).max(p - (q + ql)).max(0.0);
    let dx = along(a.bbox[0], a.bbox[2], b.bbox[0], b.bbox[2]);
    let dy = along(a.bbox[1], a.bbox[3], b.bbox[1], b.bbox[3]);
    dx.hypot(dy)
}

fn plural(noun: &str) -> String {
    let hissing = ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end));
    format!("{noun}{}", if hissing { "es" } else { "s" })
}
