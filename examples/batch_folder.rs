//! All pictures of a folder, eight at a time: `cargo run --release --example batch_folder -- tests/images`.

use std::{fs, path::PathBuf};

use webmamba::{Classifier, Device, DeviceKind, Error, Model, ModelOptions, Result, RgbImage};

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or_else(|| Error::InvalidArgument("which folder?".into()))?);
    let entries = fs::read_dir(&folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| Error::io(&folder, error))?;
    // What is no picture says so itself, and does not end the rest.
    let (mut names, mut images) = (Vec::new(), Vec::new());
    for path in entries.iter().map(fs::DirEntry::path).filter(|path| path.is_file()) {
        match RgbImage::open(&path) {
            Ok(image) => {
                names.push(path);
                images.push(image);
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    pollster::block_on(async {
        let (device, _) = Device::open(DeviceKind::Auto, None).await?;
        let model = Model::embedded("mamba_vision_nano", &ModelOptions::default())?;
        let mut classifier = Classifier::new(model, &device, 8, 1).await?;
        for (names, images) in names.chunks(8).zip(images.chunks(8)) {
            let (predictions, timings) = classifier.classify(images).await?;
            eprintln!("{} pictures in {:.1?}", images.len(), timings.preprocess + timings.model);
            for (name, best) in names.iter().zip(&predictions) {
                println!("{}: {}", name.display(), best[0].label);
            }
        }
        Ok(())
    })
}
