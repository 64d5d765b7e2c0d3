//! What each kind of question asks about an annotated scene, and what is right.

use super::grounding::{centre, centre_cell, point_text};
use super::inquiry::{Ask, Drawing, Inquiry};
use super::scene::{MARK, Object, Scene};
use super::wordings::{self, Wordings};
use crate::data::draw::Draw;

/// Asks about one scene.
pub struct Asker<'a> {
    scene: &'a Scene,
    /// Cells along each side of the grid.
    grid: usize,
    /// Every noun of the data set, in order.
    labels: &'a [String],
    /// In many wordings.
    varied: bool,
    draw: &'a mut Draw,
    /// Objects whose full name no other has, hazard marks left out.
    things: Vec<usize>,
}

impl<'a> Asker<'a> {
    /// Asks about a scene.
    pub fn new(scene: &'a Scene, drawing: &'a Drawing, draw: &'a mut Draw) -> Self {
        let names: Vec<String> = scene.objects.iter().map(Object::name).collect();
        let alone = |i: &usize| names.iter().filter(|n| **n == names[*i]).count() == 1;
        let told = |i: &usize| scene.tells(&scene.objects[*i].label);
        let things = (0..names.len()).filter(|i| alone(i) && !scene.objects[*i].is_mark() && told(i)).collect();
        Self { scene, grid: drawing.grid, labels: &drawing.labels, varied: drawing.varied, draw, things }
    }

    /// Returns all questions of a kind.
    pub fn all(&mut self, ask: Ask) -> Vec<Inquiry> {
        // What has to do with all objects cannot be asked where there are more than was annotated.
        let whole = matches!(ask, Ask::Nearest | Ask::Edge | Ask::Total | Ask::Free | Ask::Between);
        let marked = matches!(ask, Ask::Mark | Ask::Risk) && self.marks().is_empty();
        if self.scene.known.is_some() && (whole || marked) {
            return Vec::new();
        }
        match ask {
            Ask::Cell => self.cell(),
            Ask::Point => self.point(),
            Ask::What => self.what(),
            Ask::Side => self.either(ask, &SIDES, &wordings::SIDE),
            Ask::Depth => self.either(ask, &DEPTHS, &wordings::DEPTH),
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
            Ask::Risk => self.risk(),
            Ask::Option => self.option(),
        }
    }

    /// Words a question: one of the wordings, with `{a}` and `{b}` filled in.
    fn say(&mut self, wordings: &Wordings, a: &str, b: &str) -> String {
        wordings.pick(self.varied, self.draw).replace("{a}", a).replace("{b}", b)
    }

    /// Adds how a point is to be answered.
    fn as_point(&mut self, question: &str) -> String {
        self.hinted(question, &wordings::ONE_POINT)
    }

    /// Adds what form the answer has; where words vary, in a third of the cases twice, so that what is asked may lie far back.
    fn hinted(&mut self, question: &str, hints: &Wordings) -> String {
        let hint = hints.hint(self.varied, self.draw);
        let mut said = self.joined(question, hint);
        if self.varied && self.draw.chance(1.0 / 3.0) {
            let again = hints.hint(self.varied, self.draw);
            said = self.joined(&said, again);
        }
        said
    }

    /// Puts a second sentence after a first; on a line of its own in half of the cases where words vary.
    fn joined(&mut self, first: &str, second: &str) -> String {
        let gap = if self.varied && self.draw.chance(0.5) { "\n" } else { " " };
        format!("{first}{gap}{second}")
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

    /// Returns the hazard marks.
    fn marks(&self) -> Vec<usize> {
        (0..self.scene.objects.len()).filter(|&i| self.scene.objects[i].is_mark()).collect()
    }

    /// Returns the names of the things except some.
    fn names_but(&self, but: &[usize]) -> Vec<String> {
        self.things.iter().filter(|i| !but.contains(i)).map(|&i| self.name(i)).collect()
    }

    fn cell(&mut self) -> Vec<Inquiry> {
        let things = self.things.clone();
        let ask = |&i: &usize| {
            let (name, cell) = (self.call(i), centre_cell(self.scene, &self.scene.objects[i], self.grid));
            Inquiry::new(Ask::Cell, self.say(&wordings::CELL, &name, ""), cell)
        };
        things.iter().map(ask).collect()
    }

    fn point(&mut self) -> Vec<Inquiry> {
        let things = self.things.clone();
        let ask = |&i: &usize| {
            let name = self.call(i);
            let question = self.say(&wordings::POINT, &name, "");
            Inquiry::new(Ask::Point, self.as_point(&question), point_text(self.scene, centre(&self.scene.objects[i])))
        };
        things.iter().map(ask).collect()
    }

    fn what(&mut self) -> Vec<Inquiry> {
        let things = self.things.clone();
        let ask = |&i: &usize| {
            let place = point_text(self.scene, centre(&self.scene.objects[i]));
            Inquiry::new(Ask::What, self.say(&wordings::WHAT, &place, ""), self.name(i)).among(self.names_but(&[i]))
        };
        things.iter().map(ask).collect()
    }

    /// Asks which of two opposite relations holds between two things.
    fn either(&mut self, ask: Ask, words: &Opposites, wordings: &Wordings) -> Vec<Inquiry> {
        let related = self.related(words);
        let ask = |(a, b, first): (usize, usize, bool)| {
            let (right, wrong) = if first { (words[0].1, words[1].1) } else { (words[1].1, words[0].1) };
            let (a, b) = (self.call(a), self.call(b));
            if self.varied && self.draw.chance(0.3) {
                return self.placed(ask, [&a, &b], right, wrong);
            }
            Inquiry::new(ask, self.say(wordings, &a, &b), right.to_owned()).among(vec![wrong.to_owned()])
        };
        related.into_iter().map(ask).collect()
    }

    /// Asks for the sentence that says how one thing stands to another.
    fn placed(&mut self, ask: Ask, [a, b]: [&str; 2], right: &str, wrong: &str) -> Inquiry {
        let sentence = |how: &str| {
            let relation = match how {
                "left" => "to the left of",
                "right" => "to the right of",
                "in front" => "in front of",
                other => other,
            };
            format!("The {a} is {relation} the {b}.")
        };
        let others = [wrong, "on top of", "under"].map(sentence).to_vec();
        Inquiry::new(ask, self.say(&wordings::PLACED, a, b), sentence(right)).among(others)
    }

    fn whether(&mut self) -> Vec<Inquiry> {
        let mut found = Vec::new();
        for (words, phrases) in [(&SIDES, ["to the left of", "to the right of"]), (&DEPTHS, ["in front of", "behind"])]
        {
            for (a, b, first) in self.related(words) {
                let said = self.draw.below(2);
                let (a, b) = (self.call(a), self.call(b));
                let question = self.say(&wordings::WHETHER, &a, &b).replace("{r}", phrases[said]);
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
        let question = self.with_hint(question, &wordings::YES_NO);
        let (right, wrong) = if yes { ("yes", "no") } else { ("no", "yes") };
        Inquiry::new(ask, question, right.to_owned()).among(vec![wrong.to_owned()])
    }

    fn number(&mut self, ask: Ask, question: String, n: usize) -> Inquiry {
        let question = self.with_hint(question, &wordings::NUMBER);
        // Around the right number, or, in varied words, neighbours of which it may be any: the middle one must not give it away.
        let others = if self.varied {
            let least = n.saturating_sub(self.draw.below(4));
            (least..least + 4).collect()
        } else {
            vec![n + 1, n + 2, n.saturating_sub(1), n.saturating_sub(2)]
        };
        Inquiry::new(ask, question, n.to_string()).among(others.iter().map(ToString::to_string).collect())
    }

    /// Says in a third of the cases what form the answer has; in two thirds where words vary.
    fn with_hint(&mut self, question: String, hints: &Wordings) -> String {
        let odds = if self.varied { 2.0 / 3.0 } else { 1.0 / 3.0 };
        if !self.draw.chance(odds) {
            return question;
        }
        self.hinted(&question, hints)
    }

    /// Pairs that stand right beside each other, and as many that stand well apart; a hazard mark that is the only one counts as a thing.
    fn touch(&mut self) -> Vec<Inquiry> {
        let marks = self.marks();
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
        self.draw.shuffle(&mut apart);
        apart.truncate(near.len().max(1));
        near.append(&mut apart);
        let ask = |(a, b, yes): (usize, usize, bool)| {
            let mut called = [a, b].map(|i| if marks.contains(&i) { MARK.to_owned() } else { self.call(i) });
            if !marks.contains(&b) && self.draw.chance(0.5) {
                called.swap(0, 1);
            }
            let question = self.say(&wordings::TOUCH, &called[0], &called[1]);
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
            self.draw.shuffle(&mut beaten);
            beaten.truncate(1 + self.draw.below(3));
            let mut listed = [&[winner], &beaten[..]].concat();
            self.draw.shuffle(&mut listed);
            let names: Vec<String> = listed.iter().map(|&i| format!("the {}", self.name(i))).collect();
            let (last, first) = names.split_last().expect("a winner");
            let list = format!("{} or {last}", first.join(", "));
            let (wordings, options) = match (near, listed.len()) {
                (true, 2) => (&wordings::NEARER, &wordings::NEAR_OPTION),
                (true, _) => (&wordings::NEAR, &wordings::NEAR_OPTION),
                (false, 2) => (&wordings::FARTHER, &wordings::FAR_OPTION),
                (false, _) => (&wordings::FAR, &wordings::FAR_OPTION),
            };
            let question = self.say(wordings, &list, "");
            let others = beaten.iter().map(|&i| self.name(i)).collect();
            let mut inquiry = Inquiry::new(Ask::Closer, question, self.name(winner)).among(others);
            if self.varied && self.draw.chance(0.5) {
                inquiry.above_options = Some(self.say(options, "", ""));
            }
            inquiries.push(inquiry);
        }
        inquiries
    }

    /// The neighbour whose centre is nearest in the picture, if the next one is a third farther away.
    fn nearest(&mut self) -> Vec<Inquiry> {
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
                let question = self.say(&wordings::NEAREST, &called, "");
                found.push(Inquiry::new(Ask::Nearest, question, self.name(b)).among(self.names_but(&[a, b])));
            }
        }
        found
    }

    fn edge(&mut self) -> Vec<Inquiry> {
        let edges = [(0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)];
        let mut found = Vec::new();
        for ((axis, sign), wordings) in edges.into_iter().zip(&wordings::EDGE) {
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
                let question = self.say(&wordings::ON_TOP, &over, "");
                found.push(Inquiry::new(Ask::Stacked, question, self.name(upper)).among(others.clone()));
                let question = self.say(&wordings::UNDER, &under, "");
                found.push(Inquiry::new(Ask::Stacked, question, self.name(lower)).among(others));
            }
        }
        found
    }

    /// The first attribute of an object whose noun no other has and does not tell it.
    fn color(&mut self) -> Vec<Inquiry> {
        let mut found = Vec::new();
        for object in self.scene.objects.iter().filter(|o| !o.is_mark()) {
            let alone = self.scene.objects.iter().filter(|o| o.label == object.label).count() == 1;
            let Some(color) = object.attributes.first().filter(|a| alone && !object.label.contains(a.as_str())) else {
                continue;
            };
            let all = self.scene.objects.iter().filter_map(|o| o.attributes.first());
            let others: Vec<String> = all.filter(|c| *c != color && *c != "hazard").cloned().collect();
            let question = self.say(&wordings::COLOR, &object.label, "");
            found.push(Inquiry::new(Ask::Color, question, color.clone()).among(others));
        }
        found
    }

    /// Every noun of the scene, and as many others of the data set.
    fn count(&mut self) -> Vec<Inquiry> {
        let told = self.labels.iter().filter(|l| self.scene.tells(l)).map(|l| (plural(l), self.scene.number(l)));
        let (here, mut absent): (Vec<_>, Vec<_>) = told.partition(|(_, n)| *n > 0);
        self.draw.shuffle(&mut absent);
        absent.truncate(here.len());
        let counted: Vec<(String, usize)> = here.into_iter().chain(absent).collect();
        let ask = |(label, n): (String, usize)| {
            let question = self.say(&wordings::COUNT, &label, "");
            self.number(Ask::Count, question, n)
        };
        counted.into_iter().map(ask).collect()
    }

    fn total(&mut self) -> Vec<Inquiry> {
        let n = self.scene.objects.iter().filter(|o| !o.is_mark()).count();
        let question = self.say(&wordings::TOTAL, "", "");
        vec![self.number(Ask::Total, question, n)]
    }

    fn mark(&mut self) -> Vec<Inquiry> {
        let question = self.say(&wordings::MARK, "", "");
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
                let question = self.say(&wordings::FREE, &called, relation);
                found.push(Inquiry::new(Ask::Free, self.as_point(&question), point_text(self.scene, place)));
            }
        }
        found
    }

    /// The point half way between the feet of two things, if it lies on no box.
    fn between(&mut self) -> Vec<Inquiry> {
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
                    let question = self.say(&wordings::BETWEEN, &a, &b);
                    found.push(Inquiry::new(Ask::Between, self.as_point(&question), point_text(self.scene, place)));
                }
            }
        }
        found
    }

    /// The tier of a thing: high right beside a hazard mark, low where there is one elsewhere, else safe. Most scenes have no mark: one thing
    /// of each of those is asked for, and as many things far from a mark as beside one.
    fn risk(&mut self) -> Vec<Inquiry> {
        let marks = self.marks();
        let beside = |i: &usize| marks.iter().any(|&mark| self.scene.beside(*i, mark));
        let (high, mut rest): (Vec<usize>, Vec<usize>) = self.things.iter().partition(|i| beside(i));
        self.draw.shuffle(&mut rest);
        rest.truncate(high.len().max(1));
        let tier = if marks.is_empty() { "safe" } else { "low" };
        let all: Vec<(usize, &str)> =
            high.into_iter().map(|i| (i, "high")).chain(rest.into_iter().map(|i| (i, tier))).collect();
        let ask = |(i, tier): (usize, &str)| {
            let called = self.call(i);
            let asked = self.say(&wordings::RISK, &called, "");
            let question = if self.draw.chance(0.25) {
                asked
            } else {
                let rule = self.say(&wordings::RISK_RULE, "", "");
                if self.draw.chance(0.5) { self.joined(&rule, &asked) } else { self.joined(&asked, &rule) }
            };
            let others = ["safe", "low", "high"].iter().filter(|t| **t != tier).map(ToString::to_string).collect();
            Inquiry::new(Ask::Risk, question, tier.to_owned()).among(others)
        };
        all.into_iter().map(ask).collect()
    }

    /// Which letter stands before a name: looking up an option, with nothing to be seen.
    fn option(&mut self) -> Vec<Inquiry> {
        let some: Vec<usize> = if self.things.len() > 1 { self.things.clone() } else { Vec::new() };
        let ask = |i: usize| {
            let (name, others) = (self.name(i), self.names_but(&[i]));
            let question = self.say(&wordings::OPTION, &name, "");
            Inquiry::new(Ask::Option, question, name).among(others)
        };
        some.into_iter().map(ask).collect()
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

/// Two opposite predicates with the words of their answers.
type Opposites = [(&'static str, &'static str); 2];

const SIDES: Opposites = [("left of", "left"), ("right of", "right")];
const DEPTHS: Opposites = [("in front of", "in front"), ("behind", "behind")];

/// Returns the pixels between two boxes, 0 when they overlap.
fn gap(a: &Object, b: &Object) -> f64 {
    let along = |p: f64, pl: f64, q: f64, ql: f64| (q - (p + pl)).max(p - (q + ql)).max(0.0);
    let dx = along(a.bbox[0], a.bbox[2], b.bbox[0], b.bbox[2]);
    let dy = along(a.bbox[1], a.bbox[3], b.bbox[1], b.bbox[3]);
    dx.hypot(dy)
}

/// Returns the plural of a noun.
pub(super) fn plural(noun: &str) -> String {
    let hissing = ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end));
    format!("{noun}{}", if hissing { "es" } else { "s" })
}
