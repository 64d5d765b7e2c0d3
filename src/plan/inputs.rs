//! Which files, folders and repositories a source reads.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::evaluator::{Env, Evaluator};
use super::given::Bound;
use super::graph::{PathArg, Repository};
use super::hub;
use super::val::Val;
use crate::spec::catalogue::Operator;
use crate::spec::{Hub, Value};
use crate::syntax::ast::TypeExprKind;

/// What a path to a dataset of the hub starts with.
const OF_THE_HUB: &str = "hf:";

impl Evaluator<'_> {
    /// Finds the files and folders that a source reads.
    pub(super) fn paths(&self, op: &Operator, args: &[Bound], json: &mut Map<String, Json>, env: &Env) -> Vec<PathArg> {
        let mut out: Vec<PathArg> = Vec::new();
        let model = matches!(&op.signature.result.kind, TypeExprKind::Named { name, .. } if name.text == "Model");
        let pictures = args.iter().find_map(|b| match &b.val {
            Val::Schema(s) => Some(s.columns.iter().any(|(_, t)| t.contains("Image") || t.contains("Video"))),
            _ => None,
        });
        for bound in args {
            let Val::Value(Value::Str(text)) = &bound.val else { continue };
            let media = bound.name == "media";
            let arg = |path, repository| PathArg {
                arg: bound.name.clone(),
                path,
                media,
                model,
                repository,
                span: bound.span,
            };
            if let Some((path, repository)) = self.of_the_hub(op, bound, text, args) {
                out.push(arg(path, Some(repository)));
                continue;
            }
            if media && let Some(rows) = out.iter().find(|p| p.repository.is_some() && !p.model) {
                // A repository as a whole holds its pictures; beside one file of it they have a place of their own.
                if let (true, Some(folder)) = (rows.arg == "path", rows.path.parent()) {
                    let path = folder.join(text);
                    out.push(arg(path, None));
                }
                continue;
            }
            let named = matches!(bound.name.as_str(), "path" | "media" | "glob");
            let looks = is_path(text);
            let path = self.resolve(env.module, text);
            // A config or tokenizer may also be given as text, or be a name of the hub.
            let beside = matches!(bound.name.as_str(), "config" | "tokenizer") && self.world.exists(&path);
            if !named && !looks && !beside && !text.starts_with("@root/") {
                continue;
            }
            if text.starts_with("@root/") {
                json.insert(bound.name.clone(), Json::String(path.display().to_string()));
            }
            out.push(arg(path, None));
        }
        // A file that names the files with the rows: they are read too.
        let index = out.iter().find(|p| p.arg == "path").map(|p| (p.path.clone(), p.span));
        if let (Some(named), Some((index, span))) = (op.spec.index, index)
            && let Ok(text) = self.world.read(&index)
        {
            for (i, name) in named(&text, json).into_iter().enumerate() {
                let (path, repository) = match name.strip_prefix(OF_THE_HUB) {
                    Some(repo) => {
                        let repository = Repository { name: repo.to_owned(), revision: None };
                        (hub::dataset(self.world, repo, None), Some(repository))
                    }
                    None => (index.with_file_name(name), None),
                };
                out.push(PathArg { arg: format!("path/{i}"), path, media: false, model, repository, span });
            }
        }
        // Without `media:` the rows' pictures are looked for beside the file.
        let beside = op.signature.params.iter().any(|p| p.name.text == "media") && !out.iter().any(|p| p.media);
        if beside && let Some(file) = out.iter().find(|p| p.arg == "path" || p.arg == "glob") {
            let parent = file.path.parent().filter(|p| !p.as_os_str().is_empty());
            let folder = parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
            let (arg, span) = ("media".into(), file.span);
            out.push(PathArg { arg, path: folder, media: true, model, repository: None, span });
        }
        if pictures == Some(false) {
            out.retain(|p| !p.media);
        }
        out
    }

    /// Returns the repository that an argument names, and where it lies.
    fn of_the_hub(&self, op: &Operator, bound: &Bound, text: &str, args: &[Bound]) -> Option<(PathBuf, Repository)> {
        match op.spec.hub {
            Hub::Model(param) if param == bound.name && !is_path(text) && !text.starts_with("@root/") => {
                let revision = args.iter().find_map(|b| match &b.val {
                    Val::Value(Value::Str(revision)) if b.name == "revision" => Some(revision.clone()),
                    _ => None,
                });
                let revision = Some(revision.unwrap_or_else(|| "main".to_owned()));
                let repository = Repository { name: text.to_owned(), revision };
                Some((hub::model(self.world, &repository), repository))
            }
            Hub::Rows(param) if param == bound.name => {
                let name = text.strip_prefix(OF_THE_HUB).or((param != "path").then_some(text))?;
                let revision = args.iter().find_map(|b| match &b.val {
                    Val::Value(Value::Str(revision)) if b.name == "revision" => Some(revision.as_str()),
                    _ => None,
                });
                let path = match revision {
                    Some(revision) => hub::dataset(self.world, name, Some(revision)),
                    None => hub::rows(self.world, name),
                };
                Some((path, Repository { name: name.to_owned(), revision: None }))
            }
            _ => None,
        }
    }
}

/// Says whether a name is a path by its first characters.
fn is_path(text: &str) -> bool {
    text.starts_with("./") || text.starts_with("../") || text.starts_with('/')
}
