//! Preprocessing as configurations write it.

use serde_json::{Map, Value as Json};

use crate::{
    error::Error,
    image::{CropMode, Filter, Preprocess},
};

/// Keys of the input size, the first one that there is.
const SIZES: [&str; 5] = ["resolution", "input_resolution", "image_size", "input_size", "img_size"];

/// What a file says; the rest is open.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said {
    size: Option<[usize; 2]>,
    crop_pct: Option<f64>,
    crop_mode: Option<CropMode>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    /// The crop was concluded rather than said.
    concluded_crop: bool,
    /// Pillow's number or timm's name of a filter.
    filter: Option<Json>,
}

/// What a `config.json` says, whose keys `get` finds.
///
/// # Errors
/// The key and the value that cannot be used.
pub(super) fn of_config<'a>(get: impl Fn(&str) -> Option<&'a Json>) -> Result<Said, String> {
    let mut said = Said::default();
    if let Some((key, value)) = SIZES.iter().find_map(|key| Some((key, get(key)?))) {
        said.size = Some(size(value).ok_or_else(|| format!("{key} {value} is neither a number nor height and width"))?);
    }
    said.crop_pct = number(get("crop_pct"), "crop_pct")?;
    if let Some(mode) = get("crop_mode") {
        let name = mode.as_str().ok_or_else(|| format!("crop_mode {mode} is not a text"))?;
        said.crop_mode = Some(name.parse().map_err(|error: Error| error.to_string())?);
    }
    let scale = |[mean, std]: [&str; 2]| Ok::<_, String>((channels(get(mean), mean)?, channels(get(std), std)?));
    (said.mean, said.std) = match scale(["mean", "std"])? {
        (None, None) => scale(["image_mean", "image_std"])?,
        found => found,
    };
    // Some write levels of 0 to 255.
    if said.std.is_some_and(|std| std.iter().all(|s| *s > 2.0)) {
        let levels = |values: [f32; 3]| values.map(|v| v / 255.0);
        (said.mean, said.std) = (said.mean.map(levels), said.std.map(levels));
    }
    said.filter = get("interpolation").cloned();
    Ok(said)
}

/// What a `preprocessor_config.json` of Hugging Face says.
///
/// # Errors
/// The key and the value that cannot be used.
pub(super) fn of_processor(processor: &Map<String, Json>) -> Result<Said, String> {
    let get = |key: &str| processor.get(key).filter(|value| !value.is_null());
    let flag = |key: &str| get(key).and_then(Json::as_bool);
    let mut said = Said::default();
    let unusable = |key: &str, value: &Json| format!("{key} {value} is neither a number nor height and width");
    if let Some(value) = get("size") {
        let resized = size(value).ok_or_else(|| unusable("size", value))?;
        let shortest = value.get("shortest_edge").is_some();
        let crop = get("crop_size").filter(|_| flag("do_center_crop") != Some(false));
        let crop = crop.map(|value| size(value).ok_or_else(|| unusable("crop_size", value))).transpose()?;
        let share = number(get("crop_pct"), "crop_pct")?;
        let (target, mode, pct) = match (crop, share) {
            (Some(crop), _) if shortest || value.is_number() => (crop, CropMode::Center, share_of(crop, resized)),
            (Some(crop), _) => (crop, CropMode::Squash, share_of(crop, resized)),
            // ConvNeXt's way: large images are not cropped.
            (None, Some(share)) if resized[0] < 384 => (resized, CropMode::Center, share),
            (None, None) if shortest => (resized, CropMode::Center, 1.0),
            (None, _) if flag("do_center_crop") == Some(false) => (resized, CropMode::Squash, 1.0),
            (None, _) => {
                said.concluded_crop = true;
                (resized, CropMode::Center, 1.0)
            }
        };
        (said.size, said.crop_mode, said.crop_pct) = (Some(target), Some(mode), Some(pct));
    }
    // Pixels are 0 to 255 until they are rescaled; here they are 0 to 1.
    let rescale = match flag("do_rescale") {
        Some(false) => 1.0,
        _ => number(get("rescale_factor"), "rescale_factor")?.unwrap_or(1.0 / 255.0),
    };
    if !(rescale > 0.0 && rescale.is_finite()) {
        return Err(format!("rescale_factor {rescale} must be positive"));
    }
    let (mut mean, mut std) = (channels(get("image_mean"), "image_mean")?, channels(get("image_std"), "image_std")?);
    if flag("do_normalize") == Some(false) {
        (mean, std) = (Some([0.0; 3]), Some([1.0; 3]));
    }
    let factor = rescale * 255.0;
    let levels =
        |values: [f32; 3]| if (factor - 1.0).abs() < 1e-6 { values } else { values.map(|v| (f64::from(v) / factor) as f32) };
    (said.mean, said.std) = (mean.map(levels), std.map(levels));
    said.filter = get("resample").cloned();
    Ok(said)
}

impl Said {
    /// This with `other` before it; where they differ is told.
    pub(super) fn overridden(self, other: Self, assumptions: &mut Vec<String>) -> Self {
        let differs = |a: bool, key: &'static str| a.then_some(key);
        let keys: Vec<&str> = [
            differs(self.size.is_some() && other.size.is_some() && self.size != other.size, "size"),
            differs(self.mean.is_some() && other.mean.is_some() && self.mean != other.mean, "mean"),
            differs(self.std.is_some() && other.std.is_some() && self.std != other.std, "deviation"),
            differs(
                !other.concluded_crop && self.crop_pct.is_some() && other.crop_pct.is_some() && self.crop_pct != other.crop_pct,
                "crop",
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !keys.is_empty() {
            let keys = keys.join(" and ");
            assumptions.push(format!("config.json and preprocessor_config.json differ in the {keys}: the latter counts"));
        }
        let said_before = self.crop_pct.is_some() || self.crop_mode.is_some();
        if other.concluded_crop && !said_before {
            assumptions
                .push("nothing is said of a crop: images keep their shape, and what exceeds the input's is cut off".to_owned());
        }
        let crop = if other.concluded_crop && said_before {
            (self.crop_pct, self.crop_mode)
        } else {
            (other.crop_pct.or(self.crop_pct), other.crop_mode.or(self.crop_mode))
        };
        Self {
            size: other.size.or(self.size),
            crop_pct: crop.0,
            crop_mode: crop.1,
            concluded_crop: false,
            mean: other.mean.or(self.mean),
            std: other.std.or(self.std),
            filter: other.filter.or(self.filter),
        }
    }

    /// All of it, with what is open as in `base`, which is that of the model `usual`.
    pub(super) fn complete(self, base: Preprocess, usual: &str, assumptions: &mut Vec<String>) -> Preprocess {
        let [height, width] = base.size;
        let open: Vec<String> = [
            self.size.is_none().then(|| format!("an input of {height} x {width}")),
            (self.mean.is_none() || self.std.is_none()).then(|| "mean and deviation of ImageNet".to_owned()),
            (self.crop_pct.is_none() && self.crop_mode.is_none())
                .then(|| format!("a crop of {} %", (base.crop_pct * 1e4).round() / 100.0)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !open.is_empty() {
            assumptions.push(format!("the config says nothing else, so {} were assumed, as usual for {usual}", open.join(", ")));
        }
        // That of clips is OpenCV's, which no config tells from Pillow's: it is a matter of the family.
        let filter = match self.filter {
            Some(said) if is_bicubic(&said) => Filter::Bicubic,
            Some(said) if base.filter != Filter::Bilinear || (said != "bilinear" && said != 2) => {
                let used = base.filter.name();
                assumptions
                    .push(format!("images should be resized by the filter {said}, but are resized by {used} interpolation"));
                base.filter
            }
            _ => base.filter,
        };
        Preprocess {
            filter,
            size: self.size.unwrap_or(base.size),
            crop_pct: self.crop_pct.unwrap_or(base.crop_pct),
            crop_mode: self.crop_mode.unwrap_or(base.crop_mode),
            mean: self.mean.unwrap_or(base.mean),
            std: self.std.unwrap_or(base.std),
        }
    }
}

/// True for what Pillow and timm call bicubic interpolation.
fn is_bicubic(filter: &Json) -> bool {
    match filter {
        Json::String(name) => ["bicubic", "random"].contains(&name.to_ascii_lowercase().as_str()),
        other => other.as_u64() == Some(3),
    }
}

/// `224`, `"224"`, `[224, 192]`, `[3, 224, 192]`, `[224, 192, 3]`, `{"height": 224, "width": 192}` or `{"shortest_edge": 224}`.
pub(super) fn size(value: &Json) -> Option<[usize; 2]> {
    let extent = |value: &Json| {
        let whole = value.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0 && *n < 1e9).map(|n| n as usize);
        whole.or_else(|| value.as_str()?.trim().parse().ok())
    };
    match value {
        Json::Array(values) => match values.iter().map(extent).collect::<Option<Vec<usize>>>()?[..] {
            [n] => Some([n, n]),
            [h, w] | [3, h, w] | [1, 3, h, w] => Some([h, w]),
            [h, w, 3] => Some([h, w]),
            _ => None,
        },
        Json::Object(object) => match (object.get("height"), object.get("width"), object.get("shortest_edge")) {
            (Some(h), Some(w), _) => Some([extent(h)?, extent(w)?]),
            (_, _, Some(edge)) => extent(edge).map(|n| [n, n]),
            _ => None,
        },
        other => extent(other).map(|n| [n, n]),
    }
}

/// The share of the resized image that a crop keeps, so that resizing to `crop` over it gives `resized` again.
fn share_of(crop: [usize; 2], resized: [usize; 2]) -> f64 {
    let (crop, resized) = (crop[0] as f64, resized[0].max(1) as f64);
    let share = (crop / resized).min(1.0);
    // Sizes are rounded down.
    if (crop / share).floor() >= resized { share } else { crop / (resized + 1e-6) }
}

fn number(value: Option<&Json>, key: &str) -> Result<Option<f64>, String> {
    value.map(|value| value.as_f64().ok_or_else(|| format!("{key} {value} is not a number"))).transpose()
}

/// Three numbers, or one for all channels.
fn channels(value: Option<&Json>, key: &str) -> Result<Option<[f32; 3]>, String> {
    let Some(value) = value else { return Ok(None) };
    let numbers = match value {
        Json::Array(values) => values.iter().map(Json::as_f64).collect(),
        other => other.as_f64().map(|n| vec![n]),
    };
    let wrong = || format!("{key} {value} is not a number a channel");
    let [r, g, b] = match numbers.ok_or_else(wrong)?[..] {
        [n] => [n; 3],
        [r, g, b] => [r, g, b],
        _ => return Err(wrong()),
    };
    Ok(Some([r, g, b].map(|n| n as f32)))
}
