//! Times the dedup kernels on files, without the store and the scheduler around them. Prints one JSON object.
//!
//! `cargo bench --bench kernels -- minhash TEXT.jsonl LABELS.txt` · `… -- knn VECTORS.npy 0.95 [cells]` · `… -- lines TEXT.jsonl`

use std::fs;
use std::time::Instant;

use rbpipe::data::dedup::clusters::{Links, Rule, resolve};
use rbpipe::data::dedup::knn;
use rbpipe::data::dedup::minhash;
use rbpipe::data::dedup::pairs::{Job, Search};
use rbpipe::data::dedup::vectors::Vectors;
use rbpipe::data::formats::lines;
use rbpipe::data::pictures::media::Media;
use rbpipe::data::schema;
use rbpipe::engine::Store;
use rbpipe::engine::storage::dataset::Writer;
use serde_json::{Value as Json, json};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["minhash", text, labels] => minhash_of(text, labels),
        ["knn", vectors, similar] => knn_of(vectors, similar.parse().expect("a cosine"), Search::Exact),
        ["knn", vectors, similar, "cells"] => knn_of(vectors, similar.parse().expect("a cosine"), Search::Cells),
        ["lines", text] => lines_of(text),
        // `cargo bench` without arguments, or a run of all targets.
        _ => eprintln!(
            "usage: kernels minhash TEXT.jsonl LABELS.txt | kernels knn VECTORS.npy COSINE [cells] | kernels lines TEXT.jsonl"
        ),
    }
}

/// `dedup.minhash` with its default arguments on the column `text`; writes the row that stays of each row's cluster, one a line.
fn minhash_of(text: &str, labels: &str) {
    let file = fs::read_to_string(text).expect("a text file");
    let row =
        |line: &str| serde_json::from_str::<Json>(line).expect("JSON")["text"].as_str().expect("`text`").to_owned();
    let texts: Vec<String> = file.lines().map(row).collect();
    drop(file);
    let options =
        minhash::Options { similar: 0.7, shingle: 3, bands: 32, rows: 4, verify: true, rule: Rule::Components };
    let clock = Clock::new();
    let links = minhash::links(&texts, &vec![0; texts.len()], &options, &|_, _| false);
    let keeper = keepers(&links, texts.len());
    let mut said = clock.said("minhash", texts.len());
    said["dropped"] = json!(keeper.iter().enumerate().filter(|(row, keeper)| *row as u32 != **keeper).count());
    fs::write(labels, keeper.iter().map(|k| format!("{k}\n")).collect::<String>()).expect("writes the labels");
    println!("{said}");
}

/// `dedup.semantic`'s search, every neighbour kept, on a `.npy` file of float32 rows.
fn knn_of(path: &str, similar: f32, search: Search) {
    let bytes = fs::read(path).expect("a .npy file");
    let head = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let shape = String::from_utf8_lossy(&bytes[10..10 + head]).into_owned();
    let shape = shape.split("'shape': (").nth(1).expect("a shape").split(')').next().expect("its end");
    let shape: Vec<usize> = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let data = bytes[10 + head..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let vectors = Vectors::new(data, shape[1]);
    let clock = Clock::new();
    let job = Job { similar, neighbors: shape[0], search, apart: &|_, _| false };
    let (links, measured) = knn::links(&vectors, &vec![0; shape[0]], &job);
    let mut said = clock.said("knn", shape[0]);
    said["pairs"] = json!(links.edges.len());
    if search == Search::Cells {
        said["joined"] = json!(measured.joined);
        said["sampled"] = json!([measured.found, measured.pairs]);
    }
    println!("{said}");
}

/// Reading JSON lines of `id` and `text` into columns, and the same with the columns stored.
fn lines_of(path: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("a store");
    let ty = |text: &str| schema::parse(text).expect("a type");
    let schema = [("id".to_owned(), ty("Int")), ("text".to_owned(), ty("Str"))];
    let media = Media::Folder(folder.path().to_owned());
    let bytes = fs::metadata(path).expect("a file").len();
    let mut writer = Writer::new(&store);
    let mut passed_over = |_| Ok(());
    let mut stored = |table| writer.push(table);
    let sinks: [(&str, &mut lines::Sink<'_>); 2] = [("read", &mut passed_over), ("read and stored", &mut stored)];
    for (kernel, sink) in sinks {
        let clock = Clock::new();
        let mut reader = lines::Reader::new(&schema, &media, &store, sink);
        reader.file(path.as_ref(), path).unwrap_or_else(|e| panic!("{}", e.message));
        let (rows, _) = reader.finish().unwrap_or_else(|e| panic!("{}", e.message));
        let mut said = clock.said(kernel, rows);
        said["mb"] = json!(bytes / 1_000_000);
        println!("{said}");
    }
}

fn keepers(links: &Links, rows: usize) -> Vec<u32> {
    resolve(links, Rule::Components, &(0..rows as u32).collect::<Vec<_>>())
}

/// Wall and processor time since it was made.
struct Clock(Instant, f64);

impl Clock {
    fn new() -> Self {
        Self(Instant::now(), processor_seconds())
    }

    fn said(&self, kernel: &str, rows: usize) -> Json {
        let (wall, cpu) = (self.0.elapsed().as_secs_f64(), processor_seconds() - self.1);
        let round = |s: f64| (s * 1000.0).round() / 1000.0;
        json!({ "kernel": kernel, "rows": rows, "wall_s": round(wall), "cpu_s": round(cpu) })
    }
}

fn processor_seconds() -> f64 {
    // SAFETY: getrusage fills the struct that it is given.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
