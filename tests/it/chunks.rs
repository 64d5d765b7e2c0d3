//! Rows in bulk: lines read by the quick way and by the careful one, datasets of several chunks, texts and keys that lie in files.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use rbpipe::data::chunks;
use rbpipe::data::dedup::clusters::Rule;
use rbpipe::data::dedup::minhash::{self, Options, Spill};
use rbpipe::data::dedup::texts::{Collector, Held, Texts as _};
use rbpipe::data::draw::{Keyer, row_keys};
use rbpipe::data::formats::jsonl;
use rbpipe::data::formats::load::{self, Bad};
use rbpipe::data::gather::gather;
use rbpipe::data::pictures::media::Media;
use rbpipe::data::schema;
use rbpipe::data::table::Table;
use rbpipe::engine::outputs::export;
use rbpipe::engine::storage::dataset::{self, Chunks, Writer};
use serde_json::{Value as Json, json};

use crate::bench::{Bench, rows};
use crate::workbench::Draw;

const COLUMNS: &[(&str, &str)] = &[
    ("id", "Str"),
    ("n", "Int?"),
    ("f", "Float?"),
    ("ok", "Bool?"),
    ("tier", "enum { low, high }?"),
    ("tags", "[Str]?"),
    ("at", "Point?"),
    ("who", "{ name: Str, age: Int?, notes: [{ t: Str }]? }?"),
];

const STRINGS: &[&str] = &[
    r#""plain""#,
    r#""""#,
    r#""a\nb\t\"c\"\\ \/ \b\f\r""#,
    r#""\u00e9\u4e2d\ud83d\ude00""#,
    "\"é中😀\"",
    r#""\ud83d""#,
    r#""\ude00\ud83d""#,
    r#""\u12""#,
    r#""\x""#,
    "\"a\u{1}b\"",
    "\"no end",
    "\"\u{7f}\"",
    r#""a text that is longer than one stride of thirty-two bytes, with a \"quote\" far behind its start""#,
];
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "7",
    "-12",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551616",
    "01",
    "1.",
    ".5",
    "1.5",
    "-0.0",
    "1e3",
    "1E-2",
    "1e999",
    "1e-999",
    "2.5e+10",
    "0.1",
    "123456789012345678901234567890",
    "1e05",
    "+1",
    "--1",
    "1e",
    "NaN",
    "1_0",
];
const OTHERS: &[&str] = &[
    "null",
    "true",
    "false",
    "nul",
    "[]",
    "{}",
    "[1,2]",
    "[0.5, 1]",
    "[ \"x\" , \"low\" ]",
    "[\"x\",]",
    "[null]",
    "\"low\"",
    "\"high\"",
    "\"mid\"",
    r#"{"name":"Ann"}"#,
    r#"{"name":"Ann","age":3,"notes":[{"t":"x"},{"t":"y"}]}"#,
    r#"{"age":3}"#,
    r#"{"name":"A","name":"B"}"#,
    r#"{"name":"A","more":{"deep":[[{"x":"\u0041"}]]}}"#,
    r#"{ "name" : "A" , }"#,
    r#"{"na\u006de":"A"}"#,
    "[[[[1]]]]",
    "tru",
    "1 2",
];

fn line(draw: &mut Draw) -> String {
    let blank = |draw: &mut Draw| draw.one(&["", "", "", "", " ", "\t", "  ", "\r"]);
    let mut out = String::from(blank(draw));
    out.push('{');
    let mut names: Vec<&str> = COLUMNS.iter().map(|c| c.0).collect();
    for _ in 0..draw.below(4) {
        let (a, b) = (draw.below(names.len()), draw.below(names.len()));
        names.swap(a, b);
    }
    names.truncate(3 + draw.below(COLUMNS.len() - 2));
    if draw.below(4) == 0 {
        names.insert(draw.below(names.len()), draw.one(&["more", "id", "x\\u0031", ""]));
    }
    for (i, name) in names.iter().enumerate() {
        // Mostly what the column holds, so that many rows are good.
        let value = match (*name, draw.below(24)) {
            (_, 0) => draw.one(STRINGS),
            (_, 1) => draw.one(NUMBERS),
            (_, 2) => draw.one(OTHERS),
            ("id", _) => draw.one(&STRINGS[..5]),
            ("n", _) => draw.one(&["1", "-20", "null", "9007199254740993"]),
            ("f", _) => draw.one(&["1", "-0", "0.1", "1e-7", "9007199254740993", "null", "123456.789e3"]),
            ("ok", _) => draw.one(&["true", "false", "null"]),
            ("tier", _) => draw.one(&["\"low\"", "\"high\"", "null"]),
            ("tags", _) => draw.one(&["[]", "[\"a\", \"b\\n\"]", "null", "[\"\"]"]),
            ("at", _) => draw.one(&["[0.5,1]", "[ 1 , 2 ]", "null"]),
            ("who", _) => draw.one(&[
                r#"{"name":"A"}"#,
                r#"{"age":1,"name":"B","notes":[]}"#,
                r#"{"notes":[{"t":"x"}],"name":"C"}"#,
                "null",
            ]),
            _ => draw.one(OTHERS),
        };
        let comma = if i > 0 { "," } else { "" };
        out.push_str(&format!("{comma}{}\"{name}\"{}:{}{value}{}", blank(draw), blank(draw), blank(draw), blank(draw)));
    }
    out.push_str(draw.one(&["}", "}", "}", "}", "}", "}", "}", "}", "} ", "}}", "", "},", "}\t"]));
    out
}

/// Lines of all kinds give the same rows, bytes of columns and complaints whichever way they are read.
#[test]
fn lines_are_read_as_json_values_are() {
    let bench = Bench::new();
    let types: Vec<_> = COLUMNS.iter().map(|(n, t)| ((*n).to_owned(), schema::parse(t).unwrap())).collect();
    let columns: Vec<Json> = COLUMNS.iter().map(|(n, t)| json!({ "name": n, "type": t })).collect();
    let args = json!({ "path": "rows.jsonl", "as": { "columns": columns }, "media": null, "bad": "quarantine" });
    let media = Media::Folder(bench.folder().to_owned());
    let mut draw = Draw(11);
    let mut good = 0;
    for case in 0..24 {
        let mut file = if case % 3 == 0 { "\u{FEFF}".as_bytes().to_vec() } else { Vec::new() };
        for _ in 0..60 + 200 * (case % 5) {
            file.extend(line(&mut draw).bytes());
            file.extend(draw.one(&["\n", "\n", "\n", "\r\n", "\n\n", "\n \n"]).bytes());
            if case % 7 == 6 && draw.below(40) == 0 {
                file.extend(b"{\"id\":\"\xFF\"}\n");
            }
        }
        bench.write("rows.jsonl", &file);
        let (table, bad) =
            load::table(jsonl::parse(&file, "rows.jsonl").unwrap(), &types, &media, bench.store(), Bad::Skip).unwrap();
        let made = bench.run("data.jsonl", args.clone(), &[]).unwrap();
        let complaints: Vec<(String, String)> = bad.into_iter().map(|b| (b.place, b.reason)).collect();
        assert_eq!(
            made.fates.iter().map(|f| (f.row.clone(), f.why.clone())).collect::<Vec<_>>(),
            complaints,
            "case {case}"
        );
        assert_eq!(made.table().batch, table.batch, "case {case}");
        let stored = |t| dataset::save(bench.store(), t).unwrap().digest();
        assert_eq!(stored(made.table()), stored(&table), "case {case}");
        good += table.rows();
    }
    assert!(good > 3000, "{good} good rows say little");
}

/// A dataset of several chunks: cut at the same rows however it arrives, whole when it is read at once, and named by ordinals of the whole.
#[test]
fn chunks_depend_on_rows_alone() {
    let mut bench = Bench::new();
    let total = chunks::ROWS + 4000;
    let text: String = (0..total).map(|i| format!("{{\"n\":{i},\"t\":\"row {i}\",\"l\":[{}]}}\n", i % 3)).collect();
    assert!((2 << 20..3 << 20).contains(&text.len()), "one thread reads it in two blocks, three in one");
    bench.write("rows.jsonl", text.as_bytes());
    let schema = json!({ "columns": [{ "name": "n", "type": "Int" }, { "name": "t", "type": "Str" }, { "name": "l", "type": "[Int]" }] });
    let args = json!({ "path": "rows.jsonl", "as": schema, "media": null, "bad": "fail" });
    let mut digests = Vec::new();
    for threads in [1, 3] {
        bench.threads = threads;
        let made = bench.run("data.jsonl", args.clone(), &[]).unwrap();
        assert_eq!(made.table().rows(), total);
        let whole = dataset::save(bench.store(), made.table()).unwrap();
        digests.push(whole.digest());
        let mut pieces = Writer::new(bench.store());
        let mut from = 0;
        for size in [1, 70, 0, 40_000, 5, 20_000, usize::MAX] {
            let size = size.min(total - from);
            pieces.push(made.table().slice(from, size)).unwrap();
            from += size;
        }
        let pieces = pieces.finish().unwrap();
        let sizes = |a| Chunks::open(bench.store(), a).unwrap().map(|c| c.unwrap().rows()).collect::<Vec<_>>();
        assert_eq!(sizes(&pieces), [chunks::ROWS, 4000]);
        assert_eq!(sizes(&whole), [chunks::ROWS, 4000]);
        assert_eq!(dataset::load(bench.store(), &pieces).unwrap().batch, made.table().batch);

        for wanted in [0, 3, chunks::ROWS + 2, usize::MAX] {
            let shown = export::sample(bench.store(), &pieces, wanted).unwrap();
            let expected = (0..total.min(wanted)).map(|n| format!("row {n}"));
            assert!(shown.iter().map(|row| row["t"].as_str().unwrap()).eq(expected), "{wanted}");
        }

        let (file, places) = dataset::text_places(bench.store(), &pieces, "t").unwrap();
        let ends: Vec<u64> = (0..total)
            .scan(0, |end, i| {
                *end += format!("row {i}").len() as u64;
                Some(*end)
            })
            .collect();
        let held = Held::in_file(file, ends, vec![(0, places[0]), (chunks::ROWS, places[1])]);
        for row in [0, 1, chunks::ROWS - 1, chunks::ROWS, total - 1] {
            assert_eq!(held.with(row, str::to_owned), format!("row {row}"));
        }
        assert!(dataset::text_places(bench.store(), &pieces, "n").is_err());

        let rule = json!({ "where": { "binary": [">", { "col": "n" }, { "lit": 65_537 }] } });
        let kept = bench.run("filter.rule", rule, &[("d", made.table())]).unwrap();
        assert_eq!(kept.table().rows(), total - 65_538);
        assert_eq!(kept.fates.last().unwrap().row, "65537");
        assert_eq!((kept.counts["read"], kept.counts["kept"]), (total as u64, (total - 65_538) as u64));
        let rule = json!({ "binary": [">", { "col": "n" }, { "lit": 69_000 }] });
        let language = json!({ "of": "t", "keep": ["en"], "least": 2.0, "where": rule });
        let told = bench.run("filter.language", language, &[("d", made.table())]).unwrap();
        assert_eq!(
            (told.fates[0].row.as_str(), told.fates.len(), told.table().rows()),
            ("69001", total - 69_001, 69_001)
        );
        let cut = json!({ "where": { "binary": [">", { "index": [{ "col": "l" }, { "col": "n" }] }, { "lit": 0 }] } });
        let failed = bench.run("filter.rule", cut, &[("d", &made.table().slice(65_535, 10))]).err().unwrap();
        assert!(failed.message.starts_with("row 0:"), "{}", failed.message);
    }
    assert_eq!(digests[0], digests[1]);
}

/// Arrays of JSON, CSV, Parquet in each of its packings and Arrow are read some rows at a time, and become the dataset that JSON lines become.
#[test]
fn files_of_every_kind_are_read_in_pieces() {
    let bench = Bench::new();
    let total = chunks::ROWS + 4000;
    let text = |i: usize| format!("row {i} \\ \"[{{,\" {}", "é".repeat(120));
    let rows: Vec<Json> = (0..total).map(|i| json!({ "n": i, "t": text(i) })).collect();
    let lines: Vec<String> = rows.iter().map(Json::to_string).collect();
    bench.write("rows.jsonl", lines.join("\n").as_bytes());
    let array = format!("\u{feff} [\n  {}\n]\n", lines.join(",\n  "));
    assert!(array.len() > 17 << 20, "it takes two blocks");
    bench.write("rows.json", array.as_bytes());
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["n", "t"]).unwrap();
    (0..total).for_each(|i| csv.write_record([i.to_string(), text(i)]).unwrap());
    bench.write("rows.csv", &csv.into_inner().unwrap());
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..total as i64));
    let t: ArrayRef = Arc::new(StringArray::from_iter_values((0..total).map(text)));
    let batch = RecordBatch::try_from_iter([("n", n), ("t", t)]).unwrap();
    let mut stream = arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    bench.write("rows.arrow", &stream.into_inner().unwrap());
    let mut names = vec!["rows.json", "rows.csv", "rows.arrow"];
    let packings = [
        ("gzip.parquet", Compression::GZIP(GzipLevel::default())),
        ("lz4.parquet", Compression::LZ4_RAW),
        ("lz4-hadoop.parquet", Compression::LZ4),
        ("snappy.parquet", Compression::SNAPPY),
        ("zstd.parquet", Compression::ZSTD(ZstdLevel::default())),
    ];
    for (name, packing) in packings {
        let how = WriterProperties::builder().set_compression(packing).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(how)).unwrap();
        writer.write(&batch).unwrap();
        bench.write(name, &writer.into_inner().unwrap());
        names.push(name);
    }

    let schema = json!({ "columns": [{ "name": "n", "type": "Int" }, { "name": "t", "type": "Str" }] });
    let load = |name: &str, bad: &str| {
        let args = json!({ "path": name, "as": schema, "media": null, "bad": bad, "separator": ",", "base64": [] });
        let ending = name.rsplit_once('.').unwrap().1.replace("json", "jsonl").replace("jsonll", "jsonl");
        bench.run(&format!("data.{ending}"), args, &[]).unwrap()
    };
    let stored = |table: &Table| dataset::save(bench.store(), table).unwrap().digest();
    let expected = stored(load("rows.jsonl", "fail").table());
    for name in names {
        assert_eq!(stored(load(name, "fail").table()), expected, "{name}");
    }

    // What comes before the damage stays.
    let at = array.find(&lines[66_000]).unwrap();
    bench.write("cut.json", array[..at + 30].as_bytes());
    bench.write("more.json", format!("{array}[]").as_bytes());
    let odd = format!("[{}, 7, {{\"n\": 1, \"t\": }}, {},]", lines[0], lines[1]);
    bench.write("odd.json", odd.as_bytes());
    let told = |name: &str| {
        let made = load(name, "quarantine");
        assert_eq!(made.counts["read"], (made.table().rows() + made.fates.len()) as u64);
        (made.table().rows(), made.fates.iter().map(|f| format!("{}: {}", f.row, f.why)).collect::<Vec<_>>())
    };
    assert_eq!(told("cut.json"), (66_000, vec!["cut.json[66000]: the array is cut off here".to_owned()]));
    assert_eq!(told("more.json"), (total, vec![format!("more.json[{total}]: more text follows the end of the array")]));
    let (good, bad) = told("odd.json");
    assert_eq!(good, 2);
    assert!(bad[0].starts_with("odd.json[1]: expected an object") && bad[1].starts_with("odd.json[2]: no JSON"));
    assert!(bad[2].starts_with("odd.json[4]: no JSON"), "{bad:?}");
}

/// Each value is cut to a chunk of its own if two are too large for one.
#[test]
fn large_values_make_small_chunks() {
    let bench = Bench::new();
    let long = "x".repeat(chunks::BYTES / 20);
    let values: Vec<Json> = (0..45).map(|i| json!({ "id": i.to_string(), "t": long })).collect();
    let stored = dataset::save(bench.store(), &rows(Json::Array(values))).unwrap();
    let sizes: Vec<usize> = Chunks::open(bench.store(), &stored).unwrap().map(|c| c.unwrap().rows()).collect();
    // Nineteen fit beside their names; whole bytes of bits are sixteen.
    assert_eq!(sizes, [16, 16, 13]);
}

/// Near-duplicates are the same whether texts and band keys lie in memory or in files.
#[test]
fn texts_and_keys_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut draw = Draw(5);
    let words: Vec<String> = (0..400).map(|i| format!("w{i}é")).collect();
    let mut texts: Vec<String> = Vec::new();
    for i in 0..600 {
        let mut text: Vec<&str> = match i % 3 {
            0 => (0..40).map(|_| words[draw.below(400)].as_str()).collect(),
            _ => texts[draw.below(texts.len())].split(' ').collect(),
        };
        let at = draw.below(text.len());
        text[at] = words[draw.below(400)].as_str();
        texts.push(text.join(" "));
    }
    let mut collector = Collector::new(folder.path(), 1000);
    for part in texts.chunks(97) {
        collector.push(part.iter().map(Some).collect()).unwrap();
    }
    let held = collector.finish().unwrap();
    let options = Options { similar: 0.6, shingle: 3, bands: 32, rows: 4, verify: true, rule: Rule::Star };
    let group = vec![0; texts.len()];
    let known = minhash::links(&texts, &group, &options, &|_, _| false);
    let spill = Spill { folder: folder.path(), most: 1000 };
    let found = minhash::find(&held, &group, &options, &|_, _| false, Some(spill)).unwrap();
    assert!(known.edges.len() > 100, "{}", known.edges.len());
    assert_eq!(found.links, known);
    let (a, b) = known.edges[0];
    let (a, b) = (a as usize, b as usize);
    assert_eq!(found.jaccard(a, b).to_bits(), minhash::jaccard(&texts[a], &texts[b], 3).to_bits());
    assert_eq!(held.with(599, str::to_owned), texts[599]);
    held.check().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files without a name leave nothing behind");
}

/// Rows of several types, with nothing here and there, and some that are equal.
fn mixed(rows: usize) -> Table {
    let draw = &mut Draw(7);
    let lines: Vec<String> = (0..rows)
        .map(|row| {
            let text = "word ".repeat(draw.below(40));
            let tags = if row % 5 == 0 { json!(null) } else { json!(vec![text.trim(); draw.below(3)]) };
            json!({ "id": format!("r{}", row % 97), "n": row % 11, "tags": tags, "who": { "name": text } }).to_string()
        })
        .collect();
    let bench = Bench::new();
    let types: Vec<_> = COLUMNS.iter().map(|(n, t)| ((*n).to_owned(), schema::parse(t).unwrap())).collect();
    let media = Media::Folder(bench.folder().to_owned());
    let rows = jsonl::parse(lines.join("\n").as_bytes(), "rows.jsonl").unwrap();
    load::table(rows, &types, &media, bench.store(), Bad::Fail).unwrap().0
}

#[test]
fn rows_come_in_another_order_from_memory_and_from_a_file() {
    let table = mixed(900);
    let chunks: Vec<Table> = (0..9).map(|n| table.slice(100 * n, 100)).collect();
    let draw = &mut Draw(3);
    let any: Vec<u32> = (0..1200).map(|_| draw.below(900) as u32).collect();
    let folder = tempfile::tempdir().unwrap();
    for order in [(0..900).rev().collect(), any, vec![5], Vec::new()] {
        // All in memory, a few rows at a time, and each row by itself.
        for most in [usize::MAX, 4000, 1] {
            let mut got = Vec::new();
            let read = || Ok(chunks.iter().cloned().map(Ok));
            gather(read, &order, folder.path(), most, |table| {
                got.push(table);
                Ok(())
            })
            .unwrap();
            let got = Table::concat(&got).unwrap();
            assert_eq!(got.batch, table.take(&order).unwrap().batch, "{} rows, {most} bytes", order.len());
        }
    }
}

#[test]
fn keys_of_rows_in_parts_are_those_of_all() {
    let table = mixed(400);
    let whole = row_keys(&table, &["id"]).unwrap();
    assert_eq!((whole[97].occurrence, whole[97].digest), (1, whole[0].digest), "each name comes several times");
    let mut keyer = Keyer::default();
    let parts: Vec<_> = (0..8).flat_map(|n| keyer.keys(&table.slice(50 * n, 50), &["id"]).unwrap()).collect();
    assert_eq!(parts, whole);
}
