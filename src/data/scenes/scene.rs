//! Annotated scenes: objects with boxes and attributes, relations between them, labels known to be absent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::data::cell::{self, Cell};
use crate::data::dedup::originals::Originals;
use crate::data::formats::load::RawRow;
use crate::data::pictures::picture::Picture;
use crate::data::table::Table;

/// The columns of a scene in the language: `box` is `[x, y, width, height]` in pixels; `subject` and `object` count `objects` from 0.
pub const COLUMNS: [(&str, &str); 4] = [
    ("image", "Image"),
    ("objects", "[{ label: Str, box: Box, attributes: [Str] }]"),
    ("relations", "[{ subject: Int, predicate: Str, object: Int }]"),
    ("absent", "[Str]"),
];

/// The same, and labels of which not every object is annotated.
pub const FEDERATED: [(&str, &str); 5] = [COLUMNS[0], COLUMNS[1], COLUMNS[2], COLUMNS[3], ("partial", "[Str]")];

/// The columns of regions in the language.
pub const REGIONS: [(&str, &str); 4] = [("id", "Str"), ("image", "Image"), ("phrase", "Str"), ("box", "Box")];

/// What a hazard mark is called, whatever its kind.
pub const MARK: &str = "hazard mark";

/// A scene, read from a row.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The picture that it describes.
    pub image: Picture,
    /// What is in it.
    pub objects: Vec<Object>,
    /// How the objects stand.
    pub relations: Vec<Relation>,
    /// What is known of things that are not among the objects; none where the objects are all there is.
    pub known: Option<Known>,
}

/// What is known of a picture that has more in it than was annotated.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Labels that are not in the picture.
    pub absent: BTreeSet<String>,
    /// Labels of which not every object is annotated.
    pub partial: BTreeSet<String>,
}

/// A thing in a scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its noun: "cube".
    pub label: String,
    /// Its adjectives: "red".
    pub attributes: Vec<String>,
    /// Left, top, width and height in pixels.
    pub bbox: [f64; 4],
}

/// A relation between two objects of a scene, by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// Who.
    pub subject: usize,
    /// "left of", "next to".
    pub predicate: String,
    /// To whom.
    pub object: usize,
}

impl Scene {
    /// Returns how many objects of a label there are, hazard marks left out.
    pub fn number(&self, label: &str) -> usize {
        self.objects.iter().filter(|o| o.label == label && !o.is_mark()).count()
    }

    /// Says whether the annotations tell how many objects of a label there are.
    pub fn tells(&self, label: &str) -> bool {
        self.known.as_ref().is_none_or(|known| match self.objects.iter().any(|o| o.label == label) {
            false => known.absent.contains(label),
            true => !known.partial.contains(label),
        })
    }

    /// Says whether the annotations put two objects right beside each other, or one on the other.
    pub fn beside(&self, a: usize, b: usize) -> bool {
        const APART: [&str; 4] = ["left of", "right of", "in front of", "behind"];
        let joins = |r: &Relation| (r.subject, r.object) == (a, b) || (r.subject, r.object) == (b, a);
        self.relations.iter().any(|r| joins(r) && !APART.contains(&r.predicate.as_str()))
    }
}

impl Object {
    /// Says whether it is a hazard mark: something that annotations call a hazard.
    pub fn is_mark(&self) -> bool {
        self.label.contains("hazard") || self.attributes.iter().any(|a| a == "hazard")
    }

    /// Returns its name: a colour goes before the noun unless the noun holds it or it is no colour of the noun's own ("hazard").
    pub fn name(&self) -> String {
        let spoken = self.attributes.iter().filter(|a| !self.label.contains(a.as_str()) && a.as_str() != "hazard");
        spoken.map(String::as_str).chain([self.label.as_str()]).collect::<Vec<_>>().join(" ")
    }
}

/// Returns the relation seen from the other object: "left of" is "right of"; `None` where there is no such word.
pub fn converse(predicate: &str) -> Option<&str> {
    const PAIRS: [(&str, &str); 6] = [
        ("left of", "right of"),
        ("in front of", "behind"),
        ("on top of", "under"),
        ("above", "below"),
        ("next to", "next to"),
        ("near", "near"),
    ];
    PAIRS.iter().find_map(|&(a, b)| match predicate {
        p if p == a => Some(b),
        p if p == b => Some(a),
        _ => None,
    })
}

/// Reads the scenes of a table; rows whose picture is `none` are left out.
pub fn read(table: &Table) -> Result<Vec<Scene>, OpError> {
    let (images, objects, relations) = (table.cells("image")?, table.cells("objects")?, table.cells("relations")?);
    let text = |cell: &Cell<'_>, name: &str| cell.field(name).map_or_else(String::new, |c| c.text().into_owned());
    let labels = |name: &str| -> Result<Option<Vec<BTreeSet<String>>>, OpError> {
        let cells = if table.column(name).is_ok() { table.cells(name)? } else { return Ok(None) };
        Ok(Some(cells.iter().map(|cell| items(cell).iter().map(|c| c.text().into_owned()).collect()).collect()))
    };
    let known = labels("absent")?.zip(labels("partial")?);
    let index =
        |cell: &Cell<'_>, name: &str| cell.field(name).and_then(Cell::as_f64).map_or(usize::MAX, |n| n as usize);
    let mut scenes = Vec::with_capacity(images.len());
    for (row, image) in images.iter().enumerate() {
        let Some(image) = Picture::read(image) else { continue };
        let objects: Vec<Object> = items(&objects[row])
            .iter()
            .map(|o| {
                let attributes = o.field("attributes").map_or(&[][..], items);
                Object {
                    label: text(o, "label"),
                    attributes: attributes.iter().map(|a| a.text().into_owned()).collect(),
                    bbox: rectangle(o),
                }
            })
            .collect();
        let relations = items(&relations[row])
            .iter()
            .map(|r| Relation {
                subject: index(r, "subject"),
                predicate: text(r, "predicate"),
                object: index(r, "object"),
            })
            .filter(|r| r.subject < objects.len() && r.object < objects.len())
            .collect();
        let of_row = |(absent, partial): &(Vec<BTreeSet<String>>, Vec<BTreeSet<String>>)| Known {
            absent: absent[row].clone(),
            partial: partial[row].clone(),
        };
        scenes.push(Scene { image, objects, relations, known: known.as_ref().map(of_row) });
    }
    Ok(scenes)
}

/// Scenes by their pictures, for rows that come some at a time.
pub struct Index<'s> {
    by_digest: BTreeMap<&'s str, &'s Scene>,
    originals: Originals,
}

impl<'s> Index<'s> {
    /// Takes the scenes; of several with one picture the first counts. Copies encoded anew are found as [`Originals`] does.
    pub fn new(scenes: &'s [Scene], distance: u32) -> Self {
        let by_digest: BTreeMap<&str, &Scene> = scenes.iter().rev().map(|s| (s.image.origin.as_str(), s)).collect();
        let originals = Originals::new(by_digest.keys().map(|digest| (*digest).to_owned()).collect(), distance);
        Self { by_digest, originals }
    }

    /// Returns for each row, given its pictures, the scene of its first picture that has one. A picture is known by the digest of its origin, so
    /// augmented ones keep their scene.
    ///
    /// # Errors
    /// `E0503` when a picture has to be looked at and is missing in the store or does not decode.
    pub fn of_rows(&mut self, rows: &[Vec<Picture>], blobs: &dyn Blobs) -> Result<Vec<Option<&'s Scene>>, OpError> {
        let named = |p: &Picture| self.by_digest.contains_key(p.origin.as_str());
        let strange = rows.iter().filter(|row| !row.iter().any(named)).flatten().map(|p| p.origin.clone()).collect();
        self.originals.find(strange, blobs)?;
        let scene = |p: &Picture| {
            let origin = self.originals.get(&p.origin).unwrap_or(&p.origin);
            self.by_digest.get(origin).copied()
        };
        Ok(rows.iter().map(|row| row.iter().find_map(scene)).collect())
    }
}

/// Returns the box of an object, all zero when it has none.
fn rectangle(object: &Cell<'_>) -> [f64; 4] {
    let sides = object.field("box").map_or(&[][..], items);
    std::array::from_fn(|i| sides.get(i).and_then(Cell::as_f64).unwrap_or(0.0))
}

fn items<'c, 'a>(cell: &'c Cell<'a>) -> &'c [Cell<'a>] {
    match cell {
        Cell::List(items) => items,
        _ => &[],
    }
}

/// Cuts the boxes of a table of scenes or regions to their pictures; boxes that people draw leave them by some pixels.
pub fn within_pictures(table: Table) -> Result<Table, OpError> {
    let sizes: Vec<Option<Picture>> = table.cells("image")?.iter().map(Picture::read).collect();
    for (column, nested) in [("objects", true), ("box", false)] {
        let Ok(array) = table.column(column) else { continue };
        let mut changed = false;
        let mut cells = table.cells(column)?;
        for (cell, picture) in cells.iter_mut().zip(&sizes) {
            let Some(picture) = picture else { continue };
            match cell {
                Cell::List(objects) if nested => {
                    let boxes = objects.iter_mut().filter_map(|object| match object {
                        Cell::Record(fields) => fields.iter_mut().find(|(name, _)| name == "box").map(|(_, b)| b),
                        _ => None,
                    });
                    boxes.for_each(|b| changed |= cut(b, picture));
                }
                cell => changed |= cut(cell, picture),
            }
        }
        if changed {
            let made = cell::column(&cells, array.data_type())
                .map_err(|m| OpError::new("E0612", format!("column `{column}`: {}", m.message)))?;
            return table.with_column(column, made);
        }
    }
    Ok(table)
}

/// Cuts a box to a picture; says whether it left it.
fn cut(cell: &mut Cell<'_>, picture: &Picture) -> bool {
    let Cell::List(sides) = cell else { return false };
    let [Some(x), Some(y), Some(w), Some(h)] = std::array::from_fn(|i| sides.get(i).and_then(Cell::as_f64)) else {
        return false;
    };
    let (right, bottom) = (picture.width as f64, picture.height as f64);
    if x >= 0.0 && y >= 0.0 && w >= 0.0 && h >= 0.0 && x + w <= right && y + h <= bottom {
        return false;
    }
    let (left, top) = (x.clamp(0.0, right), y.clamp(0.0, bottom));
    let (w, h) = ((x + w).clamp(left, right) - left, (y + h).clamp(top, bottom) - top);
    *sides = [left, top, w, h].map(Cell::Float).to_vec();
    true
}

/// Turns a Visual Genome file, an array of scene graphs or of relationships, into raw rows. The picture is `image` or `file_name`, else
/// `<image_id>.jpg`. Objects that only relationships tell of are added in the order in which they come.
///
/// # Errors
/// `E0503` when the file is no such array.
pub fn visual_genome(file: &Json, name: &str) -> Result<Vec<RawRow>, OpError> {
    let graphs = file.as_array().ok_or_else(|| layout(name, "an array of scene graphs"))?;
    let row = |(i, graph): (usize, &Json)| RawRow { place: format!("{name}:{i}"), value: scene_graph(graph) };
    Ok(graphs.iter().enumerate().map(row).collect())
}

fn scene_graph(graph: &Json) -> Result<Json, String> {
    let listed = |key: &str| graph[key].as_array().map_or(&[][..], Vec::as_slice);
    let image = picture_of(graph)?;
    let mut positions = BTreeMap::new();
    let mut objects = Vec::new();
    for object in listed("objects") {
        if let Some(id) = object["object_id"].as_i64() {
            positions.insert(id, objects.len());
        }
        objects.push(thing(object)?);
    }
    let mut relations = Vec::new();
    for relation in listed("relationships") {
        let mut end = |key: &str| {
            let whole = &relation[key];
            let id = relation[format!("{key}_id").as_str()].as_i64().or(whole["object_id"].as_i64());
            let id = id.filter(|id| positions.contains_key(id) || whole.is_object());
            let id = id.ok_or(format!("a relation's {key} is no object of the scene"))?;
            if !positions.contains_key(&id) {
                positions.insert(id, objects.len());
                objects.push(thing(whole)?);
            }
            Ok::<usize, String>(positions[&id])
        };
        let (subject, object) = (end("subject")?, end("object")?);
        let predicate = relation["predicate"].as_str().unwrap_or_default().trim().to_lowercase();
        relations.push(json!({ "subject": subject, "predicate": predicate, "object": object }));
    }
    Ok(json!({ "image": image, "objects": objects, "relations": relations, "absent": [] }))
}

fn picture_of(entry: &Json) -> Result<String, String> {
    let id = entry["image_id"].as_i64().or(entry["id"].as_i64());
    match (entry["image"].as_str().or(entry["file_name"].as_str()), id) {
        (Some(path), _) => Ok(path.to_owned()),
        (None, Some(id)) => Ok(format!("{id}.jpg")),
        (None, None) => Err("it has neither `image` nor `image_id`".into()),
    }
}

fn thing(object: &Json) -> Result<Json, String> {
    let label = object["names"][0].as_str().or(object["name"].as_str()).ok_or("an object has no name")?;
    let side = |key: &str| object[key].as_f64().ok_or(format!("object `{label}` has no `{key}`"));
    let attributes = object["attributes"].as_array().cloned().unwrap_or_default();
    let sides = [side("x")?, side("y")?, side("w")?, side("h")?];
    Ok(json!({ "label": label, "box": sides, "attributes": attributes }))
}

/// Turns Visual Genome's descriptions of regions into raw rows, one for each region.
///
/// # Errors
/// `E0503` when the file is no array of pictures with regions.
pub fn regions(file: &Json, name: &str) -> Result<Vec<RawRow>, OpError> {
    let pictures = file.as_array().ok_or_else(|| layout(name, "an array of pictures with `regions`"))?;
    let mut rows = Vec::new();
    for (i, picture) in pictures.iter().enumerate() {
        let Some(regions) = picture["regions"].as_array() else {
            rows.push(RawRow { place: format!("{name}[{i}]"), value: Err("it has no list `regions`".into()) });
            continue;
        };
        for (n, region) in regions.iter().enumerate() {
            let place = format!("{name}[{i}].regions[{n}]");
            rows.push(RawRow { value: described(picture, region, &place), place });
        }
    }
    Ok(rows)
}

fn described(picture: &Json, region: &Json, place: &str) -> Result<Json, String> {
    let phrase = region["phrase"].as_str().ok_or("the region has no `phrase`")?;
    let side = |key: &str| region[key].as_f64().ok_or(format!("the region has no `{key}`"));
    let id =
        region["region_id"].as_i64().or(region["id"].as_i64()).map_or_else(|| place.to_owned(), |id| id.to_string());
    let sides = [side("x")?, side("y")?, side("width")?, side("height")?];
    Ok(json!({ "id": id, "image": picture_of(picture)?, "phrase": phrase, "box": sides }))
}

/// Turns an LVIS or COCO instances file into raw rows, one for each picture. Boxes come from `bbox`, or from the area that `segmentation` covers;
/// `neg_category_ids` become `absent`, where there is no such list all categories without an annotation; `not_exhaustive_category_ids` and those of
/// crowds become `partial`. Labels have blanks where LVIS has `_`. The picture is `file_name`, else the last two parts of `coco_url`.
///
/// # Errors
/// `E0503` when the file has no such layout.
pub fn instances(file: &Json, name: &str) -> Result<Vec<RawRow>, OpError> {
    let listed =
        |key: &str| file[key].as_array().ok_or_else(|| layout(name, &format!("an object with a list `{key}`")));
    let label = |c: &Json| Some((c["id"].as_i64()?, c["name"].as_str()?.replace('_', " ")));
    let labels: BTreeMap<i64, String> = listed("categories")?.iter().filter_map(label).collect();
    let mut of_image: BTreeMap<i64, Vec<&Json>> = BTreeMap::new();
    for annotation in listed("annotations")? {
        of_image.entry(annotation["image_id"].as_i64().unwrap_or(-1)).or_default().push(annotation);
    }
    let row = |(i, image): (usize, &Json)| {
        let found = image["id"].as_i64().and_then(|id| of_image.get(&id)).map_or(&[][..], Vec::as_slice);
        RawRow { place: format!("{name}: images[{i}]"), value: annotated(image, found, &labels) }
    };
    Ok(listed("images")?.iter().enumerate().map(row).collect())
}

fn annotated(image: &Json, found: &[&Json], labels: &BTreeMap<i64, String>) -> Result<Json, String> {
    let path = match (image["file_name"].as_str(), image["coco_url"].as_str()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(url)) => {
            url.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/")
        }
        (None, None) => return Err("the image has neither `file_name` nor `coco_url`".into()),
    };
    let label = |id: &Json| id.as_i64().and_then(|id| labels.get(&id)).map(String::as_str);
    let mut partial: BTreeSet<&str> =
        image["not_exhaustive_category_ids"].as_array().into_iter().flatten().filter_map(label).collect();
    let mut objects = Vec::with_capacity(found.len());
    for annotation in found {
        let noun =
            label(&annotation["category_id"]).ok_or(format!("category {} is unknown", annotation["category_id"]))?;
        if annotation["iscrowd"].as_i64() == Some(1) {
            partial.insert(noun);
        }
        let rect = match &annotation["bbox"] {
            Json::Array(sides) if sides.len() == 4 => json!(sides),
            _ => json!(crate::data::pictures::rle::bounds(&annotation["segmentation"])?),
        };
        objects.push(json!({ "label": noun, "box": rect, "attributes": [] }));
    }
    let absent: Vec<&str> = match image["neg_category_ids"].as_array() {
        Some(ids) => ids.iter().filter_map(label).collect(),
        // COCO annotates every object of its categories.
        None => {
            let here: BTreeSet<&str> = found.iter().filter_map(|a| label(&a["category_id"])).collect();
            labels.values().map(String::as_str).filter(|label| !here.contains(label)).collect()
        }
    };
    Ok(json!({ "image": path, "objects": objects, "relations": [], "absent": absent, "partial": partial }))
}

fn layout(name: &str, expected: &str) -> OpError {
    OpError::new("E0503", format!("{name}: expected {expected}"))
}
