//! Names of classes: the built-in ImageNet list, and label files that come with a checkpoint.
//!
//! `imagenet1k.txt` holds torchvision's English class names (`_IMAGENET_CATEGORIES`), one a line, in the order of the logits.
//! Copyright (c) Soumith Chintala 2016, all rights reserved; BSD 3-Clause, see `LICENSE.torchvision` beside it.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

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
    /// Text holds one label a line, the first being class 0; a byte-order mark, CRLF and empty lines at the end are fine. JSON
    /// is an array of strings, an object from index to string (`{"0": "cat", ..}`), or a `config.json` with such an object
    /// under `id2label`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the source and the line or key: no labels at all, an empty line between labels, damaged JSON,
    /// a label that is not a string, or indices that are not 0, 1, 2 and so on, each once.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let labels = if text.trim_start().starts_with(['[', '{']) { from_json(text) } else { from_lines(text) };
        match labels {
            Ok(labels) if labels.is_empty() => Err(Error::config(name, "there are no labels in it")),
            Ok(labels) => Ok(Self(labels)),
            Err(reason) => Err(Error::config(name, reason)),
        }
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

type Parsed = std::result::Result<Vec<String>, String>;

fn from_lines(text: &str) -> Parsed {
    let lines = text.trim_end().lines().map(str::trim).enumerate();
    lines
        .map(|(i, line)| match line {
            // Skipping it would shift every label after it.
            "" => Err(format!("line {} is empty, but line numbers are class indices", i + 1)),
            _ => Ok(line.to_owned()),
        })
        .collect()
}

fn from_json(text: &str) -> Parsed {
    match serde_json::from_str(text).map_err(|e| format!("damaged JSON: {e}"))? {
        Value::Array(items) => items.iter().enumerate().map(|(i, item)| label(&i.to_string(), item)).collect(),
        Value::Object(object) => match object.get("id2label") {
            Some(Value::Object(inner)) => from_indices(inner),
            Some(_) => Err("`id2label` is not an object".into()),
            None => from_indices(&object),
        },
        _ => Err("neither a JSON array nor a JSON object".into()),
    }
}

fn from_indices(object: &Map<String, Value>) -> Parsed {
    let mut labels = vec![None; object.len()];
    for (key, value) in object {
        let index: usize = key.parse().map_err(|_| format!("key `{key}` is not a class index"))?;
        let count = labels.len();
        let slot = labels.get_mut(index).ok_or_else(|| {
            format!("class index {key} among {count} labels: indices must run from 0 to {} without gaps", count - 1)
        })?;
        if slot.replace(label(key, value)?).is_some() {
            return Err(format!("class index {index} is given twice"));
        }
    }
    // As many slots as keys, each filled once: none is left empty.
    Ok(labels.into_iter().flatten().collect())
}

fn label(key: &str, value: &Value) -> std::result::Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("the label of class {key} is not a string: {value}"))
}
