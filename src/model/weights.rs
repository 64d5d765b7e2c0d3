//! Reads and writes safetensors in Hugging Face layout, one file or sharded with an index.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensors, View, serialize_to_file};
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor, no_grad};

use super::beside::{AMPLIFIER, VALUE_HEAD};
use super::params::{Params, Schema};
use crate::base::OpError;
use crate::plan::memory::shape::hub_name;

/// Bytes after which a new shard is begun.
const SHARD_BYTES: usize = 5_000_000_000;

/// Loads the weights of a schema from a folder.
///
/// Newer names (`model.language_model.*`, `model.visual.*`) and TRL's prefix `pretrained_model.` are read as hub names;
/// `*.rotary_emb.inv_freq` and value heads (`v_head.*`) are left to others.
///
/// # Errors
/// `E0501` when no file is there; `E0503` for a name that is unknown, missing or of another shape, or numbers that are not finite: the message lists them.
pub fn load(dir: &Path, schema: &Schema, kind: Kind, device: Device) -> Result<Params, OpError> {
    let params = Params::zeros(schema, kind, device);
    let all = 0..params.flat().numel() as i64;
    fill(dir, schema, &params, &[all])?;
    Ok(params)
}

/// As [`load`], on a processor, reading no more than those stretches of the flat buffer that `wanted` chooses. The others have no values, and take
/// no memory as long as nobody looks at them.
///
/// # Errors
/// As [`load`].
pub fn load_parts(
    dir: &Path,
    schema: &Schema,
    kind: Kind,
    wanted: impl FnOnce(&Params) -> Vec<Range<i64>>,
) -> Result<Params, OpError> {
    let params = Params::unset(schema, kind, Device::Cpu);
    let wanted = wanted(&params);
    fill(dir, schema, &params, &wanted)?;
    Ok(params.only(wanted))
}

/// Numbers that are read at a time.
const AT_ONCE: i64 = 1 << 22;

/// Reads stretches of the flat buffer from a folder, and compares names and shapes of all weights.
fn fill(dir: &Path, schema: &Schema, params: &Params, wanted: &[Range<i64>]) -> Result<(), OpError> {
    let known: BTreeMap<&str, usize> = schema.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();
    let (mut seen, mut unknown, mut broken) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    let tied = !known.contains_key("lm_head.weight");
    let amplified = schema.iter().any(|(name, _)| AMPLIFIER.has(name));
    for path in files(dir)?.into_iter().chain(amplified.then(|| dir.join(AMPLIFIER.file))) {
        for_each_stored(&path, |name, stored| {
            let hub = hub_name(name);
            let Some(&i) = known.get(hub.as_ref()) else {
                // Some savers write the tied output layer a second time.
                if !(tied && hub == "lm_head.weight") && !ignored(&hub) {
                    unknown.push(name.to_owned());
                }
                return Ok(());
            };
            let shape = &schema[i].1;
            if stored.shape != *shape {
                return Err(OpError::new(
                    "E0503",
                    format!(
                        "{}: `{name}` has shape {:?}, but config.json asks for {shape:?}",
                        path.display(),
                        stored.shape
                    ),
                ));
            }
            let entry = &params.entries()[i];
            for range in wanted {
                let mut start = range.start.max(entry.offset);
                let end = range.end.min(entry.offset + entry.len());
                while start < end {
                    let len = AT_ONCE.min(end - start);
                    let piece = stored.slice(start - entry.offset, len);
                    // A sum is finite where all of them are.
                    if !piece.sum(Kind::Float).double_value(&[]).is_finite() {
                        broken.insert(name.to_owned());
                    }
                    no_grad(|| params.flat().narrow(0, start, len).copy_(&piece));
                    start += len;
                }
            }
            seen.insert(i);
            Ok(())
        })?;
    }
    let missing: Vec<_> =
        schema.iter().enumerate().filter(|(i, _)| !seen.contains(i)).map(|(_, s)| s.0.clone()).collect();
    for (what, names) in [("unknown", unknown), ("missing", missing)] {
        if !names.is_empty() {
            return Err(OpError::new(
                "E0503",
                format!("{}: {} {what} weights: {}", dir.display(), names.len(), few(&names)),
            )
            .help("config.json and the weights must belong together"));
        }
    }
    if !broken.is_empty() {
        let broken: Vec<String> = broken.into_iter().collect();
        let what = format!("{}: {} weights hold NaN or infinity: {}", dir.display(), broken.len(), few(&broken));
        return Err(OpError::new("E0503", what)
            .help("the model diverged when it was trained, or the file is damaged: take an earlier one"));
    }
    Ok(())
}

/// Saves weights under their hub names as `model.safetensors` (sharded above 5 GB) and copies all other files of `source`:
/// configuration, tokenizer, processor, chat template. `torch_dtype` in config.json is set to the dtype written. The weights of
/// an amplifier and of a value head are left to [`super::amplifier::save`] and [`super::reward::RewardHead::save`].
///
/// # Errors
/// When a file cannot be read or written.
pub fn save(dir: &Path, params: &Params, source: &Path) -> Result<(), OpError> {
    std::fs::create_dir_all(dir)?;
    copy_side_files(dir, source, params.kind())?;
    let width = params.kind().elt_size_in_bytes();
    let mut shards: Vec<Vec<usize>> = vec![Vec::new()];
    let mut bytes = 0;
    let apart = |name: &str| AMPLIFIER.has(name) || VALUE_HEAD.has(name);
    let own: Vec<_> = params.entries().iter().enumerate().filter(|(_, e)| !apart(&e.name)).collect();
    let more = own.len() < params.entries().len();
    for &(i, entry) in &own {
        let size = entry.len() as usize * width;
        if bytes > 0 && bytes + size > SHARD_BYTES {
            shards.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(shard) = shards.last_mut() {
            shard.push(i);
        }
    }
    let metadata = || Some(HashMap::from([("format".to_owned(), "pt".to_owned())]));
    let mut map = serde_json::Map::new();
    let count = shards.len();
    for (number, shard) in shards.iter().enumerate() {
        let file = match count {
            1 => "model.safetensors".to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        let views = shard.iter().map(|&i| {
            let entry = &params.entries()[i];
            map.insert(entry.name.clone(), Json::String(file.clone()));
            (entry.name.clone(), Stored::new(params.view(i)))
        });
        serialize_to_file(views.collect::<Vec<_>>(), metadata(), &dir.join(&file))
            .map_err(|e| OpError::new("E0612", format!("{}: {e}", dir.join(&file).display())))?;
    }
    // Loaders that would read every *.safetensors of a folder go by the index where there is one, and so pass over what lies apart.
    if count > 1 || more {
        let total = own.iter().map(|(_, e)| e.len() as usize * width).sum::<usize>();
        let index = serde_json::json!({ "metadata": { "total_size": total }, "weight_map": map });
        std::fs::write(dir.join("model.safetensors.index.json"), serde_json::to_vec_pretty(&index)?)?;
    }
    Ok(())
}

/// Reads all tensors of a safetensors file by name, on the CPU in the file's dtype.
///
/// # Errors
/// `E0501` when it is absent, `E0503` when it is no safetensors file.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, OpError> {
    let mut out = BTreeMap::new();
    for_each(path, |name, tensor| {
        out.insert(name.to_owned(), tensor);
        Ok(())
    })?;
    Ok(out)
}

/// Returns the safetensors files of a model folder, by the index when there is one.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, OpError> {
    let index = dir.join("model.safetensors.index.json");
    if index.exists() {
        let json: Json = serde_json::from_slice(&std::fs::read(&index)?)
            .map_err(|e| OpError::new("E0503", format!("{}: {e}", index.display())))?;
        let map = json.get("weight_map").and_then(Json::as_object);
        let map = map.ok_or_else(|| OpError::new("E0503", format!("{}: no `weight_map`", index.display())))?;
        let names: BTreeSet<&str> = map.values().filter_map(Json::as_str).collect();
        return Ok(names.into_iter().map(|n| dir.join(n)).collect());
    }
    let single = dir.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    Err(OpError::new("E0501", format!("{}: no model.safetensors and no model.safetensors.index.json", dir.display())))
}

pub(crate) fn for_each(path: &Path, mut f: impl FnMut(&str, Tensor) -> Result<(), OpError>) -> Result<(), OpError> {
    for_each_stored(path, |name, stored| {
        let all = stored.slice(0, stored.shape.iter().product());
        f(name, all.view(stored.shape.as_slice()))
    })
}

/// A tensor in a file.
struct Found<'f> {
    shape: Vec<i64>,
    kind: Kind,
    bytes: &'f [u8],
}

impl Found<'_> {
    /// Returns a copy of `len` of its numbers, from `start` on: `[len]`.
    fn slice(&self, start: i64, len: i64) -> Tensor {
        let width = self.kind.elt_size_in_bytes();
        let (from, to) = (start as usize * width, (start + len) as usize * width);
        Tensor::from_data_size(&self.bytes[from..to], &[len], self.kind)
    }
}

/// Goes through the tensors of a file, which is mapped: of those that are not asked for nothing is read.
fn for_each_stored(path: &Path, mut f: impl FnMut(&str, &Found) -> Result<(), OpError>) -> Result<(), OpError> {
    let absent = |e: std::io::Error| OpError::new("E0501", format!("{}: {e}", path.display()));
    let bytes = mapped(&File::open(path).map_err(absent)?).map_err(absent)?;
    let bad = |e: safetensors::SafeTensorError| OpError::new("E0503", format!("{}: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).map_err(bad)?;
    for name in file.names() {
        let view = file.tensor(name).map_err(bad)?;
        let kind = kind_of(view.dtype()).ok_or_else(|| {
            OpError::new("E0503", format!("{}: `{name}` has dtype {:?}", path.display(), view.dtype()))
        })?;
        let shape = view.shape().iter().map(|&s| s as i64).collect();
        f(name, &Found { shape, kind, bytes: view.data() })?;
    }
    Ok(())
}

#[allow(unsafe_code)]
fn mapped(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: models are read from the store, whose blobs never change, or from a cache that replaces whole files.
    unsafe { Mmap::map(file) }
}

fn ignored(name: &str) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || name.starts_with("v_head.")
}

fn few(names: &[String]) -> String {
    let shown = names.iter().take(5).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and {} more", names.len() - 5) } else { shown }
}

fn copy_side_files(dir: &Path, source: &Path, kind: Kind) -> Result<(), OpError> {
    let mut entries: Vec<_> = std::fs::read_dir(source)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let weights = [".safetensors", ".bin", ".pt", ".pth", ".index.json", ".gguf"].iter().any(|e| name.ends_with(e));
        if weights || !entry.path().is_file() {
            continue;
        }
        if name == "config.json" {
            let mut json: Json = serde_json::from_slice(&std::fs::read(entry.path())?)?;
            let dtype = match kind {
                Kind::BFloat16 => "bfloat16",
                Kind::Half => "float16",
                _ => "float32",
            };
            for key in ["torch_dtype", "dtype"] {
                if let Some(slot) = json.get_mut(key) {
                    *slot = Json::String(dtype.to_owned());
                }
            }
            std::fs::write(dir.join(name), serde_json::to_vec_pretty(&json)?)?;
        } else if source != dir {
            std::fs::write(dir.join(&name), std::fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// A tensor as safetensors writes it; its bytes are made only when asked for.
pub(crate) struct Stored {
    tensor: Tensor,
    shape: Vec<usize>,
    dtype: Dtype,
}

impl Stored {
    pub(crate) fn new(tensor: Tensor) -> Self {
        let shape = tensor.size().iter().map(|&s| s as usize).collect();
        let dtype = match tensor.kind() {
            Kind::BFloat16 => Dtype::BF16,
            Kind::Half => Dtype::F16,
            Kind::Int64 => Dtype::I64,
            Kind::Uint8 => Dtype::U8,
            _ => Dtype::F32,
        };
        Self { tensor, shape, dtype }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let tensor = self.tensor.to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0; self.data_len()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}
