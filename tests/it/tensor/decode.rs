//! Replies do not depend on how prompts share batches, pictures and beginnings.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rbpipe::model::collate::{IGNORE, Pixels, Sample};
use rbpipe::model::{Decoding, QwenVl, Strength, generate, score_options, score_prompts};
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor, no_grad};

fn model() -> QwenVl {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev/model");
    QwenVl::load(&folder, Device::Cpu, Kind::Float).unwrap()
}

/// The same with an amplifier whose gate is no longer what it was at the start.
fn amplified() -> QwenVl {
    let model = model().amplified(Strength { gain: 2.0, attention: 1.5 }, 5);
    let mut weight = model.params.get("amplifier.gate.2.weight").unwrap();
    no_grad(|| weight.copy_(&(Tensor::arange(64, (Kind::Float, Device::Cpu)).sin().view([1, 64]) * 2.0)));
    model
}

/// A picture of `side` x `side` patches, by number.
fn picture(number: usize, side: i64) -> Arc<Pixels> {
    let count = (side * side) as usize * 1176;
    let values = (0..count).map(|i| (((i * 31 + number * 977) % 503) as f32 / 251.0 - 1.0) * 1.5).collect();
    Arc::new(Pixels { values, grid: [1, side, side], seconds: 0.0 })
}

/// `n` prompts about `pictures` pictures, every fourth about two, with questions of different lengths.
fn prompts(model: &QwenVl, n: usize, pictures: usize, side: i64) -> Vec<Sample> {
    let gallery: Vec<Arc<Pixels>> = (0..pictures).map(|p| picture(p, side)).collect();
    let config = &model.config;
    let sample = |i: usize| {
        let shown: Vec<Arc<Pixels>> =
            (0..1 + usize::from(i % 4 == 0)).map(|k| Arc::clone(&gallery[(i + k) % pictures])).collect();
        let mut ids = vec![506, 40, 41, 42];
        for _ in &shown {
            ids.push(config.vision_start_id);
            ids.extend(vec![config.image_id; (side * side / 4) as usize]);
            ids.push(config.vision_end_id);
        }
        ids.extend((0..3 + i % 7).map(|k| (17 + 13 * i as i64 + 7 * k as i64) % 480));
        Sample { name: i.to_string(), labels: vec![IGNORE; ids.len()], ids, images: shown, ..Sample::default() }
    };
    (0..n).map(sample).collect()
}

/// The same prompts, each with pictures of its own: nothing can be shared.
fn alone(prompts: &[Sample]) -> Vec<Sample> {
    let own =
        |p: &Sample| Sample { images: p.images.iter().map(|i| Arc::new(Pixels::clone(i))).collect(), ..p.clone() };
    prompts.iter().map(own).collect()
}

#[test]
fn batches_and_shared_pictures_change_no_reply() {
    sharing_changes_no_reply(&model());
}

#[test]
fn nor_with_an_amplifier() {
    sharing_changes_no_reply(&amplified());
}

fn sharing_changes_no_reply(model: &QwenVl) {
    let prompts = prompts(model, 41, 5, 4);
    let mut decoding = Decoding { batch: 1, ..Decoding::greedy(24, Vec::new(), 505) };
    let long = generate(model, &alone(&prompts), &decoding, |_| ()).unwrap();
    // Tokens that some replies hold, so that these end early and leave their batch at different steps.
    decoding.stops = long.iter().step_by(3).enumerate().map(|(i, r)| r.ids[(5 * i) % 20]).collect();
    for temperature in [0.0, 0.9] {
        decoding.temperature = temperature;
        let one = generate(model, &alone(&prompts), &Decoding { batch: 1, ..decoding.clone() }, |_| ()).unwrap();
        let lengths: std::collections::BTreeSet<usize> = one.iter().map(|r| r.ids.len()).collect();
        assert!(lengths.len() > 4, "replies of different lengths: {lengths:?}");
        for batch in [7, 64] {
            let many = generate(model, &prompts, &Decoding { batch, ..decoding.clone() }, |_| ()).unwrap();
            for (a, b) in one.iter().zip(&many) {
                assert_eq!((&a.ids, a.stopped), (&b.ids, b.stopped), "temperature {temperature}, batch {batch}");
                let far = a.logps.iter().zip(&b.logps).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
                assert!(far < 1e-3 && a.logps.len() == b.logps.len(), "{far}");
            }
        }
    }
}

#[test]
fn options_of_many_prompts_score_as_those_of_one() {
    let model = model();
    let prompts = prompts(&model, 23, 4, 4);
    let options: Vec<Vec<Vec<i64>>> =
        (0..23i64).map(|i| vec![vec![65 + i, 506], vec![70], vec![80, 81, 82 + i, 506]]).collect();
    let many = score_prompts(&model, &prompts, &options, 505).unwrap();
    for ((prompt, options), many) in prompts.iter().zip(&options).zip(&many) {
        let one = score_options(&model, prompt, options).unwrap();
        for (a, b) in one.iter().zip(many) {
            assert_eq!(a.tokens.len(), b.tokens.len());
            let far = a.tokens.iter().zip(&b.tokens).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
            assert!(far < 1e-3, "{far}");
        }
    }
}

/// Not a test: prints seconds with nothing shared and with what the evaluation shares. `cargo test … speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed_of_replies() {
    let model = model();
    let prompts = prompts(&model, 256, 64, 16);
    for (name, set, batch) in [("batches of 16, own pictures", alone(&prompts), 16), ("as evaluated", prompts, 64)] {
        for stops in [vec![], (0..320).collect::<Vec<i64>>()] {
            let start = Instant::now();
            let decoding = Decoding { batch, ..Decoding::greedy(32, stops, 505) };
            let replies = generate(&model, &set, &decoding, |_| ()).unwrap();
            let tokens: usize = replies.iter().map(|r| r.ids.len()).sum();
            eprintln!("{name}: {tokens} tokens, {:.2} s", start.elapsed().as_secs_f64());
        }
    }
}

/// The same replies as transformers' beam search, with and without tokens that end them.
#[test]
fn beams_find_what_transformers_finds() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let json = |file: &str| -> Json {
        serde_json::from_slice(&std::fs::read(goldens.join(file)).expect("a golden")).expect("JSON")
    };
    let (model, prompts) = (model(), json("dev/generate.json"));
    let processor = rbpipe::model::Processor::load(&goldens.join("dev/model")).expect("a processor");
    let bytes = std::fs::read(goldens.join("dev/images/img0.png")).expect("a picture");
    let picture = processor.image(&rbpipe::model::Picture::decode(&bytes).expect("a picture")).expect("pixels");
    let picture = Arc::new(picture);
    let cases = json("beams.json");
    for case in cases.as_array().expect("cases") {
        let numbers = |value: &Json| -> Vec<i64> { serde_json::from_value(value.clone()).expect("numbers") };
        let name = case["prompt"].as_str().expect("a name");
        let ids = numbers(&prompts[name]["prompt_ids"][0]);
        let images = if name == "image" { vec![Arc::clone(&picture)] } else { Vec::new() };
        let prompt = Sample { labels: vec![IGNORE; ids.len()], ids, images, ..Sample::default() };
        let number = |key: &str| case[key].as_u64().expect("a number") as usize;
        let options =
            Decoding { beams: number("beams"), ..Decoding::greedy(number("max_tokens"), numbers(&case["stops"]), 503) };
        let reply = generate(&model, &[prompt], &options, |_| ()).expect("a reply").remove(0);
        let mut wanted = numbers(&case["tokens"]);
        if reply.stopped {
            let last = wanted.pop().expect("a token that ends it");
            assert!(options.stops.contains(&last), "{case}");
        }
        assert_eq!(reply.ids, wanted, "{case}");
        let score = reply.logps.iter().sum::<f64>() / reply.logps.len() as f64;
        assert!((score - case["score"].as_f64().expect("a number")).abs() < 1e-4, "{score} in {case}");
    }
}
