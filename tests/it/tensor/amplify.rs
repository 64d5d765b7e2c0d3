//! The amplifier of high-risk features: what it may do, when it learns, and that everything that reads a model applies it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rbpipe::model::collate::{Batch, IGNORE, Padding, Pixels, Sample, collate};
use rbpipe::model::qwen_vl::Embedded;
use rbpipe::model::{Config, Decoding, QwenVl, Strength, generate, score_options, score_prompts};
use tch::{Device, Kind, Tensor, no_grad};

fn golden_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev/model")
}

fn plain() -> QwenVl {
    rbpipe::model::set_threads(1);
    QwenVl::load(&golden_model(), Device::Cpu, Kind::Float).expect("the golden model loads")
}

fn amplified(gain: f64, attention: f64) -> QwenVl {
    plain().amplified(Strength { gain, attention }, 5)
}

/// A gate that is no longer what it was at the start.
fn stirred(gain: f64, attention: f64) -> QwenVl {
    let model = amplified(gain, attention);
    set(&model, "amplifier.gate.2.weight", |w| {
        let _ = w.copy_(&(Tensor::arange(64, (Kind::Float, Device::Cpu)).sin().view([1, 64]) * 2.0));
    });
    model
}

fn set(model: &QwenVl, name: &str, change: impl FnOnce(&mut Tensor)) {
    let mut weight = model.params.get(name).expect("a weight of the gate");
    no_grad(|| change(&mut weight));
}

/// A prompt of `before` words, a picture of two by three tokens, and `after` words, all of which are to be learned.
fn sample(config: &Config, before: i64, after: i64, teaches: bool) -> Sample {
    let values: Vec<f32> = (0..24 * 1176).map(|i| ((i * 37 + before as usize) as f32 * 0.01).sin()).collect();
    let mut ids: Vec<i64> = (0..before).map(|i| 20 + i * 7 % 300).collect();
    ids.push(config.vision_start_id);
    ids.extend([config.image_id; 6]);
    ids.push(config.vision_end_id);
    let prompt = ids.len();
    ids.extend((0..after).map(|i| 30 + i * 11 % 300));
    let labels = ids.iter().enumerate().map(|(i, &id)| if i < prompt { IGNORE } else { id }).collect();
    let images = vec![Arc::new(Pixels { values, grid: [1, 4, 6], seconds: 0.0 })];
    Sample { name: "s".into(), ids, labels, images, teaches, ..Sample::default() }
}

fn batch(model: &QwenVl, samples: &[Sample]) -> Batch {
    let samples: Vec<&Sample> = samples.iter().collect();
    collate(&model.config, &samples, Padding::right(504)).expect("a batch")
}

fn logits(model: &QwenVl, batch: &Batch) -> Tensor {
    no_grad(|| model.logits(&model.forward_hidden(batch).expect("a forward")))
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn a_fresh_amplifier_changes_nothing() {
    let base = plain();
    let rows = [sample(&base.config, 5, 8, true), sample(&base.config, 70, 20, false)];
    let batch = batch(&base, &rows);
    let before = logits(&base, &batch);
    assert_eq!(logits(&amplified(2.0, 0.0), &batch), before, "the same bits");
    let found = difference(&logits(&amplified(3.0, 0.5), &batch), &before);
    assert!(found < 1e-5, "only the attention kernel is another one: {found}");
    let moved = difference(&logits(&stirred(2.0, 0.0), &batch), &before);
    assert!(moved > 1e-3, "a gate that has learned does something: {moved}");
}

#[test]
fn gates_keep_their_bounds() {
    let base = plain();
    let rows = [sample(&base.config, 9, 4, true)];
    let batch = batch(&base, &rows);
    let image = batch.input_ids.eq(base.config.image_id);
    let features = |x: &Tensor| x.view([-1, 64]).index_select(0, &image.view([-1]).nonzero().view([-1]));
    let before = no_grad(|| base.embed(&batch)).expect("embedded");
    assert!(before.bias_bt.is_none());
    for (push, factor, bias) in [(1e6, 3.0, 0.5), (-1e6, 1.0 / 3.0, -0.5)] {
        let model = amplified(3.0, 0.5);
        set(&model, "amplifier.gate.2.bias", |b| {
            let _ = b.fill_(push);
        });
        let Embedded { x_btd, bias_bt } = no_grad(|| model.embed(&batch)).expect("embedded");
        let found = difference(&features(&x_btd), &(features(&before.x_btd) * factor));
        assert!(found < 1e-5, "at the bound the factor is {factor}: {found}");
        let wanted = image.to_kind(Kind::Float) * bias;
        let found = difference(&bias_bt.expect("a bias"), &wanted);
        assert!(found < 1e-6, "{bias} at image tokens, 0 elsewhere: {found}");
    }
    let model = stirred(3.0, 0.5);
    let Embedded { x_btd, bias_bt } = no_grad(|| model.embed(&batch)).expect("embedded");
    let factors = features(&x_btd) / features(&before.x_btd);
    let (low, high) = (factors.min().double_value(&[]), factors.max().double_value(&[]));
    assert!(low > 1.0 / 3.001 && high < 3.001 && (high - 1.0).abs() > 0.1, "{low} to {high}");
    let bias = bias_bt.expect("a bias").abs().max().double_value(&[]);
    assert!(bias > 0.05 && bias <= 0.5, "{bias}");
    for (gain, attention) in [(0.5, 0.0), (f64::NAN, 0.0), (2.0, -1.0), (2.0, f64::INFINITY)] {
        let error = rbpipe::model::amplifier::check(Strength { gain, attention }).expect_err("refused");
        assert_eq!(error.code, "E0214", "{error}");
    }
}

/// The largest gradient in the gate after one backward pass.
fn gate_gradient(mut model: QwenVl, rows: &[Sample]) -> f64 {
    model.params.set_trainable(|_| true).expect("all of it");
    let batch = batch(&model, rows);
    let hidden = model.forward_hidden(&batch).expect("a forward");
    let target = Tensor::full(hidden.size(), 0.3, (Kind::Float, Device::Cpu));
    (hidden - target).square().sum(Kind::Float).backward();
    let of = |name: &str| model.params.grad_of(name).expect("a gradient").abs().max().double_value(&[]);
    of("amplifier.gate.2.weight").max(of("amplifier.gate.2.bias"))
}

#[test]
fn the_gate_learns_from_teaching_rows_alone() {
    let config = plain().config;
    // Short and long: attention has two kernels on a CPU.
    for before in [5, 90] {
        let teacher = || sample(&config, before, 6, true);
        let other = || sample(&config, before + 3, 6, false);
        for (gain, attention) in [(2.0, 0.0), (1.0, 0.5)] {
            let learned = gate_gradient(amplified(gain, attention), &[teacher(), other()]);
            assert!(learned > 1e-4, "gain {gain}, attention {attention}: {learned}");
            let idle = gate_gradient(amplified(gain, attention), &[other(), other()]);
            assert!(idle == 0.0, "gain {gain}, attention {attention}: {idle}");
        }
        // By the attention alone, against a difference quotient.
        let slope = gate_gradient_by_attention(before);
        assert!((slope.0 - slope.1).abs() < 0.02 * slope.1.abs().max(0.05), "{slope:?}");
    }
}

/// The gradient of the gate's last bias by backpropagation and by a difference quotient.
fn gate_gradient_by_attention(before: i64) -> (f64, f64) {
    let rows = [sample(&plain().config, before, 6, true)];
    let loss = |model: &QwenVl| {
        let hidden = model.forward_hidden(&batch(model, &rows)).expect("a forward");
        (hidden - 0.3).square().sum(Kind::Float)
    };
    let mut model = amplified(1.0, 2.0);
    model.params.set_trainable(|_| true).expect("all of it");
    loss(&model).backward();
    let slope = model.params.grad_of("amplifier.gate.2.bias").expect("a gradient").double_value(&[0]);
    let shifted = |by: f64| {
        set(&model, "amplifier.gate.2.bias", |b| {
            let _ = b.fill_(by);
        });
        no_grad(|| loss(&model)).double_value(&[])
    };
    let step = 0.02;
    (slope, (shifted(step) - shifted(-step)) / (2.0 * step))
}

#[test]
fn a_folder_keeps_its_amplifier() {
    let model = stirred(2.5, 0.25);
    let rows = [sample(&model.config, 12, 9, false)];
    let batch = batch(&model, &rows);
    let folder = tempfile::tempdir().expect("a folder");
    model.save(folder.path(), &golden_model()).expect("it saves");
    let again = QwenVl::load(folder.path(), Device::Cpu, Kind::Float).expect("it loads");
    assert_eq!(again.amplifier.as_ref().map(|a| a.strength), Some(Strength { gain: 2.5, attention: 0.25 }));
    assert_eq!(logits(&again, &batch), logits(&model, &batch));
    assert_eq!(logits(&again.copy(), &batch), logits(&model, &batch));

    let second = tempfile::tempdir().expect("a folder");
    again.save(second.path(), folder.path()).expect("it saves again");
    let bytes = |folder: &Path, file: &str| std::fs::read(folder.join(file)).expect("a file");
    for file in ["amplifier.safetensors", "model.safetensors", "model.safetensors.index.json"] {
        assert_eq!(bytes(folder.path(), file), bytes(second.path(), file), "{file}");
    }
    // Other loaders go by the index, or read model.safetensors alone: neither knows of the amplifier.
    let index = String::from_utf8(bytes(folder.path(), "model.safetensors.index.json")).expect("text");
    assert!(index.contains("lm_head.weight") && !index.contains("amplifier"), "{index}");
    let own = rbpipe::model::weights::read(&folder.path().join("model.safetensors")).expect("tensors");
    assert!(own.len() > 20 && !own.keys().any(|name| name.starts_with("amplifier")));
    std::fs::remove_file(folder.path().join("amplifier.safetensors")).expect("it was there");
    let without = QwenVl::load(folder.path(), Device::Cpu, Kind::Float).expect("it loads without");
    assert_eq!(logits(&without, &batch), logits(&plain(), &batch));

    std::fs::write(folder.path().join("amplifier.safetensors"), b"rubbish").expect("written");
    let error = QwenVl::load(folder.path(), Device::Cpu, Kind::Float).map(|_| ()).expect_err("no amplifier");
    assert!(error.code == "E0503" && error.help.is_some(), "{error:?}");
}

/// Where weights are shared out a rank has its own parts alone: a gate and a head grow on these as on the whole.
#[test]
fn a_gate_and_a_head_grow_on_parts_of_a_model() {
    let grown = |model: QwenVl| model.amplified(Strength { gain: 2.0, attention: 0.5 }, 7).valued(9);
    let plain = plain();
    let n = plain.params.flat().numel() as i64;
    let own = vec![n / 4..n / 2, n / 2 + 10..n - 3];
    let parts = QwenVl::load_parts(&golden_model(), Kind::Float, |_| own.clone()).expect("the golden model loads");
    let (whole, parts) = (grown(plain), grown(parts));
    let end = whole.params.flat().numel() as i64;
    assert_eq!((whole.params.schema(), end > n + 64), (parts.params.schema(), true));
    for range in own.into_iter().chain([n..end]) {
        let of = |model: &QwenVl| model.params.flat().narrow(0, range.start, range.end - range.start);
        assert_eq!(of(&parts), of(&whole), "{range:?}");
    }
}

#[test]
fn generation_with_a_cache_is_the_full_forward() {
    let model = stirred(2.0, 0.75);
    let config = &model.config;
    let prompts = [sample(config, 4, 3, false), sample(config, 11, 5, false), sample(config, 75, 2, false)];
    agrees_with_the_full_forward(&model, &prompts);
}

#[test]
fn shared_pictures_and_beginnings_are_amplified_too() {
    let model = stirred(2.0, 0.75);
    let config = &model.config;
    let mut prompts = Vec::new();
    // Beginnings of two lengths, two pictures; endings of different lengths.
    for before in [40, 9] {
        let one = sample(config, before, 0, false);
        for after in [1, 4, 2, 7, 3] {
            let tail = (0..after).map(|i| 33 + (i * 17 + after * 5) % 300);
            let ids: Vec<i64> = one.ids.iter().copied().chain(tail).collect();
            prompts.push(Sample { labels: vec![IGNORE; ids.len()], ids, ..one.clone() });
        }
    }
    agrees_with_the_full_forward(&model, &prompts);
}

/// Generates replies, scores them as options, and compares every step with one forward over prompt and reply.
fn agrees_with_the_full_forward(model: &QwenVl, prompts: &[Sample]) {
    let replies = generate(model, prompts, &Decoding::greedy(6, vec![], 504), |_| {}).expect("replies");
    let others: Vec<Vec<Vec<i64>>> = replies.iter().map(|r| vec![vec![40, 41], r.ids.clone(), vec![42]]).collect();
    let together = score_prompts(model, prompts, &others, 504).expect("scores");
    for ((prompt, reply), together) in prompts.iter().zip(&replies).zip(&together) {
        assert_eq!(reply.ids.len(), 6);
        let whole = Sample {
            ids: [prompt.ids.clone(), reply.ids.clone()].concat(),
            labels: vec![IGNORE; prompt.ids.len() + 6],
            ..prompt.clone()
        };
        let scores = logits(model, &batch(model, &[whole])).get(0).log_softmax(-1, Kind::Float);
        let options = score_options(model, prompt, &[reply.ids.clone(), vec![40, 41]]).expect("scores");
        for (i, &id) in reply.ids.iter().enumerate() {
            let at = (prompt.ids.len() + i - 1) as i64;
            let full = scores.double_value(&[at, id]);
            assert!((full - reply.logps[i]).abs() < 1e-4, "token {i}: {full} and {}", reply.logps[i]);
            for scored in [options[0].tokens[i], together[1].tokens[i]] {
                assert!((full - scored).abs() < 1e-4, "token {i}: {full} and {scored}");
            }
            assert_eq!(scores.get(at).argmax(-1, false).int64_value(&[]), id);
        }
    }
}
