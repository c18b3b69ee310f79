//! What is in a picture: `cargo run --release --example classify -- tests/images/coffee.png`.

use webmamba::{Classifier, Device, DeviceKind, Error, Model, ModelOptions, Result, RgbImage};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| Error::InvalidArgument("which picture?".into()))?;
    pollster::block_on(async {
        // A hardware GPU, else the CPU; and why.
        let (device, why) = Device::open(DeviceKind::Auto, None).await?;
        eprintln!("on {why}");
        // Or `Model::open("MambaVision-T-1K", ..)`: a folder or a file, as people publish them.
        let model = Model::embedded("mamba_vision_nano", &ModelOptions::default())?;
        // One picture at a time, the five best classes.
        let mut classifier = Classifier::new(model, &device, 1, 5).await?;
        let (predictions, _) = classifier.classify(&[RgbImage::open(path)?]).await?;
        for best in &predictions[0] {
            println!("{:5.1} %  {}", 100.0 * best.score, best.label);
        }
        if !classifier.is_confident(&predictions[0]) {
            println!("The model is not sure.");
        }
        Ok(())
    })
}
