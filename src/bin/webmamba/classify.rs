//! `webmamba classify`: images to labels.

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode, sync::mpsc, thread, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;
use webmamba::{Classifier, Device, ErrorKind, Prediction, Views, low_level::gpu::AdapterSummary};

use crate::{
    args::{DeviceArgs, ModelArgs, adapter_name, note_assumptions},
    inputs,
    prepare::{Prepared, Preparing, predict},
    terminal::{Failure, Outcome, ms, note, plain, print, print_json, progress, rounded},
};

/// Images a run at the most: more do not make hardware busier, but answers later and memory larger.
const MAX_BATCH: usize = 8;
/// From so many images on there is something to wait for.
const PROGRESS_FROM: usize = 4;

const EXAMPLES: &str = "Examples:
  webmamba classify cat.jpg
  webmamba classify cat.jpg --model MambaVision-T-1K/
  webmamba classify photos/ 'more/*.png' --model mila_tiny.pth --top-k 1
  curl -s URL | webmamba classify - --model MambaVision-T-1K/ --json
  webmamba classify frames/ dance.gif --model videomamba_t16_k400_f8_res224.pth --views 4x3

JPEG, PNG, WebP, BMP, GIF and TIFF are read; pictures of other formats fail and are named, in folders too. Of alpha and colour
profiles nothing is made, the EXIF orientation is applied. What was repaired to read a picture is said (`note` in JSON).
A model of clips takes the pictures of a folder, in the order of their numbers, for the frames of one clip, and so it does animated
GIF, WebP and PNG files; a single picture stands still. A model of images takes the first frame of what moves.
Exit codes: 0 all fine, 1 some images failed, 2 usage or model error.";

/// Classify images
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Classify {
    /// Image files, folders (with all below them), globs, or `-` for standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// How often a model of clips looks at each: CLIPS, or CLIPSxCROPS with 1 or 3 crops; scores are averaged (4x3 in publications)
    #[arg(long, value_name = "N", value_parser = parse_views, default_value = "1x1")]
    views: Views,
    /// How many of the best classes to print
    #[arg(long, value_name = "K", default_value = "5")]
    top_k: NonZeroUsize,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object per image per line
    #[arg(long)]
    json: bool,
}

impl Classify {
    pub(crate) async fn run(self) -> Outcome {
        let model = self.model.open()?;
        let (device, reason) = self.device.open().await?;
        let mut sources = inputs::expand(&self.images);
        let clips = model.architecture.frames() > 1;
        if clips {
            sources = inputs::clips(sources);
        }

        let count = sources.len();
        // A software adapter takes seconds an image, and gains nothing from several at once.
        let most = if clips || device.adapter().is_some_and(AdapterSummary::is_software) { 1 } else { MAX_BATCH };
        // Batches of equal size: the places of an incomplete one are computed all the same.
        let batch = count.div_ceil(count.div_ceil(most).max(1)).max(1);
        let preparing = Preparing::of(&model, self.views);
        let mut classifier = Classifier::new(model, &device, batch, self.top_k.get()).await?;
        note(&format!("{} on {reason}", classifier.model().name));
        note_assumptions(classifier.model());

        let bar = progress(count as u64, "[{bar:30}] {pos}/{len} images, {eta} left", count >= PROGRESS_FROM);
        bar.tick();
        let mut printer = Printer { bar, device: &device, json: self.json, failed: 0 };
        thread::scope(|scope| {
            let (send, receive) = mpsc::sync_channel(1);
            scope.spawn(|| preparing.all(sources, batch, send));
            // An early return hangs up, and with that the other thread ends.
            for prepared in receive {
                pollster::block_on(classify_batch(&mut classifier, prepared, &mut printer))?;
            }
            Ok::<_, Failure>(())
        })?;
        printer.bar.finish_and_clear();
        if printer.failed == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        note(&format!("{} of {count} {} failed", printer.failed, if count == 1 { "image" } else { "images" }));
        Ok(ExitCode::from(1))
    }
}

async fn classify_batch(classifier: &mut Classifier, batch: Vec<Prepared>, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let (mut predictions, time) = predict(classifier, &batch).await?;
    let model = time / predictions.len().max(1) as u32;
    for prepared in &batch {
        let result = match &prepared.inputs {
            Ok(_) => predictions.next().unwrap_or_else(|| Ok(Vec::new())),
            Err(error) => {
                printer.failure(&prepared.name, error.to_string(), error.kind())?;
                continue;
            }
        };
        match result {
            Ok(predictions) => printer.success(classifier, prepared, &predictions, model)?,
            Err(error) => printer.failure(&prepared.name, format!("{}: {error}", prepared.name), error.kind())?,
        }
    }
    Ok(())
}

/// Reads `4` or `4x3`: clips, and crops of each.
fn parse_views(text: &str) -> Result<Views, String> {
    let (clips, crops) = text.split_once(['x', 'X']).unwrap_or((text, "1"));
    match (clips.parse(), crops) {
        (Ok(clips @ 1..=100), "1" | "3") => Ok(Views { clips, crops: if crops == "1" { 1 } else { 3 } }),
        _ => Err("expected CLIPS or CLIPSxCROPS with 1 to 100 clips and 1 or 3 crops, such as 4x3".to_owned()),
    }
}

/// The JSON of an image.
#[derive(Serialize)]
struct Line<'a> {
    image: &'a str,
    predictions: &'a [Prediction],
    #[serde(skip_serializing_if = "Option::is_none")]
    confident: Option<bool>,
    model: &'a str,
    device: &'a str,
    adapter: Option<&'a str>,
    ms: Times,
    /// What was repaired to decode it, or how it was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// Milliseconds for one image; those of a batch are shared out evenly.
#[derive(Serialize)]
struct Times {
    decode: f64,
    preprocess: f64,
    model: f64,
    total: f64,
}

/// Results as they come.
struct Printer<'a> {
    bar: ProgressBar,
    device: &'a Device,
    json: bool,
    failed: usize,
}

impl Printer<'_> {
    fn success(
        &self,
        classifier: &Classifier,
        prepared: &Prepared,
        predictions: &[Prediction],
        model: Duration,
    ) -> Result<(), Failure> {
        let Prepared { name, note: repaired, decode, preprocess, .. } = prepared;
        self.bar.inc(1);
        if let Some(repaired) = repaired {
            self.bar.suspend(|| note(&format!("note: {}: {repaired}", plain(name))));
        }
        let confident = classifier.is_confident(predictions);
        if self.json {
            let line = Line {
                image: name,
                predictions,
                confident: classifier.model().can_be_unsure().then_some(confident),
                model: &classifier.model().name,
                device: self.device.name(),
                adapter: adapter_name(self.device),
                ms: Times {
                    decode: ms(*decode),
                    preprocess: ms(*preprocess),
                    model: ms(model),
                    total: ms(*decode + *preprocess + model),
                },
                note: *repaired,
            };
            return self.bar.suspend(|| print_json(&line));
        }
        let unnamed = classifier.model().labels.is_empty();
        let mut text = plain(name);
        if !confident {
            text += "\n  not sure; the closest of what it knows:";
        }
        for Prediction { label, score, .. } in predictions {
            let class = if unnamed { "class " } else { "" };
            text += &format!("\n  {:5.1} %  {class}{}", rounded(f64::from(*score) * 100.0, 1), plain(label));
        }
        self.bar.suspend(|| print(&text))
    }

    fn failure(&mut self, name: &str, error: String, kind: ErrorKind) -> Result<(), Failure> {
        self.failed += 1;
        self.bar.inc(1);
        self.bar.suspend(|| {
            note(&format!("error: {}", plain(&error)));
            if self.json { print_json(&json!({ "image": name, "error": error, "kind": kind.name() })) } else { Ok(()) }
        })
    }
}
