//! Names of classes: the built-in ImageNet list, and label files that come with a checkpoint.
//!
//! `imagenet1k.txt` holds torchvision's English class names (`_IMAGENET_CATEGORIES`), one a line, in the order of the logits.
//! Copyright (c) Soumith Chintala 2016, all rights reserved; BSD 3-Clause, see `LICENSE.torchvision` beside it.
//! `imagenet1k_wnids.txt` holds their WordNet ids in the same order, which is also theirs: `imagenet_synsets.txt` of timm 1.0.20
//! (Apache-2.0).

mod parse;

use crate::{
    error::{Error, Result},
    text,
};

/// Class names in the order of the logits.
#[derive(Default, Debug, Clone, PartialEq, Eq)]
pub struct Labels(Vec<String>);

impl Labels {
    /// The 1000 classes of ImageNet-1k (ILSVRC 2012); none without the feature `imagenet-labels`.
    pub fn imagenet1k() -> Self {
        #[cfg(feature = "imagenet-labels")]
        let names = include_str!("imagenet1k.txt");
        #[cfg(not(feature = "imagenet-labels"))]
        let names = "";
        Self(names.lines().map(str::to_owned).collect())
    }

    /// The labels in `text`, the contents of the file or source `name`.
    ///
    /// Text holds one label a line, the first being class 0; a byte-order mark, CRLF and empty lines at the end are fine. Where all
    /// lines begin with their index (from 0 or 1) or with a WordNet id, that is taken off. JSON is an array of strings, an object
    /// from index to string or to `[id, name]` as Keras has it, an object from name to index (`class_to_idx`), or an object that
    /// has one of these under `id2label`, `label2id`, `class_to_idx`, `labels`, `classes`, `categories`, `class_names`, `label_names` or
    /// `names`.
    /// So is a dictionary as Python prints it.
    ///
    /// # Errors
    /// [`Error::Config`] naming the source and the line or key: no labels at all, an empty line between labels, damaged JSON,
    /// a label that is neither a string nor a number, or indices that are not 0, 1, 2 and so on, each once.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match parse::labels(text) {
            Ok(labels) if labels.is_empty() => Err(Error::config(name, "there are no labels in it")),
            Ok(labels) => Ok(Self(labels)),
            Err(reason) => Err(Error::config(name, reason)),
        }
    }

    /// As [`Labels::parse`], from the bytes of a file: UTF-8, or UTF-16 as Windows writes it.
    ///
    /// # Errors
    /// Those of [`Labels::parse`]; [`Error::Config`] when it is not text.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let text = text::decode(bytes).map_err(|reason| Error::config(name, reason))?;
        Self::parse(name, &text)
    }

    /// The labels of a JSON value in one of the forms of [`Labels::parse`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn from_json(value: &serde_json::Value) -> std::result::Result<Self, String> {
        parse::json(value).map(Self)
    }

    /// True for the names that Hugging Face writes where nobody gave any: `LABEL_0`, `LABEL_1`, ..
    pub(crate) fn are_placeholders(&self) -> bool {
        let number = |label: &String| label.strip_prefix("LABEL_").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        !self.0.is_empty() && self.0.iter().all(number)
    }

    /// The class of ImageNet-1k that a WordNet id such as `n02123045` stands for; `None` without the feature `imagenet-labels`.
    pub fn imagenet1k_class(wnid: &str) -> Option<usize> {
        #[cfg(feature = "imagenet-labels")]
        let ids = include_str!("imagenet1k_wnids.txt");
        #[cfg(not(feature = "imagenet-labels"))]
        let ids = "";
        ids.lines().position(|id| id == wnid)
    }

    /// The label of class `index`, `None` past the last one.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index).map(String::as_str)
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are no classes, which [`Labels::parse`] never returns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
