//! Where the trees of large blobs lie: `trees/ab/cdef…`, beside `blobs/`. Nothing relies on one: what lacks or is wrong is as if it never had been, and is
//! written again by whoever reads all of the blob.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::store::{Store, below_hex, beneath, persist};
use super::tree::Tree;
use crate::base::Digest;
use crate::engine::crash::step;

impl Store {
    /// Returns where the tree of a blob lies, whether or not it is there.
    pub fn tree_path(&self, digest: Digest) -> PathBuf {
        below_hex(&self.root().join("trees"), digest)
    }

    /// Returns the tree of a blob, as far as one is there that comes to its digest.
    pub fn tree(&self, digest: Digest) -> Option<Tree> {
        Tree::parse(&std::fs::read(self.tree_path(digest)).ok()?, digest)
    }

    /// Puts the tree of a blob in its place, unless it is there.
    pub(super) fn keep_tree(&self, digest: Digest, tree: &Tree) -> io::Result<()> {
        if self.tree(digest).as_ref() == Some(tree) {
            return Ok(());
        }
        let mut file = self.temporary()?;
        file.write_all(&tree.file())?;
        step();
        self.place(&self.tree_path(digest), |target| persist(file, target))
    }

    /// Visits every tree: the digest of its blob and where it lies.
    pub(super) fn each_tree(&self, visit: &mut dyn FnMut(Digest, &Path)) {
        beneath(&self.root().join("trees"), visit);
    }
}
