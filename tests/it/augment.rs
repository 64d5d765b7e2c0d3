//! Augmentation: what is drawn in a picture is found where its coordinates say, hues that must stay do, threads change nothing.

use std::collections::BTreeSet;

use image::{GrayImage, Luma, Rgb, RgbImage};
use rbpipe::data::cell::Cell;
use rbpipe::data::pictures::color::{Jitter, KeptHues, hue_distance, hue_of, jitter};
use rbpipe::data::pictures::picture::Picture;
use rbpipe::data::scenes::points;
use rbpipe::data::table::Table;
use rbpipe::engine::Builtin;
use rbpipe::ops::augment::{color::COLOR, geometry::GEOMETRY, pad::PAD};
use serde_json::{Value as Json, json};

use crate::workbench::{Workbench, column, rows, tabletop, texts};

const RED: Rgb<u8> = Rgb([230, 20, 20]);

/// Draws a red dot on a textured ground and returns its file name.
fn dotted(bench: &Workbench, name: &str, size: (u32, u32), at: (f64, f64)) -> String {
    let picture = RgbImage::from_fn(size.0, size.1, |x, y| {
        let (dx, dy) = (f64::from(x) + 0.5 - at.0 * f64::from(size.0), f64::from(y) + 0.5 - at.1 * f64::from(size.1));
        if dx.hypot(dy) < 5.0 { RED } else { Rgb([90 + (x % 7) as u8, 110, 120 + (y % 5) as u8]) }
    });
    let file = format!("{name}.png");
    picture.save(bench.folder().join(&file)).expect("a written picture");
    file
}

/// Returns the centre of the red pixels in unit coordinates.
fn red_centre(picture: &RgbImage) -> Option<(f64, f64)> {
    let red = picture.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 170 && p.0[1] < 80 && p.0[2] < 80);
    let (mut sum, mut n) = ((0.0, 0.0), 0.0);
    for (x, y, _) in red {
        sum = (sum.0 + f64::from(x) + 0.5, sum.1 + f64::from(y) + 0.5);
        n += 1.0;
    }
    (n > 0.0).then(|| (sum.0 / n / f64::from(picture.width()), sum.1 / n / f64::from(picture.height())))
}

fn first_picture(table: &Table, column: &str, row: usize) -> Picture {
    Picture::all(&table.cell(column, row).expect("a cell")).remove(0)
}

fn geometry(scale: (f64, f64), rotate: (f64, f64), more: Json) -> Json {
    let mut args = json!({
        "images": "images", "scale": { "from": scale.0, "to": scale.1 }, "rotate": { "from": rotate.0, "to": rotate.1 },
        "flip": false, "points": null, "boxes": null, "mask": null, "seen": 0.75, "lost": "drop", "share": 1.0,
    });
    merge(&mut args, more);
    args
}

fn pad(mode: &str, to: (f64, f64), more: Json) -> Json {
    let mut args = json!({
        "images": "images", "mode": mode, "to": { "from": to.0, "to": to.1 }, "mark": null, "points": null, "boxes": null,
        "mask": null, "share": 1.0,
    });
    merge(&mut args, more);
    args
}

fn merge(args: &mut Json, more: Json) {
    if let (Json::Object(args), Json::Object(more)) = (args, more) {
        args.extend(more);
    }
}

/// Rows with a dot each: its place as text, as a point, as a box of ten pixels, and as a mask.
fn dots(bench: &Workbench, count: usize) -> Table {
    let rows: Vec<Json> = (0..count)
        .map(|i| {
            let (w, h) = if i % 2 == 0 { (120, 120) } else { (160, 100) };
            let at = (0.3 + 0.04 * (i % 10) as f64, 0.35 + 0.03 * (i % 7) as f64);
            let file = dotted(bench, &format!("dot{i}"), (w, h), at);
            let mask = GrayImage::from_fn(w, h, |x, y| {
                let near = (f64::from(x) + 0.5 - at.0 * f64::from(w)).hypot(f64::from(y) + 0.5 - at.1 * f64::from(h)) < 5.0;
                Luma([if near { 255 } else { 0 }])
            });
            mask.save(bench.folder().join(format!("mask{i}.png"))).expect("a written mask");
            json!({
                "id": format!("r{i}"), "images": [file], "mask": format!("mask{i}.png"),
                "output": format!("[({:.3}, {:.3})]", at.0, at.1), "place": [at.0, at.1],
                "objects": [{ "label": "dot", "box": [at.0 * f64::from(w) - 5.0, at.1 * f64::from(h) - 5.0, 10.0, 10.0] }],
            })
        })
        .collect();
    let columns = [
        ("id", "Str"),
        ("images", "[Image]"),
        ("mask", "Image"),
        ("output", "Str"),
        ("place", "Point"),
        ("objects", "[{ label: Str, box: Box }]"),
    ];
    bench.table(&columns, &rows, None)
}

#[test]
fn places_move_with_the_picture() {
    let bench = Workbench::new();
    let d = dots(&bench, 24);
    let cases: [(&str, &Builtin, Json); 6] = [
        ("zoom in", &GEOMETRY, geometry((1.1, 1.6), (0.0, 0.0), json!({ "boxes": "objects", "mask": "mask" }))),
        ("zoom out", &GEOMETRY, geometry((0.5, 0.8), (0.0, 0.0), json!({ "boxes": "objects", "mask": "mask" }))),
        ("turn", &GEOMETRY, geometry((1.0, 1.0), (-30.0, 30.0), json!({ "boxes": "objects", "mask": "mask" }))),
        (
            "all",
            &GEOMETRY,
            geometry((0.8, 1.25), (-20.0, 20.0), json!({ "flip": true, "boxes": "objects", "mask": "mask" })),
        ),
        ("edge", &PAD, pad("edge", (1.1, 1.4), json!({ "boxes": "objects", "mask": "mask" }))),
        ("mark", &PAD, pad("mark", (1.1, 1.4), json!({ "boxes": "objects", "mask": "mask" }))),
    ];
    for (name, op, args) in cases {
        let made = bench.run(op, args, &[("d", &d)]).expect(name);
        assert!(made.table.rows() >= 18, "{name}: {} rows", made.table.rows());
        for row in 0..made.table.rows() {
            let picture = first_picture(&made.table, "images", row);
            let pixels = picture.pixels(&bench.store).expect("a picture");
            let (w, h) = (f64::from(pixels.width()), f64::from(pixels.height()));
            let seen = red_centre(&pixels).expect("the dot");
            let near = |what: &str, (x, y): (f64, f64), pixels: f64| {
                let off = ((x - seen.0) * w).hypot((y - seen.1) * h);
                assert!(off < pixels, "{name}, row {row}: {what} is {off:.2} pixels off");
            };
            near("text", points::read(&texts(&made.table, "output")[row])[0], 1.0);
            let object = &column(&made.table, "objects")[row][0]["box"];
            let side = |i: usize| object[i].as_f64().expect("a number");
            near("box", ((side(0) + side(2) / 2.0) / w, (side(1) + side(3) / 2.0) / h), 1.5);
            let mask = first_picture(&made.table, "mask", row).grey(&bench.store).expect("a mask");
            assert_eq!(mask.dimensions(), pixels.dimensions(), "{name}");
            let as_rgb = RgbImage::from_fn(mask.width(), mask.height(), |x, y| {
                if mask.get_pixel(x, y).0[0] == 255 { RED } else { Rgb([0, 0, 0]) }
            });
            near("mask", red_centre(&as_rgb).expect("a place in the mask"), 1.0);
        }
        let moved = bench
            .run(
                op,
                if op.spec.signature.contains("geometry") {
                    geometry((0.9, 1.1), (-9.0, 9.0), json!({ "points": "place" }))
                } else {
                    pad("edge", (1.2, 1.2), json!({ "points": "place" }))
                },
                &[("d", &d)],
            )
            .expect(name);
        for row in 0..moved.table.rows() {
            let pixels = first_picture(&moved.table, "images", row).pixels(&bench.store).expect("a picture");
            let place = &column(&moved.table, "place")[row];
            let seen = red_centre(&pixels).expect("the dot");
            let off = (place[0].as_f64().expect("x") - seen.0).hypot(place[1].as_f64().expect("y") - seen.1);
            assert!(off < 0.012, "{name}: point is {off} off");
        }
    }
}

#[test]
fn a_mirror_swaps_the_sides_of_relations() {
    let bench = Workbench::new();
    let file = dotted(&bench, "two", (120, 90), (0.3, 0.5));
    let rows: Vec<Json> = (0..40)
        .map(|i| {
            let (left, right) = (20.0 + f64::from(i % 7), 80.0 - f64::from(i % 5));
            json!({
                "id": format!("r{i}"), "images": [file],
                "objects": [{ "label": "dot", "box": [left, 40.0, 10.0, 10.0] }, { "label": "cup", "box": [right, 40.0, 10.0, 10.0] }],
                "relations": [
                    { "subject": 0, "predicate": "left of", "object": 1 }, { "subject": 1, "predicate": "right of", "object": 0 },
                    { "subject": 0, "predicate": "behind", "object": 1 },
                ],
            })
        })
        .collect();
    let columns = [
        ("id", "Str"),
        ("images", "[Image]"),
        ("objects", "[{ label: Str, box: Box }]"),
        ("relations", "[{ subject: Int, predicate: Str, object: Int }]"),
    ];
    let d = bench.table(&columns, &rows, None);
    let made = |more: Json| {
        let mut args = geometry((0.9, 1.1), (0.0, 0.0), json!({ "flip": true, "boxes": "objects" }));
        merge(&mut args, more);
        bench.run(&GEOMETRY, args, &[("d", &d)]).expect("scenes").table
    };
    let swapped = made(json!({ "sides": "relations" }));
    let mirrored = |table: &Table| texts(table, "transform").iter().filter(|how| how.ends_with("mirrored")).count();
    assert!((10..30).contains(&mirrored(&swapped)), "{} of 40", mirrored(&swapped));
    let (objects, relations) = (column(&swapped, "objects"), column(&swapped, "relations"));
    for (objects, relations) in objects.iter().zip(&relations) {
        let middle = |o: &Json| objects[o.as_u64().expect("a place") as usize]["box"][0].as_f64().expect("a number");
        for relation in relations.as_array().expect("relations") {
            let (subject, object) = (middle(&relation["subject"]), middle(&relation["object"]));
            match relation["predicate"].as_str().expect("text") {
                "left of" => assert!(subject < object, "{relation}"),
                "right of" => assert!(subject > object, "{relation}"),
                other => assert_eq!(other, "behind"),
            }
        }
    }
    assert_eq!(mirrored(&made(json!({}))), 0, "a relation that nobody swaps keeps its row from the mirror");
}

#[test]
fn text_around_points_stays() {
    let double = |x: f64, y: f64| Some((x / 2.0, y / 2.0));
    let cases = [
        ("[(0.42, 0.31)]", "[(0.21, 0.15)]"),
        ("here: [(0.5, 0.250), (1, 0)].", "here: [(0.250, 0.125), (0.500, 0.000)]."),
        (
            "Answer with one point as [(x, y)], both between 0 and 1.",
            "Answer with one point as [(x, y)], both between 0 and 1.",
        ),
        ("[1, 2] and (0.1, 0.2)", "[1, 2] and (0.1, 0.2)"),
        ("[(0, 1)]", "[(0.00, 0.50)]"),
    ];
    for (text, expected) in cases {
        assert_eq!(points::rewrite(text, double).expect(text), expected);
    }
    assert!(matches!(points::rewrite("[(412, 310)]", double), Err(points::Stuck::NotUnit(..))));
    assert!(matches!(points::rewrite("[(0.1, 0.2)]", |_, _| None), Err(points::Stuck::Outside(..))));
}

#[test]
fn lost_points_follow_the_rule() {
    let bench = Workbench::new();
    let file = dotted(&bench, "edge", (100, 100), (0.02, 0.5));
    let row = json!({ "id": "a", "images": [file], "output": "[(0.02, 0.50)]" });
    let d = bench.table(&[("id", "Str"), ("images", "[Image]"), ("output", "Str")], &[row], None);
    let zoom = |lost: &str| geometry((1.5, 1.5), (0.0, 0.0), json!({ "lost": lost }));
    let dropped = bench.run(&GEOMETRY, zoom("drop"), &[("d", &d)]).expect("drop");
    assert_eq!(dropped.table.rows(), 0);
    assert!(dropped.fates[0].why.contains("(0.02, 0.5) leaves the picture"), "{:?}", dropped.fates);
    let kept = bench.run(&GEOMETRY, zoom("keep"), &[("d", &d)]).expect("keep");
    assert_eq!(column(&kept.table, "images"), column(&d, "images"));
    assert_eq!(texts(&kept.table, "transform"), [""]);
}

/// An object near the border: zooming in cuts it off, which the annotated scene tells.
#[test]
fn objects_stay_in_the_frame() {
    let bench = Workbench::new();
    let file = dotted(&bench, "scene", (100, 100), (0.5, 0.5));
    let row = json!({ "id": "a", "images": [file], "output": "2" });
    let d = bench.table(&[("id", "Str"), ("images", "[Image]"), ("output", "Str")], &[row], None);
    let columns = [
        ("image", "Image"),
        ("objects", "[{ label: Str, box: Box, attributes: [Str] }]"),
        ("relations", "[{ subject: Int, predicate: Str, object: Int }]"),
    ];
    let object = |label: &str, side: [f64; 4]| json!({ "label": label, "box": side, "attributes": ["red"] });
    let objects = [object("dot", [45.0, 45.0, 10.0, 10.0]), object("cup", [2.0, 40.0, 16.0, 20.0])];
    let scene = json!({ "image": file, "objects": objects, "relations": [] });
    let scenes = bench.table(&columns, &[scene], None);
    let run = |zoom: f64, seen: f64, lost: &str| {
        let args = geometry((zoom, zoom), (0.0, 0.0), json!({ "seen": seen, "lost": lost }));
        bench.run(&GEOMETRY, args, &[("d", &d), ("scenes", &scenes)]).expect("geometry")
    };
    // At 150% the cup's box goes from 2..18 to -22..2, of which a twelfth is seen.
    let cut = run(1.5, 0.75, "drop");
    assert_eq!((cut.table.rows(), cut.counts["dropped"]), (0, 1));
    assert_eq!(cut.fates[0].why, "the red cup leaves the frame");
    assert_eq!(texts(&run(1.5, 0.75, "keep").table, "transform"), [""]);
    assert_eq!(run(1.5, 0.05, "drop").table.rows(), 1);
    // At 110% it goes to -2.8..14.8, of which 84% are seen.
    assert_eq!(run(1.1, 0.75, "drop").table.rows(), 1);
    assert_eq!(run(1.1, 0.9, "drop").table.rows(), 0);
}

/// A nearly grey wall has no hue to speak of, but it has a kept one: it must become brighter all over, not in blotches.
#[test]
fn plain_walls_stay_plain() {
    let mut wall = RgbImage::from_fn(64, 64, |x, y| {
        let n = ((x * 7 + y * 13) % 5) as u8;
        Rgb([120 + n, 118 + n / 2, 117 + n / 3])
    });
    let before = wall.clone();
    let kept = KeptHues { ranges: vec![(-15.0, 15.0), (40.0, 65.0)], tolerance: 2.0 };
    jitter(&mut wall, Jitter { hue: 8.0, saturation: 1.1, value: 1.18 }, &kept);
    for (a, b) in before.pixels().zip(wall.pixels()) {
        let risen = i32::from(b.0[0]) - i32::from(a.0[0]);
        assert!((18..=27).contains(&risen), "{a:?} -> {b:?}");
    }
}

#[test]
fn kept_hues_stay_in_the_stored_file() {
    let bench = Workbench::new();
    // Every hue at several saturations and values, dark and pale ones too, where rounding moves hues most.
    let wheel = RgbImage::from_fn(180, 90, |x, y| {
        let (h, s, v) = (f64::from(x) * 2.0, 0.05 + 0.105 * f64::from(y % 10), 0.1 + 0.1 * f64::from(y / 10));
        let channel = |n: f64| {
            let k = (n + h / 60.0).rem_euclid(6.0);
            ((v - v * s * k.min(4.0 - k).clamp(0.0, 1.0)) * 255.0).round() as u8
        };
        Rgb([channel(5.0), channel(3.0), channel(1.0)])
    });
    wheel.save(bench.folder().join("wheel.png")).expect("a written picture");
    let real = "images/train/000505.jpg";
    std::fs::create_dir_all(bench.folder().join("images/train")).expect("a folder");
    std::fs::copy(tabletop().join(real), bench.folder().join(real)).expect("a copied picture");
    let input: Vec<Json> = (0..12).map(|i| json!({ "id": format!("r{i}"), "images": ["wheel.png", real] })).collect();
    let d = bench.table(&[("id", "Str"), ("images", "[Image]")], &input, None);
    let range = |a: f64, b: f64| json!({ "from": a, "to": b });
    let args = json!({ "images": "images", "jitter": 0.3, "keep_hue": [range(-15.0, 15.0), range(40.0, 65.0)], "tolerance": 2.0, "share": 1.0 });
    let kept = KeptHues { ranges: vec![(-15.0, 15.0), (40.0, 65.0)], tolerance: 2.0 };
    let made = bench.run(&COLOR, args, &[("d", &d)]).expect("color");
    let (mut compared, mut moved) = (0, 0);
    for row in 0..made.table.rows() {
        let before = Picture::all(&d.cell("images", row).expect("a cell"));
        let after = Picture::all(&made.table.cell("images", row).expect("a cell"));
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(new.origin, old.digest);
            let (old, new) = (old.pixels(&bench.store).expect("old"), new.pixels(&bench.store).expect("new"));
            for (a, b) in old.pixels().zip(new.pixels()) {
                let Some(hue) = hue_of(*a) else { continue };
                if kept.holds(hue) {
                    compared += 1;
                    let now = hue_of(*b).expect("a kept hue never turns grey");
                    assert!(hue_distance(hue, now) <= 2.0, "{a:?} -> {b:?}");
                } else if a != b {
                    moved += 1;
                }
            }
        }
    }
    assert!(compared > 50_000 && moved > 100_000, "{compared} compared, {moved} moved");
}

#[test]
fn padding_follows_the_context() {
    let bench = Workbench::new();
    let plain = RgbImage::from_pixel(96, 96, Rgb([120, 130, 140]));
    let busy =
        RgbImage::from_fn(
            96,
            96,
            |x, y| if (x / 2 + y / 2) % 2 == 0 { Rgb([30, 30, 30]) } else { Rgb([220, 220, 220]) },
        );
    plain.save(bench.folder().join("plain.png")).expect("a picture");
    busy.save(bench.folder().join("busy.png")).expect("a picture");
    let row = |id: &str, file: &str, risk: &str| json!({ "id": id, "images": [file], "risk": risk });
    let input = [row("a", "plain.png", "safe"), row("b", "busy.png", "low"), row("c", "plain.png", "high")];
    let d = bench.table(&[("id", "Str"), ("images", "[Image]"), ("risk", "Str")], &input, None);
    let made = bench.run(&PAD, pad("by_context", (1.2, 1.2), json!({})), &[("d", &d)]).expect("pad");
    assert_eq!(texts(&made.table, "pad"), ["edge", "reflect", "mark"]);
    for (row, picture) in [(0, &plain), (1, &busy), (2, &plain)] {
        let pixels = first_picture(&made.table, "images", row).pixels(&bench.store).expect("a picture");
        assert_eq!(pixels.dimensions(), (115, 115));
        let at: Vec<f64> = texts(&made.table, "transform")[row]
            .rsplit_once("at=")
            .map(|(_, at)| at.split(',').map(|n| n.parse().expect("a number")).collect())
            .expect("a place");
        let corner = ((at[0] * 19.0).round() as u32, (at[1] * 19.0).round() as u32);
        let inside = image::imageops::crop_imm(&pixels, corner.0, corner.1, 96, 96).to_image();
        assert_eq!(&inside, picture, "the picture itself is untouched");
        let yellow = pixels.pixels().filter(|p| p.0[0] > 200 && p.0[2] < 60).count();
        assert_eq!(yellow > 0, row == 2, "a mark only where the risk is high");
    }
    let none = bench.run(&PAD, pad("edge", (1.2, 1.2), json!({ "share": 0.0 })), &[("d", &d)]).expect("pad");
    assert_eq!(texts(&none.table, "pad"), ["none"; 3]);
    assert_eq!(column(&none.table, "images"), column(&d, "images"));
}

#[test]
fn draws_depend_on_the_row_alone() {
    let mut bench = Workbench::new();
    let d = dots(&bench, 40);
    let args = || geometry((0.8, 1.25), (-10.0, 10.0), json!({ "share": 0.5 }));
    let run = |bench: &Workbench, d: &Table| {
        let made = bench.run(&GEOMETRY, args(), &[("d", d)]).expect("geometry").table;
        let ids = texts(&made, "id");
        ids.into_iter().zip(column(&made, "images")).zip(texts(&made, "transform")).collect::<Vec<_>>()
    };
    let all = run(&bench, &d);
    let changed = all.iter().filter(|r| !r.1.is_empty()).count();
    assert!((8..=32).contains(&changed), "{changed} of 40 at a share of half");
    bench.threads = 1;
    assert_eq!(run(&bench, &d), all, "one thread");
    // Any order, and fewer rows.
    let ordinals: Vec<u32> = (0..40).rev().filter(|i| i % 3 != 0).collect();
    let mut some = run(&bench, &d.take(&ordinals).expect("rows"));
    some.reverse();
    let ids: BTreeSet<String> = some.iter().map(|r| r.0.0.clone()).collect();
    let expected: Vec<_> = all.iter().filter(|r| ids.contains(&r.0.0)).cloned().collect();
    assert_eq!(some, expected, "reversed and thinned");
    bench.stream = rbpipe::base::Digest::of(b"another");
    assert_ne!(run(&bench, &d), all, "another stream");
}

#[test]
fn chains_remember_where_a_row_came_from() {
    let bench = Workbench::new();
    let d = dots(&bench, 3);
    let first =
        bench.run(&GEOMETRY, geometry((1.1, 1.1), (2.0, 2.0), json!({})), &[("d", &d)]).expect("geometry").table;
    let second = bench.run(&PAD, pad("edge", (1.25, 1.25), json!({})), &[("d", &first)]).expect("pad").table;
    assert_eq!(texts(&second, "parent"), ["r0", "r1", "r2"]);
    assert!(texts(&second, "transform")[0].starts_with("geometry scale=1.1 rotate=2deg; pad edge to=1.25 at="));
    for row in 0..3 {
        let picture = first_picture(&second, "images", row);
        assert_eq!(picture.origin, first_picture(&d, "images", row).digest);
        assert_ne!(picture.digest, picture.origin);
    }
}

#[test]
fn bad_arguments_and_pictures_are_errors() {
    let bench = Workbench::new();
    let d = dots(&bench, 1);
    let cases = [
        (&GEOMETRY, geometry((1.5, 0.5), (0.0, 0.0), json!({})), "E0214"),
        (&GEOMETRY, geometry((1.0, 1.0), (0.0, 0.0), json!({ "images": "pictures" })), "E0301"),
        (&GEOMETRY, geometry((1.0, 1.0), (0.0, 0.0), json!({ "boxes": "nowhere" })), "E0301"),
        (&PAD, pad("edge", (0.5, 1.0), json!({})), "E0214"),
    ];
    for (op, args, code) in cases {
        assert_eq!(bench.run(op, args, &[("d", &d)]).err().map(|e| e.code), Some(code));
    }
    let broken = Picture {
        digest: bench.store.put(b"no picture").expect("a blob").digest.hex(),
        ..first_picture(&d, "images", 0)
    };
    let cells = [Cell::List(vec![broken.cell()])];
    let ty = d.column("images").expect("pictures").data_type().clone();
    let d = d.with_column("images", rbpipe::data::cell::column(&cells, &ty).expect("a column")).expect("a table");
    let error =
        bench.run(&GEOMETRY, geometry((1.0, 1.0), (0.0, 0.0), json!({})), &[("d", &d)]).err().expect("an error");
    assert!(error.message.contains("row 0 (id r0)") && error.help.is_some(), "{error:?}");
}

#[test]
fn real_rows_go_through_all_three() {
    let bench = Workbench::new();
    let input: Vec<Json> = rows("raw/host.jsonl").into_iter().filter(|r| r["output"] != "").take(60).collect();
    let columns = [("id", "Str"), ("instruction", "Str"), ("output", "Str"), ("images", "[Image]"), ("risk", "Str")];
    let d = bench.table(&columns, &input, Some(&tabletop()));
    let a = bench
        .run(&GEOMETRY, geometry((0.85, 1.15), (-5.0, 5.0), json!({ "points": "output", "share": 0.5 })), &[("d", &d)])
        .expect("geometry");
    let range = |a: f64, b: f64| json!({ "from": a, "to": b });
    let args =
        json!({ "images": "images", "jitter": 0.2, "keep_hue": [range(-15.0, 15.0)], "tolerance": 2.0, "share": 1.0 });
    let b = bench.run(&COLOR, args, &[("d", &a.table)]).expect("color");
    let c = bench.run(&PAD, pad("by_context", (1.0, 1.25), json!({})), &[("d", &b.table)]).expect("pad");
    assert!(c.table.rows() >= 50);
    let modes: BTreeSet<String> = texts(&c.table, "pad").into_iter().collect();
    assert!(modes.contains("mark") && modes.contains("edge"), "{modes:?}");
}
