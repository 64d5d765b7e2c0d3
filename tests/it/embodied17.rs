//! The seventeen public benchmarks: samples of our own in the layouts of the public ones, scored from replies alone, and the compat scores beside
//! those of an independent program.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use image::{GrayImage, Luma, Rgb, RgbImage};
use parquet::arrow::ArrowWriter;
use serde_json::{Value as Json, json};

const STDLIB: &str = include_str!("../../stdlib/eval/embodied17.rb2");
const WIDTH: u32 = 160;
const HEIGHT: u32 = 120;
/// Items of each benchmark.
const N: usize = 14;

/// A picture cell: what kind, and a number that makes it differ.
fn picture(n: usize) -> Json {
    json!({ "picture": n })
}

fn bytes(cell: &Json) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let format = image::ImageFormat::Png;
    match cell["mask"].as_array() {
        Some(_) => mask(&rectangle(&cell["mask"])).write_to(&mut out, format).unwrap(),
        None => {
            let n = cell["picture"].as_u64().unwrap() as u8;
            RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([x as u8, y as u8, n])).write_to(&mut out, format).unwrap();
        }
    }
    out.into_inner()
}

fn rectangle(of: &Json) -> [f64; 4] {
    serde_json::from_value(of.clone()).unwrap()
}

fn mask([left, top, right, bottom]: &[f64; 4]) -> GrayImage {
    let inside = |x: u32, y: u32| {
        let (x, y) = (f64::from(x) / f64::from(WIDTH), f64::from(y) / f64::from(HEIGHT));
        (*left..*right).contains(&x) && (*top..*bottom).contains(&y)
    };
    GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
}

/// Lays values out as the hub's converters do: pictures are records of bytes and a name.
fn array(values: &[Json]) -> ArrayRef {
    let sample = values.iter().find(|v| !v.is_null()).unwrap();
    match sample {
        Json::String(_) => Arc::new(values.iter().map(Json::as_str).collect::<StringArray>()),
        Json::Number(_) => Arc::new(values.iter().map(Json::as_i64).collect::<Int64Array>()),
        Json::Array(_) => {
            let lists: Vec<Vec<Json>> = values.iter().map(|v| v.as_array().cloned().unwrap_or_default()).collect();
            let flat: Vec<Json> = lists.concat();
            let there: Vec<bool> = values.iter().map(|v| !v.is_null()).collect();
            let items = array(&flat);
            let field = Arc::new(Field::new("item", items.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|l| l.len()));
            Arc::new(ListArray::new(field, offsets, items, Some(there.into())))
        }
        _ => {
            let files: Vec<Option<Vec<u8>>> = values.iter().map(|v| (!v.is_null()).then(|| bytes(v))).collect();
            let fields = Fields::from(vec![
                Field::new("bytes", DataType::Binary, true),
                Field::new("path", DataType::Utf8, true),
            ]);
            let names: StringArray = values.iter().map(|v| (!v.is_null()).then_some("picture.png")).collect();
            let validity = values.iter().map(|v| !v.is_null()).collect::<Vec<_>>();
            let columns: Vec<ArrayRef> =
                vec![Arc::new(files.iter().map(Option::as_deref).collect::<BinaryArray>()), Arc::new(names)];
            Arc::new(StructArray::new(fields, columns, Some(validity.into())))
        }
    }
}

fn parquet(path: &Path, rows: &[Json]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let column = |name: &String| {
        let values: Vec<Json> = rows.iter().map(|r| r[name].clone()).collect();
        (name.clone(), array(&values))
    };
    let columns: Vec<(String, ArrayRef)> = rows[0].as_object().unwrap().keys().map(column).collect();
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn zip(path: &Path, files: &[(String, Vec<u8>)]) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in files {
        zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// What an item of a benchmark is about, for the replies and the other program.
struct Item {
    id: String,
    kind: &'static str,
    key: String,
    target: [f64; 4],
    /// What the mask shows, where the target is a polygon of its own.
    mask: Option<[f64; 4]>,
}

/// A benchmark in its public layout: where its rows lie and how it is called.
struct Sample {
    name: &'static str,
    items: Vec<Item>,
}

fn one_of(list: &[&str], i: usize) -> String {
    list[i % list.len()].to_owned()
}

fn letter(i: usize) -> String {
    "ABCD"[i % 4..=i % 4].to_owned()
}

fn target(i: usize) -> [f64; 4] {
    let left = 0.1 + 0.05 * (i % 5) as f64;
    [left, 0.2, left + 0.4, 0.7]
}

fn choice(id: String, key: String) -> Item {
    Item { id, kind: "choice", key, target: [0.0; 4], mask: None }
}

/// A made video of 40 frames, if the machine can make one.
fn video(folder: &Path) -> Option<Vec<u8>> {
    let path = folder.join("made.mp4");
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=64x48:rate=10:duration=4",
        "-pix_fmt",
        "yuv420p",
        "-y",
    ]);
    let made = command.arg(&path).status().is_ok_and(|s| s.success());
    if !made {
        eprintln!("SKIPPED: no ffmpeg, so egoplan and vsibench are not scored (apt-get install -y ffmpeg)");
    }
    made.then(|| fs::read(&path).unwrap())
}

/// Writes a mirror of the hub and returns what lies there.
fn mirror(root: &Path) -> Vec<Sample> {
    let data = |repo: &str, file: &str| root.join(repo).join(file);
    let options = ["the red mug", "the green can", "the blue box", "nothing"];
    let lettered = "A. red B. green C. blue D. none";
    let mut out: Vec<Sample> = Vec::new();
    let mut add = |name: &'static str, items: Vec<Item>| out.push(Sample { name, items });

    let rows: Vec<Json> = (0..N)
        .map(|i| json!({ "index": i, "folder": format!("scene{}", i / 3), "category": "counting", "pair_idx": i ^ 1, "sourced_dataset": "EgoHumans",
            "image_path": [format!("scene{}/a{i}.png", i / 3), format!("scene{}/b.png", i / 3)], "question": format!("How many people, {i}?"),
            "A": "1", "B": "2", "C": "3", "answer": "ABC"[i % 3..=i % 3] }))
        .collect();
    fs::create_dir_all(data("ch-chenyu/All-Angles-Bench", "")).unwrap();
    fs::write(data("ch-chenyu/All-Angles-Bench", "data.json"), Json::from(rows).to_string()).unwrap();
    let views = (0..N - 1).map(|i| (format!("images/scene{}/a{i}.png", i / 3), bytes(&picture(i))));
    let common = (0..=N / 3).map(|s| (format!("images/scene{s}/b.png"), bytes(&picture(100 + s))));
    zip(&data("ch-chenyu/All-Angles-Bench", "images.zip"), &views.chain(common).collect::<Vec<_>>());
    // The last item's picture is not to be had, as most of Ego-Exo4D is not.
    add("all_angles", (0..N - 1).map(|i| choice(i.to_string(), "ABC"[i % 3..=i % 3].into())).collect());

    let id = |i: usize| format!("val_{}_{i}", if i < N / 2 { "Counting" } else { "Relative_Depth" });
    for (config, range) in [("Counting", 0..N / 2), ("Relative_Depth", N / 2..N)] {
        let row = |i: usize| {
            json!({ "idx": id(i), "question": "Which?", "sub_task": config, "image_1": picture(i),
                "image_2": if i % 3 == 0 { Json::Null } else { picture(i + 1) }, "image_3": if i == 1 || i == N - 1 { picture(9) } else { Json::Null },
                "image_4": if i == 1 || i == N - 1 { picture(8) } else { Json::Null },
                "choices": options, "answer": format!("({})", letter(i)), "prompt": format!("Which? {lettered}") })
        };
        let path = format!("{config}/val-00000-of-00001.parquet");
        parquet(&data("BLINK-Benchmark/BLINK", &path), &range.map(row).collect::<Vec<_>>());
    }
    add("blink", (0..N).map(|i| choice(id(i), letter(i))).collect());

    for (file, dim, range) in [("test_2d.parquet", "2D", 0..N / 2), ("test_3d.parquet", "3D", N / 2..N)] {
        let row = |i: usize| {
            json!({ "idx": i, "type": dim, "task": "Count", "image": picture(i), "question": "?", "choices": options, "answer": format!("({})", letter(i)),
                "prompt": format!("What is it? {lettered}"), "filename": format!("{i}.png"), "source": if dim == "3D" { "Omni3D" } else { ["ADE20K", "COCO"][i % 2] } })
        };
        parquet(&data("nyu-visionx/CV-Bench", file), &range.map(row).collect::<Vec<_>>());
    }
    add("cvbench", (0..N).map(|i| choice(i.to_string(), letter(i))).collect());

    let encoded = |i: usize| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes(&picture(i)))
    };
    let rows: Vec<Json> = (0..N)
        .map(|i| json!({ "question_id": format!("mp3d_{i}"), "question": "Where?", "answer": i % 4, "answer_options": options,
            "relation": one_of(&["left", "close", "under"], i), "data_source": "mp3d", "image_base64": encoded(i / 2) }))
        .collect();
    parquet(&data("FlagEval/EmbSpatial-Bench", "data/test-00000-of-00001.parquet"), &rows);
    add("embspatial", (0..N).map(|i| choice(format!("mp3d_{i}"), letter(i))).collect());

    let rows: Vec<Json> = (0..N)
        .map(|i| json!({ "question_id": format!("ERQA_{i}"), "question": format!("What is seen? {lettered}. Please answer directly with only the letter of the correct option and nothing else."),
            "answer": letter(i), "question_type": "State Estimation", "images": [picture(i), picture(i + 1)], "visual_indices": [0, 8] }))
        .collect();
    parquet(&data("FlagEval/ERQA", "data/test-00000-of-00001.parquet"), &rows);
    add("erqa", (0..N).map(|i| choice(format!("ERQA_{i}"), letter(i))).collect());

    let rows: Vec<Json> = (0..N)
        .map(|i| json!({ "id": i, "images": [picture(i), picture(i + 50)], "question_type": "Motion (Cam.)", "question": format!("How? {lettered}"), "answer": letter(i), "thought": "" }))
        .collect();
    parquet(&data("RunsenXu/MMSI-Bench", "data/test-00000-of-00001.parquet"), &rows);
    add("mmsi", (0..N).map(|i| choice(i.to_string(), letter(i))).collect());

    let omni = |i: usize| {
        json!({ "id": format!("{}_{}", i / 2, i % 2), "question": "From there?", "options": options, "answer": i % 4,
            "task_type": "Perspective_Taking", "sub_task_type": "Egocentric" })
    };
    let with_picture = |i: usize| {
        let mut row = omni(i);
        row["image"] = picture(i / 2);
        row
    };
    parquet(
        &data("nv-njb/OmniSpatial-Test", "data/test-00000-of-00001.parquet"),
        &(0..N).map(with_picture).collect::<Vec<_>>(),
    );
    fs::create_dir_all(data("qizekun/OmniSpatial", "")).unwrap();
    fs::write(data("qizekun/OmniSpatial", "data.json"), Json::from((0..N).map(omni).collect::<Vec<_>>()).to_string())
        .unwrap();
    for (file, range) in [("OmniSpatial-train.zip", 0..N / 4), ("OmniSpatial-more.zip", N / 4..N / 2 + 1)] {
        let entry = |s: usize| (format!("OmniSpatial-train/Perspective_Taking/{s}.png"), bytes(&picture(s)));
        zip(&data("qizekun/OmniSpatial", file), &range.map(entry).collect::<Vec<_>>());
    }
    for name in ["omni_spatial", "omni_spatial_test"] {
        add(name, (0..N).map(|i| choice(format!("{}_{}", i / 2, i % 2), letter(i))).collect());
    }

    let rows: Vec<Json> = (0..N)
        .map(|i| json!({ "question_id": i, "question": "Did it move?", "images": [picture(i)], "answers": ["it moved left", "it moved right"],
            "correct_answer": one_of(&["it moved left", "it moved right"], i), "question_type": "obj_movement" }))
        .collect();
    parquet(&data("FlagEval/SAT", "data/test-00000-of-00001.parquet"), &rows);
    add("sat", (0..N).map(|i| choice(i.to_string(), "AB"[i % 2..=i % 2].into())).collect());

    let text = |i: usize| i % 3 == 0;
    let rows: Vec<Json> = (0..N)
        .map(|i| json!({ "image_path": format!("{i}.webp"), "image": picture(i),
            "question": if text(i) { "How many cars are there? Answer with a number.".to_owned() } else { format!("Which way?\nA. left\nB. right\nC. ahead\nD. back\nAnswer with the letter. {i}") },
            "answer": if text(i) { ["three", "uphill", "12"][i % 9 / 3].to_owned() } else { letter(i) } }))
        .collect();
    parquet(&data("lmms-lab/RealWorldQA", "data/test-00000-of-00001.parquet"), &rows);
    let item = |i: usize| match text(i) {
        true => Item {
            id: format!("{i}.webp"),
            kind: "text",
            key: ["three", "uphill", "12"][i % 9 / 3].into(),
            target: [0.0; 4],
            mask: None,
        },
        false => choice(format!("{i}.webp"), letter(i)),
    };
    add("realworldqa", (0..N).map(item).collect());

    for (name, split) in
        [("refspatial_location", "location"), ("refspatial_planning", "placement"), ("refspatial_unseen", "unseen")]
    {
        let row = |i: usize| json!({ "id": i, "image": picture(i), "mask": { "mask": target(i) }, "object": "mug", "prompt": "Point at the mug.", "suffix": "One point.", "step": i % 3 + 1 });
        let path = format!("data/{split}-00000-of-00001.parquet");
        parquet(&data("BAAI/RefSpatial-Bench", &path), &(0..N).map(row).collect::<Vec<_>>());
        add(
            name,
            (0..N)
                .map(|i| Item { id: i.to_string(), kind: "point", key: String::new(), target: target(i), mask: None })
                .collect(),
        );
    }
    let row = |i: usize| json!({ "question_id": format!("w{i}"), "question": "Where is room?", "question_type": one_of(&["seen", "unseen"], i), "image": picture(i), "mask": { "mask": target(i) } });
    parquet(&data("FlagEval/Where2Place", "data/test-00000-of-00001.parquet"), &(0..N).map(row).collect::<Vec<_>>());
    add(
        "where2place",
        (0..N)
            .map(|i| Item { id: format!("w{i}"), kind: "point", key: String::new(), target: target(i), mask: None })
            .collect(),
    );

    let corners = |i: usize| {
        let [left, top, right, bottom] = target(i);
        format!("[({left}, {top}), ({right}, {top}), ({right}, {bottom}), ({left}, {bottom})]")
    };
    // Masks that disagree with the polygons: the centre of every second one is black, and what lies beside the polygon white.
    let white = |i: usize| if i % 2 == 0 { [0.0, 0.3, 0.8, 0.6] } else { [0.9, 0.85, 1.0, 1.0] };
    let mut items = Vec::new();
    for (split, range) in [("configuration", 0..5), ("compatibility", 5..9), ("context", 9..N)] {
        let points = split == "context";
        let row = |i: usize| {
            json!({ "category": split, "question": "Can the mug be left of the can? Answer yes or no.", "answer": if points { corners(i) } else { one_of(&["yes", "no"], i) },
                "img": picture(i), "mask": if points || i % 3 == 0 { json!({ "mask": white(i) }) } else { Json::Null } })
        };
        parquet(
            &data("chanhee-luke/RoboSpatial-Home", &format!("data/{split}-00000-of-00001.parquet")),
            &range.clone().map(row).collect::<Vec<_>>(),
        );
        items.extend(range.map(|i| Item {
            id: i.to_string(),
            kind: if points { "point" } else { "yes_no" },
            key: if points { String::new() } else { ["yes", "no"][i % 2].into() },
            target: target(i),
            mask: points.then(|| white(i)),
        }));
    }
    add("robo_spatial", items);

    if let Some(video) = video(root) {
        let rows: Vec<Json> = (0..N)
            .map(|i| json!({ "sample_id": i, "domain": "Work", "scenario": "desk", "task_goal": "Make tea", "choice_a": "a", "choice_b": "b", "choice_c": "c", "choice_d": "d",
                "ground_truth": letter(i), "video_file": format!("videos/{}.mp4", i % 2), "task_start_frame": 2, "current_observation_frame": 30 + i }))
            .collect();
        parquet(&data("nv-njb/egoplan-bench2", "data/train-00000-of-00001.parquet"), &rows);
        fs::create_dir_all(data("nv-njb/egoplan-bench2", "videos")).unwrap();
        for n in 0..2 {
            fs::write(data("nv-njb/egoplan-bench2", &format!("videos/{n}.mp4")), &video).unwrap();
        }
        add("egoplan", (0..N).map(|i| choice(i.to_string(), letter(i))).collect());

        let number = |i: usize| i % 2 == 1;
        let rows: Vec<Json> = (0..N)
            .map(|i| json!({ "id": i, "dataset": "arkitscenes", "scene_name": format!("4{}", i / 4), "question": "How far?",
                "question_type": if number(i) { "object_counting" } else { ["object_rel_direction_easy", "route_planning"][i / 2 % 2] },
                "ground_truth": if number(i) { (i % 5 + 1).to_string() } else { letter(i) },
                "options": if number(i) { Json::Null } else { json!(["A. left", "B. right", "C. ahead", "D. back"]) } }))
            .collect();
        parquet(&data("nyu-visionx/VSI-Bench", "test-00000-of-00001.parquet"), &rows);
        let scenes: Vec<(String, Vec<u8>)> =
            (0..=N / 4).map(|s| (format!("arkitscenes/4{s}.mp4"), video.clone())).collect();
        zip(&data("nyu-visionx/VSI-Bench", "arkitscenes.zip"), &scenes);
        let item = |i: usize| match number(i) {
            true => {
                Item { id: i.to_string(), kind: "number", key: (i % 5 + 1).to_string(), target: [0.0; 4], mask: None }
            }
            false => choice(i.to_string(), letter(i)),
        };
        add("vsibench", (0..N).map(item).collect());
    }
    out
}

/// A reply to an item in the `form`-th way in which models put it, and whether it says the right thing.
fn reply(item: &Item, n: usize, form: usize) -> (String, bool) {
    let right = n % 3 != 1;
    let fill = |forms: &[&str], value: &str| {
        forms[form % forms.len()].replace("{L}", value).replace("{l}", &value.to_lowercase())
    };
    let text = match item.kind {
        "choice" => {
            let forms = [
                "{L}",
                "{l}",
                "{L}.",
                "({L})",
                "The answer is ({L}).",
                "**Answer:** {L}",
                "<answer>{L}</answer>",
                "\\boxed{{L}}",
                "`{L}`",
                "Answer: {l}",
                "Looking at it, I choose {L}.",
                "答案：{L}",
                "<think>It could be A.</think>\nAnswer: {L}",
                "Option {L}",
            ];
            let at = usize::from(item.key.as_bytes()[0] - b'A');
            fill(&forms, if right { &item.key } else { ["B", "A"][usize::from(at == 1)] })
        }
        "number" => {
            let value: usize = item.key.parse().unwrap();
            let said = if right { value } else { value * 3 };
            fill(
                &[
                    "{L}",
                    "Answer: {L}",
                    "There are {L} of them.",
                    "<answer>{L}</answer>",
                    "{L} meters",
                    "I count.\nAnswer: {L}",
                ],
                &said.to_string(),
            )
        }
        "text" => fill(
            &["{L}", "{L}.", "Answer: {L}", "It says {L}", "<think>hm</think>{L}"],
            if right { &item.key } else { "nothing" },
        ),
        "yes_no" => {
            let no = ["yes", "no"][usize::from(item.key == "yes")];
            fill(
                &["{L}", "Answer: {L}", "It is near.\n{L}, it is", "<answer>{L}</answer>"],
                if right { &item.key } else { no },
            )
        }
        _ => {
            let [left, top, right_side, bottom] = item.target;
            let (x, y) = if right { ((left + right_side) / 2.0, (top + bottom) / 2.0) } else { (0.95, 0.95) };
            let (px, py) = ((x * f64::from(WIDTH)) as u32, (y * f64::from(HEIGHT)) as u32);
            let forms = [
                format!("[({x:.3}, {y:.3})]"),
                format!("I look.\nAnswer: [({x:.3}, {y:.3}), (0.97, 0.03)]"),
                format!("[[{x:.3}, {y:.3}]]"),
                format!("({px}, {py})"),
                format!("[({x:.3}, {y:.3})]\nThat is it."),
                format!("( {x:.3}, {y:.3})"),
            ];
            forms[form % forms.len()].clone()
        }
    };
    (text, right)
}

/// Asks the other program for the compat scores.
fn independent(items: &[Json]) -> Vec<f64> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parity/flagevalmm.py");
    let mut child = Command::new("python3")
        .env("PYTHONIOENCODING", "utf-8")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let text: String = items.iter().map(|i| format!("{i}\n")).collect();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap().lines().map(|l| l.parse().unwrap()).collect()
}

#[test]
fn seventeen_benchmarks_score_replies_as_flagevalmm_does() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let samples = mirror(&folder.join("hub"));
    // Samples are smaller than the public sets, whose size the library checks.
    let rows = regex::Regex::new(r",\s*rows: (\d+rows|n)").unwrap();
    fs::write(folder.join("e17.rb2"), rows.replace_all(STDLIB, "").as_ref()).unwrap();
    fs::create_dir(folder.join("replies")).unwrap();
    let mut recipe =
        "recipe \"held\"\nimport std.{data, eval}\nimport \"./e17.rb2\" as e17\nschema Reply { id: Str, reply: Str }\n"
            .to_owned();
    for (b, Sample { name, items }) in samples.iter().enumerate() {
        let line =
            |(n, item): (usize, &Item)| format!("{}\n", json!({ "id": item.id, "reply": reply(item, n, n + b).0 }));
        fs::write(folder.join(format!("replies/{name}.jsonl")), items.iter().enumerate().map(line).collect::<String>())
            .unwrap();
        recipe.push_str(&format!(
            "let {name} = eval.score(data.jsonl(\"replies/{name}.jsonl\", as: Reply), on: e17.{name}, coord_space: \"unit\")\n\
             output items_{name} = {name}.items to \"out/{name}.jsonl\"\n"
        ));
    }
    fs::write(folder.join("recipe.rb2"), recipe).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_rbpipe"))
        .args(["run", "recipe.rb2"])
        .current_dir(folder)
        .env("RBPIPE_CACHE", folder.join("cache"))
        .env("RBPIPE_HF_MIRROR", folder.join("hub"))
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{text}");
    let check =
        Command::new(env!("CARGO_BIN_EXE_rbpipe")).args(["check", "recipe.rb2"]).current_dir(folder).output().unwrap();
    assert!(check.status.success(), "with the columns in the lock: {}", String::from_utf8_lossy(&check.stderr));

    let mut compared = 0;
    for (b, Sample { name, items }) in samples.iter().enumerate() {
        let scored = fs::read_to_string(folder.join(format!("out/{name}.jsonl"))).unwrap();
        let scored: Vec<Json> = scored.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let ids: Vec<&str> = scored.iter().map(|s| s["id"].as_str().unwrap()).collect();
        assert_eq!(ids, items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), "{name}");
        let asked = |(n, item): (usize, &Item)| json!({ "kind": item.kind, "reply": reply(item, n, n + b).0, "key": item.key, "width": WIDTH, "height": HEIGHT, "target": item.mask.unwrap_or(item.target) });
        let wanted = independent(&items.iter().enumerate().map(asked).collect::<Vec<_>>());
        for (n, ((item, scored), wanted)) in items.iter().zip(&scored).zip(wanted).enumerate() {
            let (reply, right) = reply(item, n, n + b);
            let of = |key: &str| scored[key].as_f64().unwrap();
            // A mask that went through a lossy file is not quite white.
            let near = if item.kind == "point" { 0.02 } else { 1e-9 };
            assert!(
                (of("compat") - wanted).abs() <= near,
                "{name} {}: {reply:?} {} is not {wanted}",
                item.id,
                of("compat")
            );
            compared += 1;
            // Under our own rules every form of the right answer is right, and the wrong answer never.
            let pixels = item.kind == "point" && (n + b) % 6 == 3;
            if item.kind != "text" && item.kind != "number" && !pixels {
                let several = item.kind == "point" && (n + b) % 6 == 1 && *name != "robo_spatial";
                let want = f64::from(u8::from(right)) * if several { 0.5 } else { 1.0 };
                assert_eq!(of("score"), want, "{name} {}: {reply:?} by {}", item.id, scored["rule"]);
            }
        }
    }
    assert_eq!(compared, samples.iter().map(|s| s.items.len()).sum::<usize>(), "{compared}");
}
