//! Any text is parsed, checked, planned and formatted: no panic, no hang, no endless memory; formatting settles and keeps what is said.
//!
//! Only the rooms of the language are compiled in, without operators: their signatures come from the pages of `docs/operators`.

#![no_main]
#![allow(dead_code, unused_imports, missing_docs)]

#[path = "../../../src/base/mod.rs"]
pub mod base;
#[path = "../../../src/plan/mod.rs"]
pub mod plan;
#[path = "../../../src/semantics/mod.rs"]
pub mod semantics;
#[path = "../../../src/spec/mod.rs"]
pub mod spec;
#[path = "../../../src/syntax/mod.rs"]
pub mod syntax;

use std::path::Path;
use std::sync::OnceLock;

use base::world::MemoryWorld;
use base::{SourceId, SourceMap};
use libfuzzer_sys::fuzz_target;
use semantics::{Settings, check, load};
use spec::{Catalogue, Class, Columns, Effect, OpSpec};

const PAGES: &[&str] = &[
    include_str!("../../../docs/operators/augment.md"),
    include_str!("../../../docs/operators/bench.md"),
    include_str!("../../../docs/operators/cot.md"),
    include_str!("../../../docs/operators/data.md"),
    include_str!("../../../docs/operators/dedup.md"),
    include_str!("../../../docs/operators/embed.md"),
    include_str!("../../../docs/operators/eval.md"),
    include_str!("../../../docs/operators/filter.md"),
    include_str!("../../../docs/operators/fuse.md"),
    include_str!("../../../docs/operators/grid.md"),
    include_str!("../../../docs/operators/judge.md"),
    include_str!("../../../docs/operators/mark.md"),
    include_str!("../../../docs/operators/media.md"),
    include_str!("../../../docs/operators/model.md"),
    include_str!("../../../docs/operators/read.md"),
    include_str!("../../../docs/operators/report.md"),
    include_str!("../../../docs/operators/score.md"),
    include_str!("../../../docs/operators/total.md"),
    include_str!("../../../docs/operators/train.md"),
];

fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(|| {
        let blocks = PAGES.iter().flat_map(|page| page.split("```rb2\n").skip(1));
        let signatures = blocks.filter_map(|block| block.split("```").next()).filter(|s| s.starts_with("op "));
        let specs: Vec<&'static OpSpec> = signatures.map(|s| &*Box::leak(Box::new(declared(s)))).collect();
        Catalogue::new(&specs)
    })
}

/// What a page does not tell in the language itself.
fn declared(signature: &'static str) -> OpSpec {
    let name = signature.strip_prefix("op ").and_then(|s| s.split('(').next()).unwrap_or_default();
    let columns = match name {
        "data.select" => Columns::Select,
        "data.drop" => Columns::Drop,
        "data.rename" => Columns::Rename,
        "data.derive" => Columns::Derive,
        "data.concat" => Columns::Concat,
        "data.blend" => Columns::Shared,
        "model.classify" => Columns::Classify,
        loader if signature.contains("as: Schema") && loader.starts_with("data.") => Columns::FromSchema,
        bench if bench.starts_with("bench.") && !bench.ends_with(".total") && !bench.ends_with(".suite") => Columns::FromFile,
        _ => Columns::Signature,
    };
    let module = name.split('.').next().unwrap_or_default();
    let value = matches!(module, "read" | "mark" | "total" | "media");
    OpSpec {
        signature,
        columns,
        class: if matches!(module, "train" | "augment") { Class::Sampled } else { Class::Deterministic },
        effect: if value { Effect::Value } else { Effect::RowSubset },
        takes_where: matches!(module, "filter" | "dedup"),
        ..OpSpec::BASE
    }
}

/// Seconds that this thread has worked: a busy machine makes nothing slow.
fn worked() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fuzz_target!(init: { catalogue(); }, |bytes: &[u8]| {
    let started = worked();
    one(bytes);
    let took = worked() - started;
    assert!(took < 1.0, "it took {took:.1} s of work");
});

fn one(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (recipe, library) = text.split_once("\n--- lib.rb2\n").unwrap_or((&text, ""));
    let mut world = MemoryWorld::default();
    world.files.insert("recipe.rb2".into(), recipe.to_owned());
    world.files.insert("lib.rb2".into(), library.to_owned());
    let mut sources = SourceMap::default();
    let (program, mut problems) = load(&world, catalogue(), &mut sources, Path::new("recipe.rb2"));
    problems.extend(check(&program, catalogue(), &Settings::default()).1);
    let known = plan::lints::Nothing;
    let more = plan::lints::of(&program, catalogue(), &mut sources, &world, &Default::default(), &known, &problems);
    problems.extend(more);
    for d in problems.sorted() {
        assert!(d.help.is_some_and(|h| !h.is_empty()), "{}: {} gives no next step", d.code, d.message);
        for span in std::iter::once(d.primary.span).chain(d.others.iter().map(|l| l.span)).chain(d.fix.iter().map(|f| f.span)) {
            if span.source != syntax::BUILTIN_SOURCE {
                let text = &sources.get(span.source).text;
                assert!(text.get(span.start as usize..span.end as usize).is_some(), "{}: a place in a character", d.code);
            }
        }
    }
    if let Ok(once) = syntax::format(recipe) {
        let (before, _) = syntax::parse(SourceId(0), recipe);
        let (after, problems) = syntax::parse(SourceId(0), &once);
        assert!(!problems.has_errors(), "formatting broke it:\n{once}");
        assert_eq!(before.items.len(), after.items.len(), "formatting lost an item:\n{once}");
        assert_eq!(before.comments.len(), after.comments.len(), "formatting lost a comment:\n{once}");
        assert_eq!(syntax::format(&once).expect("it parsed"), once, "formatting does not settle");
    }
}
