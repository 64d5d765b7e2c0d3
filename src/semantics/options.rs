//! Names in a call that are no options of what is called: what they are elsewhere, and how the same is written here.

use super::check::Checker;
use super::numbers;
use super::sig::{Bound, Given, Kind, Sig, dataset_in};
use crate::base::codes::E0210;
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Class, Dim, Type, foreign, prelude};
use crate::syntax::ast::{Expr, ExprKind, ParamDecl, RecordField};

/// Beyond so many options a list of all helps nobody.
const MANY: usize = 16;

/// A name in a call that is no option of what is called.
pub(super) struct UnknownOption<'n> {
    pub(super) name: &'n str,
    pub(super) span: Span,
    /// The record that brought it.
    pub(super) spread: Option<Span>,
    /// Its value and the type of that, where it was written in the call.
    pub(super) value: Option<(&'n Expr, Type)>,
}

impl Checker<'_> {
    pub(super) fn options_of<'s>(&self, sig: &'s Sig) -> Vec<&'s str> {
        let mut names: Vec<&str> = sig.params.iter().filter(|p| !p.rest).map(|p| p.name.text.as_str()).collect();
        match &sig.kind {
            Kind::Operator(op) => {
                names.extend(op.spec.takes_where.then_some("where"));
                names.extend((op.spec.class == Class::Sampled).then_some("seed"));
            }
            Kind::UserOp(op) => {
                names.extend(self.own_bad(op).then_some("bad"));
                names.extend(self.own_seed(op).then_some("seed"));
            }
            Kind::Fn(..) | Kind::Prelude => {}
        }
        names
    }

    /// Reports a name that is no option of what is called, with what was most likely meant.
    pub(super) fn unknown_option(&mut self, sig: &Sig, bound: &mut Bound, unknown: UnknownOption) {
        let UnknownOption { name, span, spread, value } = unknown;
        let known = self.options_of(sig);
        let what = if matches!(sig.kind, Kind::Fn(..)) { "parameter" } else { "option" };
        let mut d = Diagnostic::new(
            E0210,
            span,
            format!("unknown {what} `{name}` of `{}`", sig.name),
            format!("no {what} of it"),
        );
        if let Some(at) = spread.filter(|s| *s != span) {
            d = d.also(at, "spread into the call here");
        }
        let module = sig.name.split('.').next().unwrap_or_default();
        let foreign = match (module, &sig.kind) {
            ("train", Kind::Operator(_)) => foreign::option(foreign::FOREIGN, name),
            ("eval" | "model", Kind::Operator(_)) => foreign::option(foreign::MEASURING, name)
                .filter(|_| foreign::row_option(name, &known).is_none_or(|ours| matches!(ours, "by" | "n"))),
            (_, Kind::Fn(..)) => foreign::ours(foreign::FOREIGN, name)
                .filter(|hint| foreign::argument(hint).is_some_and(|ours| known.contains(&ours))),
            _ => None,
        };
        // What is written another way elsewhere may be an option of another operator only.
        let elsewhere = foreign
            .and_then(foreign::argument)
            .filter(|ours| !known.contains(ours))
            .and_then(|ours| Some((ours, self.sibling_with(sig, ours)?)));
        let alias = foreign::row_option(name, &known).filter(|_| matches!(sig.kind, Kind::Operator(_)));
        let with = prelude::WITH.iter().find(|(n, _)| *n == name);
        let sibling = self.sibling_with(sig, name);
        let near = phrase::nearest(name, known.iter().copied());
        let only = self
            .only_missing(sig, bound, value.as_ref().map(|(_, ty)| ty))
            .filter(|_| foreign.is_none() && near.is_none());
        // What was most likely meant is no missing argument beside.
        let meant = foreign.and_then(foreign::argument).or(near).or(only.map(|(name, _)| name)).or(alias);
        if let Some(i) = meant.and_then(|m| sig.params.iter().position(|p| p.name.text == m))
            && bound.slots[i].is_none()
        {
            bound.slots[i] = Some(Given::lost(span));
        }
        let shares = name.starts_with("train") && known.contains(&"validation") && known.contains(&"test");
        let alone = shares && self.shares_lost(sig, bound, span, value.as_ref().map(|(e, _)| *e));
        // Nothing but the name is another one.
        let exact = match foreign {
            Some(hint) => foreign::exact(hint).filter(|ours| known.contains(ours)),
            None if only.is_none() => alias.filter(|a| near.is_none_or(|n| n == *a) && !foreign::loose(name)),
            None => None,
        };
        let renamed = match (&value, exact, spread) {
            (Some((e, ty)), Some(ours), None) => self.renamed(sig, ours, e, ty, foreign),
            _ => None,
        };
        let switch = match (&value, foreign.and_then(foreign::whole), spread) {
            (Some((Expr { kind: ExprKind::Bool(true), .. }, _)), Some(written), None) => Some(written),
            _ => None,
        };
        let to_value = |e: &Expr| span.to(e.span);
        d = if let (Some(written), Some((e, _))) = (switch, &value) {
            d.help(format!("write `{written}`")).fix(to_value(e), written)
        } else if let (Some((written, converted)), Some((e, _))) = (&renamed, &value) {
            let d = d.help(format!("write `{written}`"));
            let ours = exact.unwrap_or_default();
            if *converted { d.fix(to_value(e), written) } else { d.fix(span, ours) }
        } else if let Some((ours, sibling)) = elsewhere {
            d.help(format!("it is `{ours}:` of `{sibling}`; leave it out here"))
        } else if let Some(hint) = foreign {
            d.help(match &value {
                Some((e, _)) if self.off(sig, hint, e) => {
                    format!("it is off if nothing is said, so leave it out; on, {}", hint.trim_start_matches("write "))
                }
                Some((e, _)) => with_value(hint, e),
                None => hint.to_owned(),
            })
        } else if let Some((only, fits)) = only {
            let d = d.help(match fits {
                true => format!("it is called `{only}` here: write `{only}: …`"),
                false => {
                    format!("rows are called `{only}` here, and need other columns: see `rbpipe doc {}`", sig.name)
                }
            });
            if fits { d.fix(span, only) } else { d }
        } else if let Some(alias) = alias.filter(|a| near.is_none_or(|n| n == *a)) {
            d.help(self.alias_help(sig, alias, name))
        } else if let Some(sibling) = sibling {
            d.help(format!("it is an option of `{sibling}`; leave it out here"))
        } else if with.is_some() {
            d.help(format!("it says how to run, not what comes out: write it after the call, `with {{ {name}: … }}`"))
        } else if let Some(near) = near {
            let d = d.help(format!("did you mean `{near}`?"));
            if spread.is_none() { d.fix(span, near) } else { d }
        } else if let Some(hint) = foreign::option(foreign::ROW_HINTS, name).filter(|_| sig.decl.is_none()) {
            d.help(hint)
        } else if alone {
            d.help("name what is held out with its share, `validation: 10%`, and a second such part `test: 10%`; what they leave is `.train`")
        } else if shares {
            d.help("what `validation` and `test` leave is the part `.train`; leave it out")
        } else if known.is_empty() {
            d.help(format!("`{}` takes no arguments", sig.name))
        } else if known.len() > MANY && matches!(sig.kind, Kind::Operator(_)) {
            let few = phrase::quoted(&known[..MANY / 2]);
            d.help(format!(
                "`{}` has no such option; `rbpipe doc {}` lists all {}: {few} …",
                sig.name,
                sig.name,
                known.len()
            ))
        } else {
            d.help(format!("`{}` takes {}", sig.name, phrase::quoted(&known)))
        };
        if let Some(decl) = sig.decl {
            d = d.also(decl, "declared here");
        }
        self.report(d);
    }

    /// Takes the parts of a split as told of, where the share of the training was given instead; says whether none was named as it is here.
    fn shares_lost(&self, sig: &Sig, bound: &mut Bound, span: Span, value: Option<&Expr>) -> bool {
        let fraction = value.and_then(numbers::literal).is_some_and(|share| share < 1.0);
        let slot = |part: &str| sig.params.iter().position(|p| p.name.text == part);
        let validation = slot("validation");
        let alone = fraction || validation.is_none_or(|i| bound.slots[i].is_none());
        let told = [validation.filter(|_| alone), slot("test").filter(|_| fraction)];
        for i in told.into_iter().flatten() {
            bound.slots[i] = Some(Given::lost(span));
        }
        alone
    }

    /// How an argument is written under its name here, where its value fits or needs a unit alone; says whether the value changed.
    /// Of several units that of the hint's example is meant.
    fn renamed(
        &mut self,
        sig: &Sig,
        ours: &str,
        value: &Expr,
        have: &Type,
        hint: Option<&str>,
    ) -> Option<(String, bool)> {
        let param = sig.params.iter().find(|p| p.name.text == ours)?;
        let want = self.signature_type(&param.ty);
        let have = self.solver.resolve(have);
        // What a column holds is another question than where it is named.
        if matches!((&value.kind, &want), (ExprKind::Col(_), Type::Field(_))) {
            return Some((format!("{ours}: {}", written(value)?), false));
        }
        if matches!(have, Type::Error | Type::Var(_)) {
            return None;
        }
        if self.solver.could(&have, &want).is_ok() {
            return Some((format!("{ours}: {}", written(value).unwrap_or_else(|| "…".to_owned())), false));
        }
        let plain = matches!(have, Type::Int | Type::Float);
        let ways = numbers::ways(numbers::literal(value).filter(|_| plain)?, &numbers::dims(&want));
        match ways.as_slice() {
            [one] => Some((format!("{ours}: {one}"), true)),
            several => {
                let example = hint?.trim_end_matches('`').rsplit(' ').next()?;
                let unit = example.trim_start_matches(|c: char| c.is_ascii_digit());
                let one = several.iter().find(|way| !unit.is_empty() && way.ends_with(unit))?;
                Some((format!("{ours}: {one}"), true))
            }
        }
    }

    /// Says whether an option of another tool is switched off, and what a hint says of it is off here too.
    fn off(&self, sig: &Sig, hint: &str, value: &Expr) -> bool {
        let hint = hint.split(';').next().unwrap_or(hint);
        let hint = hint.split_once("`:").map_or(hint, |(first, _)| first);
        let Some((ours, on)) = hint.strip_prefix("write `").and_then(|h| h.trim_end_matches('`').split_once(": "))
        else {
            return false;
        };
        let default = sig.params.iter().find(|p| p.name.text == ours).and_then(|p| p.default.as_ref());
        matches!(value.kind, ExprKind::Bool(false)) && default.and_then(written).is_some_and(|default| default != on)
    }

    /// The only required argument that is not given, where a value of this type could be it, and whether it fits.
    fn only_missing<'s>(&mut self, sig: &'s Sig, bound: &Bound, have: Option<&Type>) -> Option<(&'s str, bool)> {
        let have = self.solver.resolve(have?);
        let Kind::Operator(_) = sig.kind else { return None };
        let open = |(i, p): &(usize, &ParamDecl)| *i > 0 && !p.rest && p.default.is_none() && bound.slots[*i].is_none();
        let missing: Vec<&ParamDecl> = sig.params.iter().enumerate().filter(open).map(|(_, p)| p).collect();
        let [param] = missing[..] else { return None };
        let want = self.signature_type(&param.ty);
        let artifact = matches!(have, Type::Dataset(_) | Type::Model(_) | Type::Benchmark | Type::Suite);
        let fits = artifact && self.solver.could(&have, &want).is_ok();
        let rows = matches!(have, Type::Dataset(_)) && dataset_in(&want);
        (fits || rows).then_some((param.name.text.as_str(), fits))
    }

    /// How an option is written that other tools call otherwise.
    fn alias_help(&mut self, sig: &Sig, option: &str, name: &str) -> String {
        let param = sig.params.iter().find(|p| p.name.text == option);
        let Some(param) = param else { return format!("write `{option}: …`") };
        let ty = self.signature_type(&param.ty);
        match example(&ty).filter(|_| !(option == "keep" && name.starts_with("top"))) {
            None if option == "keep" => "write `keep:`, as in `keep: top(100rows)`".to_owned(),
            Some(example) => format!("write `{option}:`, as in `{option}: {example}`"),
            None => format!("write `{option}: …`; it is {}", self.show(&ty)),
        }
    }
}

/// A plain value as it is written.
fn written(e: &Expr) -> Option<String> {
    match &e.kind {
        ExprKind::Str(text) => Some(format!("\"{}\"", text.plain().filter(|t| !t.contains(['"', '\\', '\n']))?)),
        ExprKind::Number(parts, whole) => {
            let shown = |v: &f64| if *whole { format!("{v}") } else { format!("{v:?}") };
            Some(parts.iter().map(|(v, unit)| shown(v) + unit.as_deref().unwrap_or("")).collect())
        }
        ExprKind::Bool(value) => Some(value.to_string()),
        ExprKind::Ident(name) | ExprKind::TypeName(name) => Some(name.clone()),
        ExprKind::Col(name) => Some(format!(".{}", name.text)),
        ExprKind::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(written).collect();
            Some(format!("[{}]", items?.join(", "))).filter(|all| all.len() < 60)
        }
        _ => None,
    }
}

/// A hint with the value that was given in the place of its example, where that is a number of steps or the stage of ZeRO.
fn with_value(hint: &str, value: &Expr) -> String {
    if let Some(stage) = zero_stage(value).filter(|_| hint.contains("zero2")) {
        return hint.replace("zero2", &format!("zero{stage}"));
    }
    let (Some(at), ExprKind::Number(parts, true)) = (hint.find("steps }"), &value.kind) else { return hint.to_owned() };
    let ([(steps, None)], Some(from)) = (parts.as_slice(), hint[..at].rfind(' ')) else { return hint.to_owned() };
    format!("{} {steps}{}", &hint[..from], &hint[at..])
}

/// The stage of ZeRO that a value of DeepSpeed's speaks of: `3`, `{ stage: 3 }`, `"ds_z3_config.json"`.
fn zero_stage(e: &Expr) -> Option<u8> {
    let digit = |c: char| c.to_digit(10).filter(|d| (1..=3).contains(d)).map(|d| d as u8);
    match &e.kind {
        ExprKind::Number(parts, true) => match parts.as_slice() {
            [(n, None)] if (1.0..=3.0).contains(n) => Some(*n as u8),
            _ => None,
        },
        ExprKind::Str(text) => {
            let text = text.plain()?.to_ascii_lowercase();
            ["zero", "stage", "z"].iter().find_map(|word| {
                let (_, after) = text.split_once(word)?;
                after.trim_start_matches(['_', '-']).chars().next().and_then(digit)
            })
        }
        ExprKind::Record(fields) => fields.iter().find_map(|field| match field {
            RecordField::Named(name, value) if name.text == "stage" => zero_stage(value),
            _ => None,
        }),
        _ => None,
    }
}

/// A value of a type as it may be written.
pub(super) fn example(ty: &Type) -> Option<String> {
    let text = match ty {
        Type::Optional(inner) => return example(inner),
        Type::Union(ts) => return ts.iter().find_map(example),
        Type::Enum(variants) => return Some(format!("\"{}\"", variants.first()?)),
        Type::List(inner) => return Some(format!("[{}]", example(inner)?)),
        Type::Dim(dim) => match dim {
            Dim::Ratio => "80%",
            Dim::Rows => "1_000rows",
            Dim::Tokens => "512tok",
            Dim::Steps => "100steps",
            Dim::Duration => "30m",
            Dim::Bytes => "24GiB",
            Dim::Pixels => "50_176px",
            Dim::Angle => "30deg",
            Dim::Points => "2pt",
            Dim::Rate => return None,
        },
        Type::Range(inner) => match &**inner {
            Type::Dim(Dim::Ratio) => "10%..90%",
            Type::Dim(Dim::Tokens) => "10tok..512tok",
            Type::Dim(Dim::Angle) => "-30deg..30deg",
            Type::Dim(_) => return None,
            _ => "10..200",
        },
        Type::Field(_) => ".output",
        Type::Schema(_) => "Row",
        Type::Int => "5",
        Type::Float => "0.5",
        Type::Bool => "true",
        Type::Str => "\"…\"",
        Type::Secret => "key",
        Type::RowFn(inner) if matches!(**inner, Type::Bool) => ".output != \"\"",
        _ => return None,
    };
    Some(text.to_owned())
}
