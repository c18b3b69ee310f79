//! How alike two pictures are, by their pooled features: `cargo run --release --example features -- A B`.

use webmamba::{Device, DeviceKind, Error, Model, ModelOptions, Result, RgbImage, low_level::session::Session};

fn main() -> Result<()> {
    let [a, b] = <[String; 2]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| Error::InvalidArgument("which two pictures?".into()))?;
    pollster::block_on(async {
        let (device, _) = Device::open(DeviceKind::Auto, None).await?;
        let model = Model::embedded("mamba_vision_nano", &ModelOptions::default())?;
        // Other outputs are `stem`, `stage0` to `stage3` and `logits`; what an output does not need is not computed.
        let graph = model.graph(&model.options(1))?.select(&["pooled"])?;
        let mut session = Session::new(&graph, &device).await?;
        let mut features = Vec::new();
        for path in [a, b] {
            let input = model.preprocess.apply(&RgbImage::open(path)?)?;
            // Images are (H, W, 3); a run takes a batch of them.
            let input = input.reshape(model.input_shape(1))?;
            features.push(session.run(&input).await?[0].to_f32().into_owned());
        }
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let (a, b) = (&features[0], &features[1]);
        println!("cosine similarity {:.3}", dot(a, b) / (dot(a, a) * dot(b, b)).sqrt());
        Ok(())
    })
}
