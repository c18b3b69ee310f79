//! A fine-tuned checkpoint with names of its own: `cargo run --release --example custom_labels -- MODEL LABELS PICTURE`. The labels are one
//! name a line, or any of the lists that `Labels::decode` reads; there must be as many as the head has rows.

use std::{env::args, fs};

use webmamba::{Classifier, Device, DeviceKind, Error, Labels, Model, ModelOptions, Result, RgbImage};

fn main() -> Result<()> {
    let [model, labels, picture] = <[String; 3]>::try_from(args().skip(1).collect::<Vec<_>>())
        .map_err(|_| Error::InvalidArgument("give a model, its labels and a picture".into()))?;
    let bytes = fs::read(&labels).map_err(|error| Error::io(&labels, error))?;
    let options = ModelOptions { labels: Some(Labels::decode(&labels, &bytes)?), ..ModelOptions::default() };
    pollster::block_on(async {
        let (device, _) = Device::open(DeviceKind::Auto, None).await?;
        let mut classifier = Classifier::new(Model::open(&model, &options)?, &device, 1, 3).await?;
        let (predictions, _) = classifier.classify(&[RgbImage::open(picture)?]).await?;
        for best in &predictions[0] {
            println!("{:5.1} %  {}", 100.0 * best.score, best.label);
        }
        Ok(())
    })
}
