//! What each fuzz target does with its bytes. `tests/corpus.rs` replays the corpus through the same functions.
//!
//! Nothing here may panic, and nothing may take memory or time out of proportion to the bytes.

use webmamba::{
    Labels, Model, ModelOptions, RgbImage, Weights,
    low_level::{tensor::Bytes, weights::Incoming},
};

/// Reads everything that a checkpoint has.
fn read(weights: &Weights) {
    let keys: Vec<String> = weights.keys().map(str::to_owned).collect();
    for key in &keys {
        let shape = weights.shape(key);
        if let Some(tensor) = weights.stored(key).filter(webmamba::Tensor::ready) {
            assert_eq!(Some(tensor.shape()), shape.as_ref());
            assert_eq!(tensor.bytes().len(), tensor.shape().len() * tensor.dtype().size());
        }
    }
    weights.dtype();
    weights.parameter_count();
}

/// A checkpoint in one piece: safetensors, or one of torch's formats.
pub(crate) fn checkpoint(bytes: &[u8]) {
    if let Ok(weights) = Weights::from_bytes("fuzz", Bytes::new(bytes.to_vec())) {
        read(&weights);
        weights.non_finite();
        // Mostly refused, with a report.
        drop(Model::new(weights, None, &ModelOptions::default()));
    }
}

/// A configuration, and the same text as class names.
pub(crate) fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(Labels::parse("fuzz", &text));
    drop(Model::new(Weights::from_tensors("fuzz", []), Some(&text), &ModelOptions::default()));
}

/// A download: the first byte says how large its pieces are.
pub(crate) fn incoming(bytes: &[u8]) {
    let Some((&size, file)) = bytes.split_first() else { return };
    let total = size.is_multiple_of(2).then_some(file.len() as u64);
    let mut incoming = Incoming::new("fuzz", total);
    for piece in file.chunks(usize::from(size) * 3 + 1) {
        if incoming.push(piece).is_err() {
            return;
        }
        if let Some(weights) = incoming.weights() {
            read(&weights);
        }
    }
    let streamed = incoming.finish();
    let whole = Weights::from_bytes("fuzz", Bytes::new(file.to_vec()));
    // The same file must be the same checkpoint, however it comes.
    assert_eq!(streamed.is_ok(), whole.is_ok(), "{streamed:?} {whole:?}");
    if let (Ok(streamed), Ok(whole)) = (streamed, whole) {
        let keys: Vec<String> = whole.keys().map(str::to_owned).collect();
        assert!(streamed.keys().eq(keys.iter().map(String::as_str)));
        for key in &keys {
            let bytes = |weights: &Weights| weights.stored(key).map(|tensor| tensor.bytes().to_vec());
            assert_eq!(bytes(&streamed), bytes(&whole), "{key}");
        }
    }
}

/// A picture of any format.
pub(crate) fn image(bytes: &[u8]) {
    if let Ok(image) = RgbImage::decode("fuzz", bytes) {
        assert_eq!(image.pixels().len() as u64, u64::from(image.width()) * u64::from(image.height()) * 3);
    }
}
