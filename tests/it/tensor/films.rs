//! Videos in training and generation: files, and frames that are given as pictures.

use std::path::Path;
use std::process::Command;

use rbpipe::data::pictures::video::shown;
use rbpipe::engine::Artifact;
use rbpipe::model::{Config, weights};
use rbpipe::train::encoder::{Encoder, Limits};
use rbpipe::train::rows::{Medium, TextRow, asked};
use serde_json::json;
use tch::Tensor;

use super::train_ops::{Bench, base, losses, sft_args, with};

fn goldens() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev")
}

fn row(text: &str, film: Vec<Medium>) -> TextRow {
    TextRow {
        name: "row".into(),
        system: None,
        messages: asked(text),
        replies: vec!["yes".to_owned()],
        images: Vec::new(),
        videos: vec![film],
        cells: None,
        phrases: Vec::new(),
    }
}

/// The frames of the golden video in a store.
fn frames(bench: &Bench) -> Vec<Medium> {
    let put = |i: usize| bench.store.put_file(&goldens().join(format!("images/frame{i}.png"))).expect("a frame").digest;
    (0..4).map(|i| Medium { digest: put(i).hex(), media: "image/png".into() }).collect()
}

#[test]
fn frames_that_are_given_are_those_of_the_golden_video() {
    let bench = Bench::new();
    let folder = goldens().join("model");
    let config = Config::load(&folder).expect("a model");
    let encoder = Encoder::open(&folder, &config, Limits::default()).expect("a processor");
    let (encoded, gallery, lost) =
        encoder.encode(&[row("<video>\nWhat is it?", frames(&bench))], &bench.store, &|_| {}).expect("a store");
    assert!(lost.is_empty(), "{lost:?}");
    let sample = gallery.samples(&[&encoded[0].examples[0]]).remove(0);
    let golden = weights::read(&goldens().join("processor.safetensors")).expect("goldens");
    let wanted = &golden["video.pixel_values_videos"];
    let ours = Tensor::from_slice(&sample.videos[0].values).view(wanted.size().as_slice());
    assert!((ours - wanted).abs().max().double_value(&[]) < 1e-6);
    assert_eq!(sample.videos[0].seconds, golden["video.second_per_grid_ts"].double_value(&[0]));
    let tokens = sample.ids.iter().filter(|id| **id == config.video_id).count() as i64;
    assert_eq!(tokens, sample.videos[0].grid.iter().product::<i64>() / 4);

    // Fewer frames and smaller ones, as the arguments `frames` and `video_pixels` say; a second lasts as long as before.
    let limits = Limits { frames: (Some(1), Some(2)), video_pixels: (Some(256), Some(2000)), ..Limits::default() };
    let encoder = Encoder::open(&folder, &config, limits).expect("a processor");
    let (encoded, gallery, _) =
        encoder.encode(&[row("What?", frames(&bench))], &bench.store, &|_| {}).expect("a store");
    let small = gallery.samples(&[&encoded[0].examples[0]]).remove(0);
    let [steps, high, wide] = small.videos[0].grid;
    assert!(steps == 1 && high * wide < sample.videos[0].grid[1] * sample.videos[0].grid[2]);
    assert_eq!(small.videos[0].seconds, 2.0 * sample.videos[0].seconds);
}

#[test]
fn frames_are_chosen_as_llama_factory_does() {
    // 40 frames at 20 a second: 2 s, 4 of them at 2 a second.
    assert_eq!(shown(40, 20.0, 2.0, 1, 128), (vec![0, 13, 26, 39], 2.0));
    assert_eq!(shown(40, 20.0, 2.0, 1, 2), (vec![0, 39], 1.0));
    assert_eq!(shown(40, 20.0, 2.0, 8, 128).0.len(), 8);
    assert_eq!(shown(3, 1.0, 0.1, 1, 128), (vec![0], 1.0 / 3.0));
    assert_eq!(shown(2, 20.0, 2.0, 4, 128).0, vec![0, 1]);
    // numpy.linspace(0, 28, 13).astype(int32)
    assert_eq!(shown(29, 29.0, 13.0, 1, 128).0, vec![0, 2, 4, 7, 9, 11, 14, 16, 18, 21, 23, 25, 28]);
}

/// Rows with a video each, as frames.
fn data(bench: &Bench) -> Artifact {
    let frames = frames(bench);
    let names: Vec<String> = (0..4).map(|i| format!("frame{i}.png")).collect();
    for (i, name) in names.iter().enumerate() {
        std::fs::copy(goldens().join("images").join(name), bench.root.path().join(name)).expect("a frame");
        assert_eq!(frames[i].media, "image/png");
    }
    let rows = (0..8).map(|i| {
        let film: Vec<&String> = if i % 3 == 2 { Vec::new() } else { names.iter().skip(i % 2).collect() };
        json!({ "id": format!("r{i}"), "instruction": "What does the arm do?", "output": format!("It takes thing {i}"), "video": film })
    });
    let lines: String = rows.map(|row| format!("{row}\n")).collect();
    let path = bench.root.path().join("rows.jsonl");
    std::fs::write(&path, lines).expect("a scratch file");
    let text = |name: &str| json!({ "name": name, "type": "Str" });
    let columns = json!([text("id"), text("instruction"), text("output"), { "name": "video", "type": "[Image]" }]);
    let args = json!({ "path": path, "as": { "columns": columns }, "media": bench.root.path(), "bad": "fail" });
    bench.run("data.jsonl", args, &[]).expect("the rows load")
}

#[test]
fn a_model_learns_from_frames_and_replies_to_them() {
    let bench = Bench::new();
    let data = data(&bench);
    let base = base(&bench, &data);
    let few = json!({ "max_rows": null, "batch": 4, "validation": { "ratio": 0.0 }, "evaluate": null });
    let args = with(sft_args(12), few);
    let tuned = bench.run("train.sft", args, &[("m", &base), ("data", &data)]).expect("a model");
    let loss = losses(&bench, &tuned, "loss");
    assert!(loss[11] < 0.8 * loss[0], "{loss:?}");
    let ask = json!({
        "d": { "$input": "d" }, "by": { "$input": "by" }, "given": ["instruction"], "prompt": null, "max_tokens": 4, "temperature": 0.0,
        "top_p": 1.0, "top_k": 0, "beams": 1, "seed": 0, "stop": [], "pixels": { "from": 1024, "to": 12544 },
    });
    let replies = |data: &Artifact| {
        let made = bench.run("model.generate", ask.clone(), &[("d", data), ("by", &tuned)]).expect("replies");
        let table = rbpipe::engine::storage::dataset::load(&bench.store, &made).expect("rows");
        let sure: Vec<f64> = table.cells("reply_p").expect("a column").iter().filter_map(|c| c.as_f64()).collect();
        sure
    };
    let seen = replies(&data);
    let blind = bench.run("data.drop", json!({ "columns": ["video"] }), &[("d", &data)]).expect("rows");
    let blind = replies(&blind);
    assert!(seen.len() == 8 && blind.len() == 8);
    assert!((seen[0] - blind[0]).abs() > 1e-6, "a row with a video is shown it: {} and {}", seen[0], blind[0]);
    assert!((seen[2] - blind[2]).abs() < 1e-6, "a row without one has none: {} and {}", seen[2], blind[2]);
}

#[test]
fn a_file_is_read_at_so_many_frames_a_second() {
    let bench = Bench::new();
    let path = bench.root.path().join("v.mp4");
    let source = "nullsrc=s=64x48:r=20:d=2,geq=lum='16+5*N':cb=128:cr=128";
    let args = ["-v", "error", "-y", "-f", "lavfi", "-i", source, "-c:v", "mpeg4", "-q:v", "1"];
    if !Command::new("ffmpeg").args(args).arg(&path).status().is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED: no `ffmpeg` on this machine, so no video was read");
        return;
    }
    let digest = bench.store.put_file(&path).expect("stored").digest.hex();
    let film = vec![Medium { digest, media: "video/mp4".into() }];
    let folder = goldens().join("model");
    let config = Config::load(&folder).expect("a model");
    let encoder = Encoder::open(&folder, &config, Limits::default()).expect("a processor");
    let broken =
        vec![Medium { digest: bench.store.put(b"no video").expect("stored").digest.hex(), media: "video/mp4".into() }];
    let rows = [row("What?", film), row("What?", broken)];
    let (encoded, gallery, lost) = encoder.encode(&rows, &bench.store, &|_| {}).expect("a store");
    let sample = gallery.samples(&[&encoded[0].examples[0]]).remove(0);
    // Two seconds at two frames a second make two steps of two frames.
    assert_eq!((sample.videos[0].grid[0], sample.videos[0].seconds), (2, 1.0));
    assert!(lost.len() == 1 && lost[0].0 == 1 && lost[0].1.starts_with("the video is damaged"), "{lost:?}");
}
