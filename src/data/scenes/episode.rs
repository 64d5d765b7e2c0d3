//! Episodes of an arm: a goal, frames, what was done at high and at low level.

use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::formats::load::RawRow;
use crate::data::pictures::picture::Picture;
use crate::data::table::Table;

/// The columns of an episode in the language. `changes` says whether an action changes the state of the scene, and is not mere navigation.
pub const COLUMNS: [(&str, &str); 7] = [
    ("id", "Str"),
    ("goal", "Str"),
    ("frames", "[Image]"),
    ("actions", "[{ action: Str, object: Str?, receptacle: Str?, relation: Str?, description: Str, changes: Bool }]"),
    ("low_actions", "[{ action: Str, object: Str?, receptacle: Str?, high: Int? }]"),
    ("plan", "[Str]"),
    ("hazard", "Str?"),
];

/// An episode, read from a row for planning.
#[derive(Clone, Debug)]
pub struct Episode {
    /// Its name.
    pub id: String,
    /// What was to be done.
    pub goal: String,
    /// In time order.
    pub frames: Vec<Picture>,
    /// High-level actions in order.
    pub actions: Vec<Action>,
    /// The hazard mark on the scene, if one stands there.
    pub hazard: Option<String>,
}

/// A high-level action.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Imperative, without a final stop: "pick up the red cylinder".
    pub description: String,
    /// Whether it changes the state of the scene.
    pub changes: bool,
    /// Whether it brings something to where it is to be.
    pub places: bool,
}

/// Words for actions that leave the scene as it is, in AI2-THOR, ALFRED and here.
const NAVIGATION: [&str; 11] =
    ["move", "goto", "look", "rotate", "stand", "teleport", "navigate", "find", "raise", "lower", "noop"];
/// Words for actions that put something where it is to be, or set its state.
const PLACING: [&str; 10] = ["place", "put", "stack", "drop", "toggle", "open", "close", "slice", "clean", "heat"];

/// Reads the episodes of a table.
pub fn read(table: &Table) -> Result<Vec<Episode>, OpError> {
    let columns = ["id", "goal", "frames", "actions", "hazard"];
    let [ids, goals, frames, actions, hazards] = columns.map(|c| table.cells(c));
    let (ids, goals, frames, actions, hazards) = (ids?, goals?, frames?, actions?, hazards?);
    let action = |cell: &Cell<'_>| {
        let text = |name: &str| cell.field(name).map_or_else(String::new, |c| c.text().into_owned());
        let changes = matches!(cell.field("changes"), Some(Cell::Bool(true)));
        Action { places: changes && starts(&text("action"), &PLACING), description: text("description"), changes }
    };
    let episode = |row: usize| Episode {
        id: ids[row].text().into_owned(),
        goal: goals[row].text().into_owned(),
        frames: Picture::all(&frames[row]),
        actions: match &actions[row] {
            Cell::List(items) => items.iter().map(action).collect(),
            _ => Vec::new(),
        },
        hazard: hazards[row].as_str().map(str::to_owned),
    };
    Ok((0..table.rows()).map(episode).collect())
}

fn starts(action: &str, words: &[&str]) -> bool {
    let action = action.to_lowercase();
    words.iter().any(|w| action.starts_with(w))
}

/// Turns a file of episodes in AI2-THOR's layout into raw rows: `goal`, `scene`, `frames`, `actions`, `low_actions`, `plan`.
///
/// # Errors
/// `E0503` when the file is no array of episodes.
pub fn thor(file: &Json, name: &str) -> Result<Vec<RawRow>, OpError> {
    let episodes =
        file.as_array().ok_or_else(|| OpError::new("E0503", format!("{name}: expected an array of episodes")))?;
    let row = |(i, e): (usize, &Json)| RawRow { place: format!("{name}:{i}"), value: thor_episode(e, i) };
    Ok(episodes.iter().enumerate().map(row).collect())
}

fn thor_episode(e: &Json, at: usize) -> Result<Json, String> {
    let listed =
        |value: &Json, key: &str| value[key].as_array().cloned().ok_or(format!("the episode has no list `{key}`"));
    let goal = e["goal"].as_str().ok_or("the episode has no `goal`")?;
    let frames: Vec<Json> =
        listed(e, "frames")?.iter().map(|f| if f.is_string() { f.clone() } else { f["file"].clone() }).collect();
    let objects = e["scene"]["objects"].as_array().cloned().unwrap_or_default();
    // Objects are named for people where the scene names them: "red cylinder", not "RedCylinder|-0.15|+0.00|-0.16".
    let named = |id: &Json| {
        let known = objects.iter().find(|o| !id.is_null() && o["objectId"] == *id);
        known.map_or_else(|| id.clone(), |o| o["name"].clone())
    };
    let mut actions = Vec::new();
    for (i, a) in listed(e, "actions")?.iter().enumerate() {
        let action = a["action"].as_str().ok_or(format!("action {i} has no `action`"))?;
        let description = a["description"].as_str().ok_or(format!("action {i} has no `description`"))?;
        actions.push(json!({
            "action": action, "object": named(&a["objectId"]), "receptacle": named(&a["receptacleId"]), "relation": a["relation"],
            "description": description, "changes": !starts(action, &NAVIGATION),
        }));
    }
    let low: Vec<Json> = e["low_actions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|a| {
            json!({ "action": a["action"], "object": named(&a["objectId"]), "receptacle": named(&a["receptacleId"]), "high": a["high_idx"] })
        })
        .collect();
    let id = e["task_id"].as_str().map_or_else(|| format!("episode-{at:05}"), str::to_owned);
    let plan = e["plan"].as_array().cloned().unwrap_or_default();
    Ok(
        json!({ "id": id, "goal": goal, "frames": frames, "actions": actions, "low_actions": low, "plan": plan, "hazard": e["scene"]["hazard"] }),
    )
}

/// Turns one ALFRED `traj_data.json`, or an array of such, into raw rows. The goal and the steps are those of the first annotator; frames are
/// the first picture of each high-level action, as `raw_images/NAME`.
///
/// # Errors
/// `E0503` when the file is neither.
pub fn alfred(file: &Json, name: &str) -> Result<Vec<RawRow>, OpError> {
    let one = std::slice::from_ref(file);
    let trajectories = match file {
        Json::Array(items) => items.as_slice(),
        Json::Object(_) => one,
        _ => return Err(OpError::new("E0503", format!("{name}: expected a trajectory or an array of them"))),
    };
    let row = |(i, t): (usize, &Json)| RawRow { place: format!("{name}:{i}"), value: alfred_episode(t) };
    Ok(trajectories.iter().enumerate().map(row).collect())
}

fn alfred_episode(t: &Json) -> Result<Json, String> {
    let words = &t["turk_annotations"]["anns"][0];
    let goal = words["task_desc"].as_str().ok_or("the trajectory has no `turk_annotations.anns[0].task_desc`")?;
    let steps = words["high_descs"].as_array().ok_or("the trajectory has no `high_descs`")?;
    let high = t["plan"]["high_pddl"].as_array().ok_or("the trajectory has no `plan.high_pddl`")?;
    let mut actions = Vec::new();
    let mut frames = Vec::new();
    for (i, h) in high.iter().enumerate() {
        let action = h["discrete_action"]["action"].as_str().unwrap_or("NoOp");
        let Some(description) = steps.get(i).and_then(Json::as_str) else { continue };
        let args = &h["discrete_action"]["args"];
        actions.push(json!({
            "action": action, "object": args[0], "receptacle": args[1], "relation": null,
            "description": description.trim().trim_end_matches('.'), "changes": !starts(action, &NAVIGATION),
        }));
        let first = t["images"].as_array().into_iter().flatten().find(|p| p["high_idx"].as_u64() == Some(i as u64));
        // The published archives hold JPEGs under the names of PNGs.
        if let Some(file) = first.and_then(|p| p["image_name"].as_str()) {
            frames.push(json!(format!("raw_images/{}", file.replace(".png", ".jpg"))));
        }
    }
    let low: Vec<Json> = t["plan"]["low_actions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|a| {
            let (call, high) = (&a["api_action"], &a["high_idx"]);
            json!({ "action": call["action"], "object": call["objectId"], "receptacle": call["receptacleObjectId"], "high": high })
        })
        .collect();
    Ok(
        json!({ "id": t["task_id"], "goal": goal, "frames": frames, "actions": actions, "low_actions": low, "plan": steps, "hazard": null }),
    )
}
