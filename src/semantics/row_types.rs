//! Types that name one row, or a number of rows, where rows are meant: `fn f(d: Row)` for `fn f(d: Dataset[Row])`.

use super::check::Checker;
use super::modules::ImportTarget;
use crate::base::Diagnostic;
use crate::base::codes::E0304;
use crate::syntax::ast::{Arg, Binding, Expr, ExprKind, Function, ItemKind, ParamDecl, TypeExpr, TypeExprKind, UserOp};

/// The type of a number of rows.
const COUNTED: &str = "Rows";

/// Values and functions that pass rows on are followed this far.
const DEPTH: u32 = 8;

/// The parameters and local values that an expression may name.
#[derive(Clone, Copy)]
struct Scope<'s> {
    module: usize,
    params: &'s [ParamDecl],
    locals: &'s [Binding],
}

/// What is called by its name.
#[derive(Clone, Copy)]
enum Called<'s> {
    Operator(&'s UserOp),
    Fn(usize, &'s Function),
    Op(&'s UserOp),
}

impl<'a> Checker<'a> {
    /// E0304 for parameters and a result whose type names a row, though the body treats them as rows. From here on they are read as what is meant, so
    /// that nothing else is said of them.
    pub(super) fn rows_of_function(&mut self, module: usize, function: &'a Function) {
        let scope = Scope { module, params: &function.params, locals: &function.locals };
        for param in &function.params {
            if self.names_row(&param.ty, module) {
                let name = param.name.text.as_str();
                if self.uses_as_rows(function, name, module, DEPTH) {
                    self.meant_rows(&param.ty, &format!("`{name}` is used as rows"));
                }
            }
        }
        if self.names_row(&function.result, module) && self.gives_rows(&function.body, scope, DEPTH) {
            self.meant_rows(&function.result, &format!("`{}` gives rows", function.name.text));
        }
    }

    /// As [`Self::rows_of_function`], of a user's operator, which takes and gives nothing but rows.
    pub(super) fn rows_of_op(&mut self, module: usize, op: &UserOp) {
        if let Some(first) = op.params.first().filter(|p| self.names_row(&p.ty, module)) {
            self.meant_rows(&first.ty, "an `op` takes rows");
        }
        if self.names_row(&op.result, module) {
            self.meant_rows(&op.result, "an `op` gives rows");
        }
    }

    /// As [`Self::rows_of_function`], of a value with a type of its own.
    pub(super) fn rows_of_binding(&mut self, module: usize, binding: &Binding) {
        let scope = Scope { module, params: &[], locals: &[] };
        if let Some(ty) = binding.ty.as_ref().filter(|ty| self.names_row(ty, module))
            && self.gives_rows(&binding.value, scope, DEPTH)
        {
            self.meant_rows(ty, &format!("`{}` is rows", binding.name.text));
        }
    }

    /// Says whether a type is the name of a schema, a list of such rows, or a number of them.
    fn names_row(&self, ty: &TypeExpr, module: usize) -> bool {
        match &ty.kind {
            TypeExprKind::List(inner) => row_name(inner).is_some_and(|name| self.is_schema(name, module)),
            _ => row_name(ty).is_some_and(|name| name == COUNTED || self.is_schema(name, module)),
        }
    }

    fn is_schema(&self, name: &str, module: usize) -> bool {
        let names = &self.names[module];
        match name.split_once('.') {
            Some((file, name)) => match names.imports.get(file) {
                Some(ImportTarget::Module(id)) => self.names[*id].schemas.contains_key(name),
                _ => false,
            },
            None => names.schemas.contains_key(name),
        }
    }

    fn meant_rows(&mut self, ty: &TypeExpr, used: &str) {
        if !self.meant.insert(ty.span) {
            return;
        }
        let schema = schema_of(ty).and_then(row_name);
        let (shown, is) = match (schema, &ty.kind) {
            (None, _) => (COUNTED.to_owned(), "a number of rows"),
            (Some(name), TypeExprKind::List(_)) => (format!("[{name}]"), "a list of values"),
            (Some(name), _) => (name.to_owned(), "the type of one row"),
        };
        let d = Diagnostic::new(E0304, ty.span, format!("{used}; `{shown}` is {is}"), is);
        self.report(match schema {
            None => d.help("write `Dataset[Row]`, with the schema that its columns have"),
            Some(name) => {
                let written = format!("Dataset[{name}]");
                d.help(format!("write `{written}`: rows with these columns")).fix(ty.span, written)
            }
        });
    }

    /// Says whether a function uses a parameter as rows.
    fn uses_as_rows(&self, function: &Function, name: &str, module: usize, depth: u32) -> bool {
        let values = function.locals.iter().map(|local| &local.value).chain([&function.body]);
        values.into_iter().any(|e| self.takes_as_rows(e, name, module, depth))
    }

    /// Says whether a name is given, in an expression, to what asks for rows.
    fn takes_as_rows(&self, e: &Expr, name: &str, module: usize, depth: u32) -> bool {
        let is_it = |e: &Expr| matches!(&bare(e).kind, ExprKind::Ident(word) if word == name);
        let mut found = false;
        e.walk(&mut |e| match &e.kind {
            ExprKind::Pipe { left, call, .. } if is_it(left) => {
                if let ExprKind::Call { callee, .. } = &call.kind {
                    found |= self.asks_for_rows(callee, None, module, depth);
                }
            }
            ExprKind::Call { callee, args, .. } => {
                found |= args.iter().any(|arg| match arg {
                    Arg::Positional(e) => is_it(e) && self.asks_for_rows(callee, None, module, depth),
                    Arg::Named(of, e) => is_it(e) && self.asks_for_rows(callee, Some(&of.text), module, depth),
                    Arg::Spread(..) => false,
                });
            }
            _ => {}
        });
        found
    }

    /// Says whether what is called asks for rows: as its first parameter, or as one of a name.
    fn asks_for_rows(&self, callee: &Expr, name: Option<&str>, module: usize, depth: u32) -> bool {
        let Some(called) = self.called(callee, module) else { return false };
        let params = match called {
            Called::Operator(op) | Called::Op(op) => &op.params,
            Called::Fn(_, function) => &function.params,
        };
        let param = match name {
            None => params.first(),
            Some(name) => params.iter().find(|p| p.name.text == name).or(params.iter().find(|p| p.rest)),
        };
        let Some(param) = param else { return false };
        let passed_on = |module: usize, function: &Function| {
            depth > 0
                && self.names_row(&param.ty, module)
                && self.uses_as_rows(function, &param.name.text, module, depth - 1)
        };
        dataset(&param.ty)
            || match called {
                Called::Operator(_) => false,
                Called::Op(op) => std::ptr::eq(param, &op.params[0]),
                Called::Fn(module, function) => passed_on(module, function),
            }
    }

    /// Says whether an expression makes rows, as far as its looks tell.
    fn gives_rows(&self, e: &Expr, scope: Scope, depth: u32) -> bool {
        let of_callee = |callee: &Expr| match self.called(callee, scope.module) {
            Some(Called::Operator(op)) => dataset(&op.result),
            Some(Called::Op(_)) => true,
            Some(Called::Fn(module, f)) => {
                let inner = Scope { module, params: &f.params, locals: &f.locals };
                dataset(&f.result)
                    || depth > 0 && self.names_row(&f.result, module) && self.gives_rows(&f.body, inner, depth - 1)
            }
            None => false,
        };
        match &e.kind {
            ExprKind::Call { callee, .. } => of_callee(callee),
            ExprKind::Pipe { call, .. } => matches!(&call.kind, ExprKind::Call { callee, .. } if of_callee(callee)),
            ExprKind::Paren(inner) => self.gives_rows(inner, scope, depth),
            ExprKind::If { then, .. } => self.gives_rows(then, scope, depth),
            ExprKind::Ident(name) => {
                if let Some(param) = scope.params.iter().find(|p| p.name.text == *name) {
                    return dataset(&param.ty) || self.meant.contains(&param.ty.span);
                }
                let global = match self.names[scope.module].values.get(name.as_str()) {
                    Some(ItemKind::Let(b) | ItemKind::Stage(b)) => Some(b),
                    _ => None,
                };
                let value = scope.locals.iter().find(|b| b.name.text == *name).or(global);
                depth > 0 && value.is_some_and(|b| self.gives_rows(&b.value, scope, depth - 1))
            }
            _ => false,
        }
    }

    /// What a callee names.
    fn called(&self, callee: &Expr, module: usize) -> Option<Called<'_>> {
        let (module, item) = match &callee.kind {
            ExprKind::Ident(name) => (module, self.names[module].values.get(name.as_str())?),
            ExprKind::Field(base, name) => {
                let ExprKind::Ident(base) = &base.kind else { return None };
                match self.names[module].imports.get(base.as_str())? {
                    ImportTarget::Operators(real) => {
                        let op = self.catalogue.get(&format!("{real}.{}", name.text))?;
                        return Some(Called::Operator(&op.signature));
                    }
                    ImportTarget::Module(id) => (*id, self.names[*id].values.get(name.text.as_str())?),
                    ImportTarget::Missing => return None,
                }
            }
            _ => return None,
        };
        match item {
            ItemKind::Fn(f) => Some(Called::Fn(module, f)),
            ItemKind::Op(op) => Some(Called::Op(op)),
            _ => None,
        }
    }
}

fn bare(e: &Expr) -> &Expr {
    match &e.kind {
        ExprKind::Paren(inner) => bare(inner),
        _ => e,
    }
}

/// The word of a type that is nothing but a name.
fn row_name(ty: &TypeExpr) -> Option<&str> {
    match &ty.kind {
        TypeExprKind::Named { name, args } if args.is_empty() => Some(&name.text),
        _ => None,
    }
}

/// Says whether a written type is a dataset, or one of several.
fn dataset(ty: &TypeExpr) -> bool {
    match &ty.kind {
        TypeExprKind::Named { name, .. } => name.text == "Dataset",
        TypeExprKind::Union(members) => members.iter().all(dataset),
        TypeExprKind::Optional(inner) => dataset(inner),
        _ => false,
    }
}

/// The schema that a type names which is read as rows; none if it is their number.
pub(super) fn schema_of(ty: &TypeExpr) -> Option<&TypeExpr> {
    let inner = match &ty.kind {
        TypeExprKind::List(inner) => inner,
        _ => ty,
    };
    (row_name(inner)? != COUNTED).then_some(inner)
}
