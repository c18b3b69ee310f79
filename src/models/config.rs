//! What stands beside weights: `config.json` in the forms of Hugging Face and timm, and `preprocessor_config.json`. The sizes in
//! them are their family's own.

use std::path::Path;

use serde_json::{Map, Value as Json};

use crate::{
    error::{Error, Result},
    hub,
    image::Preprocess,
    labels::Labels,
    models::{
        family::{Registered, families},
        processing,
    },
    text,
};

/// The largest config that is read; real ones with 21,841 labels have 1 MB.
const MAX_CONFIG_BYTES: u64 = 64 << 20;

/// The texts that stand beside weights.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// `config.json`.
    pub config: Option<String>,
    /// `preprocessor_config.json`, which counts before the config for what it says.
    pub preprocessor: Option<String>,
}

impl Documents {
    /// Those in the folder `path`, or beside the file `path`.
    ///
    /// # Errors
    /// [`Error::Io`] when one cannot be read, [`Error::Config`] when it is not text.
    pub fn beside(path: &Path) -> Result<Self> {
        let folder = if path.is_dir() { hub::folder(path) } else { path.parent().unwrap_or(Path::new("")).to_owned() };
        Ok(Self { config: read(&folder.join("config.json"))?, preprocessor: read(&folder.join("preprocessor_config.json"))? })
    }

    /// Texts as they were downloaded, UTF-8 or UTF-16.
    ///
    /// # Errors
    /// [`Error::Config`] when one is not text.
    pub fn decode(name: &str, config: Option<&[u8]>, preprocessor: Option<&[u8]>) -> Result<Self> {
        let text = |file: &str, bytes: Option<&[u8]>| {
            let decode = |bytes| text::decode(bytes).map_err(|reason| Error::config(format!("{file} of {name}"), reason));
            bytes.map(decode).transpose()
        };
        Ok(Self { config: text("config.json", config)?, preprocessor: text("preprocessor_config.json", preprocessor)? })
    }
}

fn read(file: &Path) -> Result<Option<String>> {
    let metadata = match std::fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(file, error)),
    };
    if metadata.len() > MAX_CONFIG_BYTES {
        return Err(Error::config(file.display(), format!("{} bytes are too many for a configuration", metadata.len())));
    }
    let bytes = std::fs::read(file).map_err(|error| Error::io(file, error))?;
    text::decode(&bytes).map(Some).map_err(|reason| Error::config(file.display(), reason))
}

/// Objects of a config in which timm and others keep a part of its keys.
const NESTED: [&str; 4] = ["pretrained_cfg", "default_cfg", "data_config", "vision_config"];

/// Keys under which class names stand.
const NAMES: [&str; 7] = ["id2label", "label2id", "label_names", "class_names", "class_to_idx", "classes", "labels"];

/// Values of `model_type` that stand for many models.
const WRAPPERS: [&str; 3] = ["timm_wrapper", "timm", "vision-encoder-decoder"];

/// A parsed `config.json`, and what was beside it.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) what: String,
    /// All of it, with timm's `model_args` as keys of their own.
    pub(super) json: Json,
    processor: Option<Map<String, Json>>,
}

impl Config {
    /// `None` where there is neither.
    pub(super) fn parse(name: &str, documents: &Documents) -> Result<Option<Self>> {
        let object = |file: &str, text: &Option<String>| {
            let what = format!("{file} of {name}");
            // A string in Rust may still have the mark that its file began with.
            let parse = |text: &String| serde_json::from_str(text.trim_start_matches('\u{feff}'));
            match text.as_ref().map(parse) {
                Some(Ok(Json::Object(object))) => Ok(Some(object)),
                Some(Ok(_)) => Err(Error::config(what, "it is not a JSON object")),
                Some(Err(error)) => Err(Error::config(what, error)),
                None => Ok(None),
            }
        };
        let config = object("config.json", &documents.config)?;
        let processor = object("preprocessor_config.json", &documents.preprocessor)?;
        if config.is_none() && processor.is_none() {
            return Ok(None);
        }
        let mut json = config.unwrap_or_default();
        if let Some(Json::Object(arguments)) = json.get("model_args").cloned() {
            arguments.into_iter().for_each(|(key, value)| drop(json.insert(key, value)));
        }
        Ok(Some(Self { what: format!("config.json of {name}"), json: Json::Object(json), processor }))
    }

    /// The value of a key, of the config itself or of an object in it; null counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        let nested = NESTED.iter().filter_map(|object| self.json.get(object)?.get(key));
        self.json.get(key).into_iter().chain(nested).find(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    /// What it calls the model, in the order in which that counts.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let class = self.get("architectures").and_then(|list| list.get(0)).and_then(Json::as_str);
        let keys = ["model_type", "architecture", "arch", "model_name"];
        keys.into_iter().filter_map(|key| self.text(key)).chain(class)
    }

    /// The family that it names.
    ///
    /// # Errors
    /// The `model_type`, where that is of no family.
    pub(super) fn family(&self) -> std::result::Result<Option<&'static Registered>, String> {
        if let Some(family) = self.names().find_map(|name| families().find(|family| family.is_called(name))) {
            return Ok(Some(family));
        }
        match self.text("model_type") {
            Some(name) if !WRAPPERS.contains(&name) => Err(name.to_owned()),
            _ => Ok(None),
        }
    }

    /// How many classes it speaks of.
    pub(super) fn classes(&self) -> Option<usize> {
        ["num_classes", "num_labels"].iter().find_map(|key| self.get(key)).and_then(Json::as_u64).map(|n| n as usize)
    }

    /// The names of `classes` classes. Placeholders are no names, and neither are those of another number of classes, which is told.
    ///
    /// # Errors
    /// [`Error::Config`] when they cannot be read.
    pub(super) fn labels(&self, classes: usize, assumptions: &mut Vec<String>) -> Result<Option<Labels>> {
        for key in NAMES {
            let Some(value) = self.get(key).filter(|value| value.is_object() || value.is_array()) else { continue };
            let labels = Labels::from_json(value).map_err(|reason| Error::config(&self.what, format!("`{key}`: {reason}")))?;
            if labels.is_empty() || labels.are_placeholders() {
                continue;
            }
            if labels.len() == classes {
                return Ok(Some(labels));
            }
            assumptions.push(format!(
                "`{key}` in the config names {} classes, the head has {classes}: the names are not used",
                labels.len()
            ));
        }
        Ok(None)
    }

    /// Overrides what the config and the preprocessor's config say of preprocessing, and tells what neither says: then it is that
    /// of `usual`.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the value that cannot be used.
    pub(super) fn preprocess(&self, base: Preprocess, usual: &str, assumptions: &mut Vec<String>) -> Result<Preprocess> {
        let from_config = processing::of_config(|key| self.get(key)).map_err(|reason| Error::config(&self.what, reason))?;
        let from_processor = self.processor.as_ref().map(processing::of_processor).transpose();
        let from_processor = from_processor
            .map_err(|reason| Error::config(self.what.replacen("config.json", "preprocessor_config.json", 1), reason))?;
        let said = from_config.overridden(from_processor.unwrap_or_default(), assumptions);
        Ok(said.complete(base, usual, assumptions))
    }

    /// What calibrates the scores.
    pub(super) fn temperature(&self) -> Result<f32> {
        match self.get("temperature").map(Json::as_f64) {
            None => Ok(1.0),
            Some(Some(t)) if t > 0.0 && t.is_finite() => Ok(t as f32),
            Some(Some(t)) => Err(Error::config(&self.what, format!("temperature {t} must be positive"))),
            Some(None) => Err(Error::config(&self.what, "temperature is not a number")),
        }
    }

    /// Below which score the model is not sure; 0 where the config says nothing.
    pub(super) fn min_score(&self) -> Result<f32> {
        match self.get("min_score") {
            None => Ok(0.0),
            Some(score) => match score.as_f64() {
                Some(score) if (0.0..=1.0).contains(&score) => Ok(score as f32),
                _ => Err(Error::config(&self.what, format!("min_score {score} must be from 0 to 1"))),
            },
        }
    }

    /// The class that stands for everything else, of these.
    pub(super) fn unknown(&self, labels: &Labels) -> Result<Option<usize>> {
        let Some(name) = self.text("unknown_label") else { return Ok(None) };
        let place = (0..labels.len()).find(|&i| labels.get(i) == Some(name));
        place.map(Some).ok_or_else(|| Error::config(&self.what, format!("unknown_label `{name}` is none of its labels")))
    }

    /// The terms of the weights.
    pub(super) fn licence(&self) -> Option<&str> {
        ["licence", "license"].into_iter().find_map(|key| self.text(key))
    }
}
