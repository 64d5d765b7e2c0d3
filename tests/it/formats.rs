//! Files as other tools write them: `datasets`, WebDataset, LLaMA-Factory, the hub's cache; and back.

use std::path::Path;

use serde_json::{Value as Json, json};

use crate::bench::{Bench, Made};
use crate::engine::Place;

/// A small PNG of one colour.
pub fn png(color: [u8; 3]) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(4, 3, image::Rgb(color)).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn schema(columns: &[(&str, &str)]) -> Json {
    json!({ "columns": columns.iter().map(|(name, ty)| json!({ "name": name, "type": ty })).collect::<Vec<_>>() })
}

/// What became of rows that did not fit: where and why.
pub fn told(made: &Made) -> Vec<String> {
    made.fates.iter().map(|f| format!("{}: {}", f.row, f.why)).collect()
}

/// Files that `datasets` 5.2 wrote (`tests/formats/make.py`).
#[test]
fn files_of_datasets_are_read_as_they_are() {
    let bench = Bench::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let columns = schema(&[
        ("id", "Str"),
        ("label", "enum { low, mid, high }"),
        ("n", "Int?"),
        ("score", "Float?"),
        ("image", "Image"),
        ("images", "[Image]"),
        ("turns", "[{ role: Str, content: Str }]"),
    ]);
    for kind in ["parquet", "arrow"] {
        let args = json!({ "path": format!("rows.{kind}"), "as": columns, "media": null, "bad": "quarantine" });
        let made = bench.run_in(&folder, &format!("data.{kind}"), args, &[]).unwrap();
        assert_eq!(made.ids(), ["a", "b"], "{kind}");
        assert_eq!(
            (made.column("label"), made.column("n")),
            (vec![json!("low"), json!("high")], vec![json!(1), Json::Null])
        );
        let (image, images) = (made.column("image"), made.column("images"));
        assert_eq!(image[0]["digest"], images[0][0]["digest"]);
        assert_eq!(image[1]["digest"], images[0][1]["digest"], "the file beside is the blue one");
        assert_eq!((&image[1]["width"], images[1].as_array().unwrap().len()), (&json!(8), 0));
        assert_eq!(made.column("turns")[0][0]["content"], "Where?");
        let expected = format!("rows.{kind}[2]: column `image`: the picture is no picture or video of a known kind");
        assert_eq!(told(&made), [expected]);
        let text =
            json!({ "path": format!("rows.{kind}"), "as": schema(&[("label", "Int")]), "media": null, "bad": "fail" });
        assert_eq!(bench.run_in(&folder, &format!("data.{kind}"), text, &[]).unwrap().column("label"), [0, 2, 1]);
    }
}

/// What does not begin like a picture is not read to its end, and a pipe is not waited for.
#[cfg(unix)]
#[test]
fn what_is_no_picture_is_not_unpacked() {
    let bench = Bench::new();
    let pipe = bench.folder().join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::create_dir(bench.folder().join("folder")).unwrap();
    let rows = ["pipe.png", "folder", "", "/dev/zero"].map(|name| json!({ "id": name, "pic": name }).to_string());
    bench.write("rows.jsonl", rows.join("\n").as_bytes());
    let load = |path: &str, media: Json| {
        let args = json!({ "path": path, "as": schema(&[("id", "Str"), ("pic", "Image")]), "media": media, "bad": "quarantine" });
        told(&bench.run("data.jsonl", args, &[]).unwrap())
    };
    let expected = [
        "rows.jsonl:1: column `pic`: `pipe.png` is no file",
        "rows.jsonl:2: column `pic`: `folder` is no file",
        "rows.jsonl:3: column `pic`: the path is empty",
        "rows.jsonl:4: column `pic`: `/dev/zero` leaves the media folder",
    ];
    assert_eq!(load("rows.jsonl", Json::Null), expected);

    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("zeros.png", options).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..64).for_each(|_| std::io::Write::write_all(&mut zip, &zeros).unwrap());
    bench.write("all.zip", &zip.finish().unwrap().into_inner());
    bench.write("zip.jsonl", br#"{"id":"a","pic":"zeros.png"}"#);
    let why = load("zip.jsonl", json!("all.zip"));
    assert_eq!(why, ["zip.jsonl:1: column `pic`: `zeros.png` is no picture or video of a known kind"]);
}

/// A tar file with these members.
pub fn shard(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Written as it is: `set_path` refuses what climbs out.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn shards_of_webdataset() {
    let bench = Bench::new();
    let (red, blue) = (png([255, 0, 0]), png([0, 0, 255]));
    let first = shard(&[
        ("a/x.y.png", &red),
        ("a/x.json", br#"{"n": 3, "more": [1]}"#),
        ("../../k.jpg", &red),
        ("../../k.json", br#"{"n": 4}"#),
        ("two.png", &red),
        ("two.webp", &blue),
        ("two.json", br#"{"n": 5}"#),
        ("bad.png", b"no picture"),
        ("bad.json", br#"{"n": 6}"#),
        ("none.json", br#"{"n": 7}"#),
        ("cls.png", &blue),
        ("cls.json", br#"{"n": 8}"#),
        ("cls.txt", "zwei\n".as_bytes()),
        ("cls.cls", b"12\n"),
        ("two.json", br#"{"n": 9}"#),
    ]);
    bench.write("t-009.tar", &first);
    let last =
        shard(&[("last.png", &red), ("last.json", br#"{"n": 1}"#), ("cut.png", &red), ("cut.json", &[b' '; 4000])]);
    bench.write("t-010.tar", &last[..last.len() - 3000]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gz, &shard(&[("z.png", &blue), ("z.json", br#"{"n": 2}"#)])).unwrap();
    bench.write("t.tar.gz", &gz.finish().unwrap());
    let columns = [("id", "Str"), ("image", "Image"), ("n", "Int"), ("text", "Str?"), ("cls", "Int?")];
    let load = |path: &str, columns: &[(&str, &str)]| {
        bench.run("data.webdataset", json!({ "path": path, "as": schema(columns), "bad": "quarantine" }), &[])
    };
    let made = load("t-{009..010}.tar", &columns).unwrap();
    assert_eq!(made.ids(), ["../../k", "cls", "last"]);
    assert_eq!((made.column("n"), made.column("text")[1].clone()), (vec![json!(4), json!(8), json!(1)], json!("zwei")));
    assert_eq!(made.column("cls"), [Json::Null, json!(12), Json::Null]);
    insta::assert_snapshot!("shards", told(&made).join("\n"));
    let named = load("t-009.tar", &[("y_png", "Image"), ("n", "Int")]).unwrap();
    assert_eq!((named.column("n"), named.column("y_png")[0]["width"].clone()), (vec![json!(3)], json!(4)));
    assert_eq!(load("t.tar.gz", &columns).unwrap().ids(), ["z"]);
    assert_eq!(load("t-{009..011}.tar", &columns).err().unwrap().code, "E0501");
    bench.write("empty.tar", b"");
    assert!(told(&load("empty.tar", &columns).unwrap())[0].ends_with("the shard holds no sample"));
}

#[test]
fn dataset_info_is_read_as_it_is() {
    let bench = Bench::new();
    bench.write("lf/a.png", &png([9, 9, 9]));
    bench.write(
        "lf/alpaca.json",
        br#"[{"instruction":"Look.","input":"Where?","output":"left","history":[["Hi","Hello"]],"system":"S","images":["a.png"]},
            {"instruction":"Look.","input":"","output":3}, {"instruction":"<image><image>","output":"x","images":["a.png"]}]"#,
    );
    bench.write(
        "lf/share.jsonl",
        br#"{"id":7,"conversations":[{"from":"system","value":"S"},{"from":"human","value":"<image>Who?"},{"from":"function_call","value":"{\"name\":\"see\",\"arguments\":{\"at\":1}}"},{"from":"observation","value":"me"},{"from":"gpt","value":"You"}],"pics":"a.png","tools":"[]"}
{"conversations":[{"from":"human","value":"a"},{"from":"human","value":"b"},{"from":"gpt","value":"c"}]}
{"conversations":[{"from":"human","value":"a"}]}
{"conversations":[{"from":"robot","value":"a"},{"from":"gpt","value":"c"}]}
"#,
    );
    bench.write(
        "lf/pairs.json",
        br#"[{"conversations":[{"from":"human","value":"Q1"},{"from":"gpt","value":"A1"},{"from":"human","value":"Q2"}],"chosen":{"from":"gpt","value":"good"},"rejected":{"from":"gpt","value":"bad"}},
            {"conversations":[{"from":"human","value":"Q"}],"chosen":"good"}]"#,
    );
    bench.write("lf/many/b.csv", b"q,a\nOne?,1\n");
    bench.write("lf/many/c.csv", b"q,a\nTwo?,2\nThree?,3\n");
    bench.write(
        "lf/openai.jsonl",
        br#"{"messages":[{"role":"user","content":[{"type":"image"},{"type":"text","text":"What?"}]},{"role":"assistant","content":"It"}],"images":["a.png"]}"#,
    );
    bench.write(
        "lf/dataset_info.json",
        br#"{
  "alpaca": { "file_name": "alpaca.json", "columns": { "prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system", "images": "images" } },
  "bare": { "file_name": "alpaca.json" },
  "share": { "file_name": "share.jsonl", "formatting": "sharegpt", "columns": { "messages": "conversations", "images": "pics", "tools": "tools" } },
  "pairs": { "file_name": "pairs.json", "formatting": "sharegpt", "ranking": true, "columns": { "messages": "conversations", "chosen": "chosen", "rejected": "rejected" } },
  "many": { "file_name": "many", "num_samples": 2, "columns": { "prompt": "q", "response": "a" } },
  "openai": { "file_name": "openai.jsonl", "formatting": "openai", "columns": { "messages": "messages", "images": "images" } },
  "typo": { "file_name": "alpaca.json", "columns": { "prompt": "instruction", "image": "images" } },
  "script": { "script_url": "x" }
}"#,
    );
    let read = |name: &str, pairs: bool| {
        let args =
            json!({ "path": "lf/dataset_info.json", "name": name, "media": null, "pairs": pairs, "bad": "quarantine" });
        bench.run("data.dataset_info", args, &[])
    };
    let mut said = String::new();
    for (name, pairs) in
        [("alpaca", false), ("bare", false), ("share", false), ("pairs", true), ("many", false), ("openai", false)]
    {
        let made = read(name, pairs).unwrap();
        said += &format!("== {name}\n");
        for row in 0..made.table().rows() {
            let mut cells: Vec<String> = Vec::new();
            for (column, _) in made.table().columns() {
                let value = match &made.column(&column)[row] {
                    Json::Array(items) if column == "images" => json!(items.len()),
                    Json::Array(turns) if column == "messages" => {
                        turns.iter().map(|t| json!([t["role"], t["content"]])).collect()
                    }
                    other => other.clone(),
                };
                if !value.is_null() && value != json!([]) {
                    cells.push(format!("{column}={value}"));
                }
            }
            said += &format!("{}\n", cells.join(" "));
        }
        said += &told(&made).iter().map(|t| format!("! {t}\n")).collect::<String>();
    }
    for (name, pairs) in [("alpaka", false), ("typo", false), ("script", false), ("pairs", false)] {
        let error = read(name, pairs).err().unwrap();
        said += &format!("{}: {}; {}\n", error.code, error.message, error.help.unwrap_or_default());
    }
    insta::assert_snapshot!(said);
}

/// LLaVA's rows name one picture; what else does not fit says which layout or column was meant.
#[test]
fn chats_say_what_was_meant() {
    let bench = Bench::new();
    for name in ["a.png", "b.png"] {
        bench.write(&format!("pics/{name}"), &png([9, 9, 9]));
    }
    let talk = r#"[{"from":"human","value":"<image>\nWho?"},{"from":"gpt","value":"You"}]"#;
    let row = |rest: &str| format!("{{\"conversations\":{talk}{rest}}}\n");
    bench.write(
        "llava.jsonl",
        [
            r#","id":1,"image":"a.png""#,
            r#","id":"two","image":["b.png"],"images":null"#,
            r#","image":"a.png","images":["b.png"]"#,
            r#","image_file":"a.png""#,
            r#","image":["a.png","b.png"]"#,
        ]
        .map(row)
        .concat()
        .as_bytes(),
    );
    bench.write("asks.jsonl", br#"{"instruction":"Who?","output":"You"}"#);
    let read = |path: &str, layout: &str, bad: &str| {
        let args = json!({ "path": path, "layout": layout, "media": "pics", "pairs": false, "bad": bad });
        bench.run("data.chat", args, &[])
    };
    let made = read("llava.jsonl", "sharegpt", "quarantine").unwrap();
    assert_eq!(made.column("id"), ["1", "two"]);
    assert_eq!(made.column("images").iter().map(|i| i.as_array().unwrap().len()).collect::<Vec<_>>(), [1, 1]);
    let mut said = told(&made);
    for (path, layout) in [("llava.jsonl", "messages"), ("asks.jsonl", "sharegpt"), ("asks.jsonl", "messages")] {
        let error = read(path, layout, "fail").err().unwrap();
        said.push(format!("{}: {}; {}", error.code, error.message, error.help.unwrap_or_default()));
    }
    insta::assert_snapshot!(said.join("\n"));
}

/// A change of the rows that `dataset_info.json` names is seen, and pairs are typed as such.
#[test]
fn a_recipe_of_llama_factory_rows() {
    let place = Place::new();
    place.write("lf/rows.json", r#"[{"instruction":"Q","output":"A"}]"#);
    place.write("lf/pairs.json", r#"[{"instruction":"Q","chosen":"good","rejected":"bad"}]"#);
    place.write(
        "lf/dataset_info.json",
        r#"{"rows": {"file_name": "rows.json"}, "pairs": {"file_name": "pairs.json", "ranking": true, "columns": {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"}}}"#,
    );
    place.write(
        "recipe.rb2",
        r#"recipe "lf" requires ">=0.1"
import std.data

output rows = data.dataset_info("lf/dataset_info.json", name: "rows") to "out/rows.jsonl"
output sft  = data.dataset_info("lf/dataset_info.json", name: "pairs", pairs: true)
  |> data.as_sft()
  |> data.select(columns: [.prompt, .output])
  to "out/sft.jsonl"
"#,
    );
    place.done();
    assert_eq!(place.read("out/sft.jsonl"), "{\"prompt\":\"Q\",\"output\":\"good\"}\n");
    place.write("lf/rows.json", r#"[{"instruction":"Q","output":"B"}]"#);
    place.done();
    assert!(place.read("out/rows.jsonl").contains("\"B\""));
}

#[test]
fn splits_of_the_hub() {
    let bench = Bench::new();
    let row = |id: &str| format!("{{\"id\":\"{id}\"}}\n");
    let listed = "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: \"d/one-*\"\n  - split: test\n    path:\n    - d/two.jsonl\n    - e/three.jsonl\n- config_name: small\n  data_dir: e\ntags:\n- a\n---\n# Hi\n";
    for (path, text) in [
        ("m/o/listed/README.md", listed.to_owned()),
        ("m/o/listed/d/one-1.jsonl", row("one-1")),
        ("m/o/listed/d/one-2.jsonl", row("one-2")),
        ("m/o/listed/d/two.jsonl", row("two")),
        ("m/o/listed/e/three.jsonl", row("three")),
        (
            "m/o/strange/README.md",
            "---\nconfigs: &x\nconfigs:\n- config_name: default\n  data_files: *x\n  what: 1\n---\n".to_owned(),
        ),
        ("m/o/named/data/train-00000-of-00002.jsonl", row("t0")),
        ("m/o/named/data/train-00001-of-00002.jsonl", row("t1")),
        ("m/o/named/data/test-00000-of-00001.jsonl", row("e")),
        ("m/o/named/extra/train.jsonl", row("extra")),
        ("m/o/plain/a.jsonl", row("a")),
    ] {
        bench.write(path, text.as_bytes());
    }
    let found = |repo: &str, config: &str, split: &str| {
        let root = bench.write("m/marker", b"").with_file_name(format!("o/{repo}"));
        match rbpipe::data::formats::files::of_split(&root, config, split) {
            Ok(files) => files.iter().map(|f| f.file_stem().unwrap().to_string_lossy().into_owned()).collect(),
            Err(e) => vec![e.code.to_owned()],
        }
    };
    assert_eq!(found("listed", "default", "train"), ["one-1", "one-2"]);
    assert_eq!(found("listed", "default", "test"), ["two", "three"]);
    assert_eq!(found("listed", "small", "train"), ["three"]);
    assert_eq!(found("listed", "large", "train"), ["E0501"]);
    assert_eq!(found("strange", "default", "train"), ["E0503"]);
    assert_eq!(found("named", "default", "test"), ["test-00000-of-00001"]);
    assert_eq!(found("named", "extra", "train"), ["train"]);
    assert_eq!(found("named", "default", "validation"), ["E0501"]);
    assert_eq!(found("plain", "default", "train"), ["a"]);
    assert_eq!(found("plain", "default", "test"), ["E0501"]);
}

/// The cache as `huggingface_hub` lays it out, links and all; and a mirror before it.
#[test]
fn datasets_of_the_hub_are_found_on_this_machine() {
    let place = Place::new();
    let folder = "cache/hub/datasets--o--d";
    place.write(&format!("{folder}/refs/main"), "c0ffee");
    place.write(&format!("{folder}/blobs/b1"), "{\"id\":\"cached\"}\n");
    place.write(&format!("{folder}/snapshots/c0ffee/.keep"), "");
    let link = place.path(&format!("{folder}/snapshots/c0ffee/train.jsonl"));
    std::os::unix::fs::symlink("../../blobs/b1", link).unwrap();
    place.write("mirror/o/d/train.jsonl", "{\"id\":\"mirrored\"}\n");
    place.write(
        "recipe.rb2",
        r#"recipe "hub" requires ">=0.1"
import std.data

schema Row { id: Str }

output rows = data.hf("o/d", as: Row) to "out/rows.jsonl"
output file = data.jsonl("hf:o/d/train.jsonl", as: Row) to "out/file.jsonl"
"#,
    );
    let run = |mirror: Option<&str>, home: &str| {
        let _ = std::fs::remove_file(place.path("recipe.rb2.lock"));
        let mut command = place.command(&["run", "recipe.rb2"]);
        command.env("HF_HOME", place.path(home)).env_remove("HF_HUB_CACHE").env_remove("RBPIPE_HF_MIRROR");
        if let Some(mirror) = mirror {
            command.env("RBPIPE_HF_MIRROR", place.path(mirror));
        }
        let out = command.env("NO_COLOR", "1").output().unwrap();
        (out.status.code(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
    };
    for (mirror, expected) in [(None, "cached"), (Some("mirror"), "mirrored"), (Some("elsewhere"), "cached")] {
        let (ended, said) = run(mirror, "cache");
        assert_eq!(ended, Some(0), "{said}");
        for file in ["out/rows.jsonl", "out/file.jsonl"] {
            assert_eq!(place.read(file), format!("{{\"id\":\"{expected}\"}}\n"));
        }
    }
    let (ended, said) = run(None, "nowhere");
    assert!(ended == Some(1) && said.contains("E0501") && said.contains("hf download --repo-type dataset"), "{said}");
}

/// What is written as Parquet and Arrow comes back with its pictures, and `datasets` finds its types in the metadata.
#[test]
fn parquet_and_arrow_carry_their_pictures() {
    let place = Place::new();
    std::fs::write(place.path("a.png"), png([1, 2, 3])).unwrap();
    std::fs::write(place.path("b.png"), png([3, 2, 1])).unwrap();
    place.write("rows.jsonl", "{\"id\":\"x\",\"image\":\"a.png\",\"images\":[\"a.png\",\"b.png\"],\"n\":1}\n{\"id\":\"y\",\"image\":\"b.png\",\"images\":[]}\n");
    place.write(
        "recipe.rb2",
        r#"recipe "columns" requires ">=0.1"
import std.data

schema Row { id: Str, image: Image, images: [Image], n: Int? }

let d = data.jsonl("rows.jsonl", as: Row)

output a = d to "out/a.parquet"
output b = d to "out/a.arrow"
output c = d to "out/folder"
"#,
    );
    place.done();
    let bench = Bench::new();
    let columns = schema(&[("id", "Str"), ("image", "Image"), ("images", "[Image]"), ("n", "Int?")]);
    let read = |op: &str, path: &str| {
        let args = json!({ "path": place.path(path), "as": columns, "media": null, "bad": "fail" });
        bench.run(op, args, &[]).unwrap().table().clone()
    };
    let rows = read("data.jsonl", "rows.jsonl");
    for (op, path) in
        [("data.parquet", "out/a.parquet"), ("data.parquet", "out/folder/*.parquet"), ("data.arrow", "out/a.arrow")]
    {
        assert_eq!(read(op, path), rows, "{path}");
    }
    let file = std::fs::File::open(place.path("out/a.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let features: Json = serde_json::from_str(&reader.schema().metadata()["huggingface"]).unwrap();
    let value = |dtype: &str| json!({ "dtype": dtype, "_type": "Value" });
    let image = json!({ "_type": "Image" });
    let expected = json!({ "id": value("string"), "image": image, "images": [image], "n": value("int64") });
    assert_eq!(features, json!({ "info": { "features": expected } }));
}

/// A video of 40 frames at 20 per second; frame n is of luma 16 + 5n. None, and said, where there is no `ffmpeg`.
fn video(bench: &Bench, name: &str) -> bool {
    let path = bench.write(name, b"");
    let source = "nullsrc=s=64x48:r=20:d=2,geq=lum='16+5*N':cb=128:cr=128";
    let args = ["-v", "error", "-y", "-f", "lavfi", "-i", source, "-c:v", "mpeg4", "-q:v", "1"];
    let made = std::process::Command::new("ffmpeg").args(args).arg(path).status().is_ok_and(|s| s.success());
    if !made {
        eprintln!("SKIPPED: no `ffmpeg` on this machine, so no video was read");
    }
    made
}

#[test]
fn frames_of_videos() {
    let bench = Bench::new();
    if !video(&bench, "v.mp4") {
        return;
    }
    let whole = std::fs::read(bench.write("keep", b"").with_file_name("v.mp4")).unwrap();
    bench.write("cut.mp4", &whole[..whole.len() / 2]);
    bench.write(
        "rows.jsonl",
        br#"{"id":"a","video":"v.mp4","from":null,"to":null}
{"id":"b","video":"v.mp4","from":0.5,"to":1.0}
{"id":"c","video":null,"from":null,"to":null}
{"id":"d","video":"v.mp4","from":9.0,"to":10.0}
{"id":"e","video":"cut.mp4","from":null,"to":null}
"#,
    );
    let columns = schema(&[("id", "Str"), ("video", "Video?"), ("from", "Float?"), ("to", "Float?")]);
    let args = json!({ "path": "rows.jsonl", "as": columns, "media": null, "bad": "fail" });
    let d = bench.run("data.jsonl", args, &[]).unwrap().table().clone();
    let take = |pick: &str, count: i64, parts: bool, broken: &str| {
        let (start, stop) = if parts { (json!("from"), json!("to")) } else { (Json::Null, Json::Null) };
        let args = json!({ "video": "video", "count": count, "pick": pick, "fps": 4.0, "start": start, "stop": stop, "into": "shown", "broken": broken });
        bench.run("data.frames", args, &[("d", &d)])
    };
    let numbers = |made: &Made, column: &str, row: usize| -> Vec<i64> {
        let frames = made.column(column)[row].as_array().unwrap().clone();
        let number = |frame: &Json| {
            let digest = rbpipe::base::Digest::parse(frame["digest"].as_str().unwrap()).unwrap();
            let (_, picture) = rbpipe::data::pictures::media::decode(&bench.store().read(digest).unwrap()).unwrap();
            // Limited range: luma 16..235 becomes 0..255.
            (f64::from(picture.to_luma8().get_pixel(30, 20).0[0]) * 219.0 / 255.0 / 5.0).round() as i64
        };
        frames.iter().map(number).collect()
    };
    for (pick, count, expected) in [
        ("linspace", 4, vec![0, 13, 26, 39]),
        ("arange_floor", 4, vec![0, 10, 20, 30]),
        ("chunk_center", 4, vec![5, 15, 25, 35]),
        ("linspace_tail", 3, vec![0, 19, 39]),
        ("fps", 5, vec![0, 5, 10, 15, 20]),
    ] {
        let made = take(pick, count, false, "drop").unwrap();
        assert_eq!(numbers(&made, "shown", 0), expected, "{pick}");
        assert_eq!(
            (made.ids(), numbers(&made, "shown", 2)),
            (vec!["a".into(), "b".into(), "c".into(), "d".into()], vec![])
        );
        assert!(made.fates[0].row == "e" && made.fates[0].why.starts_with("the video is damaged"), "{:?}", made.fates);
    }
    let parts = take("linspace", 3, true, "drop").unwrap();
    assert_eq!((numbers(&parts, "shown", 1), parts.ids().len()), (vec![10, 15, 20], 3));
    assert_eq!(told(&parts)[0], "d: the video ends at 2.00 s, before the part that is meant");
    let error = take("linspace", 3, true, "fail").err().unwrap();
    assert!(error.code == "E0302" && error.message.starts_with("row 3 (id d): the video ends"), "{}", error.message);

    // Rows of a benchmark that ask for the same and for other parts of one video.
    let asked = [
        (json!(4), "linspace", Json::Null, vec![0, 13, 26, 39]),
        (json!(4), "linspace", json!([10, 20]), vec![10, 13, 16, 20]),
        (json!(4), "linspace", Json::Null, vec![0, 13, 26, 39]),
        (json!(4), "linspace", json!([10, 90]), vec![10, 19, 29, 39]),
        (json!(4), "linspace", json!([12, 20]), vec![12, 14, 17, 20]),
        (json!(3), "linspace", Json::Null, vec![0, 19, 39]),
        (json!(4), "arange_floor", Json::Null, vec![0, 10, 20, 30]),
    ];
    let row = |(i, (count, pick, within, _)): (usize, &(Json, &str, Json, Vec<i64>))| {
        let row = json!({ "id": i.to_string(), "video": "v.mp4", "count": count, "pick": pick, "within": within });
        format!("{row}\n")
    };
    bench.write("asked.jsonl", asked.iter().enumerate().map(row).collect::<String>().as_bytes());
    let columns = [("id", "Str"), ("video", "Video"), ("count", "Int"), ("pick", "Str"), ("within", "[Int]?")];
    let args = json!({ "path": "asked.jsonl", "as": schema(&columns), "media": null, "bad": "fail" });
    let d = bench.run("data.jsonl", args, &[]).unwrap().table().clone();
    let col = |name: &str| json!({ "col": name });
    let frames = [
        json!([null, col("video")]),
        json!(["count", col("count")]),
        json!(["pick", col("pick")]),
        json!(["within", col("within")]),
    ];
    let images = json!({ "call": { "name": "media.frames", "recv": { "lit": null }, "args": frames } });
    let args = json!({
        "id": col("id"), "kind": { "lit": "yes_no" }, "question": { "lit": "Is it grey?" }, "options": { "lit": [] },
        "options_in_question": false, "key": { "lit": "yes" }, "images": images, "permute": "none",
        "missing_media": "error", "allow_train_split": false,
    });
    let items = bench.run("bench.sample", args, &[("d", &d)]).unwrap();
    for (row, (count, pick, within, expected)) in asked.iter().enumerate() {
        assert_eq!(numbers(&items, "images", row), *expected, "{count} {pick} {within}");
    }
}

#[test]
fn languages() {
    let bench = Bench::new();
    let texts = [
        ("en", "Please pick up the red cup and put it on the plate next to the bowl."),
        ("de", "Bitte nimm die rote Tasse und stelle sie auf den Teller neben der Schüssel."),
        ("fr", "Veuillez prendre la tasse rouge et la poser sur l'assiette à côté du bol."),
        ("es", "Por favor, toma la taza roja y ponla en el plato que está junto al cuenco."),
        ("ru", "Пожалуйста, возьми красную чашку и поставь её на тарелку рядом с миской."),
        ("zh", "请拿起红色的杯子，把它放在碗旁边的盘子上。"),
        ("ja", "赤いカップを取って、ボウルの隣の皿に置いてください。"),
        ("ar", "من فضلك خذ الكوب الأحمر وضعه على الطبق بجانب الوعاء."),
    ];
    let mut rows: Vec<Json> = texts.iter().map(|(id, text)| json!({ "id": id, "t": text })).collect();
    rows.push(json!({ "id": "none", "t": "12 + 7" }));
    let d = crate::bench::rows(Json::Array(rows));
    let keep = |keep: &[&str], least: f64| {
        bench.run("filter.language", json!({ "of": "t", "keep": keep, "least": least }), &[("d", &d)])
    };
    let all: Vec<&str> = texts.iter().map(|(id, _)| *id).collect();
    let made = keep(&all, 0.0).unwrap();
    assert_eq!(made.ids(), all);
    assert_eq!(made.column("language"), all);
    assert_eq!(told(&made), ["none: .t has no text that tells a language"]);
    let made = keep(&["en", "zh"], 0.65).unwrap();
    assert_eq!(made.ids(), ["en", "zh"]);
    assert_eq!(made.counts["dropped: de"], 1);
    let error = keep(&["eng"], 0.5).err().unwrap();
    assert_eq!((error.code, error.help.as_deref()), ("E0612", Some("did you mean `en`?")));
}

#[test]
fn clips_of_epic_kitchens_and_ego4d() {
    let bench = Bench::new();
    // Enough of a header to be taken for a video: nothing is decoded here.
    let video = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";
    bench.write("P01/videos/P01_01.MP4", video);
    bench.write("v/u1.mp4", video);
    bench.write(
        "epic.csv",
        b"narration_id,participant_id,video_id,start_timestamp,stop_timestamp,narration,verb,noun,all_nouns\n\
          P01_01_0,P01,P01_01,00:00:00.14,00:01:03.37,open door,open,door,\"['door', \"\"chef's knife\"\"]\"\n\
          P01_01_1,P01,P01_01,soon,00:00:03.37,open door,open,door,['door']\n\
          P01_01_2,P01,P01_09,00:00:00.14,00:00:03.37,open door,open,door,['door']\n",
    );
    let args =
        json!({ "path": "epic.csv", "media": null, "file": "<participant>/videos/<video>.MP4", "bad": "quarantine" });
    let made = bench.run("data.epic", args, &[]).unwrap();
    assert_eq!((made.ids(), made.column("stop")), (vec!["P01_01_0".to_owned()], vec![json!(63.37)]));
    assert_eq!(
        (made.column("nouns"), made.column("start")),
        (vec![json!(["door", "chef's knife"])], vec![json!(0.14)])
    );
    let soon = "epic.csv:3: column `start_timestamp`: expected HH:MM:SS.ss, found \"soon\"";
    assert_eq!(told(&made), [soon, "epic.csv:4: column `video`: `P01/videos/P01_09.MP4` is missing"]);
    bench.write(
        "narration.json",
        br##"{"videos":{"u1":{"narration_pass_1":{"narrations":[
            {"timestamp_sec":0.5,"narration_text":"#C C opens the tap","annotation_uid":"a"},
            {"timestamp_sec":7,"narration_text":"#Unsure"},{"timestamp_sec":9.5,"narration_text":"Olive oil is poured"}]}}}}"##,
    );
    let args =
        json!({ "path": "narration.json", "media": "v", "file": "<video>.mp4", "around": 2.0, "bad": "quarantine" });
    let made = bench.run("data.ego4d", args, &[]).unwrap();
    assert_eq!(made.ids(), ["u1:a", "u1:narration_pass_1:2"]);
    assert_eq!(made.column("narration"), ["C opens the tap", "Olive oil is poured"]);
    assert_eq!(
        (made.column("start"), made.column("stop")),
        (vec![json!(0.0), json!(8.5)], vec![json!(1.5), json!(10.5)])
    );
    assert_eq!(told(&made), ["narration.json: u1, narration_pass_1[1]: the narrator was unsure"]);
    let load = |name: &str, json: Json| {
        bench.write(name, json.to_string().as_bytes());
        let args = json!({ "path": name, "media": "v", "file": "<video>.mp4", "around": 2.0, "bad": "quarantine" });
        bench.run("data.ego4d", args, &[]).unwrap()
    };
    // Queries and moments: seconds of the video are taken, not those of the clip that was annotated.
    let made = load(
        "nlq_train.json",
        json!({ "version": "1", "videos": [{ "video_uid": "u1", "clips": [{ "clip_uid": "c", "video_start_sec": 100.0, "annotations": [
            { "language_queries": [
                { "clip_start_sec": 1.0, "clip_end_sec": 3.0, "video_start_sec": 101.0, "video_end_sec": 103.0, "query": "Where is the knife?" },
                { "video_start_sec": 9.0, "video_end_sec": 8.0, "query": "When did I sit?" },
                { "query": "What did I put in the box?" } ] },
            { "labels": [{ "start_time": 1.0, "end_time": 2.0, "video_start_time": 101.0, "video_end_time": 102.0, "label": "cut_dough" }] } ] }] }] }),
    );
    assert_eq!(made.ids(), ["c:0:0", "c:1:0"]);
    assert_eq!(made.column("narration"), ["Where is the knife?", "cut_dough"]);
    assert_eq!((made.column("start"), made.column("stop")), (vec![json!(101.0); 2], vec![json!(103.0), json!(102.0)]));
    let at = |i: usize| format!("nlq_train.json: u1, clip c, annotations[0].language_queries[{i}]");
    let expected =
        [format!("{}: it goes from second 9 to 8", at(1)), format!("{}: `video_start_sec` is no number", at(2))];
    assert_eq!(told(&made), expected);
    let action = |i: u64, start: Json| {
        json!({ "video_uid": "u1", "clip_uid": "c", "action_idx": i, "verb": "take", "noun": "knife", "verb_label": 3,
            "clip_parent_start_sec": 30.5, "action_clip_start_sec": start, "action_clip_end_sec": 9.0 })
    };
    let made = load("fho_lta_train.json", json!({ "clips": [action(4, json!(8.0)), action(5, json!("8"))] }));
    assert_eq!((made.ids(), made.column("start")), (vec!["c:4".to_owned()], vec![json!(38.5)]));
    assert_eq!((made.column("verb"), made.column("nouns")), (vec![json!("take")], vec![json!(["knife"])]));
    assert_eq!(told(&made), ["fho_lta_train.json: clips[1]: `action_clip_start_sec` is no number"]);
    for (op, file, text) in [("data.epic", "x.csv", "a,b\n1,2\n"), ("data.ego4d", "x.json", "{}")] {
        bench.write(file, text.as_bytes());
        let args = json!({ "path": file, "media": null, "file": "x", "around": 1.0, "bad": "fail" });
        assert_eq!(bench.run(op, args, &[]).err().unwrap().code, "E0503", "{op}");
    }
}

/// A recipe gives weights of rows as a column, those of groups as a record.
#[test]
fn a_sample_is_weighted_by_a_column_of_a_recipe() {
    let place = Place::new();
    let row = |i: u32| {
        format!(
            "{}\n",
            json!({ "id": i.to_string(), "score": f64::from(i % 2), "group": if i < 20 { "a" } else { "b" } })
        )
    };
    place.write("rows.jsonl", &(0..40).map(row).collect::<String>());
    place.write(
        "recipe.rb2",
        r#"recipe "weighted" requires ">=0.1"
import std.data

schema Row { id: Str, score: Float, group: Str }

param seed: Int = 1

let rows = data.jsonl("rows.jsonl", as: Row)

output of_rows = rows |> data.sample(n: 10rows, weights: .score) to "rows-out.jsonl"
output of_groups = rows |> data.sample(n: 10rows, by: .group, weights: { a: 100% }) to "groups-out.jsonl"
"#,
    );
    place.done();
    let read = |file: &str| -> Vec<Json> {
        place.read(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let drawn = read("rows-out.jsonl");
    assert!(
        drawn.len() == 10 && drawn.iter().all(|row| row["score"] == 1.0),
        "a weight of 0 is never drawn: {drawn:?}"
    );
    let drawn = read("groups-out.jsonl");
    assert!(drawn.len() == 10 && drawn.iter().all(|row| row["group"] == "a"), "{drawn:?}");
}

/// The page shows what the numbers say, and nothing of a text is taken for markup.
#[test]
fn a_profile_has_a_page_and_numbers() {
    let place = Place::new();
    std::fs::write(place.path("a.png"), png([1, 2, 3])).unwrap();
    let row = |id: &str, n: f64, source: &str| {
        format!("{}\n", json!({ "id": id, "image": "a.png", "n": n, "source": source }))
    };
    place.write("rows.jsonl", &(row("x", 1.0, "<b>") + &row("y", 3.0, "c")));
    place.write(
        "recipe.rb2",
        r#"recipe "numbers" requires ">=0.1"
import std.data

schema Row { id: Str, image: Image, n: Float, source: Str }

let about = data.jsonl("rows.jsonl", as: Row) |> data.profile()

output page    = about to "out/about.html"
output numbers = about to "out/about.json"
"#,
    );
    place.done();
    let numbers: Json = serde_json::from_str(&place.read("out/about.json")).unwrap();
    let n = &numbers["columns"]["n"]["values"];
    let counts: Vec<u64> = n["histogram"].as_array().unwrap().iter().filter_map(Json::as_u64).collect();
    assert_eq!((counts.len(), counts[0], counts[23], counts.iter().sum::<u64>()), (24, 1, 1, 2));
    assert_eq!(numbers["columns"]["image"]["pictures"]["width"]["p50"], 4.0);
    let page = place.read("out/about.html");
    assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"), "{page}");
    // Rows by source; characters of ids and sources; values of n; width and height.
    assert_eq!(page.matches("<svg").count(), 1 + 2 + 1 + 2, "{page}");
}

/// What LVIS, COCO and Visual Genome publish, in small: what is cut, what is known to be absent, what is counted.
#[test]
fn annotations_of_pictures_as_published() {
    let bench = Bench::new();
    bench.write("1.png", &png([200, 0, 0]));
    bench.write("2.png", &png([0, 200, 0]));
    let categories =
        json!([{ "id": 18, "name": "dog" }, { "id": 1, "name": "baseball_bat" }, { "id": 3, "name": "cup" }]);
    let image = |id: i64, more: Json| {
        let mut image = json!({ "id": id, "file_name": format!("{id}.png"), "width": 4, "height": 3 });
        more.as_object().unwrap().iter().for_each(|(key, value)| image[key] = value.clone());
        image
    };
    let box_of = |image: i64, category: i64, sides: [f64; 4], crowd: i64| json!({ "id": 1, "image_id": image, "category_id": category, "bbox": sides, "iscrowd": crowd });
    let load = |op: &str, file: &str, content: &Json| {
        bench.write(file, content.to_string().as_bytes());
        bench.run(op, json!({ "path": file, "media": null, "bad": "quarantine" }), &[]).unwrap()
    };
    let coco = json!({ "images": [image(1, json!({})), image(2, json!({}))], "categories": categories,
        "annotations": [box_of(1, 18, [1.0, 1.0, 9.0, 9.0], 0), box_of(2, 3, [0.0, 0.0, 1.0, 1.0], 1), box_of(2, 18, [9.0, 1.0, 2.0, 1.0], 0)] });
    let coco = load("data.lvis", "coco.json", &coco);
    assert_eq!(coco.column("absent"), [json!(["baseball bat", "cup"]), json!(["baseball bat"])]);
    assert_eq!(coco.column("partial"), [json!([]), json!(["cup"])]);
    assert_eq!(coco.column("objects")[0][0]["box"], json!([1.0, 1.0, 3.0, 2.0]));
    assert_eq!(coco.column("objects")[1][1]["box"], json!([4.0, 1.0, 0.0, 1.0]));
    let lvis = json!({ "categories": categories, "images": [
        image(1, json!({ "neg_category_ids": [1], "not_exhaustive_category_ids": [] })),
        image(2, json!({ "neg_category_ids": [], "not_exhaustive_category_ids": [18] })) ],
        "annotations": [box_of(1, 18, [0.0, 0.0, 2.0, 2.0], 0), box_of(2, 18, [0.0, 0.0, 2.0, 2.0], 0), box_of(2, 3, [2.0, 0.0, 2.0, 2.0], 0), box_of(2, 1, [3.0, 2.0, 1.0, 1.0], 0)] });
    let lvis = load("data.lvis", "lvis.json", &lvis);
    assert_eq!(lvis.column("absent"), [json!(["baseball bat"]), json!([])]);
    assert_eq!(lvis.column("partial"), [json!([]), json!(["dog"])]);

    let everything = ["count", "total", "mark", "risk", "edge", "nearest", "free", "between", "point"];
    let args = json!({ "ask": everything, "per_scene": 50, "grid": 4, "letters": 0.0, "varied": false });
    let asked = bench.run("cot.questions", args, &[("scenes", lvis.table())]).unwrap();
    let said = asked.column("instruction").into_iter().zip(asked.column("output"));
    let said: Vec<(String, String)> =
        said.map(|(q, a)| (q.as_str().unwrap().to_owned(), a.as_str().unwrap().to_owned())).collect();
    let of = |kind: &str| asked.column("kind").iter().filter(|k| *k == kind).count();
    // One dog and no bat; one cup and one bat. Nobody knows how many dogs are in the second picture, nor of cups in the first.
    assert_eq!((of("count"), of("point"), said.len()), (4, 3, 7), "{said:?}");
    let counted =
        |n: &str| said.iter().zip(asked.column("kind")).filter(|((_, a), kind)| a == n && *kind == "count").count();
    assert_eq!((counted("1"), counted("0")), (3, 1), "{said:?}");

    let thing = |id: i64, name: &str, x: f64| json!({ "object_id": id, "names": [name], "x": x, "y": -1.0, "w": 2.0, "h": 2.0 });
    let relationships = json!([{ "image_id": 1, "file_name": "1.png", "relationships": [
        { "predicate": "ON ", "subject": thing(7, "cup", 0.0), "object": { "object_id": 9, "name": "table", "x": 0, "y": 1, "w": 4, "h": 9 } },
        { "predicate": "near", "subject": thing(7, "cup", 0.0), "object": thing(8, "spoon", -1.0) } ] }]);
    let scenes = load("data.visual_genome", "relationships.json", &relationships);
    let labels: Vec<Json> =
        scenes.column("objects")[0].as_array().unwrap().iter().map(|o| o["label"].clone()).collect();
    assert_eq!(labels, ["cup", "table", "spoon"]);
    assert_eq!(scenes.column("objects")[0][2]["box"], json!([0.0, 0.0, 1.0, 1.0]));
    let relations =
        json!([{ "subject": 0, "predicate": "on", "object": 1 }, { "subject": 0, "predicate": "near", "object": 2 }]);
    assert_eq!(scenes.column("relations"), [relations]);
    let unknown = json!([{ "image_id": 1, "file_name": "1.png", "relationships": [{ "predicate": "on", "subject_id": 1, "object_id": 2 }] }]);
    assert_eq!(
        told(&load("data.visual_genome", "unknown.json", &unknown)),
        ["unknown.json:0: a relation's subject is no object of the scene"]
    );

    let region = |id: i64, sides: [f64; 4]| {
        let [x, y, width, height] = sides;
        json!({ "region_id": id, "image_id": 1, "phrase": format!("thing {id}"), "x": x, "y": y, "width": width, "height": height })
    };
    let regions = json!([
        { "id": 1, "image": "1.png", "regions": [region(5, [0.0, 0.0, 2.0, 2.0]), region(6, [-2.0, 1.0, 9.0, 9.0])] },
        { "id": 2, "image": "2.png", "regions": [{ "region_id": 7, "x": 0 }] }, { "id": 3 } ]);
    let regions = load("data.regions", "region_descriptions.json", &regions);
    assert_eq!(
        (regions.ids(), regions.column("phrase")),
        (vec!["5".to_owned(), "6".into()], vec![json!("thing 5"), json!("thing 6")])
    );
    assert_eq!(regions.column("box"), [json!([0.0, 0.0, 2.0, 2.0]), json!([0.0, 1.0, 4.0, 2.0])]);
    let expected = [
        "region_descriptions.json[1].regions[0]: the region has no `phrase`",
        "region_descriptions.json[2]: it has no list `regions`",
    ];
    assert_eq!(told(&regions), expected);
}
