//! Names of classes: the built-in ImageNet list, and label files that come with a checkpoint.
//!
//! `imagenet1k.txt` holds torchvision's English class names (`_IMAGENET_CATEGORIES`), one a line, in the order of the logits.
//! Copyright (c) Soumith Chintala 2016, all rights reserved; BSD 3-Clause, see `LICENSE.torchvision` beside it.
//! `ade20k.txt` holds the 150 classes of ADE20K's scene parsing benchmark by their short names, in the order of the logits, each behind the
//! colour in which the benchmark's authors draw it (Zhou et al., CVPR 2017). Copyright (c) 2019, MIT CSAIL Computer Vision; BSD 3-Clause,
//! see `LICENSE.ade20k` beside it.
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

/// A line a class: its colour in hexadecimal digits, and its name.
const ADE20K: &str = include_str!("ade20k.txt");

/// A colour for each of `classes` classes, as class maps are drawn: those of ADE20K's authors where there are as many classes, else hues
/// that are far apart in turn, of three brightnesses.
pub fn palette(classes: usize) -> Vec<[u8; 3]> {
    let hue = |i: usize| {
        // Sixths of the circle; a step is the golden section of it.
        let sixths = (i as f64 * 0.618_033_988_75).fract() * 6.0;
        let full = [240.0, 200.0, 150.0][i % 3];
        [0.0, 4.0, 2.0].map(|shift| (((sixths + shift) % 6.0 - 3.0).abs() - 1.0).clamp(0.0, 1.0) * full).map(|level| level as u8)
    };
    let ade20k = ADE20K.lines().filter_map(|line| u32::from_str_radix(line.get(..6)?, 16).ok());
    match classes {
        150 => ade20k.map(|rgb| [16, 8, 0].map(|shift| (rgb >> shift) as u8)).collect(),
        _ => (0..classes).map(hue).collect(),
    }
}

impl Labels {
    /// The 1000 classes of ImageNet-1k (ILSVRC 2012); none without the feature `imagenet-labels`.
    pub fn imagenet1k() -> Self {
        #[cfg(feature = "imagenet-labels")]
        let names = include_str!("imagenet1k.txt");
        #[cfg(not(feature = "imagenet-labels"))]
        let names = "";
        Self(names.lines().map(str::to_owned).collect())
    }

    /// The 150 classes of ADE20K, of which "wall" is the first: there is none for everything else.
    pub fn ade20k() -> Self {
        Self(ADE20K.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| name.to_owned()).collect())
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
