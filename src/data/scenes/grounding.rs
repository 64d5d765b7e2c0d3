//! Where things of a scene are: cells of a grid over the picture, and the words of a question that speak of a place.

use super::scene::{MARK, Object, Scene};

/// Returns a text for every cell of a `grid` x `grid` raster over the picture, row by row: the object whose box covers most of the cell, at
/// least a quarter of it or a third of the object, else "table"; then the cell's column as a letter and its row as a digit.
pub fn cells(scene: &Scene, grid: usize) -> Vec<String> {
    let (w, h) = (scene.image.width as f64 / grid as f64, scene.image.height as f64 / grid as f64);
    let overlap = |a: f64, b: f64, c: f64, d: f64| (b.min(d) - a.max(c)).max(0.0);
    let mut texts = Vec::with_capacity(grid * grid);
    for row in 0..grid {
        for column in 0..grid {
            let (x, y) = (column as f64 * w, row as f64 * h);
            let mut best: Option<(f64, &Object)> = None;
            for object in &scene.objects {
                let [ox, oy, ow, oh] = object.bbox;
                let area = overlap(x, x + w, ox, ox + ow) * overlap(y, y + h, oy, oy + oh);
                let covers = area >= 0.25 * w * h || area >= 0.34 * ow * oh;
                if covers && best.is_none_or(|(most, _)| area > most) {
                    best = Some((area, object));
                }
            }
            let what = best.map_or_else(|| "table".to_owned(), |(_, object)| object.name());
            texts.push(format!("{what} {}", cell_name(column, row)));
        }
    }
    texts
}

/// Returns the words of a text that speak of one place, each with the cell of that place: names and nouns that only one object has, the only hazard
/// mark, points of objects.
pub fn phrases(scene: &Scene, grid: usize, text: &str) -> Vec<(String, String)> {
    let whole = |phrase: &str| {
        let ends = |(at, _): (usize, &str)| !text[at + phrase.len()..].starts_with(char::is_alphanumeric);
        text.match_indices(phrase).any(ends)
    };
    let marks = scene.objects.iter().filter(|o| o.is_mark()).count();
    let mut found = Vec::new();
    for object in &scene.objects {
        let only = |same: &dyn Fn(&Object) -> bool| scene.objects.iter().filter(|o| same(o)).count() == 1;
        let name = object.name();
        let named = only(&|o| o.name() == name).then_some(name);
        let noun = only(&|o| o.label == object.label).then(|| object.label.clone());
        let mark = (object.is_mark() && marks == 1).then(|| MARK.to_owned());
        let spoken = [named, noun, mark].into_iter().flatten().find(|phrase| whole(phrase));
        let point = Some(point_text(scene, centre(object))).filter(|phrase| whole(phrase));
        for phrase in [spoken, point].into_iter().flatten() {
            found.push((phrase, centre_cell(scene, object, grid)));
        }
    }
    found
}

/// Returns the middle of an object's box in pixels.
pub fn centre(object: &Object) -> (f64, f64) {
    let [x, y, w, h] = object.bbox;
    (x + w / 2.0, y + h / 2.0)
}

/// Writes a place as a list of one point, in fractions of the picture.
pub fn point_text(scene: &Scene, (x, y): (f64, f64)) -> String {
    format!("[({:.2}, {:.2})]", x / scene.image.width as f64, y / scene.image.height as f64)
}

/// Names the cell that an object's centre is in.
pub fn centre_cell(scene: &Scene, object: &Object, grid: usize) -> String {
    let at = |place: f64, size: f64| ((place / size * grid as f64).max(0.0) as usize).min(grid - 1);
    let (x, y) = centre(object);
    cell_name(at(x, scene.image.width as f64), at(y, scene.image.height as f64))
}

/// Names a cell: its column as a letter, its row as a digit.
fn cell_name(column: usize, row: usize) -> String {
    format!("{}{}", char::from(b'a' + (column % 26) as u8), row % 10)
}
