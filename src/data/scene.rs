//! Annotated scenes: objects with boxes and attributes, relations between them, labels known to be absent.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::blobs::Blobs;
use super::cell::Cell;
use super::load::RawRow;
use super::originals::originals;
use super::picture::Picture;
use super::table::Table;
use crate::base::OpError;

/// The columns of a scene in the language: `box` is `[x, y, width, height]` in pixels; `subject` and `object` count `objects` from 0.
pub const COLUMNS: [(&str, &str); 4] = [
    ("image", "Image"),
    ("objects", "[{ label: Str, box: Box, attributes: [Str] }]"),
    ("relations", "[{ subject: Int, predicate: Str, object: Int }]"),
    ("absent", "[Str]"),
];

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
        scenes.push(Scene { image, objects, relations });
    }
    Ok(scenes)
}

/// Returns for each row, given its pictures, the scene of its first picture that has one. A picture is known by the digest of its origin, so
/// augmented ones keep their scene; a copy encoded anew is found as [`originals`] does.
///
/// # Errors
/// `E0503` when a picture has to be looked at and is missing in the store or does not decode.
pub fn of_rows<'s>(
    scenes: &'s [Scene],
    rows: &[Vec<Picture>],
    distance: u32,
    blobs: &dyn Blobs,
) -> Result<Vec<Option<&'s Scene>>, OpError> {
    let by_digest: BTreeMap<&str, &Scene> = scenes.iter().rev().map(|s| (s.image.origin.as_str(), s)).collect();
    let named = |p: &Picture| by_digest.contains_key(p.origin.as_str());
    let strange = rows.iter().filter(|row| !row.iter().any(named)).flatten().map(|p| p.origin.clone()).collect();
    let known = by_digest.keys().map(|d| (*d).to_owned()).collect();
    let copies = originals(&strange, &known, distance, blobs)?;
    let scene = |p: &Picture| {
        let origin = copies.get(&p.origin).unwrap_or(&p.origin);
        by_digest.get(origin.as_str()).copied()
    };
    Ok(rows.iter().map(|row| row.iter().find_map(scene)).collect())
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

/// Turns a Visual Genome file, an array of scene graphs, into raw rows. The picture is `image` or `file_name`, else `<image_id>.jpg`.
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
    let image = match (graph["image"].as_str().or(graph["file_name"].as_str()), graph["image_id"].as_i64()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(id)) => format!("{id}.jpg"),
        (None, None) => return Err("the scene graph has neither `image` nor `image_id`".into()),
    };
    let mut positions = BTreeMap::new();
    let mut objects = Vec::new();
    for object in listed("objects") {
        let label = object["names"][0].as_str().or(object["name"].as_str()).ok_or("an object has no name")?;
        let side = |key: &str| object[key].as_f64().ok_or(format!("object `{label}` has no `{key}`"));
        if let Some(id) = object["object_id"].as_i64() {
            positions.insert(id, objects.len());
        }
        let attributes = object["attributes"].as_array().cloned().unwrap_or_default();
        objects.push(json!({
            "label": label,
            "box": [side("x")?, side("y")?, side("w")?, side("h")?],
            "attributes": attributes,
        }));
    }
    let mut relations = Vec::new();
    for relation in listed("relationships") {
        let end = |key: &str| {
            let id = relation[format!("{key}_id").as_str()].as_i64().or(relation[key]["object_id"].as_i64());
            id.and_then(|id| positions.get(&id)).ok_or(format!("a relation's {key} is no object of the scene"))
        };
        let predicate = relation["predicate"].as_str().unwrap_or_default();
        relations.push(json!({ "subject": end("subject")?, "predicate": predicate, "object": end("object")? }));
    }
    Ok(json!({ "image": image, "objects": objects, "relations": relations, "absent": [] }))
}

/// Turns an LVIS or COCO instances file into raw rows, one for each picture. Boxes come from `bbox`, or from the area that `segmentation` covers;
/// `neg_category_ids` become `absent`. The picture is `file_name`, else the last two parts of `coco_url`.
///
/// # Errors
/// `E0503` when the file has no such layout.
pub fn instances(file: &Json, name: &str) -> Result<Vec<RawRow>, OpError> {
    let listed =
        |key: &str| file[key].as_array().ok_or_else(|| layout(name, &format!("an object with a list `{key}`")));
    let labels: BTreeMap<i64, &str> =
        listed("categories")?.iter().filter_map(|c| Some((c["id"].as_i64()?, c["name"].as_str()?))).collect();
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

fn annotated(image: &Json, found: &[&Json], labels: &BTreeMap<i64, &str>) -> Result<Json, String> {
    let path = match (image["file_name"].as_str(), image["coco_url"].as_str()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(url)) => {
            url.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/")
        }
        (None, None) => return Err("the image has neither `file_name` nor `coco_url`".into()),
    };
    let label = |id: &Json| id.as_i64().and_then(|id| labels.get(&id)).copied();
    let mut objects = Vec::with_capacity(found.len());
    for annotation in found {
        let noun =
            label(&annotation["category_id"]).ok_or(format!("category {} is unknown", annotation["category_id"]))?;
        let rect = match &annotation["bbox"] {
            Json::Array(sides) if sides.len() == 4 => json!(sides),
            _ => json!(super::rle::bounds(&annotation["segmentation"])?),
        };
        objects.push(json!({ "label": noun, "box": rect, "attributes": [] }));
    }
    let absent: Vec<&str> = image["neg_category_ids"].as_array().into_iter().flatten().filter_map(label).collect();
    Ok(json!({ "image": path, "objects": objects, "relations": [], "absent": absent }))
}

fn layout(name: &str, expected: &str) -> OpError {
    OpError::new("E0503", format!("{name}: expected {expected}"))
}
