"""Writes a trained network as the runtime reads it: F16 safetensors, config.json and a model card.

    python -m training.export --checkpoint RUN/last.pt --data everyday64 --cache CACHE --out models/mamba_vision_nano
    ... --parity FILE.safetensors    also 64 validation inputs and their logits, to hold another runtime against
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from .data import MEAN, STD, Everyday
from .evaluate import fit_temperature, load, logits_of, prepare, report
from .models import build

CARD = """# {name}

A {family} for everyday things, the {what} of webmamba: {parameters:.2f} M parameters, {size} x {size} pixels, {classes} classes.

| validation split ({images} images never trained on) | top-1 | top-5 |
|---|---:|---:|
| all | {top1} % | {top5} % |
{sources}

Expected calibration error {ece} (before the temperature of {temperature}: {ece_uncalibrated}); mean top-1 over classes
{mean_class_top1} %. Measured on these files by `python -m training.evaluate`.

## Data and terms

72,706 images of 64 x 64 pixels in {classes} classes, from Tiny-ImageNet-200 (ImageNet images: non-commercial research use),
Caltech-101 (CC BY 4.0, as its authors state) and the Grocery Store dataset (MIT). No image is distributed with the weights.
A tenth of every class and source is held out by a fixed seed.

## Recipe

{recipe}

Trained for {epochs} epochs; the weights are an exponential moving average. Augmentation imitates cameras: crops and shifts,
flips, brightness, contrast, white balance, blur, noise, JPEG blocks; mixup and cutmix. See `training/`.

## Limits

It knows {classes} everyday classes and nothing else: whatever it is shown, it answers with one of them. The training images
are 64 pixels wide, so small things in a large frame are lost on it. Classes it mixes up most, as true / said (of all):
{confusions}. Weakest classes: {weakest}.
"""


def card(name: str, config: dict, result: dict, parameters: int, checkpoint: dict) -> str:
    recipe = {k: v for k, v in checkpoint["config"]["recipe"].items() if k not in ("epochs", "eval_every")}
    rows = [f"| {name} ({s['images']}) | {s['top1']} % | {s['top5']} % |" for name, s in result["sources"].items()]
    return CARD.format(
        name=name,
        family="MambaVision" if config["model_type"] == "mambavision" else "MILA",
        what="default model" if config["model_type"] == "mambavision" else "second built-in model",
        parameters=parameters / 1e6,
        size=config["resolution"],
        classes=len(config["id2label"]),
        sources="\n".join(rows),
        recipe=", ".join(f"{k} {v}" for k, v in recipe.items()),
        epochs=checkpoint["state"]["epoch"],
        confusions=", ".join(f"{c['true']} / {c['said']} ({c['images']} of {c['of']})" for c in result["confusions"][:8]),
        weakest=", ".join(f"{w['class']} {w['top1']} %" for w in result["weakest"][:6]),
        **{k: result[k] for k in ("images", "top1", "top5", "ece", "ece_uncalibrated", "temperature", "mean_class_top1")},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the decoded images")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parity", type=Path, help="where to write inputs and logits of 64 validation images")
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
    (args.out / "README.md").write_text(card(args.out.name, config, result, parameters, checkpoint))
    print(json.dumps(result, indent=1))
    if args.parity:
        some = held[:: len(held) // 64][:64]
        inputs = prepare(data.images[some], config["resolution"])
        with torch.no_grad():
            save_file({"input": inputs.contiguous(), "logits": model(inputs).contiguous()}, args.parity)


if __name__ == "__main__":
    main()
