//! `webmamba eval`: how often a model is right about a folder of sorted images.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Instant,
};

use clap::Args;
use serde_json::{Value, json};
use webmamba::{Classifier, Device, Error, Labels, Model, Prediction, Result, Views, low_level::gpu::AdapterSummary};

use crate::{
    args::{DeviceArgs, ModelArgs, adapter_name, note_assumptions},
    inputs::{Source, clips, expand_path, is_image},
    prepare::{Prepared, Preparing, predict},
    terminal::{Failure, Outcome, note, pairs, plain, print, print_json, progress, rounded},
};

/// Images a run, where the user does not say.
const BATCH: usize = 8;
/// Bins of the expected calibration error.
const BINS: usize = 15;
/// Classes of ImageNet-1k. A model of so many is taken for one of it where folders are named by WordNet ids.
const IMAGENET: usize = 1000;
/// Confusions that people are shown.
const SHOWN: usize = 15;

const EXAMPLES: &str = "Examples:
  webmamba eval --data photos-by-class/
  webmamba eval --data imagenet/val --model MambaVision-T-1K/ --json > report.json

DIR has one folder a class, named like the model's label (exactly, else with upper and lower case alike, and blanks and `_`), by its
index, or for a model of 1000 classes by ImageNet's WordNet id (n02123045). Images anywhere below it belong to that class; for a model of
clips, the images of every folder below it are the frames of one clip, and so is every animation.
Exit codes: 0 all fine, 1 some images failed and are not counted, 2 usage or model error.";

/// Measure a model's accuracy on images sorted into one folder a class
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    /// Folder of one folder a class
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Images a run; 8, or 1 on a software adapter, where not given
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print the report as one JSON object, with every class and the whole confusion table
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(crate) async fn run(self) -> Outcome {
        let model = self.model.open()?;
        let (sources, truths) = sorted_images(&self.data, &model)?;
        let (device, reason) = self.device.open().await?;
        let software = device.adapter().is_some_and(AdapterSummary::is_software);
        let one = software || model.architecture.frames() > 1;
        let batch = self.batch.map_or(if one { 1 } else { BATCH }, NonZeroUsize::get);
        let preparing = Preparing::of(&model, Views::default());
        let mut classifier = Classifier::new(model, &device, batch, 5).await?;
        note(&format!("{} on {reason}", classifier.model().name));
        note_assumptions(classifier.model());

        let bar = progress(truths.len() as u64, "[{bar:30}] {pos}/{len} images, {per_sec}, {eta} left, {msg}", true);
        let start = Instant::now();
        let mut truth = truths.into_iter();
        let mut tally = Tally { unknown: classifier.model().unknown, ..Tally::default() };
        thread::scope(|scope| {
            let (send, receive) = mpsc::sync_channel(1);
            scope.spawn(|| preparing.all(sources, batch, send));
            // An early return hangs up, and with that the other thread ends.
            for prepared in receive {
                let count = prepared.len();
                for Prepared { name, note: repaired, .. } in &prepared {
                    if let Some(repaired) = repaired {
                        bar.suspend(|| note(&format!("note: {}: {repaired}", plain(name))));
                    }
                }
                for ((name, result), class) in pollster::block_on(guesses(&mut classifier, prepared))?.into_iter().zip(&mut truth)
                {
                    match result {
                        Ok(guess) => tally.add(class, &guess, classifier.is_confident(&guess)),
                        Err(error) => {
                            tally.failed += 1;
                            bar.suspend(|| note(&format!("error: {}: {error}", plain(&name))));
                        }
                    }
                }
                bar.inc(count as u64);
                bar.set_message(format!("top-1 {:.1} %", 100.0 * tally.share(tally.top1)));
            }
            Ok::<_, Failure>(())
        })?;
        bar.finish_and_clear();
        let rate = (tally.images + tally.failed) as f64 / start.elapsed().as_secs_f64();
        if self.json {
            print_json(&tally.report(&classifier, &device, rate))?;
        } else {
            print(&tally.text(classifier.model(), rate))?;
        }
        if tally.failed == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        note(&format!("{} of {} images failed and are not counted", tally.failed, tally.images + tally.failed));
        Ok(ExitCode::from(1))
    }
}

/// The images below `data` in the order of their folders' names, and the class of each.
fn sorted_images(data: &Path, model: &Model) -> Result<(Vec<Source>, Vec<usize>)> {
    let entries = fs::read_dir(data).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| Error::io(data, error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let names = Names::new(&model.labels, model.architecture.num_classes());
    let (mut sources, mut truths) = (Vec::new(), Vec::new());
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name.starts_with('.') || !(path.is_dir() || is_image(&path)) {
            continue;
        }
        if !path.is_dir() {
            let reason = "this image is in no class's folder; eval wants one folder a class";
            return Err(Error::InvalidArgument(format!("{}: {reason}", path.display())));
        }
        let class = names.class(&name).map_err(|reason| Error::InvalidArgument(format!("{}: {reason}", path.display())))?;
        let mut own = Vec::new();
        expand_path(&path, &mut own);
        sources.extend(if model.architecture.frames() > 1 { clips(own) } else { own });
        truths.resize(sources.len(), class);
    }
    if sources.is_empty() {
        return Err(Error::InvalidArgument(format!("{}: there are no folders of images in it", data.display())));
    }
    Ok((sources, truths))
}

/// What folders may be called.
struct Names {
    exact: HashMap<String, Vec<usize>>,
    folded: HashMap<String, Vec<usize>>,
    classes: usize,
}

impl Names {
    fn new(labels: &Labels, classes: usize) -> Self {
        let mut names = Self { exact: HashMap::new(), folded: HashMap::new(), classes };
        for (class, label) in (0..classes).filter_map(|class| Some((class, labels.get(class)?))) {
            names.exact.entry(label.to_owned()).or_default().push(class);
            names.folded.entry(folded(label)).or_default().push(class);
        }
        names
    }

    /// The class of a folder: its name as it stands, then in other letters, then a WordNet id, then an index.
    fn class(&self, folder: &str) -> std::result::Result<usize, String> {
        match self.exact.get(folder).or_else(|| self.folded.get(&folded(folder))).map(Vec::as_slice) {
            Some([class]) => return Ok(*class),
            Some(several) => {
                let list = several.iter().map(usize::to_string).collect::<Vec<_>>().join(" and ");
                return Err(format!("the classes {list} of this model have this name; name the folder by the index"));
            }
            None => {}
        }
        let known = Some(folder).filter(|_| self.classes == IMAGENET).and_then(Labels::imagenet1k_class);
        known.or_else(|| folder.parse().ok().filter(|&class| class < self.classes)).ok_or_else(|| {
            let name = if self.exact.is_empty() { "" } else { " the name of one of its classes," };
            let id = if self.classes == IMAGENET { " a WordNet id of ImageNet-1k," } else { "" };
            let or = if name.is_empty() && id.is_empty() { "" } else { " or" };
            format!("the folder is no class of this model, which would be{name}{id}{or} an index from 0 to {}", self.classes - 1)
        })
    }
}

/// A name as it is compared.
fn folded(name: &str) -> String {
    name.to_lowercase().replace('_', " ").trim().to_owned()
}

/// The best classes of each image of a batch, or why there are none, after its name.
async fn guesses(
    classifier: &mut Classifier,
    batch: Vec<Prepared>,
) -> std::result::Result<Vec<(String, Result<Vec<Prediction>>)>, Failure> {
    let (mut predictions, _) = predict(classifier, &batch).await?;
    let guess = |prepared: Prepared| {
        let guess = prepared.inputs.and_then(|_| predictions.next().unwrap_or_else(|| Ok(Vec::new())));
        (prepared.name, guess)
    };
    Ok(batch.into_iter().map(guess).collect())
}

/// One of the intervals of confidence.
#[derive(Default, Clone, Copy)]
struct Bin {
    confidence: f64,
    right: usize,
}

/// What was counted.
#[derive(Default)]
struct Tally {
    images: usize,
    failed: usize,
    top1: usize,
    top5: usize,
    bins: [Bin; BINS],
    /// Images by their class and the one that the model said.
    said: BTreeMap<(usize, usize), usize>,
    /// Answers that the model is sure of, and how many of them are right.
    sure: usize,
    sure_right: usize,
    /// The class that stands for everything else.
    unknown: Option<usize>,
    /// The best score of any other class, of images of known and of unknown things.
    scores: [Vec<f32>; 2],
}

impl Tally {
    fn add(&mut self, class: usize, guess: &[Prediction], sure: bool) {
        let Some(best) = guess.first() else { return };
        let right = best.index == class;
        self.images += 1;
        self.top1 += usize::from(right);
        self.top5 += usize::from(guess.iter().any(|prediction| prediction.index == class));
        let bin = &mut self.bins[((best.score * BINS as f32) as usize).min(BINS - 1)];
        bin.confidence += f64::from(best.score);
        bin.right += usize::from(right);
        *self.said.entry((class, best.index)).or_default() += 1;
        self.sure += usize::from(sure);
        self.sure_right += usize::from(sure && right);
        let known = guess.iter().find(|prediction| Some(prediction.index) != self.unknown);
        self.scores[usize::from(Some(class) == self.unknown)].push(known.map_or(0.0, |prediction| prediction.score));
    }

    /// How likely a known thing gets a higher score than an unknown one (the area under the ROC curve); `None` without both.
    fn auroc(&self) -> Option<f64> {
        let [known, unknown] = &self.scores;
        if known.is_empty() || unknown.is_empty() {
            return None;
        }
        let mut sorted = unknown.clone();
        sorted.sort_by(f32::total_cmp);
        // Of each known thing the unknown ones below it, and half of those that are equal.
        let below = |score: &f32| sorted.partition_point(|s| s < score) + sorted.partition_point(|s| s <= score);
        let pairs: usize = known.iter().map(below).sum();
        Some(pairs as f64 / (2 * known.len() * unknown.len()) as f64)
    }

    fn share(&self, count: usize) -> f64 {
        count as f64 / self.images.max(1) as f64
    }

    /// Expected calibration error: how far confidence is from accuracy, a mean over bins by how full they are.
    fn calibration_error(&self) -> f64 {
        self.bins.iter().map(|bin| (bin.confidence - bin.right as f64).abs()).sum::<f64>() / self.images.max(1) as f64
    }

    /// Images of a class.
    fn of(&self, class: usize) -> usize {
        self.said.range((class, 0)..=(class, usize::MAX)).map(|(_, n)| n).sum()
    }

    fn report(&self, classifier: &Classifier, device: &Device, rate: f64) -> Value {
        let name = |class: usize| classifier.model().labels.get(class).map_or_else(|| class.to_string(), str::to_owned);
        let mut classes: Vec<usize> = self.said.keys().map(|(class, _)| *class).collect();
        classes.dedup();
        let classes = classes.into_iter().map(|class| {
            let right = self.said.get(&(class, class)).copied().unwrap_or_default();
            json!({ "index": class, "label": name(class), "images": self.of(class), "right": right })
        });
        let confusion = self.said.iter().map(|((class, said), n)| json!({ "class": class, "said": said, "images": n }));
        let mut report = json!({
            "model": classifier.model().name,
            "device": device.name(),
            "adapter": adapter_name(device),
            "images": self.images,
            "failed": self.failed,
            "top1": rounded(self.share(self.top1), 6),
            "top5": rounded(self.share(self.top5), 6),
            "calibration_error": rounded(self.calibration_error(), 6),
            "images_per_second": rounded(rate, 1),
            "classes": classes.collect::<Vec<_>>(),
            "confusion": confusion.collect::<Vec<_>>(),
        });
        if classifier.model().can_be_unsure() {
            report["sure"] = rounded(self.share(self.sure), 6).into();
            report["sure_top1"] = rounded(self.sure_right as f64 / self.sure.max(1) as f64, 6).into();
            report["auroc"] = self.auroc().map(|area| rounded(area, 6)).into();
        }
        report
    }

    fn text(&self, model: &Model, rate: f64) -> String {
        let name = |class: usize| model.labels.get(class).map_or_else(|| format!("class {class}"), plain);
        let percent = |count: usize| format!("{:.2} %", 100.0 * self.share(count));
        let mut lines = vec![
            ("images", format!("{}, {rate:.0} a second", self.images)),
            ("top-1", percent(self.top1)),
            ("top-5", percent(self.top5)),
            ("calibration error", format!("{:.4}", self.calibration_error())),
        ];
        if model.can_be_unsure() {
            let right = 100.0 * self.sure_right as f64 / self.sure.max(1) as f64;
            lines.push(("sure of", format!("{}, and right in {right:.2} % of them", percent(self.sure))));
        }
        if let Some(area) = self.auroc() {
            lines.push(("known or not", format!("AUROC {area:.4}")));
        }
        let mut text = pairs(&lines);
        let mut wrong: Vec<_> = self.said.iter().filter(|((class, said), _)| class != said).collect();
        wrong.sort_by_key(|&(pair, n)| (std::cmp::Reverse(n), pair));
        if !wrong.is_empty() {
            text += "\n\nmost often confused, as true / said:";
        }
        for ((class, said), n) in wrong.into_iter().take(SHOWN) {
            text += &format!("\n  {n:4} of {:<4}  {} / {}", self.of(*class), name(*class), name(*said));
        }
        text
    }
}
