//! Keys of configurations that tell sizes.

use serde_json::Value as Json;

/// What a config may say under a key.
pub(super) trait Sayable<'a>: Sized {
    /// What that is, in words.
    const WHAT: &'static str;

    /// What this value says, if it is that.
    fn of(value: &'a Json) -> Option<Self>;
}

impl Sayable<'_> for bool {
    const WHAT: &'static str = "neither true nor false";

    fn of(value: &Json) -> Option<Self> {
        value.as_bool()
    }
}

impl Sayable<'_> for usize {
    const WHAT: &'static str = "no whole number";

    fn of(value: &Json) -> Option<Self> {
        value.as_u64().and_then(|n| Self::try_from(n).ok())
    }
}

impl Sayable<'_> for f64 {
    const WHAT: &'static str = "no number";

    fn of(value: &Json) -> Option<Self> {
        value.as_f64()
    }
}

impl<'a> Sayable<'a> for &'a str {
    const WHAT: &'static str = "no text";

    fn of(value: &'a Json) -> Option<Self> {
        value.as_str()
    }
}

impl Sayable<'_> for Vec<usize> {
    const WHAT: &'static str = "no list of whole numbers";

    fn of(value: &Json) -> Option<Self> {
        value.as_array()?.iter().map(usize::of).collect()
    }
}

impl Sayable<'_> for [usize; 4] {
    const WHAT: &'static str = "no list of four whole numbers";

    fn of(value: &Json) -> Option<Self> {
        Vec::of(value)?.try_into().ok()
    }
}

impl<'a> Sayable<'a> for Vec<&'a str> {
    const WHAT: &'static str = "no list of texts";

    fn of(value: &'a Json) -> Option<Self> {
        value.as_array()?.iter().map(Json::as_str).collect()
    }
}

/// What a config says under `key`; null says nothing.
///
/// # Errors
/// The key and its value, where that is something else.
pub(super) fn said<'a, T: Sayable<'a>>(config: &'a Json, key: &str) -> Result<Option<T>, String> {
    let value = config.get(key).filter(|value| !value.is_null());
    value.map(|value| T::of(value).ok_or_else(|| wrong(key, value, T::WHAT))).transpose()
}

fn wrong(key: &str, value: &Json, what: &str) -> String {
    format!("`{key}` {value} is {what}")
}

/// A size that a config must tell where tensors, or the variant that has them, do not: the zeros of [`super::Family::seen`] tell nothing.
///
/// # Errors
/// The key that is missing.
pub(super) fn required<T: PartialEq + Default>(key: &str, said: Option<T>, known: Option<T>) -> Result<T, String> {
    said.or(known.filter(|known| *known != T::default())).ok_or_else(|| format!("the key `{key}` is missing"))
}
