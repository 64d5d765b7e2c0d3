//! Which objects of a scene a text speaks of.

use std::collections::BTreeSet;

use super::scene::{Object, Scene};

/// The nouns and adjectives of a set of scenes.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// Labels, as lower-case words.
    labels: BTreeSet<Vec<String>>,
    /// Attributes.
    attributes: BTreeSet<String>,
    longest: usize,
}

impl Vocabulary {
    /// Collects the words of all scenes.
    pub fn of(scenes: &[Scene]) -> Self {
        let mut vocabulary = Self::default();
        for object in scenes.iter().flat_map(|s| &s.objects) {
            let label = words(&object.label);
            vocabulary.longest = vocabulary.longest.max(label.len());
            vocabulary.labels.insert(label);
            vocabulary.attributes.extend(object.attributes.iter().map(|a| a.to_lowercase()));
        }
        vocabulary
    }

    /// Returns the positions of the objects that a text mentions, in the order of first mention.
    ///
    /// "red cube" means objects with that label and attribute; "cube" or "cubes" without an adjective all of that label; "the yellow object" or
    /// "hazard mark" all with that attribute.
    pub fn mentioned(&self, text: &str, objects: &[Object]) -> Vec<usize> {
        let words = words(text);
        let mut found = Vec::new();
        let mut at = 0;
        while at < words.len() {
            let attribute = self.attributes.get(&words[at]);
            let here = self.label_at(&words[at..]);
            // A label may begin with a word that is also an attribute: "green bottle".
            let (label, attribute, taken) = match (here, attribute) {
                (Some((label, n)), _) => (Some(label), None, n),
                (None, Some(attribute)) => match self.label_at(&words[at + 1..]) {
                    Some((label, n)) => (Some(label), Some(attribute), n + 1),
                    None => (None, Some(attribute), 1),
                },
                (None, None) => (None, None, 1),
            };
            if label.is_some() || attribute.is_some() {
                for (i, object) in objects.iter().enumerate() {
                    let fits = label.is_none_or(|l| *l == self::words(&object.label))
                        && attribute.is_none_or(|a| object.attributes.iter().any(|b| b.eq_ignore_ascii_case(a)));
                    if fits && !found.contains(&i) {
                        found.push(i);
                    }
                }
            }
            at += taken;
        }
        found
    }

    /// Returns the longest label that the words start with, and how many words it takes; its last word may be a plural.
    fn label_at(&self, words: &[String]) -> Option<(&Vec<String>, usize)> {
        (1..=self.longest.min(words.len())).rev().find_map(|n| {
            let mut label = words[..n].to_vec();
            let plural = label[n - 1].clone();
            let endings = [Some(plural.as_str()), plural.strip_suffix('s'), plural.strip_suffix("es")];
            endings.into_iter().flatten().find_map(|last| {
                label[n - 1] = last.to_owned();
                self.labels.get(&label).map(|l| (l, n))
            })
        })
    }
}

fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '-').filter(|w| !w.is_empty());
    parts.map(str::to_lowercase).collect()
}
