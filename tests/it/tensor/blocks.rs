//! Passes block by block give what one pass through the whole model gives, whatever is learned and by what, kept or computed again, shared out or not.

use std::path::Path;
use std::sync::Arc;

use rbpipe::dist::Group;
use rbpipe::model::collate::{IGNORE, Pixels, Sample};
use rbpipe::model::{QwenVl, Strength};
use rbpipe::plan::memory::recompute::Recompute;
use rbpipe::train::blocks::{BlockPass, pass};
use rbpipe::train::dpo::{Preference, Variant};
use rbpipe::train::examples::{Example, Gallery};
use rbpipe::train::held::Held;
use rbpipe::train::micro::Layout;
use rbpipe::train::pairs::{Pair, Pairs};
use rbpipe::train::pass::Pass;
use rbpipe::train::preference::Dpo;
use rbpipe::train::run::Objective;
use rbpipe::train::sft::{Auxiliary, Scaling, Sft, Weighting};
use rbpipe::train::shards::Stage;
use rbpipe::train::share::Share;
use tch::{Device, Kind, Tensor, no_grad};

/// A golden model with an amplifier that has learned something, of which `learns` is trained.
fn model(set: &str, amplified: bool, learns: fn(&str) -> bool, stage: Stage) -> QwenVl {
    rbpipe::model::set_threads(1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(set).join("model");
    let mut model = QwenVl::load(&folder, Device::Cpu, Kind::Float).expect("a golden model");
    if amplified {
        model = model.amplified(Strength { gain: 2.0, attention: 0.5 }, 5);
        let mut gate = model.params.get("amplifier.gate.2.weight").expect("a gate");
        no_grad(|| gate.copy_(&(Tensor::arange(64, (Kind::Float, Device::Cpu)).sin().view([1, 64]) * 0.1)));
    }
    model.params.choose(learns).expect("what may differ");
    if stage < Stage::Gradients {
        model.params.lay_out_grads();
    }
    model
}

/// Rows with one picture, none, and two, whose words and cells are to be learned.
fn examples(model: &QwenVl, gallery: &mut Gallery) -> Vec<Example> {
    let config = &model.config;
    let picture = |seed: i64, grid: [i64; 3]| {
        let count = grid.iter().product::<i64>() * 1176;
        let values = (0..count).map(|i| (((i * 37 + seed) % 200) as f32 * 0.01).sin()).collect();
        Pixels { values, grid, seconds: 1.0 }
    };
    let mut add = |seed, grid| gallery.add(gallery.packed(picture(seed, grid)));
    let (first, second) = (add(3, [1, 4, 6]), add(7, [1, 2, 4]));
    let shown = [vec![first], Vec::new(), vec![first, second]];
    let example = |(row, images): (usize, Vec<usize>)| {
        let mut ids: Vec<i64> = vec![20, 31];
        for &image in &images {
            let units = gallery.grid(image).iter().product::<i64>() / 4;
            ids.push(config.vision_start_id);
            ids.extend(vec![config.image_id; units as usize]);
            ids.push(config.vision_end_id);
        }
        let shared = if images.is_empty() { 0 } else { ids.len() };
        ids.extend([40 + row as i64, 41, 42]);
        let prompt = ids.len();
        ids.extend((0..3 + row as i64).map(|i| 60 + 7 * i));
        let labels = ids.iter().enumerate().map(|(at, &id)| if at < prompt { IGNORE } else { id }).collect();
        let tokens = ids.iter().filter(|id| **id == config.image_id).count() as i64;
        let cells = (tokens > 0).then(|| Arc::new((0..tokens).map(|i| vec![50 + i, 70]).collect()));
        let phrases = if images.is_empty() { Vec::new() } else { vec![(shared + 1, vec![55])] };
        let sample = Sample { name: row.to_string(), ids, labels, teaches: row == 0, ..Sample::default() };
        Example { sample, images, videos: Vec::new(), shared, cells, phrases }
    };
    shown.into_iter().enumerate().map(example).collect()
}

const EACH: [Recompute; 5] = [Recompute::None, Recompute::Half, Recompute::Vision, Recompute::Text, Recompute::All];

const LAYOUT: Layout = Layout { budget: usize::MAX, rows: 1, packing: None, pad: 504 };

/// How a step passes through a model.
#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    Blocks { recompute: Recompute, stage: Stage },
}

/// Loss, measures and gradients `[n]` of one step.
fn step<O: Objective>(model: &QwenVl, objective: &O, rows: &[usize], way: Way) -> (f64, Vec<f64>, Tensor) {
    let group = Group::alone();
    let stage = if let Way::Blocks { stage, .. } = way { stage } else { Stage::None };
    let mut held = Held::new(model, &group, stage);
    held.zero();
    let batch = objective.prepare(rows, Share::WHOLE).expect("a step");
    let given = {
        let mut pass: Box<dyn Pass> = match way {
            Way::Whole => pass(&mut held, Recompute::None),
            Way::Blocks { recompute, .. } => Box::new(BlockPass::new(&mut held, recompute)),
        };
        let given = objective.backward(pass.as_mut(), &batch).expect("a backward");
        pass.settle().expect("nobody else");
        given
    };
    held.reduce().expect("nobody else");
    let measures = given.measures.iter().map(|(_, value)| *value).collect();
    (given.loss, measures, held.grads_m.copy())
}

fn ways() -> Vec<Way> {
    let alone = EACH.map(|recompute| Way::Blocks { recompute, stage: Stage::None });
    let shared = [Stage::Optimizer, Stage::Gradients, Stage::Weights];
    let shared = shared.map(|stage| Way::Blocks { recompute: Recompute::None, stage });
    alone.into_iter().chain(shared).collect()
}

/// Compares all ways with the whole pass; `build` makes an objective of a model and runs it.
fn agree(name: &str, run: &dyn Fn(Way) -> (f64, Vec<f64>, Tensor)) {
    let (loss, measures, grads) = run(Way::Whole);
    let largest = grads.abs().max().double_value(&[]);
    assert!(loss > 0.0 && largest > 1e-6, "{name}: something is learned: {loss}, {largest}");
    for way in ways() {
        let (ours, own, found) = run(way);
        assert!((ours - loss).abs() < 1e-6 * loss, "{name}, {way:?}: {ours}, as a whole {loss}");
        assert!(own.iter().zip(&measures).all(|(a, b)| (a - b).abs() < 1e-5), "{name}, {way:?}: {own:?}, {measures:?}");
        let apart = (found - &grads).abs().max().double_value(&[]);
        assert!(apart < 1e-5 * largest.max(0.1), "{name}, {way:?}: gradients are {apart} apart of {largest}");
    }
}

#[test]
fn a_pass_block_by_block_is_a_pass_through_the_whole() {
    let everything: fn(&str) -> bool = |_| true;
    type Case = (&'static str, &'static str, bool, fn(&str) -> bool);
    let cases: [Case; 8] = [
        ("all", "dev", false, everything),
        ("all, tied", "odd", false, everything),
        ("an amplifier", "dev", true, everything),
        ("an amplifier alone", "dev", true, |name| name.starts_with("amplifier.")),
        ("no vision", "dev", true, |name| !name.starts_with("visual.")),
        ("the merger alone", "dev", false, |name| name.starts_with("visual.merger.")),
        ("no embeddings, tied", "odd", false, |name| !name.contains("embed_tokens")),
        ("the last block", "dev", true, |name| name.starts_with("model.layers.2.")),
    ];
    for (name, set, amplified, learns) in cases {
        agree(name, &|way| {
            let stage = if let Way::Blocks { stage, .. } = way { stage } else { Stage::None };
            let model = model(set, amplified, learns, stage);
            let mut gallery = Gallery::new(model.config.vision.as_ref());
            let rows = examples(&model, &mut gallery);
            let cells = Auxiliary { weight: 0.5, after: Some(1) };
            let objective = Sft {
                config: &model.config,
                rows,
                held_out: Vec::new(),
                gallery: &gallery,
                weighting: Weighting {
                    cells,
                    phrases: Auxiliary { weight: 0.3, after: Some(2) },
                    ..Weighting::plain(Scaling::TokenMean)
                },
                layout: LAYOUT,
                device: Device::Cpu,
                by_picture: false,
            };
            step(&model, &objective, &[0, 1, 2], way)
        });
    }
}

#[test]
fn pairs_pass_block_by_block_too() {
    for (name, amplified, learns) in [
        ("all", false, (|_| true) as fn(&str) -> bool),
        ("an amplifier and the text", true, |name| !name.starts_with("visual.")),
    ] {
        agree(name, &|way| {
            let stage = if let Way::Blocks { stage, .. } = way { stage } else { Stage::None };
            let model = model("dev", amplified, learns, stage);
            let mut gallery = Gallery::new(model.config.vision.as_ref());
            let pair = |chosen: Example| {
                let mut rejected = chosen.clone();
                let last = rejected.sample.ids.len() - 1;
                (rejected.sample.ids[last], rejected.sample.labels[last]) = (77, 77);
                Pair { chosen, rejected, reference: (-20.0, -19.0) }
            };
            let rows = examples(&model, &mut gallery).into_iter().map(pair).collect();
            let data = Pairs {
                config: &model.config,
                rows,
                held_out: Vec::new(),
                gallery,
                layout: Layout { rows: 2, ..LAYOUT },
            };
            let preference = Preference { variant: Variant::Sigmoid, beta: 0.3, gamma: 0.5, smoothing: 0.1, sft: 0.2 };
            step(&model, &Dpo { data, preference }, &[0, 1, 2], way)
        });
    }
}

/// What is computed again is computed alike, so gradients are those of the whole pass to the last bit.
#[test]
fn blocks_that_are_computed_again_change_no_bit() {
    for (set, kind) in [("dev", Kind::Float), ("odd", Kind::Float), ("dev", Kind::BFloat16)] {
        let run = |way| {
            let mut model = model(set, false, |_| true, Stage::None);
            if kind != Kind::Float {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(set).join("model");
                model = QwenVl::load(&folder, Device::Cpu, kind).expect("a golden model");
                model.params.set_trainable(|_| true).expect("all of it");
            }
            let mut gallery = Gallery::new(model.config.vision.as_ref());
            let objective = Sft {
                config: &model.config,
                rows: examples(&model, &mut gallery),
                held_out: Vec::new(),
                gallery: &gallery,
                weighting: Weighting::plain(Scaling::TokenMean),
                layout: LAYOUT,
                device: Device::Cpu,
                by_picture: false,
            };
            step(&model, &objective, &[0, 1, 2], way)
        };
        let (loss, _, grads) = run(Way::Whole);
        assert!(grads.abs().max().double_value(&[]) > 1e-6, "{set}: something is learned");
        for recompute in EACH {
            let (ours, _, found) = run(Way::Blocks { recompute, stage: Stage::None });
            let apart = (&found - &grads).abs().max().double_value(&[]);
            assert!(ours == loss && found == grads, "{set}, {kind:?}, {recompute:?}: {ours}, {loss}; {apart} apart");
        }
    }
}
