//! `webmamba explain`: what a model looked at, as maps over the picture.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};
use webmamba::{
    Error, Result, RgbImage, Views,
    low_level::explain::{Explanation, Kind, Map},
};

use crate::{
    args::{DeviceArgs, ModelArgs, note_assumptions},
    heat::over,
    inputs,
    terminal::{Outcome, note, plain, print, print_json},
};

const EXAMPLES: &str = "Examples:
  webmamba explain cat.jpg --model vmamba_t.pth --out maps/
  webmamba explain cat.jpg --model vim_t.pth --out maps/ --kind delta,forget --layer layers.11.mixer,layers.23.mixer

Each map is a PNG over the picture, and all of them with their numbers are one JSON file. Kinds: cam (how much each position speaks for
the best class), and of the scans of a layer delta (the input gate), forget (the forget gate) and contribution (each token's share in
the pooled feature). Without --kind all that the model has, without --layer the last layer with a scan; `--layer ?` lists them.";

/// Show what a model looked at
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    /// An image file or `-`; for a model of clips a folder of frames or an animation
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// The folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What to show, by commas: cam, delta, forget, contribution [default: all that there is]
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kind: Vec<String>,
    /// Layers whose scans are shown, by commas [default: the last one]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    layer: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print what is written to the JSON file
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) async fn run(self) -> Outcome {
        let model = self.model.open()?;
        let explanation = Explanation::new(&model)?;
        if self.layer == ["?"] {
            for layer in explanation.layers() {
                print(layer)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let kinds = match self.kind.is_empty() {
            true => explanation.kinds(),
            false => self.kind.iter().map(|name| name.trim().parse()).collect::<Result<Vec<Kind>>>()?,
        };
        if kinds.is_empty() {
            let reason = "the model has neither scans nor class activation maps: there is nothing to show";
            return Err(Error::InvalidArgument(reason.into()).into());
        }
        let layers: Vec<&str> = self.layer.iter().map(|name| name.trim()).collect();

        let frames = model.architecture.frames();
        let (name, images) = self.pictures(frames > 1)?;
        let input = Views::default().inputs(&model.preprocess, [images.len(), frames], &|i| &images[i])?.remove(0);
        let shown = Views::default().frames(images.len(), frames).remove(0);
        let (device, reason) = self.device.open().await?;
        note(&format!("{} on {reason}", model.name));
        note_assumptions(&model);
        let maps = explanation.maps(&device, &input.reshape(model.input_shape(1))?, &kinds, &layers).await?;

        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| Error::io(path, error)
        };
        fs::create_dir_all(&self.out).map_err(io(&self.out))?;
        let stem = Path::new(&name).file_stem().map_or_else(|| "picture".into(), |stem| stem.to_string_lossy().into_owned());
        let stem = if stem == "-" { "picture".to_owned() } else { stem };
        let (mut entries, mut text) = (Vec::new(), plain(&name));
        for map in &maps {
            let mut files = Vec::new();
            for (frame, image) in shown.iter().take(map.frames).map(|i| &images[*i]).enumerate() {
                let region = model.preprocess.region(image.width(), image.height())?;
                let layer = map.layer.as_ref().map(|layer| format!(".{layer}")).unwrap_or_default();
                let number = if map.frames > 1 { format!(".{frame}") } else { String::new() };
                let file = format!("{stem}.{}{layer}{number}.png", map.kind);
                let path = self.out.join(&file);
                let png = over(image, map, frame, region).map_err(|reason| Error::image(path.display(), reason))?;
                fs::write(&path, png).map_err(io(&path))?;
                text += &format!("\n  {}", plain(&path.display().to_string()));
                files.push(file);
            }
            let region = model.preprocess.region(images[shown[0]].width(), images[shown[0]].height())?;
            let label = map.class.and_then(|class| model.labels.get(class));
            entries.push(entry(map, label, region, &files));
        }
        let report = json!({ "image": name, "model": model.name, "device": device.name(), "maps": entries });
        let path = self.out.join(format!("{stem}.json"));
        fs::write(&path, format!("{report}\n")).map_err(io(&path))?;
        if self.json {
            print_json(&report)?;
        } else {
            print(&text)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The name for the user, and the picture, or the frames of a clip.
    fn pictures(&self, clip: bool) -> Result<(String, Vec<RgbImage>)> {
        let mut sources = inputs::expand(std::slice::from_ref(&self.image));
        if clip {
            sources = inputs::clips(sources);
        }
        match (sources.pop(), sources.len()) {
            (Some(source), 0) => {
                let name = source.name();
                Ok((name, if clip { source.frames()? } else { vec![source.decode()?] }))
            }
            _ => Err(Error::InvalidArgument(format!("{}: one picture is explained at a time", self.image.display()))),
        }
    }
}

/// A map as JSON; `region` is left, top, width and height of what it covers, in pixels of the picture.
fn entry(map: &Map, label: Option<&str>, region: [f64; 4], files: &[String]) -> Value {
    json!({
        "kind": map.kind.name(),
        "layer": map.layer,
        "class": map.class,
        "label": label,
        "frames": map.frames,
        "size": map.size,
        "region": region,
        "values": map.values,
        "files": files,
    })
}
