//! Compares the memory formula of `plan` with measured peaks: one training step of random models of several shapes, each in a process of its
//! own. Prints a table in Markdown.
//!
//! `LIBTORCH=… cargo bench --features torch --bench memory`

use std::process::Command;
use std::sync::Arc;

use rbpipe::model::collate::{IGNORE, Padding, Pixels, Sample, collate};
use rbpipe::model::{Config, QwenVl, set_threads};
use rbpipe::plan::memory::formula::{self, Precision, Work};
use rbpipe::plan::memory::shape::Shape;
use rbpipe::train::dpo::{Preference, Variant};
use rbpipe::train::pass::WholePass;
use rbpipe::train::preference::{self, Piece};
use rbpipe::train::sft::{self, Scaling, Step, Weighting};
use serde_json::{Value as Json, json};
use tch::{Device, Kind};

/// A shape of a model and of the batch that it is measured with.
struct Case {
    name: &'static str,
    /// Width, inner width, blocks, heads, key heads of the text decoder.
    text: [u64; 5],
    /// Width, inner width, blocks, heads of the vision tower.
    vision: [u64; 4],
    vocab: u64,
    /// Rows, tokens a row.
    rows: [usize; 2],
    /// Patches along each side of a row's picture; 0 for none.
    picture: i64,
    /// Labels at the end of each row.
    labels: usize,
    half: bool,
    preference: bool,
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "text", text: [256, 1024, 6, 4, 2], vision: [64, 128, 2, 2], vocab: 8192, rows: [4, 512], picture: 0, labels: 64, half: false, preference: false },
    Case { name: "pictures", text: [512, 1408, 8, 8, 2], vision: [320, 864, 6, 5], vocab: 8192, rows: [4, 512], picture: 40, labels: 64, half: false, preference: false },
    Case { name: "pictures, bf16", text: [512, 1408, 8, 8, 2], vision: [320, 864, 6, 5], vocab: 8192, rows: [4, 512], picture: 40, labels: 64, half: true, preference: false },
    Case { name: "wide MLP, bf16", text: [384, 2048, 10, 6, 2], vision: [128, 384, 4, 4], vocab: 16384, rows: [2, 1024], picture: 24, labels: 200, half: true, preference: false },
    Case { name: "large vocabulary", text: [256, 704, 4, 4, 4], vision: [64, 128, 2, 2], vocab: 50000, rows: [4, 384], picture: 16, labels: 256, half: false, preference: false },
    Case { name: "pairs", text: [320, 896, 6, 5, 1], vision: [128, 384, 4, 4], vocab: 32000, rows: [4, 512], picture: 24, labels: 320, half: false, preference: true },
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let ["case", number] = args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return measure(&CASES[number.parse::<usize>().expect("a number")]);
    }
    println!(
        "| case | weights | tokens | patches | kept: text | kept: vision | logits | under way | formula MiB | measured MiB | off |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for number in 0..CASES.len() {
        let me = std::env::current_exe().expect("a path");
        // Blocks from 64 KiB on go back to the system as soon as they are free, so that the peak of the process is that of its tensors.
        let tunables =
            "glibc.malloc.mmap_threshold=65536:glibc.malloc.mmap_max=1000000:glibc.malloc.trim_threshold=65536";
        let run = Command::new(me).args(["case", &number.to_string()]).env("GLIBC_TUNABLES", tunables).status();
        assert!(run.expect("starts").success());
    }
}

fn config(case: &Case) -> Json {
    let ([d, i, blocks, heads, keys], [vd, vi, depth, vheads]) = (case.text, case.vision);
    let third = d / heads / 2 / 3;
    json!({
        "model_type": "qwen2_5_vl", "hidden_size": d, "intermediate_size": i, "num_hidden_layers": blocks, "num_attention_heads": heads,
        "num_key_value_heads": keys, "vocab_size": case.vocab, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 4096,
        "rope_scaling": { "type": "mrope", "mrope_section": [d / heads / 2 - 2 * third, third, third] }, "tie_word_embeddings": false,
        "image_token_id": 3, "video_token_id": 4, "vision_start_token_id": 1, "vision_end_token_id": 2,
        "vision_config": {
            "depth": depth, "hidden_size": vd, "intermediate_size": vi, "num_heads": vheads, "in_chans": 3, "patch_size": 14,
            "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 112, "fullatt_block_indexes": [depth - 1],
            "tokens_per_second": 2, "out_hidden_size": d,
        },
    })
}

fn measure(case: &Case) {
    set_threads(2);
    let json = config(case);
    let kind = if case.half { Kind::BFloat16 } else { Kind::Float };
    let mut model = QwenVl::random(Config::from_json(&json).expect("a configuration"), Device::Cpu, kind, 1);
    model.params.set_trainable(|_| true).expect("all of it");
    let shape = Shape::of(&json, None).expect("a shape");
    assert_eq!(shape.all(), model.params.counts().0 as u64, "weights are counted exactly");

    let samples: Vec<Sample> = (0..case.rows[0]).map(|row| sample(case, row)).collect();
    let batch = collate(&model.config, &samples.iter().collect::<Vec<_>>(), Padding::right(0)).expect("a batch");
    let tokens = batch.input_ids.numel() as u64;
    let patches = batch.pixel_values.as_ref().map_or(0, |p| p.size()[0] as u64);
    let labels = (case.labels * case.rows[0]) as u64;
    let work = Work { tokens, patches, labels, masked_row: 0, preference: case.preference, gpu: false };
    let precision = if case.half { Precision::Half } else { Precision::F32 };
    let said = formula::step(&shape, precision, &work);

    let preference = Preference { variant: Variant::Sigmoid, beta: 0.1, gamma: 0.5, smoothing: 0.0, sft: 0.0 };
    let pairs = vec![(-9.0, -9.0); case.rows[0] / 2];
    let step: Box<dyn Fn()> = if case.preference {
        let step = preference::Step::of(vec![Piece::halves(batch, pairs)]);
        Box::new(move || {
            preference::backward(&mut WholePass::new(&model), &step, &preference).expect("a step");
        })
    } else {
        let step = Step::of(vec![batch]);
        Box::new(move || {
            sft::backward(&mut WholePass::new(&model), &step, Weighting::plain(Scaling::TokenMean)).expect("a step");
        })
    };
    step(); // what stays from now on, such as kernels and their workspaces, is no part of a step
    let before = status("VmRSS:");
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
    step();
    let peak = status("VmHWM:") - before;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    // The pixels as the batch has them are there before the step.
    let given = patches * shape.vision.map_or(0, |v| v.patch) * 4;
    let formula = mib(said.sum() - given);
    println!(
        "| {} | {:.1} M | {tokens} | {patches} | {:.0} | {:.0} | {:.0} | {:.0} | {formula:.0} | {:.0} | {:+.1} % |",
        case.name,
        shape.all() as f64 / 1e6,
        mib(said.text),
        mib(said.vision - given),
        mib(said.logits),
        mib(said.under_way),
        mib(peak),
        (formula / mib(peak) - 1.0) * 100.0,
    );
}

fn sample(case: &Case, row: usize) -> Sample {
    let side = case.picture;
    let image = (side > 0).then(|| Pixels {
        values: vec![0.1 * row as f32; (side * side * 1176) as usize],
        grid: [1, side, side],
        seconds: 0.0,
    });
    let mut ids = Vec::new();
    if side > 0 {
        ids.push(1);
        ids.extend(vec![3; (side * side / 4) as usize]);
        ids.push(2);
    }
    ids.extend((ids.len()..case.rows[1]).map(|i| 10 + (i * 7 + row) as i64 % 1000));
    let unlabelled = ids.len() - case.labels;
    let labels = ids.iter().enumerate().map(|(i, &id)| if i < unlabelled { IGNORE } else { id }).collect();
    Sample {
        name: row.to_string(),
        ids,
        labels,
        images: image.into_iter().map(Arc::new).collect(),
        ..Sample::default()
    }
}

/// Reads a line of the process's status, in bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
    line.trim().split(' ').next().expect("a number").parse::<u64>().expect("a number") * 1024
}
