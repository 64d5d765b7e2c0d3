//! Collection, verification and repair of the store from outside: what goes, what stays, and what a crash or a run beside it changes.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use rbpipe::base::Digest;
use rbpipe::engine::Store;
use rbpipe::engine::storage::{gate, reach, record};
use serde_json::json;

use crate::engine::{Place, files_below, rows};
use crate::workbench::Workbench;

/// Takes everything without waiting: what is young was made old before by [`age`].
pub const ALL: &[&str] = &["cache", "gc", "--keep-days", "0", "--keep-runs", "0", "--grace", "0s", "--drop-outputs"];

/// Makes everything in a store a hundred days old.
pub fn age(store: &Path) {
    let then = SystemTime::now() - Duration::from_secs(100 * 86_400);
    for file in files_below(store) {
        // Another process may have taken it away.
        let _ = fs::File::open(&file).and_then(|f| f.set_modified(then));
    }
}

fn count(place: &Place, folder: &str) -> usize {
    files_below(&place.cache().join(folder)).len()
}

fn cache(place: &Place, args: &[&str]) -> (i32, String) {
    let out = place.command(args).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.code().unwrap_or(-1), text)
}

fn gc(place: &Place, args: &[&str]) -> String {
    let (code, text) = cache(place, &[&["cache", "gc"], args].concat());
    assert_eq!(code, 0, "{text}");
    text
}

/// What is asked, after a run with `least=3` and one with `least=2` a hundred days ago; how many of the six records stay.
const KEPT: &[(&[&str], usize)] = &[
    (&[], 6),
    (&["--keep-runs", "1"], 4),
    (&["--keep-runs", "0"], 2),
    (&["--keep-runs", "0", "--drop-outputs"], 0),
    (&["--keep-runs", "0", "--keep-days", "365"], 6),
    (&["--keep-runs", "0", "--keep-days", "0", "--grace", "200d"], 6),
];

#[test]
fn what_the_last_runs_used_or_is_young_stays() {
    for (args, kept) in KEPT {
        let place = Place::new();
        place.done();
        assert_eq!(place.run(&["-p", "least=2"]).code, 0);
        assert_eq!(count(&place, "records"), 6);
        let before = count(&place, "blobs");
        age(&place.cache());
        let dry = gc(&place, &[*args, &["--dry-run"]].concat());
        assert_eq!((count(&place, "records"), count(&place, "blobs")), (6, before), "a dry run deletes nothing: {dry}");
        let text = gc(&place, &[*args, &["--apply"]].concat());
        assert_eq!(count(&place, "records"), *kept, "{args:?}: {text}");
        assert_eq!(*kept == 0, count(&place, "blobs") == 0, "{args:?}: {text}");
        assert!(dry.contains("results that no kept run used") == (*kept < 6), "{args:?}: {dry}");
        let freed = |text: &str| {
            text.lines().last().unwrap_or_default().rsplit("free").next().and_then(|s| s.get(2..)).map(str::to_owned)
        };
        assert_eq!(freed(&dry), freed(&text), "the dry run says what is done");
        let again = place.run(&["-p", "least=2", "--no-exec"]);
        assert_eq!(again.code, if *kept >= 4 { 0 } else { 5 }, "{args:?}: {}", again.stderr);
        assert_eq!(cache(&place, &["cache", "verify"]).0, 0);
        place.done();
    }
}

#[test]
fn a_recipe_that_is_gone_from_this_machine_holds_nothing() {
    let place = Place::new();
    place.done();
    age(&place.cache());
    fs::rename(place.path("recipe.rb2"), place.path("other.rb2")).unwrap();
    assert!(gc(&place, &["--apply"]).contains("freed"));
    assert_eq!(count(&place, "records"), 2, "its outputs hold theirs");
    fs::remove_dir_all(place.path("out")).unwrap();
    assert!(gc(&place, &["--apply"]).contains("freed"));
    assert_eq!(count(&place, "records"), 0);
}

/// What becomes of an output, and whether its result stays.
type Change = (&'static str, fn(&Place), bool);

const CHANGES: &[Change] = &[
    ("nothing", |_| {}, true),
    ("a user's edit", |place| fs::write(place.path("out/kept.jsonl"), "mine").unwrap(), true),
    ("the output is gone", |place| fs::remove_file(place.path("out/kept.jsonl")).unwrap(), false),
    ("its note is gone", |place| fs::remove_file(place.path("out/kept.jsonl.rbpipe.json")).unwrap(), false),
    (
        "another result is put there",
        |place| {
            place.write("recipe.rb2", &place.read("recipe.rb2").replace(".text + .text", ".text + \"!\""));
            place.done();
        },
        false,
    ),
];

#[test]
fn a_result_stays_as_long_as_its_output() {
    for (what, change, stays) in CHANGES {
        let place = Place::new();
        let ran = place.done();
        let key =
            ran.events.iter().find(|e| e["node"] == "kept" && e["event"] == "node_finished").unwrap()["key"].clone();
        let record = record::path(&Store::open(place.cache()).unwrap(), Digest::parse(key.as_str().unwrap()).unwrap());
        change(&place);
        age(&place.cache());
        let args = ["--keep-runs", "0", "--keep-days", "0", "--grace", "0s"];
        let dry = gc(&place, &args);
        assert!(dry.contains("outputs of recipe.rb2"), "{what}: the other output is there: {dry}");
        gc(&place, &[&args[..], &["--apply"]].concat());
        assert_eq!(record.exists(), *stays, "{what}: {dry}");
        assert_eq!(count(&place, "outputs"), 1 + usize::from(*stays || what.starts_with("another")), "{what}");
        assert_eq!(cache(&place, &["cache", "verify"]).0, 0, "{what}");
        // What a result stays for: it is put back without being made, as soon as its inputs' results are there again.
        place.write("recipe.rb2", crate::engine::RECIPE);
        let again = place.run(&["--force"]);
        assert_eq!(again.code, 0, "{what}: {}", again.stderr);
        assert_eq!(again.executed().contains(&"kept".to_owned()), !stays, "{what}");
    }
}

#[test]
fn the_text_of_a_recipe_stays_as_long_as_a_run_of_it() {
    let place = Place::new();
    let texts =
        || files_below(&place.cache().join("runs")).iter().filter(|f| f.to_string_lossy().contains("/texts/")).count();
    place.done();
    place.done();
    assert_eq!(texts(), 1, "it is kept once");
    place.write_quietly("recipe.rb2", &place.read("recipe.rb2").replace("nothing left", "nothing is left"));
    place.done();
    age(&place.cache());
    gc(&place, &["--apply"]);
    assert_eq!(texts(), 2, "both are named by runs that are kept");
    let text = gc(&place, &["--apply", "--keep-runs", "1"]);
    assert!(texts() == 1 && text.contains("texts of recipes as they ran"), "{text}");
    let page = place.path("r.html");
    assert_eq!(cache(&place, &["report", "recipe.rb2", "-o", page.to_str().unwrap()]).0, 0);
    assert!(place.read("r.html").contains("nothing is left"));
}

#[test]
fn other_garbage_has_its_reason() {
    let place = Place::new();
    place.done();
    let root = place.cache();
    let key = Digest::of(b"nobody's").hex();
    let leftovers = [
        (format!("checkpoints/{key}/step-3/weights"), "checkpoints of trainings that nobody goes on with"),
        ("logs/0123456789ab.log".to_owned(), "logs"),
        (format!("views/{key}/part-00000.parquet"), "copies made by `show --path`"),
        (format!("quarantine/{key}"), "damaged bytes"),
        (format!("blobs/{}/{}", &key[..2], &key[2..]), "bytes that no record names"),
    ];
    for (path, _) in &leftovers {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), "some bytes").unwrap();
    }
    fs::create_dir_all(root.join("wheels/tiny==1")).unwrap();
    fs::write(root.join("wheels/tiny==1/tiny.whl"), "zip").unwrap();
    gc(&place, &["--apply"]);
    assert!(leftovers.iter().all(|(path, _)| root.join(path).exists()), "all of it is young");
    age(&root);
    for entry in fs::read_dir(&root).unwrap().flatten().filter(|e| e.path().is_dir()) {
        for inner in fs::read_dir(entry.path()).unwrap().flatten() {
            fs::File::open(inner.path()).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
    }
    for inner in [format!("checkpoints/{key}/step-3"), format!("views/{key}")] {
        fs::File::open(root.join(inner)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    let text = gc(&place, &["--apply"]);
    for (path, why) in &leftovers {
        assert!(text.contains(why) && !root.join(path).exists(), "{path}: {text}");
    }
    assert!(text.contains("wheels") && root.join("wheels/tiny==1/tiny.whl").exists(), "{text}");
    assert_eq!(place.run(&["--no-exec"]).code, 0);
}

#[test]
fn pictures_that_rows_name_are_reached_through_every_record() {
    let bench = Workbench::new();
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(3, 2, image::Rgb([9, 8, 7])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    fs::write(bench.folder().join("a.png"), png.get_ref()).unwrap();
    let picture = Digest::of(png.get_ref());
    let told = Digest::of(b"told in a text");
    let rows = [json!({ "id": "r", "view": "a.png", "views": ["a.png"], "text": format!("see {told}, {told}0") })];
    let columns = [("id", "Str"), ("view", "Image"), ("views", "[Image]"), ("text", "Str")];
    let table = bench.table(&columns, &rows, None);
    let artifact = rbpipe::engine::storage::dataset::save(&bench.store, &table).unwrap();
    let files: Vec<Digest> = artifact.files.values().map(|f| f.digest).collect();
    let output = bench.store.put_artifact(&artifact).unwrap();
    let made = record::Record {
        key: Digest::of(b"key"),
        preimage: serde_json::Map::new(),
        outputs: [(String::new(), output)].into(),
        attachments: Default::default(),
        seconds: 0.0,
        rows: Some(1),
        bytes: 0,
        counts: Default::default(),
        of_rows: None,
        kept: None,
        began: None,
        fates: None,
        name: "n".into(),
        made: "now".into(),
        build: "test".into(),
    };
    let names = reach::Reach::new(&bench.store).record(&made);
    assert!(names.certain.contains(&picture) && names.certain.contains(&output));
    assert!(files.iter().all(|f| names.certain.contains(f)));
    assert!(names.perhaps.contains(&told) && !names.certain.contains(&told));
}

#[test]
fn a_collection_that_was_killed_leaves_no_record_without_its_bytes() {
    let texts: Vec<String> = (0..300).map(|i| format!("some words of row {i}")).collect();
    let place = Place::new();
    place.write("rows.jsonl", &rows(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
    for least in 1..12 {
        // With few rows left the expectation fails; their result is recorded all the same.
        assert!(matches!(place.run(&["-p", &format!("least={least}"), "--to", "long"]).code, 0 | 4));
    }
    for after in [0, 1, 2, 3, 4, 6, 8, 12, 20, 40] {
        age(&place.cache());
        let mut child = place.command(&[ALL, &["--apply"]].concat()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        let _ = child.kill();
        child.wait().unwrap();
        let store = Store::open(place.cache()).unwrap();
        for key in record::keys(&store) {
            assert!(record::lookup(&store, key).is_some(), "a record lost its bytes after {after} ms");
        }
        let (code, text) = cache(&place, &["cache", "verify"]);
        assert_eq!(code, 0, "{text}");
        place.done();
    }
}

#[test]
fn runs_beside_collections_lose_nothing() {
    let place = Place::new();
    place.done();
    let (kept, all) = (place.read("out/kept.jsonl"), place.read("out/all.jsonl"));
    // What each run makes is made old at once, so that only use, leases and journals protect it.
    let collector = |on: &std::sync::atomic::AtomicBool| {
        while on.load(std::sync::atomic::Ordering::Relaxed) {
            let (code, text) = cache(&place, &[ALL, &["--apply"]].concat());
            assert_eq!(code, 0, "{text}");
        }
    };
    let on = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        let collecting = scope.spawn(|| collector(&on));
        for round in 0..12 {
            let least = 1 + round % 3;
            age(&place.cache());
            let ran = place.run(&["-p", &format!("least={least}")]);
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            let store = Store::open(place.cache()).unwrap();
            for key in record::keys(&store) {
                // Gone as a whole between two looks is right; half gone is not.
                let whole = record::lookup(&store, key).is_some() || !record::path(&store, key).exists();
                assert!(whole, "round {round}: a record lost its bytes");
            }
        }
        on.store(false, std::sync::atomic::Ordering::Relaxed);
        collecting.join().unwrap();
    });
    place.done();
    assert_eq!((place.read("out/kept.jsonl"), place.read("out/all.jsonl")), (kept, all));
    assert_eq!(cache(&place, &["cache", "verify"]).0, 0);
}

#[test]
fn a_blob_that_is_used_again_survives_the_collection_that_had_chosen_it() {
    let place = Place::new();
    let store = Store::open(place.cache()).unwrap();
    let blob = store.put(b"made long ago, named by nobody").unwrap();
    age(&place.cache());
    // The collector has looked at the old time and waits for the gate, as a publisher finds the blob and goes in before it.
    let held = gate::Gate::shared(store.root()).unwrap();
    let mut child = place.command(&[ALL, &["--apply"]].concat()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert!(child.try_wait().unwrap().is_none(), "nothing is deleted while the gate is held");
    store.put(b"made long ago, named by nobody").unwrap();
    drop(held);
    assert!(child.wait().unwrap().success());
    assert!(store.holds(blob), "a publisher relies on it");
    age(&place.cache());
    gc(&place, &["--apply", "--keep-runs", "0"]);
    assert!(!store.holds(blob), "nobody does any more");
}

/// Which blob is damaged, and how.
const DAMAGE: &[&str] = &["flip", "cut", "empty", "gone"];

#[test]
fn what_is_damaged_is_found_moved_aside_and_made_anew() {
    let place = Place::new();
    place.done();
    let good = place.read("out/kept.jsonl");
    let blobs = files_below(&place.cache().join("blobs"));
    for (i, blob) in blobs.iter().enumerate() {
        let how = DAMAGE[i % DAMAGE.len()];
        let mut bytes = fs::read(blob).unwrap();
        fs::remove_file(blob).unwrap();
        match how {
            "flip" => bytes[0] ^= 1,
            "cut" => bytes.truncate(bytes.len() / 2),
            _ => bytes.clear(),
        }
        if how != "gone" {
            fs::write(blob, &bytes).unwrap();
        }
        let (code, text) = cache(&place, &["cache", "verify"]);
        assert_eq!(code, 5, "{how}: {text}");
        let names = ["damaged bytes  ", "missing bytes  "];
        let (told, not) = if how == "gone" { (names[1], names[0]) } else { (names[0], names[1]) };
        assert!(text.contains(told) && !text.contains(not), "{how}: {text}");
        assert_eq!(count(&place, "quarantine"), 0, "looking changes nothing");
        let (code, text) = cache(&place, &["cache", "verify", "--repair"]);
        assert_eq!(code, 0, "{how}: {text}");
        assert_eq!(count(&place, "quarantine"), usize::from(how != "gone"), "{how}: {text}");
        assert_eq!(cache(&place, &["cache", "verify"]).0, 0, "{how}");
        fs::remove_dir_all(place.path("out")).unwrap();
        assert!(!place.done().executed().is_empty(), "{how}: it is made anew");
        assert_eq!(place.read("out/kept.jsonl"), good, "{how}");
        fs::remove_dir_all(place.cache().join("quarantine")).unwrap();
    }
    let records = files_below(&place.cache().join("records"));
    fs::write(&records[0], "{}").unwrap();
    assert_eq!(cache(&place, &["cache", "verify"]).0, 5);
    assert_eq!(cache(&place, &["cache", "verify", "--repair"]).0, 0);
    assert_eq!(place.done().executed().len(), 1);
}

#[test]
fn wrong_times_are_refused_before_anything_is_touched() {
    let place = Place::new();
    for args in [["--grace", "5"], ["--grace", "x"], ["--keep-days", "-1"], ["--keep-days", "many"]] {
        assert_eq!(cache(&place, &["cache", "gc", args[0], args[1]]).0, 2, "{args:?}");
    }
    assert_eq!(cache(&place, &["cache", "gc", "--apply", "--dry-run"]).0, 2, "one or the other");
}

#[test]
fn a_record_that_is_a_hit_survives_the_collection_that_had_chosen_it() {
    let place = Place::new();
    place.done();
    age(&place.cache());
    let store = Store::open(place.cache()).unwrap();
    let used = record::all(&store).into_iter().find(|r| r.name == "kept").unwrap().key;
    let held = gate::Gate::shared(store.root()).unwrap();
    let mut child = place.command(&[ALL, &["--apply"]].concat()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    assert!(child.try_wait().unwrap().is_none(), "nothing is deleted while the gate is held");
    assert!(record::claim(&store, used).is_some());
    drop(held);
    assert!(child.wait().unwrap().success());
    assert_eq!(record::keys(&store), [used], "all others went");
    assert!(record::lookup(&store, used).is_some(), "with all its bytes");
    assert_eq!(cache(&place, &["cache", "verify"]).0, 0);
}

/// A recipe whose rows name a picture, and the picture.
pub fn with_a_picture(place: &Place) {
    let picture = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8, y as u8, 3]));
    fs::create_dir_all(place.path("pics")).unwrap();
    picture.save(place.path("pics/a.png")).unwrap();
    place.write(
        "rows.jsonl",
        "{\"id\": \"a\", \"view\": \"a.png\", \"n\": 1}\n{\"id\": \"b\", \"view\": \"a.png\", \"n\": 2}\n",
    );
    place.write(
        "recipe.rb2",
        "recipe \"pictures\"\nimport std.{data, filter}\nschema Row { id: Str, view: Image, n: Int }\n\
         let rows = data.jsonl(\"rows.jsonl\", as: Row, media: \"pics\")\n\
         expect rows.rows >= 1rows else \"none\"\n\
         output kept = rows |> filter.rule(where: .n < 2) to \"out/kept.jsonl\"\n",
    );
}

#[test]
fn pictures_of_kept_rows_stay() {
    let place = Place::new();
    with_a_picture(&place);
    place.done();
    age(&place.cache());
    fs::remove_dir_all(place.path("out")).unwrap();
    gc(&place, &["--apply"]);
    assert_eq!(cache(&place, &["cache", "verify"]).0, 0);
    assert_eq!(place.run(&["--no-exec"]).code, 0);
    assert_eq!(files_below(&place.path("out/kept.media")).len(), 1);
    // Without the picture the rows are worth nothing: verification sees that, and repair makes both anew.
    let picture = Digest::of(&fs::read(place.path("pics/a.png")).unwrap()).hex();
    fs::remove_file(place.cache().join("blobs").join(&picture[..2]).join(&picture[2..])).unwrap();
    assert_eq!(cache(&place, &["cache", "verify"]).0, 5);
    assert_eq!(cache(&place, &["cache", "verify", "--repair"]).0, 0);
    fs::remove_dir_all(place.path("out")).unwrap();
    assert_eq!(place.done().executed(), ["kept", "rows"]);
    assert_eq!(files_below(&place.path("out/kept.media")).len(), 1);
}
