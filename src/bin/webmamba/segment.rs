//! `webmamba segment`: images to the classes of their pixels.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use serde_json::{Value, json};
use webmamba::{
    Device, Error, Model, Result, RgbImage, Segmentation, Segmenter, SegmenterOptions,
    low_level::{labels::palette, weights::same_file},
};

use crate::{
    args::{DeviceArgs, ModelArgs, adapter_name, note_assumptions},
    inputs::{self, Source},
    terminal::{Outcome, ms, note, plain, print, print_json, progress, rounded},
};

/// Classes that are printed; JSON has all.
const SHOWN: usize = 8;
/// Of an overlay, what is the image's own.
const OWN: f32 = 0.5;

const EXAMPLES: &str = "Examples:
  webmamba segment street.jpg --model mamba_vision_160k_ade20k-512x512_tiny.pth --out maps/
  webmamba segment photos/ --model upernet.pth --size 256 --json

A model is a checkpoint of mmsegmentation with UPerNet over a MambaVision, VMamba or MILA, as their authors publish it. Into the folder
`--out` go, for each image, NAME_classes.png (a grey level a class), NAME_colors.png and NAME_overlay.png, of the image's size. `--size N`
scales images until their shorter side has N pixels (512, or 640, in training), or the longer one four times as many: smaller is faster and
coarser. Exit codes: 0 all fine, 1 some images failed, 2 usage or model error.";

/// Tell the classes of images' pixels
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Segment {
    /// Image files, folders (with all below them), globs, or `-` for standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// Folder for class maps, coloured maps and overlays; made where there is none
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also run models that attend over windows so large that an image takes minutes
    #[arg(long)]
    large: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object per image per line
    #[arg(long)]
    json: bool,
}

impl Segment {
    pub(crate) async fn run(self) -> Outcome {
        let model = self.model.open()?;
        let (device, reason) = self.device.open().await?;
        let mut segmenter = Segmenter::new(model, &device, SegmenterOptions { large: self.large })?;
        note(&format!("{} on {reason}", segmenter.model().name));
        note_assumptions(segmenter.model());
        let colours = palette(segmenter.model().architecture.num_classes());
        let mut out = self.out.as_deref().map(|folder| Folder::new(folder, &self.images)).transpose()?;

        let sources = inputs::expand(&self.images);
        let count = sources.len();
        let bar = progress(count as u64, "[{bar:30}] {pos}/{len} images, {eta} left", count > 1);
        bar.tick();
        let mut failed = 0;
        for source in sources {
            let name = source.name();
            let line = segment(&mut segmenter, source, &name, &colours, out.as_mut()).await;
            bar.inc(1);
            match line {
                Ok(done) if self.json => bar.suspend(|| print_json(&done.json(&name, segmenter.model(), &device)))?,
                Ok(done) => bar.suspend(|| print(&done.text(&name, segmenter.model())))?,
                Err(error) => {
                    failed += 1;
                    let (text, kind) = (error.to_string(), error.kind().name());
                    bar.suspend(|| note(&format!("error: {}", plain(&text))));
                    if self.json {
                        bar.suspend(|| print_json(&json!({ "image": name, "error": text, "kind": kind })))?;
                    }
                }
            }
        }
        bar.finish_and_clear();
        if failed == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        note(&format!("{failed} of {count} {} failed", if count == 1 { "image" } else { "images" }));
        Ok(ExitCode::from(1))
    }
}

/// What became of an image.
struct Done {
    map: Segmentation,
    /// What was repaired to decode it.
    note: Option<&'static str>,
    files: Vec<(&'static str, PathBuf)>,
    decode: Duration,
}

async fn segment(
    segmenter: &mut Segmenter,
    source: Source,
    name: &str,
    colours: &[[u8; 3]],
    out: Option<&mut Folder>,
) -> Result<Done> {
    let start = Instant::now();
    let image = source.decode()?;
    let decode = start.elapsed();
    let map = segmenter.segment(&image).await?;
    let files = out.map(|folder| folder.write(name, &image, &map, colours)).transpose()?.unwrap_or_default();
    Ok(Done { map, note: image.note(), files, decode })
}

impl Done {
    fn text(&self, name: &str, model: &Model) -> String {
        let shares = self.map.shares();
        let mut text = plain(name);
        for (class, share) in shares.iter().take(SHOWN) {
            text += &format!("\n  {:5.1} %  {}", rounded(share * 100.0, 1), plain(&label(model, *class)));
        }
        if shares.len() > SHOWN {
            text += &format!("\n  and {} more", shares.len() - SHOWN);
        }
        if let Some(repaired) = self.note {
            text += &format!("\n  note: {repaired}");
        }
        text
    }

    fn json(&self, name: &str, model: &Model, device: &Device) -> Value {
        let classes: Vec<Value> = self
            .map
            .shares()
            .into_iter()
            .map(|(index, share)| json!({ "index": index, "label": label(model, index), "share": rounded(share, 6) }))
            .collect();
        let files: serde_json::Map<String, Value> =
            self.files.iter().map(|(kind, path)| ((*kind).to_owned(), path.display().to_string().into())).collect();
        let times = self.map.times;
        json!({
            "image": name,
            "width": self.map.width,
            "height": self.map.height,
            "classes": classes,
            "files": files,
            "model": model.name,
            "device": device.name(),
            "adapter": adapter_name(device),
            "ms": {
                "decode": ms(self.decode),
                "preprocess": ms(times.preprocess),
                "model": ms(times.model),
                "total": ms(self.decode + times.preprocess + times.model),
            },
            "note": self.note,
        })
    }
}

fn label(model: &Model, class: usize) -> String {
    model.labels.get(class).map_or_else(|| format!("class {class}"), str::to_owned)
}

/// Where maps are written to.
struct Folder {
    path: PathBuf,
    /// Names that were given to images of this run.
    names: HashSet<String>,
    inputs: Vec<PathBuf>,
}

impl Folder {
    fn new(path: &Path, inputs: &[PathBuf]) -> Result<Self> {
        fs::create_dir_all(path).map_err(|error| Error::io(path, error))?;
        Ok(Self { path: path.to_owned(), names: HashSet::new(), inputs: inputs.to_vec() })
    }

    /// Writes the map of the image `name` in three forms: what each is, and its file.
    fn write(
        &mut self,
        name: &str,
        image: &RgbImage,
        map: &Segmentation,
        colours: &[[u8; 3]],
    ) -> Result<Vec<(&'static str, PathBuf)>> {
        let stem = self.stem(name);
        let colour = |class: &u8| colours.get(usize::from(*class)).copied().unwrap_or_default();
        let coloured: Vec<u8> = map.class_map.iter().flat_map(colour).collect();
        let mix = |(own, drawn): (&u8, &u8)| (f32::from(*own) * OWN + f32::from(*drawn) * (1.0 - OWN)).round() as u8;
        let overlay: Vec<u8> = image.pixels().iter().zip(&coloured).map(mix).collect();
        let mut files = Vec::with_capacity(3);
        for (kind, pixels, form) in [
            ("classes", &map.class_map, ExtendedColorType::L8),
            ("colors", &coloured, ExtendedColorType::Rgb8),
            ("overlay", &overlay, ExtendedColorType::Rgb8),
        ] {
            let path = self.path.join(format!("{stem}_{kind}.png"));
            if self.inputs.iter().any(|input| same_file(input, &path)) {
                let reason = format!("{} is an input; write to another folder", path.display());
                return Err(Error::InvalidArgument(reason));
            }
            let mut bytes = Vec::new();
            let written = PngEncoder::new(&mut bytes).write_image(pixels, map.width as u32, map.height as u32, form);
            written.map_err(|error| Error::InvalidArgument(format!("{}: {error}", path.display())))?;
            fs::write(&path, bytes).map_err(|error| Error::io(&path, error))?;
            files.push((kind, path));
        }
        Ok(files)
    }

    /// The image's name without its folder and ending; with a number where another image of this run has it.
    fn stem(&mut self, name: &str) -> String {
        let stem = Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let stem = stem.filter(|stem| stem != "-").unwrap_or_else(|| "stdin".to_owned());
        let mut own = stem.clone();
        let mut number = 2;
        while !self.names.insert(own.clone()) {
            own = format!("{stem}-{number}");
            number += 1;
        }
        own
    }
}
