//! Images on their way to a model: decoded and preprocessed on all cores, a batch ahead of it.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use rayon::prelude::*;
use webmamba::{Error, Preprocess, Result, RgbImage, Tensor};

use crate::inputs::Source;

/// An image on its way to the model.
pub(crate) struct Prepared {
    pub(crate) name: String,
    pub(crate) input: Result<Tensor>,
    /// What was repaired to decode it.
    pub(crate) note: Option<&'static str>,
    pub(crate) decode: Duration,
    pub(crate) preprocess: Duration,
}

/// Decodes and preprocesses on all cores, one batch ahead of the model. Pixels live only until they are preprocessed.
pub(crate) fn prepare_all(sources: Vec<Source>, batch: usize, preprocess: &Preprocess, send: mpsc::SyncSender<Vec<Prepared>>) {
    let mut sources = sources.into_iter();
    loop {
        let next: Vec<Source> = sources.by_ref().take(batch).collect();
        if next.is_empty() || send.send(next.into_par_iter().map(|source| prepare(source, preprocess)).collect()).is_err() {
            return;
        }
    }
}

fn prepare(source: Source, preprocess: &Preprocess) -> Prepared {
    let name = source.name();
    let start = Instant::now();
    let image = source.decode();
    let decode = start.elapsed();
    let note = image.as_ref().ok().and_then(RgbImage::note);
    let start = Instant::now();
    let input = image.and_then(|image| preprocess.apply(&image).map_err(|error| Error::image(&name, error)));
    Prepared { name, input, note, decode, preprocess: start.elapsed() }
}
