//! `read.*`, `mark.*`, `total.*` and `media.*`: plain values and row functions that the verbs of a benchmark take.

use crate::engine::Builtin;
use crate::spec::{Effect, OpSpec};

const fn value(signature: &'static str) -> Builtin {
    Builtin { spec: OpSpec { signature, effect: Effect::Value, ..OpSpec::BASE }, run: None }
}

/// All of them, in documentation order.
pub static VALUES: [&Builtin; 33] = [
    &CHOICE,
    &BACKTICK,
    &CHOICE_COMPAT,
    &CHOICES,
    &NUMBER,
    &NUMBER_COMPAT,
    &YES_NO,
    &TEXT,
    &TEXT_COMPAT,
    &POINTS,
    &POINTS_COMPAT,
    &POINTS_NORM1K,
    &LETTER,
    &LETTERS,
    &EQUAL,
    &SIMILAR,
    &NEAR,
    &MRA,
    &MARK_YES_NO,
    &MASK,
    &POLYGON,
    &PASS,
    &MICRO,
    &NESTED,
    &PAIRS,
    &ROTATIONS,
    &ADJUSTED,
    &WEIGHTED,
    &FRAMES,
    &OFFSETS,
    &PATH,
    &BASE64,
    &super::suite::SUITE,
];

static CHOICE: Builtin = value(
    "## The option letter that a reply names, by seven rules in order; only letters that the item has, never a guess. A stated letter \
    that it does not have is no answer, whatever else the reply mentions.\nop read.choice() -> Reader",
);
static BACKTICK: Builtin =
    value("## The option letter between backticks, else as `read.choice`.\nop read.choice_backtick() -> Reader");
static CHOICE_COMPAT: Builtin = value(
    "## The letter that FlagEvalMM's extractor finds, its faults included.\nop read.choice_flagevalmm() -> Reader",
);
static CHOICES: Builtin = value(
    "## All option letters that a reply names, for questions with several right options: `ABD`, `A, B and D`, after `answers:`, in a box, or one \
    a line; only letters that the item has.\nop read.choices() -> Reader",
);
static NUMBER: Builtin = value(
    "## The number after the last label (`Answer:`, `the answer is`), else in the last box, else the last one. Blanks and commas may part \
    thousands.\nop read.number(words: Bool = false, signed: Bool = false, thousands: Bool = true) -> Reader",
);
static NUMBER_COMPAT: Builtin = value(
    "## The number that FlagEvalMM's extractor finds: the first unsigned decimal.\nop read.number_flagevalmm() -> Reader",
);
static YES_NO: Builtin = value(
    "## Yes or no, by one of four rules. `yes or no`, as prompts have it, is neither.\n\
    op read.yes_no(mode: enum { labelled_then_only_one, starts_with, last_line_starts_with, only_one \
    } = \"labelled_then_only_one\") -> Reader",
);
static TEXT: Builtin = value(
    "## A few words: the labelled line, else the last box, else the whole reply; trimmed, case-folded unless `case`.\nop read.text(number_words: Bool = false, \
    case: Bool = false) -> Reader",
);
static TEXT_COMPAT: Builtin = value("## The lines that FlagEvalMM compares.\nop read.text_flagevalmm() -> Reader");
static POINTS: Builtin = value(
    "## Points in any of the usual forms: JSON, tags, pairs; those after the last `Answer:` alone, where there are any. Their space is the \
    model's.\nop read.points(box: enum { center, expand } = \
    \"center\", take: enum { all, first } = \"all\") -> Reader",
);
static POINTS_COMPAT: Builtin = value(
    "## The points that FlagEvalMM's parser finds: plain pairs on the last line.\nop read.points_flagevalmm() -> Reader",
);
static POINTS_NORM1K: Builtin =
    value("## The same with thousandths, clamped to the picture.\nop read.points_flagevalmm_norm1k() -> Reader");

static LETTER: Builtin = value("## 1 for the key's letter.\nop mark.letter() -> Marker");
static LETTERS: Builtin = value(
    "## 1 for exactly the key's letters. With `partial`, the share of them that was named, as long as none is wrong.\nop mark.letters(partial: \
    Bool = false) -> Marker",
);
static EQUAL: Builtin = value("## 1 for the key's text, case and number words aside.\nop mark.text_equal() -> Marker");
static SIMILAR: Builtin = value(
    "## 1 when a line is more similar to the key than `t` (Ratcliff-Obershelp).\nop mark.text_similar(t: Float) -> Marker",
);
static NEAR: Builtin = value(
    "## 1 within an absolute or relative distance of the key. For points: the distance of the first point read from the key, \
    as a share of the picture's side.\nop mark.near(abs: Float? = none, rel: Ratio? = none) -> Marker",
);
static MRA: Builtin = value("## Mean relative accuracy over ten thresholds.\nop mark.mra() -> Marker");
static MARK_YES_NO: Builtin = value("## 1 for the key's word.\nop mark.yes_no() -> Marker");
static MASK: Builtin = value(
    "## The mask's value under the points. A mask may be of another size than the picture; pixels are the picture's.\n\
    op mark.mask(take: enum { mean, any, first } = \"mean\", threshold: Float? = 0.5, via: enum { \
    jpeg }? = none) -> Marker",
);
static POLYGON: Builtin = value(
    "## 1 for points inside the polygon.\nop mark.polygon(take: enum { mean, any, first } = \"mean\", rule: enum { even_odd, even_odd_v1, \
    hull } = \"even_odd\") -> Marker",
);
static PASS: Builtin = value(
    "## 1 when another mark reaches `at`, or exceeds it when `strict`.\nop mark.pass(inner: Marker, at: Float, strict: Bool = false) -> Marker",
);

static MICRO: Builtin = value("## The mean over items.\nop total.micro() -> Total");
static NESTED: Builtin = value(
    "## The mean over values of the first group of the mean over values of the next, and so on.\nop total.nested(by: Cols) -> Total",
);
static PAIRS: Builtin = value("## The share of twins that are both right.\nop total.pairs(by: Col) -> Total");
static ROTATIONS: Builtin = value(
    "## The share of items that are right in every rotation of their options.\nop total.all_rotations() -> Total",
);
static ADJUSTED: Builtin = value(
    "## Another total with chance taken off: (s - c) / (1 - c).\nop total.chance_adjusted(inner: Total) -> Total",
);
static WEIGHTED: Builtin =
    value("## The weighted mean over groups: value of a group to weight.\nop total.weighted(of: { ..any }) -> Total");

static FRAMES: Builtin = value(
    "## Some frames of a list of frames, in time order.\nop media.frames(video: Expr, count: Expr[Int], pick: Expr[Str] = \"linspace\", \
    within: Expr? = none) -> [Image]",
);
static OFFSETS: Builtin = value(
    "## Pictures placed in the question at character offsets.\nop media.at_offsets(images: Expr, chars: Expr) -> [Image]",
);
static PATH: Builtin = value("## A picture's path made of parts.\nop media.path(parts: Expr, ext: Expr[Str]) -> Image");
static BASE64: Builtin = value("## A picture that a column holds as base64.\nop media.base64(of: Expr) -> Image");
