//! Copies, sums and norms of flat buffers of which one may lie in main memory and the other on a GPU.
//!
//! Shapes: `m` numbers in either.

use tch::{Kind, Tensor, no_grad};

/// Numbers that travel at a time, 256 MB in f32: of no more is there a copy under way.
const LOAD: i64 = 1 << 26;

/// Copies `from_m` into `to_m`, `[m]` each, of any kinds; nothing where they are the same memory.
pub fn bring(to_m: &Tensor, from_m: &Tensor) {
    let there = to_m.device();
    if there == from_m.device() {
        if to_m.data_ptr() != from_m.data_ptr() {
            no_grad(|| to_m.shallow_clone().copy_(from_m));
        }
        return;
    }
    // Cast before it travels where that makes it smaller.
    let bytes = |kind: Kind| kind.elt_size_in_bytes();
    let kind = if bytes(to_m.kind()) < bytes(from_m.kind()) { to_m.kind() } else { from_m.kind() };
    no_grad(|| {
        for (start, len) in loads(to_m) {
            let load = from_m.narrow(0, start, len).to_kind(kind).to_device(there);
            to_m.narrow(0, start, len).copy_(&load);
        }
    });
}

/// Adds `from_m` to `to_m`, `[m]` each, of any kinds.
pub fn add(to_m: &Tensor, from_m: &Tensor) {
    let there = to_m.device();
    no_grad(|| {
        if there == from_m.device() {
            let _ = to_m.shallow_clone().g_add_(from_m); // cast as it is read: no second buffer
            return;
        }
        for (start, len) in loads(to_m) {
            let _ = to_m.narrow(0, start, len).g_add_(&from_m.narrow(0, start, len).to_device(there));
        }
    });
}

/// Numbers whose squares are added up in f32; sums of these are added in f64.
const ROW: i64 = 4096;

/// Returns the norm of `buffer_m`, `[m]` f32, to the precision of f32 whatever m is. libtorch's own adds the squares of a buffer up one after the other
/// on a CPU: over a whole large model that loses small ones.
pub fn norm(buffer_m: &Tensor) -> f64 {
    let squares = |part: &Tensor| part.to_kind(Kind::Double).square().sum(Kind::Double).double_value(&[]);
    let of_load = |(start, len): (i64, i64)| {
        let load = buffer_m.narrow(0, start, len);
        let whole = len / ROW * ROW;
        let rows = load.narrow(0, 0, whole).view([-1, ROW]).norm_scalaropt_dim(2, [1].as_slice(), false);
        squares(&rows) + squares(&load.narrow(0, whole, len - whole))
    };
    no_grad(|| loads(buffer_m).map(of_load).sum::<f64>().sqrt())
}

fn loads(buffer_m: &Tensor) -> impl Iterator<Item = (i64, i64)> + use<> {
    let m = buffer_m.numel() as i64;
    (0..m).step_by(LOAD as usize).map(move |start| (start, LOAD.min(m - start)))
}
