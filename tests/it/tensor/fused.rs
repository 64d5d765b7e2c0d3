//! Layers with a backward of their own against the same layers as libtorch composes them.

use rbpipe::model::fused::{self, Norm, Turned};
use rbpipe::model::rope::Rope;
use rbpipe::train::loss;
use tch::{Device, Kind, Tensor, no_grad};

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

fn learned(shape: &[i64]) -> Tensor {
    (Tensor::randn(shape, FLOAT) * 0.5).set_requires_grad(true)
}

/// The largest difference beside the largest value.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    assert_eq!(a.size(), b.size());
    (&a - &b).abs().max().double_value(&[]) / b.abs().max().double_value(&[]).max(1e-12)
}

/// Runs both ways on the same leaves, and compares results and gradients; those that are there already must be added to.
fn same(leaves: &[&Tensor], ours: impl Fn() -> Tensor, plain: impl Fn() -> Tensor) {
    let grads = |make: &dyn Fn() -> Tensor, times: usize| {
        leaves.iter().for_each(|leaf| {
            let mut leaf = leaf.shallow_clone();
            leaf.zero_grad();
        });
        let mut made = Tensor::new();
        for _ in 0..times {
            made = make();
            let grad = (Tensor::arange(made.numel() as i64, FLOAT) * 0.37).sin().view(made.size().as_slice());
            fused::backward(&made, &grad);
        }
        let grads: Vec<Tensor> = leaves.iter().filter(|l| l.requires_grad()).map(|leaf| leaf.grad().copy()).collect();
        (made.detach(), grads)
    };
    for times in [1, 3] {
        let ((a, ours), (b, theirs)) = (grads(&ours, times), grads(&plain, times));
        assert!(apart(&a, &b) < 1e-5, "{}", apart(&a, &b));
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert!(apart(ours, theirs) < 1e-5, "gradient {i} after {times}: {}", apart(ours, theirs));
        }
    }
}

fn plain_norm(x: &Tensor, weight: &Tensor) -> Tensor {
    x * (x.square().mean_dim(-1, true, Kind::Float) + 1e-6).rsqrt() * weight
}

#[test]
fn norms_and_the_layers_behind_them_have_their_gradients() {
    tch::manual_seed(5);
    let (x, scale, weight, bias) = (learned(&[2, 40, 24]), learned(&[24]), learned(&[32, 24]), learned(&[32]));
    let norm = Norm { weight: &scale, eps: 1e-6 };
    same(&[&x, &scale], || fused::norm(&x, &norm), || plain_norm(&x, &scale));
    let linear = || plain_norm(&x, &scale).linear(&weight, Some(&bias));
    same(&[&x, &scale, &weight, &bias], || fused::norm_linear(&x, &norm, &weight, Some(&bias), None), linear);

    // Four heads of 8, three of them turned.
    let angles = Tensor::randn([2, 40, 1, 4], FLOAT);
    let rope = Rope { cos: angles.cos(), sin: angles.sin() };
    let turned = Turned { rope: &rope, heads: 3, width: 8 };
    let composed = || {
        let parts = linear().view([2, 40, 4, 8]).split_with_sizes([3, 1], 2);
        Tensor::cat(&[rope.turn(&parts[0]), parts[1].shallow_clone()], 2)
    };
    let ours = || fused::norm_linear(&x, &norm, &weight, Some(&bias), Some(&turned));
    same(&[&x, &scale, &weight, &bias], ours, composed);
    // What is frozen gets no gradient, and the others get theirs.
    for frozen in [&scale, &weight, &bias, &x] {
        let _ = frozen.set_requires_grad(false);
        same(&[&x, &scale, &weight, &bias], ours, composed);
        let _ = frozen.set_requires_grad(true);
    }
}

#[test]
fn a_gated_layer_has_its_gradients() {
    tch::manual_seed(6);
    let (both, weight, bias) = (learned(&[3, 30, 26]), learned(&[10, 13]), learned(&[10]));
    let inner = || {
        let halves = both.split_with_sizes([13, 13], -1);
        halves[0].silu() * &halves[1]
    };
    same(&[&both, &weight], || fused::gated_linear(&both, &weight, None), || inner().linear(&weight, None::<&Tensor>));
    let ours = || fused::gated_linear(&both, &weight, Some(&bias));
    same(&[&both, &weight, &bias], ours, || inner().linear(&weight, Some(&bias)));
    let _ = weight.set_requires_grad(false);
    same(&[&both, &weight, &bias], ours, || inner().linear(&weight, Some(&bias)));
}

/// Also with more labels than are read at a time, with weights, and smoothed.
#[test]
fn the_loss_in_chunks_has_the_gradients_of_the_whole() {
    tch::manual_seed(7);
    for (n, smoothing) in [(9, 0.0), (9, 0.1), (loss::CHUNK * 2 + 3, 0.1)] {
        let (hidden, head) = (learned(&[n, 6]), learned(&[21, 6]));
        let targets = Tensor::randint(21, [n], (Kind::Int64, Device::Cpu));
        let weights = Tensor::rand([n], FLOAT);
        let losses = loss::losses(&hidden, &head, &targets, smoothing);
        (&losses * &weights).sum(Kind::Float).backward();
        let whole = [hidden.grad().copy(), head.grad().copy()];
        for leaf in [&hidden, &head] {
            let _ = leaf.grad().zero_();
        }
        let ours = loss::backward(&hidden, &head, &targets, &weights, smoothing);
        assert!(apart(&ours, &losses.detach()) < 1e-5);
        for (leaf, whole) in [&hidden, &head].iter().zip(&whole) {
            assert!(apart(&leaf.grad(), whole) < 1e-5, "{n}, {smoothing}: {}", apart(&leaf.grad(), whole));
        }
    }
}

/// Few rows take a way of their own: each result is the same bytes beside any others, however the work is cut.
#[test]
fn few_rows_are_multiplied_like_many() {
    tch::manual_seed(8);
    for (inputs, outputs) in [(512, 300), (37, 7), (5, 1), (64, 1030)] {
        for kind in [Kind::Float, Kind::BFloat16] {
            let x = Tensor::randn([17, inputs], FLOAT).to_kind(kind);
            let (weight, bias) = (Tensor::randn([outputs, inputs], FLOAT), Tensor::randn([outputs], FLOAT));
            let (weight, bias) = (weight.to_kind(kind), bias.to_kind(kind));
            let exact = no_grad(|| {
                let wide = |t: &Tensor| t.to_kind(Kind::Double);
                wide(&x).linear(&wide(&weight), Some(&wide(&bias)))
            });
            let first = fused::linear(&x.narrow(0, 0, 1), &weight, Some(&bias));
            for rows in 1..=17 {
                let some = fused::linear(&x.narrow(0, 0, rows), &weight, Some(&bias));
                let allowed = if kind == Kind::Float { 1e-5 } else { 1e-2 };
                assert!(apart(&some, &exact.narrow(0, 0, rows)) < allowed, "{rows} of {inputs} by {outputs}, {kind:?}");
                assert!(rows > 16 || some.narrow(0, 0, 1).equal(&first), "{rows} of {inputs} by {outputs}, {kind:?}");
                // The last third of the outputs alone: too little for several threads.
                let (start, len) = (outputs - outputs / 3, outputs / 3);
                if rows <= 16 && len > 0 {
                    let part = |t: &Tensor| t.narrow(0, start, len);
                    let alone = fused::linear(&x.narrow(0, 0, rows), &part(&weight), Some(&part(&bias)));
                    assert!(some.narrow(1, start, len).equal(&alone), "{rows} of {inputs} by {outputs}, {kind:?}");
                }
            }
        }
    }
}
