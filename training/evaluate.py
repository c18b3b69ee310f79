"""Accuracy, calibration and confusions of a network on the validation split, or on all of a set that is apart as a whole.

    python -m training.evaluate --model FOLDER --data everyday64 --cache CACHE [--split val|train|all]
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from .data import SOURCES, Everyday, normalise
from .models import build


@torch.no_grad()
def logits_of(model: nn.Module, images: Tensor, size: int, device: str, batch: int = 512, progress: bool = False) -> Tensor:
    """Logits (f32) of uint8 images (N, 64, 64, 3); other input sizes are reached by bicubic resizing, as the runtime does."""
    model.eval()
    out = []
    for start in tqdm(range(0, len(images), batch), disable=not progress, unit="batch"):
        out.append(model(prepare(images[start : start + batch].to(device), size)).float().cpu())
    return torch.cat(out)


def prepare(images: Tensor, size: int) -> Tensor:
    """uint8 (B, H, W, 3) to normalised (B, 3, size, size), without augmentation."""
    x = images.permute(0, 3, 1, 2).float()
    if x.shape[-1] != size:
        # 8-bit between resizing and normalisation, as in Pillow.
        x = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False).round().clamp(0, 255)
    return normalise(x / 255).contiguous(memory_format=torch.channels_last)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The divisor of the logits that minimises the cross-entropy."""
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    logits = logits.double()
    optimiser = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = F.cross_entropy(logits / log_t.exp(), labels)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(log_t.exp())


def calibration_error(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins of equal width."""
    confidence, guess = logits.softmax(1).max(1)
    right = (guess == labels).float()
    index = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins).index_add_(0, index, confidence - right)
    return float(gap.abs().sum() / len(labels))


def report(logits: Tensor, labels: Tensor, source: Tensor, names: list[str], temperature: float = 1.0) -> dict:
    """What the model card says."""
    ranked = logits.topk(5, dim=1).indices
    top1, top5 = ranked[:, 0] == labels, (ranked == labels[:, None]).any(1)
    percent = lambda hits: round(100 * float(hits.float().mean()), 2)
    result = {"images": len(labels), "top1": percent(top1), "top5": percent(top5)}
    result["mean_class_top1"] = round(100 * float(torch.stack([top1[labels == c].float().mean() for c in labels.unique()]).mean()), 2)
    result["sources"] = {
        SOURCES[s]: {"images": int((source == s).sum()), "top1": percent(top1[source == s]), "top5": percent(top5[source == s])}
        for s in source.unique().tolist()
    }
    result["ece_uncalibrated"] = round(calibration_error(logits, labels), 4)
    result["ece"] = round(calibration_error(logits / temperature, labels), 4)
    result["temperature"] = round(temperature, 4)
    pairs = Counter(zip(labels[~top1].tolist(), ranked[~top1, 0].tolist()))
    counts = labels.bincount(minlength=len(names))
    result["confusions"] = [
        {"true": names[t], "said": names[g], "images": n, "of": int(counts[t])} for (t, g), n in pairs.most_common(15)
    ]
    recall = [(float(top1[labels == c].float().mean()), names[c]) for c in labels.unique().tolist()]
    result["weakest"] = [{"class": name, "top1": round(100 * value, 1)} for value, name in sorted(recall)[:10]]
    return result


def load(folder: Path, device: str = "cpu") -> tuple[nn.Module, dict]:
    """A network as exported, in f32."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    model = build(config)
    missing, extra = model.load_state_dict({k: v.float() for k, v in load_file(folder / "model.safetensors").items()}, strict=False)
    # Counters and tables that inference does not read are not exported.
    assert not extra and all(k.endswith(("num_batches_tracked", "rotations")) for k in missing), (missing, extra)
    return model.to(device, memory_format=torch.channels_last).eval(), config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the decoded images")
    parser.add_argument("--split", choices=["val", "train", "all"], default="val")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    data = Everyday(args.data, args.cache)
    held = data.indices(args.split)
    model, config = load(args.model, args.device)
    logits = logits_of(model, data.images[held], config["resolution"], args.device, progress=True)
    print(json.dumps(report(logits, data.labels[held], data.source[held], data.names, config.get("temperature", 1.0)), indent=1))


if __name__ == "__main__":
    main()
