//! What needs no import: two functions, the methods of row values, the row types that operators speak of, prompt slots, and the
//! options of `with`.

/// The functions of the prelude, as signatures.
pub const FUNCTIONS: &[&str] = &[
    "## The n best rows, in the operator's own sense.\nop top(n: Rows) -> Top",
    "## A prompt text read from a file, which is then an input of the lock.\nop from_file(path: Str, sha256: Str? = none) -> Prompt",
];

/// The names of [`FUNCTIONS`].
pub const FUNCTION_NAMES: &[&str] = &["top", "from_file"];

/// The slots of a prompt: names that are filled for each row, never a `let`.
pub const SLOTS: &[&str] = &["question", "options", "images", "coord_hint"];

/// What a method stands on, takes or gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Str,
    /// A whole number.
    Int,
    /// A truth value.
    Bool,
    /// A pattern `r"…"`.
    Regex,
    /// A picture.
    Image,
    /// Anything.
    Any,
    /// A list of anything.
    List,
    /// A list of texts.
    Strs,
    /// A record.
    Record,
    /// An expression over one element, to Bool.
    Test,
    /// A text that may be absent.
    MaybeStr,
    /// A text or a list.
    StrOrList,
    /// A picture or a text.
    StrOrImage,
}

/// A method or property of a row value.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name after the point.
    pub name: &'static str,
    /// What it stands on.
    pub on: Kind,
    /// Its arguments; the first may be given without its name. `None`: a property, written without parentheses.
    pub args: Option<&'static [(&'static str, Kind)]>,
    /// What it gives.
    pub gives: Kind,
    /// What it does, in one line.
    pub doc: &'static str,
}

const fn property(name: &'static str, on: Kind, gives: Kind, doc: &'static str) -> Method {
    Method { name, on, args: None, gives, doc }
}

const fn method(
    name: &'static str,
    on: Kind,
    args: &'static [(&'static str, Kind)],
    gives: Kind,
    doc: &'static str,
) -> Method {
    Method { name, on, args: Some(args), gives, doc }
}

/// All methods and properties of row values.
pub const METHODS: &[Method] = &[
    property("len", Kind::StrOrList, Kind::Int, "elements of a list, characters of a text"),
    property("words", Kind::Str, Kind::Int, "number of words, split at blanks"),
    property("chars", Kind::Str, Kind::Int, "number of characters"),
    property("alnum", Kind::Str, Kind::Int, "number of letters and digits"),
    property("width", Kind::Image, Kind::Int, "width in pixels"),
    property("height", Kind::Image, Kind::Int, "height in pixels"),
    method("trim", Kind::Str, &[], Kind::Str, "without blanks at both ends"),
    method("lower", Kind::Str, &[], Kind::Str, "in lower case"),
    method("upper", Kind::Str, &[], Kind::Str, "in upper case"),
    method("contains", Kind::StrOrList, &[("of", Kind::Any)], Kind::Bool, "whether the text or list holds it"),
    method("starts", Kind::Str, &[("with", Kind::Str)], Kind::Bool, "whether it starts so"),
    method("ends", Kind::Str, &[("with", Kind::Str)], Kind::Bool, "whether it ends so"),
    method("matches", Kind::Str, &[("pattern", Kind::Regex)], Kind::Bool, "whether the pattern is found in it"),
    method(
        "before",
        Kind::Str,
        &[("mark", Kind::Str)],
        Kind::Str,
        "what stands before the first mark; all without one",
    ),
    method(
        "after",
        Kind::Str,
        &[("mark", Kind::Str)],
        Kind::Str,
        "what stands after the first mark; nothing without one",
    ),
    method("split", Kind::Str, &[("mark", Kind::Str)], Kind::Strs, "the pieces between marks"),
    method("any", Kind::List, &[("where", Kind::Test)], Kind::Bool, "whether one element passes"),
    method("all", Kind::List, &[("where", Kind::Test)], Kind::Bool, "whether every element passes"),
    method("count", Kind::List, &[("where", Kind::Test)], Kind::Int, "how many elements pass"),
    method(
        "lookup",
        Kind::Str,
        &[("in", Kind::Record)],
        Kind::MaybeStr,
        "the record's text under this key; none without it",
    ),
    method("digest", Kind::StrOrImage, &[], Kind::Str, "BLAKE3 of the text or of the picture's bytes, in hex"),
    method(
        "letter",
        Kind::Any,
        &[],
        Kind::Str,
        "the option letter that the value is: `b`, `B.` and 1-based numbers in text",
    ),
    method("paren_letter", Kind::Str, &[], Kind::Str, "the letter in `(B)`"),
    method("index0_letter", Kind::Any, &[], Kind::Str, "0 is A, 1 is B"),
    method("index1_letter", Kind::Any, &[], Kind::Str, "1 is A, 2 is B"),
    method("index_in", Kind::Any, &[("list", Kind::List)], Kind::Str, "the letter of its place in the list"),
    method("inline_options", Kind::Str, &[], Kind::Strs, "the options `A. …` that stand in the text"),
    method("strip_labels", Kind::List, &[], Kind::Strs, "the options without `A. `"),
    method("drop_last_instruction", Kind::Str, &[], Kind::Str, "the text without its last sentence on how to answer"),
];

/// Returns a method by name.
pub fn method_named(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|m| m.name == name)
}

/// Row types that operators speak of, in the language itself. A tail `..any` stands for columns that nobody has described.
pub const SCHEMAS: &[(&str, &str)] = &[
    ("Sft", "{ instruction: Str, input: Str?, output: Str, images: [Image]? }"),
    ("Pair", "{ prompt: Str, images: [Image]?, chosen: Str, rejected: Str }"),
    ("Item", "{ ..any }"),
    (
        "Scene",
        "{ image: Image, objects: [{ label: Str, box: Box, attributes: [Str] }], \
         relations: [{ subject: Str, predicate: Str, object: Str }], absent: [Str], ..any }",
    ),
    ("Episode", "{ goal: Str, frames: [Image], actions: Json, low_actions: Json, plan: Json, ..any }"),
    ("Clip", "{ video: Video, start: Float, stop: Float, narration: Str, verb: Str?, noun: Str?, ..any }"),
];

/// The options of `with`, each with the type of its value as written in the language.
pub const WITH: &[(&str, &str)] = &[
    ("gpus", "Int in 0.."),
    ("gpu_mem", "Bytes"),
    ("ranks", "Int in 1.."),
    ("cpus", "Int in 1.."),
    ("mem", "Bytes"),
    ("disk", "Bytes"),
    ("timeout", "Duration"),
    ("stall", "Duration"),
    ("retries", "Int in 0.."),
    ("at_most", "Int in 1.."),
    ("spend", "Tokens"),
    ("money", "Float"),
    ("price_in", "Float"),
    ("price_out", "Float"),
    ("executor", "Str"),
    ("checkpoint", "Steps | Duration"),
    ("shard", "enum { none, zero1, zero2, zero3 }"),
    ("offload", "Bool"),
    ("keep_state", "Bool"),
    ("micro_batch", "Int in 1.."),
    ("recompute", "enum { none, half, vision, text, all }"),
    ("attention", "enum { flash, sdpa, eager }"),
    ("workers", "Int in 0.."),
    ("log", "Steps"),
    ("serve", "Str"),
    ("on_error", "enum { fail, keep_going }"),
    ("cache", "Bool"),
    ("pin", "Bool"),
    ("priority", "Int"),
    ("licence", "Str"),
    ("consent", "Str"),
];

/// Takes the type of an option apart: `Int in 1..` is `Int` with the least value 1.
pub fn least(ty: &str) -> (&str, Option<i64>) {
    match ty.split_once(" in ") {
        Some((ty, range)) => (ty, range.strip_suffix("..").and_then(|least| least.parse().ok())),
        None => (ty, None),
    }
}

/// The options of `with` that sources accept: under which terms others may use what they read. They flow to outputs.
pub const WITH_SOURCE: &[&str] = &["licence", "consent"];

/// The options of `with` that every operator accepts.
pub const WITH_COMMON: &[&str] =
    &["cpus", "mem", "disk", "timeout", "stall", "retries", "executor", "priority", "cache", "pin", "on_error"];
