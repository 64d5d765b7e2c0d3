//! The stories of the training that the project began with: each is told from the files alone, before a GPU is touched.

use std::collections::BTreeMap;

use rbpipe::base::world::MemoryWorld;
use rbpipe::plan::PathArg;
use rbpipe::plan::lints::Known;

use crate::lints::told_of;

/// What that team ran, option by option, as a recipe: the rows and words are those that its log and its data show.
const ORIGINAL: &str = include_str!("../corpus/original.rb2");

/// A story: the code, a piece of the line that it is told of, and pieces of what is said.
const STORIES: &[(&str, &str, &[&str])] = &[
    ("W0530", "recipe", &["does not say with which versions"]),
    ("W0531", "runs \"python3.12", &["python3.10", "python3.12"]),
    ("W0504", "cutoff: 8192tok", &["one row in a hundred has more than 9100 words in `.output`"]),
    ("W0501", "warmup: 80steps", &["warm-up is 80 of 93 steps (86 %)", "`warmup: 5%` is 5 steps"]),
    (
        "W0502",
        "evaluate: 150steps",
        &["`evaluate: 150steps` and `checkpoint: 150steps` never fire: the training has 93 steps"],
    ),
    ("W0502", "stall: 180000000s", &["`stall` of 50000 hours"]),
    (
        "P0101",
        "train.sft",
        &[
            "on each GPU",
            "`with { micro_batch: 1 }`, same result",
            "`with { shard: \"zero3\" }`, same result",
            "optimizer",
        ],
    ),
    ("W0404", "expect mix.rows >= 20_000rows", &["cannot hold: `mix.rows` is 7855 at most"]),
];

/// What a lock would say.
struct Locked;

impl Known for Locked {
    fn rows(&self, file: &PathArg) -> Option<u64> {
        (!file.media && !file.model).then_some(7_855)
    }

    fn words(&self, file: &PathArg) -> BTreeMap<String, u64> {
        if file.media || file.model { BTreeMap::new() } else { BTreeMap::from([("output".to_owned(), 9_100)]) }
    }
}

#[test]
fn every_story_of_the_original_training_is_told_from_the_files_alone() {
    let mut world = MemoryWorld::default();
    world.files.insert("recipe.rb2".into(), ORIGINAL.to_owned());
    world.files.insert("base/config.json".into(), crate::memory::SEVEN_B.to_owned());
    let (found, sources) = told_of(&world, &Locked);
    let told: Vec<(String, String, String)> = found
        .iter()
        .map(|d| {
            let (line, _) = sources.get(d.primary.span.source).line_col(d.primary.span.start as usize);
            let text = ORIGINAL.lines().nth(line - 1).unwrap_or_default().to_owned();
            (d.code.0.to_owned(), text, format!("{} | {}", d.message, d.help.clone().unwrap_or_default()))
        })
        .collect();
    for (code, line, pieces) in STORIES {
        let hit =
            told.iter().any(|(c, l, said)| c == code && l.contains(line) && pieces.iter().all(|p| said.contains(p)));
        assert!(hit, "{code} at `{line}` with {pieces:?} is not among {told:#?}");
    }
    assert_eq!(told.len(), STORIES.len(), "{told:#?}");
}
