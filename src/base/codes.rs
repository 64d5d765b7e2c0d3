//! The table of all diagnostic codes. A code never changes its meaning.

/// A diagnostic code such as `E0301`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! codes {
    ($($name:ident $title:literal)*) => {
        $(#[doc = $title] pub const $name: Code = Code(stringify!($name));)*
        /// Every code with its title, in order.
        pub const ALL: &[(Code, &str)] = &[$(($name, $title)),*];

        /// What `rbpipe explain` says of each code, in the same order. A code without a page does not compile.
        const PAGES: &[&str] = &[$(include_str!(concat!("../../docs/diagnostics/", stringify!($name), ".md"))),*];
    };
}

codes! {
    E0101 "syntax"
    E0102 "string not closed"
    E0103 "reserved word as a name"
    E0104 "item not at the start of a line"
    E0105 "literal type (write `enum {}`)"
    E0106 "pipe: step is no call, or parentheses missing"
    E0107 "half-open range as a bare argument, or `..` of no record"
    E0108 "block without `=>`"
    E0109 "nested deeper than 100"
    E0110 "merge marker, look-alike letter"
    E0120 "unit missing or wrong"
    E0121 "dimensions differ"
    E0122 "Int division not exact"
    E0201 "unknown name"
    E0202 "duplicate name"
    E0203 "shadows the prelude or an import"
    E0204 "unknown operator"
    E0205 "import not found"
    E0206 "cyclic import"
    E0207 "function used as a value"
    E0208 "sampled operator without a seed"
    E0209 "package: version, revision or pin"
    E0210 "unknown option"
    E0211 "argument missing"
    E0212 "second positional argument"
    E0213 "not a variant"
    E0214 "param out of range"
    E0215 "unknown profile or param"
    E0216 "`with` option that nothing accepts"
    E0217 "slot and `let` share a name"
    E0218 "recursive `fn`"
    E0301 "column not there"
    E0302 "rows unfit for an operator"
    E0303 "column exists already"
    E0304 "type mismatch"
    E0305 "open return row ambiguous"
    E0306 "branches of `if` differ"
    E0307 "`.col` outside a row function"
    E0308 "`T?` where `T` is needed"
    E0309 "schema that the locked rows contradict"
    E0501 "input missing"
    E0502 "input changed during the run"
    E0503 "corrupt artifact"
    E0504 "disk full"
    E0508 "output target not written by rbpipe"
    E0601 "Metric shapes the graph"
    E0602 "names in a cycle"
    E0603 "axis without labels"
    E0604 "no such label"
    E0610 "bad row under `bad: \"fail\"`"
    E0611 "user operator broke the protocol"
    E0612 "operator failed"
    E0620 "node that no executor has room for"
    E0621 "no such executor"
    E0622 "site file"
    E0623 "executor not ready"
    E0701 "secret missing"
    E0702 "secret becomes text or output"
    E0710 "loss not finite"
    E0711 "no trainable labels"
    E0712 "batch impossible on these GPUs"
    E0801 "item kind without its verb"
    E0802 "key illegal for its kind"
    E0803 "example of a benchmark fails"
    E0804 "hidden answers"
    E0805 "row count differs"
    E0901 "drift"
    E0902 "not locked (`--frozen`)"
    E0903 "tool outside `requires`"
    W0101 "`if … else … |>` without parentheses"
    W0102 "tab, CR or BOM in the source"
    W0201 "unused let, param, import"
    W0202 "name hides a column"
    W0203 "braces in a text that replace nothing"
    W0301 "columns lost where rows are joined"
    W0302 "filter that keeps or drops all (observed schema)"
    W0303 "dedup of multimodal rows without `within`"
    W0304 "the same rows joined twice"
    W0305 "split that does not keep pictures apart"
    W0306 "split after augmentation"
    W0307 "weights do not sum to 100 %"
    W0401 "`expect` that cannot fail"
    W0402 "option never used in this branch"
    W0403 "field overridden by a later spread"
    W0404 "`expect` that cannot hold"
    W0501 "warm-up above 20 % of the steps"
    W0502 "interval never fires"
    W0503 "rows not divisible by batch"
    W0504 "cutoff under the 99th percentile"
    W0505 "lr or beta unusual"
    W0506 "training sources and suite without `disjoint`"
    W0507 "sampling in an evaluation"
    W0508 "licence conflict"
    W0509 "pixels above cutoff"
    W0510 "`allow` no longer needed"
    W0511 "measured with rows that were trained on"
    W0512 "rows held out leave none"
    W0513 "nothing to evaluate"
    W0514 "`max_steps` never reached"
    W0515 "nothing left to train"
    W0516 "score over few questions"
    W0517 "text compared with itself"
    W0518 "question shows the answer"
    W0519 "training without a step"
    W0520 "cutoff beyond the model's positions"
    W0521 "value that is refused when it runs"
    W0522 "best model among one"
    W0523 "dedup after a split"
    W0524 "dedup after choosing the best"
    W0525 "DPO as fast as SFT"
    W0526 "average that is still the start model"
    W0527 "few rows held out"
    W0528 "warm-up and cooldown overlap"
    W0529 "batch not divided by the ranks"
    W0530 "tool not pinned"
    W0531 "two versions of one interpreter"
    W0532 "state kept for nothing"
    P0101 "more memory than there is"
}

/// Returns the title of a code given as text, in any case.
pub fn lookup(text: &str) -> Option<(Code, &'static str)> {
    ALL.iter().copied().find(|(code, _)| code.0.eq_ignore_ascii_case(text))
}

/// Returns the page of a code: what it means, why it matters, a failing and a fixed recipe.
pub fn page(code: Code) -> &'static str {
    ALL.iter().position(|(known, _)| *known == code).map_or("", |at| PAGES[at])
}
