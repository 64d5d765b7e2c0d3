//! GGUF files: packed numbers, models, and files that are broken.

use std::path::{Path, PathBuf};

use rbpipe::data::formats::gguf::{Gguf, Value};
use rbpipe::ops::model::unpacked;
use safetensors::{Dtype, SafeTensors};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/text")
}

/// Returns the f32 tensors of a file by name, as bytes.
fn tensors(path: &Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut out: Vec<_> =
        file.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec())).collect();
    out.sort();
    out
}

#[test]
fn every_packing_gives_the_reference_numbers() {
    let file = Gguf::open(&goldens().join("blocks.gguf")).unwrap();
    let expected = tensors(&goldens().join("blocks.safetensors"));
    assert_eq!(file.tensors.len(), expected.len());
    for (name, shape, bytes) in expected {
        assert_eq!(file.tensors[&name].shape, shape, "{name}");
        let found: Vec<u8> = file.read(&name).unwrap().iter().flat_map(|x| x.to_le_bytes()).collect();
        assert!(found == bytes, "{name} differs");
    }
    assert_eq!(file.metadata["some.count"], Value::Int(3));
    assert_eq!(file.number("some.number"), Some(f64::from(1e-5_f32)));
    assert_eq!(file.list("some.words"), [Value::Str("a".into()), Value::Str("b".into())]);
}

#[test]
fn a_model_is_what_was_packed() {
    let (out, plain) = (tempfile::tempdir().unwrap(), goldens().join("plain"));
    unpacked::write(&Gguf::open(&goldens().join("plain.gguf")).unwrap(), out.path(), None, Dtype::F32).unwrap();
    assert!(tensors(&out.path().join("model.safetensors")) == tensors(&plain.join("model.safetensors")));
    let json = |path: PathBuf| -> serde_json::Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (ours, theirs) = (json(out.path().join("config.json")), json(plain.join("config.json")));
    for (key, value) in
        ours.as_object().unwrap().iter().filter(|(key, _)| !key.ends_with("token_id") && *key != "torch_dtype")
    {
        assert_eq!(*value, theirs[key.as_str()], "{key}");
    }
    let tokenizer = |folder: &Path| tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    let (ours, theirs) = (tokenizer(out.path()), tokenizer(&plain));
    for text in ["the cup is LEFT of the 2nd cup", "<|start|>user<|end|>\n\nWo ist es?<|eot|>", "  çà 12 345\n\n!"] {
        let (ours, theirs) = (ours.encode(text, false).unwrap(), theirs.encode(text, false).unwrap());
        assert_eq!(ours.get_ids(), theirs.get_ids(), "{text}");
    }
}

#[test]
fn broken_files_are_refused_with_a_reason() {
    let whole = std::fs::read(goldens().join("plain.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Gguf::open(&path).err().map(|e| e.message.replace(&path.display().to_string(), "x.gguf"))
    };
    for cut in (0..whole.len()).step_by(997) {
        let why = refused(&whole[..cut]).unwrap_or_else(|| panic!("{cut} bytes are read as a whole file"));
        assert!(why.contains("cut short") || why.contains("does not fit"), "{cut}: {why}");
    }
    let changed = |at: usize, bytes: &[u8]| {
        let mut copy = whole.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&copy)
    };
    assert_eq!(changed(0, b"PK").unwrap(), "x.gguf: it does not begin with `GGUF`");
    assert_eq!(changed(4, &[9]).unwrap(), "x.gguf: version 9 is not read, only 2 and 3 are");
    // Counts of things that the file has no room for.
    assert_eq!(changed(8, &[255; 8]).unwrap(), "x.gguf: it is cut short");
    assert_eq!(changed(16, &[255; 8]).unwrap(), "x.gguf: it is cut short");
    // Any single byte of the head set to 255: read or refused, and never more than that.
    for at in (0..4096).step_by(5) {
        changed(at, &[255]);
    }
}

#[test]
fn what_is_not_read_is_named() {
    let out = tempfile::tempdir().unwrap();
    let why = |name: &str, change: &dyn Fn(&mut Gguf)| {
        let mut file = Gguf::open(&goldens().join(name)).unwrap();
        change(&mut file);
        unpacked::write(&file, out.path(), None, Dtype::F16).unwrap_err().message
    };
    let set = |key: &'static str, value: &'static str| {
        move |file: &mut Gguf| {
            file.metadata.insert(key.into(), Value::Str(value.into()));
        }
    };
    let cases = [
        why("plain.gguf", &set("general.architecture", "gemma3")),
        why("plain.gguf", &set("tokenizer.ggml.model", "llama")),
        why("plain.gguf", &set("tokenizer.ggml.pre", "tekken")),
        why("plain.gguf", &|file| {
            let tensor = file.tensors["output_norm.weight"].clone();
            file.tensors.insert("blk.0.attn_sinks.weight".into(), tensor);
        }),
        why("blocks.gguf", &|_| ()),
    ];
    insta::assert_snapshot!(cases.join("\n"), @"
    the GGUF file cannot be read as a model: its architecture is `gemma3`; `llama` and `qwen2` are read
    the GGUF file cannot be read as a model: its tokenizer is of the kind `llama`; only `gpt2`, byte-level BPE, is rebuilt
    the GGUF file cannot be read as a model: its tokenizer splits text the way `tekken`, which is not rebuilt
    the GGUF file cannot be read as a model: its tensor `blk.0.attn_sinks.weight` has no counterpart in a model of family `llama`
    the GGUF file cannot be read as a model: its metadata has no `llama.attention.head_count`
    ");
}
