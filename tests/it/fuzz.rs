//! Broken and hostile files through every loader: no panic, no row lost without a word, nothing written outside.
//!
//! 400 inputs by default; `RBPIPE_FUZZ=10000` runs as many, `RBPIPE_FUZZ_FROM=N` starts at input N.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::bench::Bench;
use crate::random::Random;

fn vendored(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(name)).expect(name)
}

const PICTURES: &[&str] = &[
    "plain.jpg",
    "plain.png",
    "plain.webp",
    "plain.bmp",
    "plain.tiff",
    "progressive.jpg",
    "cmyk.jpg",
    "16bit.png",
    "alpha.webp",
    "palette.png",
    "1bit.tiff",
    "animated.gif",
    "animated.webp",
    "animated.png",
    "exif1.jpg",
    "exif3.jpg",
    "exif5.jpg",
    "exif6.jpg",
    "exif8.jpg",
];

/// Damages bytes: cuts, flips, repeats, fills with what lengths are made of.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.next() as u8,
            3 => {
                let end = (at + 1 + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.below(200)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 => {
                let fill = *random.pick(&[0u8, 0xFF, 0x7F, 0x80]);
                let end = (at + 1 + random.below(8)).min(bytes.len());
                bytes[at..end].fill(fill);
            }
            _ => {
                bytes.splice(at..at, [0xC3, 0x28, 0, b'"', b'\n'].into_iter().take(1 + random.below(5))).for_each(drop)
            }
        }
    }
}

/// A PNG whose header promises a certain size, with hardly a pixel behind it.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut pixels = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut pixels, &[0; 999]).expect("bytes in memory");
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", pixels.finish().expect("bytes in memory")), (b"IEND", Vec::new())]
    {
        let whole = [&kind[..], &data].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&whole);
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(whole);
        png.extend(crc.sum().to_be_bytes());
    }
    png
}

fn picture(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0 => png_of(0, 0),
        1 => png_of(65_535, 65_535),
        2 => png_of(u32::MAX, 1),
        3 => b"GIF89a\xFF\xFF\xFF\xFF\0\0\0,\0\0\0\0\xFF\xFF\xFF\xFF\0\x02\0;".to_vec(),
        4 => b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\xFF\xFF\xFF\x7F\xFF\xFF\xFF\x7F\x01\0\x18\0".to_vec(),
        _ => {
            let mut bytes = vendored(&format!("pictures/{}", random.pick(PICTURES)));
            if random.below(3) > 0 {
                damage(&mut bytes, random);
            }
            bytes
        }
    }
}

/// Values that a row should not have.
fn value(random: &mut Random, depth: usize) -> String {
    match random.below(16) {
        0 => "null".into(),
        1 => "1e999".into(),
        2 => "-0".into(),
        3 => "123456789012345678901234567890".into(),
        4 => r#""\ud800""#.into(),
        5 => format!("\"{}\"", "x".repeat(random.below(200_000))),
        6 => "[".repeat(random.below(400)),
        7 => format!("{}1{}", "[".repeat(100), "]".repeat(100)),
        8 => r#""../../../outside.png""#.into(),
        9 => r#""/etc/passwd""#.into(),
        10 => r#""data:image/png;base64,AAAA""#.into(),
        11 => r#"{"bytes":"!!","path":null}"#.into(),
        12 => r#""link.png""#.into(),
        13 if depth < 4 => format!("[{}]", value(random, depth + 1)),
        14 if depth < 4 => format!("{{\"path\":{}}}", value(random, depth + 1)),
        _ => r#""a.png""#.into(),
    }
}

fn lines(random: &mut Random) -> Vec<u8> {
    let mut text = Vec::new();
    for i in 0..1 + random.below(6) {
        let row = match random.below(4) {
            0 => format!("{{\"id\":\"{i}\",\"n\":{i},\"image\":{}}}", value(random, 0)),
            1 => format!("{{\"id\":{},\"n\":{},\"image\":\"a.png\"}}", value(random, 0), value(random, 0)),
            2 => value(random, 0),
            _ => format!("{{\"id\":\"{i}\",\"n\":{i},\"image\":\"a.png\"}}"),
        };
        text.extend(row.bytes());
        text.extend(*random.pick(&[&b"\n"[..], b"\r\n", b"\n\n"]));
    }
    if random.below(3) == 0 {
        damage(&mut text, random);
    }
    text
}

fn tar_of(random: &mut Random) -> Vec<u8> {
    let names = [
        "a.png",
        "a.json",
        "../../../out.png",
        "/abs.png",
        "b.c.png",
        ".",
        "d/",
        "nodot",
        "a.png",
        "ü.json",
        "e.json",
        "e.png",
    ];
    let mut tar = tar::Builder::new(Vec::new());
    for _ in 0..1 + random.below(8) {
        let name = *random.pick(&names);
        let bytes = if name.ends_with("png") { picture(random) } else { br#"{"id":"x","n":1}"#.to_vec() };
        let mut header = if random.below(2) == 0 { tar::Header::new_gnu() } else { tar::Header::new_ustar() };
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(if random.below(12) == 0 { random.next() >> random.below(60) } else { bytes.len() as u64 });
        header.set_mode(0o644);
        if random.below(8) == 0 {
            header.set_entry_type(*random.pick(&[
                tar::EntryType::Symlink,
                tar::EntryType::Link,
                tar::EntryType::Fifo,
                tar::EntryType::XHeader,
                tar::EntryType::GNULongName,
                tar::EntryType::GNUSparse,
            ]));
            header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
        }
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).expect("bytes in memory");
    }
    let mut bytes = tar.into_inner().expect("bytes in memory");
    if random.below(2) == 0 {
        damage(&mut bytes, random);
    }
    bytes
}

fn zip_of(random: &mut Random) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for name in ["a.png", "../outside.png", "/abs.png", "link.png"] {
        if name == "link.png" {
            zip.add_symlink(name, "/etc/passwd", options).expect("bytes in memory");
            continue;
        }
        zip.start_file(name, options).expect("bytes in memory");
        let bytes = if random.below(20) == 0 { vec![0; 4 << 20] } else { picture(random) };
        zip.write_all(&bytes).expect("bytes in memory");
    }
    let mut bytes = zip.finish().expect("bytes in memory").into_inner();
    if random.below(2) == 0 {
        damage(&mut bytes, random);
    }
    bytes
}

/// An annotation file, and what loads it.
fn annotated(random: &mut Random) -> (&'static str, Json, Vec<u8>) {
    let lvis = r#"{"images":[{"id":1,"file_name":"a.png","width":24,"height":16,"neg_category_ids":[2]}],"annotations":[
        {"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3,4]},{"id":2,"image_id":1,"category_id":2,"segmentation":[[0,0,5,0,5,5]]},
        {"id":3,"image_id":1,"category_id":1,"segmentation":{"size":[16,24],"counts":[10,20,354]}},
        {"id":4,"image_id":1,"category_id":1,"segmentation":{"size":[16,24],"counts":"PPYo1"}}],
        "categories":[{"id":1,"name":"cup"},{"id":2,"name":"bowl"}]}"#;
    let graph = r#"[{"image_id":1,"image":"a.png","objects":[{"object_id":1,"x":0,"y":0,"w":5,"h":5,"names":["cup"]},{"object_id":2,"x":3,"y":3,"w":5,"h":5,"names":["bowl"]}],
        "relationships":[{"subject_id":1,"object_id":2,"predicate":"on"}]}]"#;
    let thor = r#"[{"id":"e","goal":"g","scene":"s","frames":["a.png"],"actions":[{"action":"PickupObject","object":"Cup","description":"pick","changes":true}],
        "low_actions":[{"action":"MoveAhead","high":0}],"plan":["1. x"]}]"#;
    let alpaca = r#"[{"instruction":"<image>Q","input":"","output":"A","history":[["q","a"]],"images":["a.png"]},{"instruction":"Q","output":"A"}]"#;
    let talk = r#"[{"conversations":[{"from":"human","value":"<image>Q"},{"from":"gpt","value":"A"}],"images":"a.png"},{"conversations":[]}]"#;
    let (op, mut args, text) = match random.below(5) {
        0 => ("data.lvis", json!({}), lvis),
        1 => ("data.visual_genome", json!({}), graph),
        2 => ("data.episodes", json!({ "layout": "thor" }), thor),
        3 => ("data.chat", json!({ "layout": "alpaca", "pairs": random.below(4) == 0 }), alpaca),
        _ => ("data.chat", json!({ "layout": "sharegpt", "pairs": false }), talk),
    };
    args["path"] = "in.json".into();
    args["media"] = Json::Null;
    // Damage what the format means, not only its letters: a number or a text becomes another value.
    let mut text = text.to_owned();
    if random.below(3) > 0 {
        let places: Vec<usize> = text.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect();
        if let Some(&at) = places.get(random.below(places.len())) {
            let number = *random.pick(&[
                "-1",
                "1e308",
                "99999999999",
                "0",
                "null",
                "\"x\"",
                "18446744073709551615",
                "[]",
                "-0.5",
            ]);
            text.replace_range(at..=at, number);
        }
    }
    let mut bytes = text.into_bytes();
    if random.below(3) == 0 {
        damage(&mut bytes, random);
    }
    (op, args, bytes)
}

/// What lies under a folder but for the store and scratch: path to size.
fn listing(root: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of ours").flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a file of ours"));
            if kind.is_dir() && !["store", "scratch"].iter().any(|own| path.ends_with(own)) {
                folders.push(path);
            } else if !kind.is_dir() {
                found.insert(path, entry.metadata().map_or(0, |m| m.len()));
            }
        }
    }
    found
}

/// One input: writes its files, runs its loader.
fn one(bench: &Bench, seed: u64) {
    let mut random = Random(seed);
    let columns = json!({ "columns": [{ "name": "id", "type": "Str" }, { "name": "n", "type": "Int?" }, { "name": "image", "type": "Image?" }] });
    let folder = bench.write("work/a.png", &vendored("pictures/plain.png")).parent().expect("a folder").to_owned();
    let link = folder.join("link.png");
    if !link.exists() {
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
    }
    let mut rows = json!({ "as": columns, "media": null });
    let kind = random.below(8);
    let (op, mut args) = match kind {
        0 => {
            let packed = random.below(4);
            let mut bytes = lines(&mut random);
            let name = match packed {
                0 => {
                    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                    std::io::Write::write_all(&mut gz, &bytes).expect("bytes in memory");
                    bytes = gz.finish().expect("bytes in memory");
                    "in.jsonl.gz"
                }
                1 => {
                    bytes = zstd::encode_all(bytes.as_slice(), 1).expect("bytes in memory");
                    "in.jsonl.zst"
                }
                _ => "in.jsonl",
            };
            if packed < 2 && random.below(2) == 0 {
                damage(&mut bytes, &mut random);
            }
            bench.write(&format!("work/{name}"), &bytes);
            rows["path"] = name.into();
            ("data.jsonl", rows)
        }
        1 => {
            let mut text = b"id,n,image\n\"a\",1,a.png\n\"b, \"\"x\"\"\",,\n\xC3\xBC,3,../a.png\nshort\n".to_vec();
            damage(&mut text, &mut random);
            bench.write("work/in.csv", &text);
            rows["path"] = "in.csv".into();
            rows["separator"] = ",".into();
            rows["base64"] = if random.below(2) == 0 { json!(["image"]) } else { json!([]) };
            ("data.csv", rows)
        }
        2 | 3 => {
            let ending = if kind == 2 { "parquet" } else { "arrow" };
            let mut bytes = vendored(&format!("rows.{ending}"));
            damage(&mut bytes, &mut random);
            bench.write(&format!("work/in.{ending}"), &bytes);
            rows["path"] = format!("in.{ending}").into();
            (if kind == 2 { "data.parquet" } else { "data.arrow" }, rows)
        }
        4 => {
            bench.write("work/in.tar", &tar_of(&mut random));
            rows["path"] = "in.tar".into();
            ("data.webdataset", rows)
        }
        5 => {
            let row = |name: &str| format!("{{\"id\":\"{name}\",\"image\":\"{name}\"}}\n");
            let all: String =
                ["a.png", "../outside.png", "/abs.png", "link.png", "none.png"].iter().map(|n| row(n)).collect();
            bench.write("work/in.jsonl", all.as_bytes());
            bench.write("work/in.zip", &zip_of(&mut random));
            rows["path"] = "in.jsonl".into();
            rows["media"] = "in.zip".into();
            ("data.jsonl", rows)
        }
        6 => {
            bench.write("work/x", &picture(&mut random));
            bench.write("work/in.jsonl", b"{\"id\":\"x\",\"image\":\"x\"}\n");
            rows["path"] = "in.jsonl".into();
            ("data.jsonl", rows)
        }
        _ => {
            let (op, args, bytes) = annotated(&mut random);
            bench.write("work/in.json", &bytes);
            (op, args)
        }
    };
    args["bad"] = "quarantine".into();
    let root = folder.parent().expect("the bench's folder").to_owned();
    let before = listing(&root);
    let ran = catch_unwind(AssertUnwindSafe(|| bench.run_in(&folder, op, args.clone(), &[])));
    assert_eq!(listing(&root), before, "input {seed}: {op} wrote outside its store");
    match ran.unwrap_or_else(|_| panic!("input {seed}: {op} panicked")) {
        Ok(made) => {
            let (read, kept) = (made.counts["read"], made.counts["kept"]);
            assert_eq!(read, kept + made.fates.len() as u64, "input {seed}: {op} lost rows");
            assert_eq!(kept, made.table().rows() as u64, "input {seed}: {op}");
            for fate in &made.fates {
                assert!(fate.row.contains("in.") && !fate.why.is_empty(), "input {seed}: {op}: {fate:?}");
            }
            let told = |row: &str| made.fates.iter().any(|f| f.row.ends_with(row));
            match kind {
                5 => assert_eq!(read, 5, "input {seed}"),
                6 => assert_eq!(read, 1, "input {seed}"),
                _ => {}
            }
            // What climbs out is never read, whatever lies there.
            assert!(
                kind != 5 || [":2", ":3", ":4", ":5"].iter().all(|row| told(row)),
                "input {seed}: {:?}",
                made.fates
            );
        }
        Err(e) => {
            let plain = ["E0501", "E0503", "E0610", "E0612"].contains(&e.code);
            assert!(plain && !e.message.is_empty(), "input {seed}: {op}: {} {}", e.code, e.message);
        }
    }
}

#[test]
fn broken_files_of_every_kind() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (from, count) = (number("RBPIPE_FUZZ_FROM", 0), number("RBPIPE_FUZZ", 400));
    let failed: Vec<String> = (0..2u64)
        .map(|lane| {
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                let mut bench = Bench::new();
                bench.threads = 1;
                for (n, seed) in (from..from + count).filter(|seed| seed % 2 == lane).enumerate() {
                    if n % 500 == 499 {
                        bench = Bench::new();
                        bench.threads = 1;
                    }
                    if let Err(why) = catch_unwind(AssertUnwindSafe(|| one(&bench, seed))) {
                        let why = why.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".into());
                        failed.push(format!("input {seed}: {why}"));
                    }
                }
                failed
            })
        })
        .collect::<Vec<_>>()
        .into_iter()
        .flat_map(|lane| lane.join().expect("a lane"))
        .collect();
    assert!(failed.is_empty(), "{} of {count} inputs:\n{}", failed.len(), failed.join("\n"));
}

/// Pictures out of the ordinary have the size and the brightness that people see, once they are loaded.
#[test]
fn pictures_out_of_the_ordinary() {
    let bench = Bench::new();
    let plain = image::load_from_memory(&vendored("pictures/plain.png")).expect("a picture").to_luma8();
    for name in PICTURES.iter().copied().chain(["exif2.jpg", "exif4.jpg", "exif7.jpg"]) {
        let found =
            rbpipe::data::pictures::media::examine(&vendored(&format!("pictures/{name}")), bench.store()).expect(name);
        let turned = name.starts_with("exif") && name.as_bytes()[4] >= b'5';
        assert_eq!(found.size, Some(if turned { (16, 24) } else { (24, 16) }), "{name}");
        let digest = rbpipe::base::Digest::parse(&found.digest).expect("a digest");
        let (_, picture) =
            rbpipe::data::pictures::media::decode(&bench.store().read(digest).expect("stored")).expect(name);
        let luma = picture.to_luma8();
        // The scene is dark above and bright below; each tag says where its top lies in the file.
        let seen = match name {
            "exif2.jpg" => image::imageops::flip_horizontal(&plain),
            "exif3.jpg" => image::imageops::rotate180(&plain),
            "exif4.jpg" => image::imageops::flip_vertical(&plain),
            "exif5.jpg" => image::imageops::flip_horizontal(&image::imageops::rotate90(&plain)),
            "exif6.jpg" => image::imageops::rotate90(&plain),
            "exif7.jpg" => image::imageops::flip_horizontal(&image::imageops::rotate270(&plain)),
            "exif8.jpg" => image::imageops::rotate270(&plain),
            _ => plain.clone(),
        };
        let apart =
            luma.pixels().zip(seen.pixels()).map(|(a, b)| u32::from(a.0[0].abs_diff(b.0[0]))).max().unwrap_or(0);
        let allowed = match name {
            "1bit.tiff" | "16bit.png" => 255, // Black and white; `I;16` of an 8-bit scene is nearly black.
            "cmyk.jpg" | "palette.png" => 40,
            _ => 12,
        };
        assert!(apart <= allowed, "{name}: {apart}");
    }
    for (width, height, why) in [(0, 0, "damaged"), (65_535, 65_535, "too large"), (u32::MAX, 1, "is ")] {
        let error = rbpipe::data::pictures::media::examine(&png_of(width, height), bench.store()).unwrap_err();
        assert!(error.contains(why), "{width} x {height}: {error}");
    }
}
