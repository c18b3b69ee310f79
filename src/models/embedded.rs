//! Models inside the library, so that it is of use before anybody has downloaded a checkpoint.

use crate::{
    error::{Error, Result},
    models::{Model, ModelOptions},
    tensor::Bytes,
    weights::Weights,
};

/// Name, `config.json` and weights of each.
const EMBEDDED: &[(&str, &str, &[u8])] = &[
    #[cfg(feature = "embedded-model")]
    (
        "mamba_vision_nano",
        include_str!("../../models/mamba_vision_nano/config.json"),
        include_bytes!("../../models/mamba_vision_nano/model.safetensors"),
    ),
];

/// Names of the models inside the library, the default one first; none without the feature `embedded-model`.
pub fn embedded_names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|(name, _, _)| *name)
}

impl Model {
    /// A model inside the library.
    ///
    /// # Errors
    /// [`Error::UnknownArch`] when there is none of this name, listing those that there are; those of [`Model::new`].
    pub fn embedded(name: &str, options: &ModelOptions) -> Result<Self> {
        let Some((name, config, weights)) = EMBEDDED.iter().find(|(n, _, _)| *n == name) else {
            return Err(Error::UnknownArch { name: name.to_owned(), known: embedded_names().map(str::to_owned).collect() });
        };
        let mut model = Self::new(Weights::from_bytes(name, Bytes::new(*weights))?, Some(config), options)?;
        (*name).clone_into(&mut model.name);
        Ok(model)
    }
}
