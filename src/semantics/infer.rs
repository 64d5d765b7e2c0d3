//! Unification: variables for types and for the rest of a row, what fits where, and what two branches have in common.

use std::borrow::Cow;

use crate::spec::{Dim, Row, Type};

/// What is known of each variable. Types and rows share the numbers.
#[derive(Debug, Default)]
pub(super) struct Solver {
    slots: Vec<Slot>,
    /// What each binding replaced, oldest first, so that an attempt that fails is taken back.
    trail: Vec<(u32, Slot)>,
}

#[derive(Clone, Debug)]
enum Slot {
    /// Not yet known.
    Free,
    /// The rest of a row in the body of the function that is given it: stands for itself.
    Rigid,
    Type(Type),
    Row(Row),
}

/// Why a value does not fit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Misfit {
    /// Another type.
    Type,
    /// A `T?` where `T` is needed.
    Optional,
    /// A secret where none may go.
    Secret,
    /// A number known only after running.
    Metric,
    /// A text that is none of the variants.
    Variant(String, Vec<String>),
    /// A plain number, or one of another dimension.
    Unit(Dim),
    /// Columns or fields that are not there.
    Missing(Vec<String>),
    /// A field that the record does not have.
    Extra(String),
    /// A column or field of another type: its name, what it is, what is wanted.
    Column(String, Type, Type, Box<Misfit>),
}

impl Solver {
    fn slot(&mut self, slot: Slot) -> u32 {
        self.slots.push(slot);
        (self.slots.len() - 1) as u32
    }

    /// Returns a new variable.
    pub(super) fn free(&mut self) -> u32 {
        self.slot(Slot::Free)
    }

    /// Returns a variable that stands for itself.
    pub(super) fn rigid(&mut self) -> u32 {
        self.slot(Slot::Rigid)
    }

    /// Binds a free variable to a row.
    pub(super) fn bind_row(&mut self, var: u32, row: Row) {
        if let Some(Slot::Free) = self.slots.get(var as usize) {
            self.bind(var, Slot::Row(row));
        }
    }

    fn bind(&mut self, var: u32, slot: Slot) {
        let before = std::mem::replace(&mut self.slots[var as usize], slot);
        self.trail.push((var, before));
    }

    /// Returns a row as its columns can be read: a tail of which nothing is known may hold anything.
    pub(super) fn row(&self, row: &Row) -> Row {
        let mut out = self.flat(row);
        if let Some(tail) = out.tail
            && !matches!(self.slots.get(tail as usize), Some(Slot::Rigid))
        {
            out.tail = Some(Row::ANY);
        }
        out
    }

    /// Returns a row with what is known of its tail put in: own fields win over those of the tail.
    fn flat(&self, row: &Row) -> Row {
        let mut out = Row { fields: row.fields.clone(), tail: row.tail };
        while let Some(tail) = out.tail {
            match self.slots.get(tail as usize) {
                Some(Slot::Row(more)) => {
                    for (name, ty) in &more.fields {
                        if out.get(name).is_none() {
                            out.fields.push((name.clone(), ty.clone()));
                        }
                    }
                    out.tail = more.tail;
                }
                Some(Slot::Rigid | Slot::Free | Slot::Type(_)) | None => break,
            }
        }
        for (_, ty) in &mut out.fields {
            if !self.settled(ty) {
                *ty = self.rebuilt(ty);
            }
        }
        out
    }

    /// Returns a type with what is known of its variables put in.
    pub(super) fn resolve(&self, ty: &Type) -> Type {
        self.resolved(ty).into_owned()
    }

    /// As [`Self::resolve`], without a copy where nothing is to be put in.
    fn resolved<'t>(&self, ty: &'t Type) -> Cow<'t, Type> {
        if self.settled(ty) { Cow::Borrowed(ty) } else { Cow::Owned(self.rebuilt(ty)) }
    }

    /// Says whether [`Self::resolve`] would return the type itself.
    fn settled(&self, ty: &Type) -> bool {
        match ty {
            Type::Var(v) => !matches!(self.slots.get(*v as usize), Some(Slot::Type(_))),
            Type::Optional(t) => !matches!(**t, Type::Optional(_) | Type::Var(_)) && self.settled(t),
            Type::List(t) | Type::Range(t) | Type::Metric(t) | Type::Field(t) | Type::RowFn(t) | Type::Grid(_, t) => {
                self.settled(t)
            }
            Type::Tuple(ts) | Type::Union(ts) => ts.iter().all(|t| self.settled(t)),
            Type::Record(row) | Type::Dataset(row) | Type::Schema(row) => self.settled_row(row),
            _ => true,
        }
    }

    fn settled_row(&self, row: &Row) -> bool {
        row.tail.is_none_or(|tail| !matches!(self.slots.get(tail as usize), Some(Slot::Row(_))))
            && row.fields.iter().all(|(_, ty)| self.settled(ty))
    }

    fn rebuilt(&self, ty: &Type) -> Type {
        let boxed = |t: &Type| Box::new(self.resolve(t));
        match ty {
            Type::Var(v) => match self.slots.get(*v as usize) {
                Some(Slot::Type(t)) => self.resolve(t),
                _ => ty.clone(),
            },
            Type::Optional(t) => match self.resolve(t) {
                inner @ Type::Optional(_) => inner,
                inner => Type::Optional(Box::new(inner)),
            },
            Type::List(t) => Type::List(boxed(t)),
            Type::Range(t) => Type::Range(boxed(t)),
            Type::Metric(t) => Type::Metric(boxed(t)),
            Type::Field(t) => Type::Field(boxed(t)),
            Type::RowFn(t) => Type::RowFn(boxed(t)),
            Type::Grid(axes, t) => Type::Grid(axes.clone(), boxed(t)),
            Type::Tuple(ts) => Type::Tuple(ts.iter().map(|t| self.resolve(t)).collect()),
            Type::Union(ts) => Type::Union(ts.iter().map(|t| self.resolve(t)).collect()),
            Type::Record(row) => Type::Record(self.flat(row)),
            Type::Dataset(row) => Type::Dataset(self.flat(row)),
            Type::Schema(row) => Type::Schema(self.flat(row)),
            _ => ty.clone(),
        }
    }

    /// Says whether a value of type `have` may stand where `want` is asked for, and binds variables so that it does.
    ///
    /// # Errors
    /// Why it may not; variables are then as before.
    pub(super) fn fits(&mut self, have: &Type, want: &Type) -> Result<(), Misfit> {
        let before = self.trail.len();
        let (have, want) = (self.resolved(have), self.resolved(want));
        let result = self.fit(&have, &want);
        if result.is_err() {
            self.undo(before);
        }
        result
    }

    /// As [`Self::fits`], but variables are as before in any case.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn could(&mut self, have: &Type, want: &Type) -> Result<(), Misfit> {
        let before = self.trail.len();
        let result = self.fits(have, want);
        self.undo(before);
        result
    }

    /// Takes back all bindings but the first `before`.
    fn undo(&mut self, before: usize) {
        for (var, slot) in self.trail.drain(before..).rev() {
            self.slots[var as usize] = slot;
        }
    }

    fn fit(&mut self, have: &Type, want: &Type) -> Result<(), Misfit> {
        use Type as T;
        match (have, want) {
            (T::Error, _) | (_, T::Error) => Ok(()),
            (T::Var(a), T::Var(b)) if a == b => Ok(()),
            (T::Var(v), t) | (t, T::Var(v)) => {
                self.bind(*v, Slot::Type(t.clone()));
                Ok(())
            }
            (T::Secret, T::Secret) => Ok(()),
            (T::Secret, T::Optional(w)) => self.fit(have, w),
            (T::Secret, T::Union(ws)) if ws.contains(&T::Secret) => Ok(()),
            (T::Secret, _) => Err(Misfit::Secret),
            (T::None, T::Optional(_) | T::None | T::Json) => Ok(()),
            (T::Optional(h), T::Optional(w)) => self.fit(h, w),
            (h, T::Optional(w)) => self.fit(h, w),
            (T::Union(hs), _) => hs.iter().try_for_each(|h| self.fit(h, want)),
            (_, T::Union(ws)) => self.fit_union(have, ws),
            (T::None, _) => Err(Misfit::Optional),
            (T::Field(h), T::Field(w) | T::RowFn(w)) => self.fit(h, w),
            (T::RowFn(h), T::RowFn(w)) => self.fit(h, w),
            (h, T::RowFn(w)) => self.fit(h, w),
            (T::Optional(h), w) => {
                self.fit(h, w)?;
                Err(Misfit::Optional)
            }
            (T::Score, T::Metric(w)) => self.fit(&T::Dim(Dim::Ratio), w),
            (T::Loss, T::Metric(w)) => self.fit(&T::Float, w),
            (T::Loss, T::Score) => Ok(()),
            (T::Score | T::Loss, T::Dim(_) | T::Int | T::Float | T::Bool) => Err(Misfit::Metric),
            (T::Metric(h), T::Metric(w)) => self.fit(h, w),
            (h, T::Metric(w)) => self.fit(h, w),
            (T::Metric(h), w) => {
                self.fit(h, w)?;
                Err(Misfit::Metric)
            }
            (T::Int, T::Float) => Ok(()),
            (T::Int | T::Float, T::Dim(d)) => Err(Misfit::Unit(*d)),
            (T::Dim(a), T::Dim(b)) if a != b => Err(Misfit::Unit(*b)),
            (T::Text(_) | T::Enum(_) | T::Regex, T::Str) => Ok(()),
            (T::Text(_) | T::Enum(_) | T::Str, T::Prompt) => Ok(()),
            (T::Text(_) | T::Str, T::Regex) => Ok(()),
            (T::Text(texts), T::Enum(variants)) => match texts.iter().find(|t| !variants.contains(t)) {
                Some(bad) => Err(Misfit::Variant(bad.clone(), variants.clone())),
                None => Ok(()),
            },
            (T::Enum(some), T::Enum(variants)) => match some.iter().find(|t| !variants.contains(t)) {
                Some(bad) => Err(Misfit::Variant(bad.clone(), variants.clone())),
                None => Ok(()),
            },
            (T::List(h), T::List(w)) | (T::Range(h), T::Range(w)) => self.fit(h, w),
            (T::Tuple(hs), T::Tuple(ws)) if hs.len() == ws.len() => {
                hs.iter().zip(ws).try_for_each(|(h, w)| self.fit(h, w))
            }
            (T::Record(h), T::Record(w)) => self.fit_rows(h, w, true),
            (T::Dataset(h), T::Dataset(w)) => self.fit_rows(h, w, false),
            (T::Schema(_), T::Schema(_)) => Ok(()),
            (T::Model(_), T::Model(None)) => Ok(()),
            (T::Grid(_, h), T::Grid(_, w)) => self.fit(h, w),
            (
                T::Int
                | T::Float
                | T::Bool
                | T::Str
                | T::Text(_)
                | T::Enum(_)
                | T::List(_)
                | T::Tuple(_)
                | T::Record(_)
                | T::Image
                | T::Video
                | T::Box
                | T::Point
                | T::Dim(_),
                T::Json,
            ) => Ok(()),
            // What a JSON cell holds is known when it is read.
            (
                T::Json,
                T::Int
                | T::Float
                | T::Bool
                | T::Str
                | T::Enum(_)
                | T::List(_)
                | T::Tuple(_)
                | T::Record(_)
                | T::Box
                | T::Point
                | T::Dim(_)
                | T::Image
                | T::Video,
            ) => Ok(()),
            (h, w) if h == w => Ok(()),
            _ => Err(Misfit::Type),
        }
    }

    /// The first member that fits is taken; else the most telling reason.
    fn fit_union(&mut self, have: &Type, members: &[Type]) -> Result<(), Misfit> {
        let mut worst = Misfit::Type;
        for want in members {
            match self.fits(have, want) {
                Ok(()) => return Ok(()),
                Err(m) if worst == Misfit::Type => worst = m,
                Err(_) => {}
            }
        }
        Err(worst)
    }

    fn fit_rows(&mut self, have: &Row, want: &Row, record: bool) -> Result<(), Misfit> {
        let mut missing = Vec::new();
        for (name, want) in &want.fields {
            match have.get(name) {
                Some(have) => self.fit(have, want).map_err(|m| match m {
                    Misfit::Secret | Misfit::Missing(_) if record => m,
                    m => Misfit::Column(name.clone(), have.clone(), want.clone(), Box::new(m)),
                })?,
                None if self.row(have).is_any() || matches!(want, Type::Optional(_)) => {}
                None => missing.push(name.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(Misfit::Missing(missing));
        }
        let rest: Vec<(String, Type)> = have.fields.iter().filter(|(n, _)| want.get(n).is_none()).cloned().collect();
        match want.tail {
            Some(tail) => self.bind_row(tail, Row { fields: rest, tail: have.tail }),
            None if record => {
                if let Some((name, _)) = rest.first() {
                    return Err(Misfit::Extra(name.clone()));
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Returns the type that both branches of an `if`, or all elements of a list, can be taken as.
    pub(super) fn join(&mut self, a: &Type, b: &Type) -> Option<Type> {
        let (a, b) = (self.resolve(a), self.resolve(b));
        self.meet(&a, &b)
    }

    fn meet(&mut self, a: &Type, b: &Type) -> Option<Type> {
        use Type as T;
        Some(match (a, b) {
            (T::Error, other) | (other, T::Error) => other.clone(),
            (a, b) if a == b => a.clone(),
            (T::Var(v), t) | (t, T::Var(v)) => {
                self.bind(*v, Slot::Type(t.clone()));
                t.clone()
            }
            (T::None, t) | (t, T::None) => match t {
                T::Optional(_) => t.clone(),
                _ => T::Optional(Box::new(t.clone())),
            },
            (T::Optional(a), T::Optional(b)) => T::Optional(Box::new(self.meet(a, b)?)),
            (T::Optional(a), b) | (b, T::Optional(a)) => T::Optional(Box::new(self.meet(a, b)?)),
            (T::Score, T::Metric(_)) | (T::Metric(_), T::Score) => T::Metric(Box::new(T::Dim(Dim::Ratio))),
            (T::Loss, T::Metric(a)) | (T::Metric(a), T::Loss) => T::Metric(Box::new(self.meet(a, &T::Float)?)),
            (T::Score, T::Loss) | (T::Loss, T::Score) => T::Score,
            (T::Metric(a), T::Metric(b)) => T::Metric(Box::new(self.meet(a, b)?)),
            (T::Metric(a), b) | (b, T::Metric(a)) => T::Metric(Box::new(self.meet(a, b)?)),
            (T::Int, T::Float) | (T::Float, T::Int) => T::Float,
            (T::Text(x), T::Text(y)) => {
                let mut all = x.clone();
                all.extend(y.iter().filter(|t| !x.contains(t)).cloned());
                T::Text(all)
            }
            (T::Enum(vs), T::Text(ts)) | (T::Text(ts), T::Enum(vs)) if ts.iter().all(|t| vs.contains(t)) => {
                T::Enum(vs.clone())
            }
            (T::Enum(x), T::Enum(y)) => {
                let mut all = x.clone();
                all.extend(y.iter().filter(|t| !x.contains(t)).cloned());
                T::Enum(all)
            }
            (T::Prompt, T::Str | T::Text(_)) | (T::Str | T::Text(_), T::Prompt) => T::Prompt,
            (T::Str | T::Text(_) | T::Enum(_), T::Str | T::Text(_) | T::Enum(_)) => T::Str,
            (T::Json, _) | (_, T::Json) => T::Json,
            (T::List(a), T::List(b)) => T::List(Box::new(self.meet(a, b)?)),
            (T::Range(a), T::Range(b)) => T::Range(Box::new(self.meet(a, b)?)),
            (T::Field(a), T::Field(b)) => T::Field(Box::new(self.meet(a, b).unwrap_or(T::Error))),
            (T::Tuple(x), T::Tuple(y)) if x.len() == y.len() => {
                T::Tuple(x.iter().zip(y).map(|(a, b)| self.meet(a, b)).collect::<Option<_>>()?)
            }
            (T::Model(_), T::Model(_)) => T::Model(None),
            (T::Grid(axes, a), T::Grid(other, b)) if axes.len() == other.len() => {
                T::Grid(axes.clone(), Box::new(self.meet(a, b)?))
            }
            (T::Record(x), T::Record(y)) => {
                if x.fields.len() != y.fields.len() {
                    return None;
                }
                let fields = x
                    .fields
                    .iter()
                    .map(|(n, a)| Some((n.clone(), self.meet(a, y.get(n)?)?)))
                    .collect::<Option<Vec<_>>>()?;
                T::Record(Row { fields, tail: x.tail.or(y.tail) })
            }
            (T::Dataset(x), T::Dataset(y)) => T::Dataset(self.shared(x, y)?),
            _ => return None,
        })
    }

    /// The columns that two datasets share; none if they share nothing.
    pub(super) fn shared(&mut self, x: &Row, y: &Row) -> Option<Row> {
        let (x, y) = (self.row(x), self.row(y));
        let mut fields = Vec::new();
        for (name, a) in &x.fields {
            match y.get(name) {
                Some(b) => fields.extend(self.meet(a, b).map(|t| (name.clone(), t))),
                None if y.is_any() => fields.push((name.clone(), a.clone())),
                None => {}
            }
        }
        if x.is_any() {
            fields.extend(y.fields.iter().filter(|(n, _)| x.get(n).is_none()).cloned());
        }
        let tail = if x.tail == y.tail { x.tail } else { None };
        (!fields.is_empty() || tail.is_some()).then_some(Row { fields, tail })
    }
}
