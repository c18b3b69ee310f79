"""Accuracy by set, calibration, known against unknown, and confusions of a network on the validation sets (`validation.py`).

    python -m training.evaluate --model FOLDER --val VALIDATION
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from .data import normalise
from .models import build
from .sources import UNKNOWN, Vocabulary
from .validation import read

# Sets of photographs at the size that cameras give; the others were small images.
PHOTOGRAPHS = ("people", "coco", "devices", "pets", "objects", "groceries", "photographs")


@torch.no_grad()
def logits_of(model: nn.Module, images: Tensor, size: int, device: str, batch: int = 512, progress: bool = False) -> Tensor:
    """Logits (f32) of uint8 images (N, S, S, 3); other input sizes are reached by bicubic resizing, as the runtime does."""
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


def auroc(known: Tensor, unknown: Tensor) -> float:
    """Probability that a known thing's score is above an unknown one's."""
    both = torch.cat([known, unknown])
    ranks = torch.empty(len(both), dtype=torch.float64)
    ranks[both.argsort()] = torch.arange(1, len(both) + 1, dtype=torch.float64)
    n, m = len(known), len(unknown)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def scores_of(logits: Tensor, unknown: int) -> Tensor:
    """The score of "I know this": the largest probability of a class that is not "something else"."""
    p = logits.softmax(1)
    p[:, unknown] = 0
    return p.max(1).values


def choose_bias(logits: Tensor, labels: Tensor, unknown: int) -> float:
    """How far the logit of "something else" is lowered: the teacher doubts small things, and so does what learnt from it. In steps of
    0.1, as long as three of five unknown things are still first called that."""
    for step in range(30):
        shifted = logits.clone()
        shifted[:, unknown] -= (step + 1) / 10
        if (shifted.argmax(1) == unknown)[labels == unknown].float().mean() < 0.6:
            return step / 10
    return 3.0


def choose_min_score(logits: Tensor, labels: Tensor, unknown: int) -> float:
    """The least confidence at which an answer is given: the one that serves best, where a right answer counts 1, a wrong one -1 and
    "not sure" 0, and one thing of five is unknown."""
    p, guess = logits.softmax(1).max(1)
    sure = guess != unknown
    gain = torch.where(guess == labels, 1.0, -1.0)
    weight = torch.where(labels == unknown, 0.2 / max(1, int((labels == unknown).sum())), 0.8 / max(1, int((labels != unknown).sum())))
    best = [(float((gain * weight * (sure & (p >= t / 100))).sum()), -t) for t in range(10, 91)]
    return -max(best)[1] / 100


def report(logits: Tensor, labels, part, sets: list[str], names: list[str], temperature: float = 1.0, min_score: float = 0.0) -> dict:
    """What the model card says; `labels` and `part` (the number of the set) of each image, as `validation.read` gives them."""
    labels, part = torch.as_tensor(labels), torch.as_tensor(part)
    logits = logits / temperature
    unknown, person, animals = names.index(UNKNOWN), names.index("person"), range(names.index("dog"), names.index(UNKNOWN))
    ranked = logits.topk(min(5, len(names)), dim=1).indices
    confidence = logits.softmax(1).max(1).values
    top1, top5 = ranked[:, 0] == labels, (ranked == labels[:, None]).any(1)
    percent = lambda hits: round(100 * float(hits.float().mean()), 2) if len(hits) else None
    known = labels != unknown
    result = {"images": len(labels), "sets": {}, "temperature": round(temperature, 4), "min_score": min_score}
    for number, name in enumerate(sets):
        inside = part == number
        result["sets"][name] = {
            "images": int(inside.sum()), "top1": percent(top1[inside]), "top5": percent(top5[inside]),
            "sure": percent((confidence >= min_score)[inside] & (ranked[:, 0] != unknown)[inside]),
        }
    photographs = torch.tensor([sets[p] in PHOTOGRAPHS for p in part.tolist()])
    result["ece"] = round(calibration_error(logits[photographs], labels[photographs]), 4) if photographs.any() else None
    score = scores_of(logits, unknown)
    result["auroc"] = round(auroc(score[known], score[~known]), 4) if known.any() and (~known).any() else None
    people = labels == person
    result["animal_for_person"] = int(sum((ranked[people, 0] == a).sum() for a in animals))
    pairs = Counter(zip(labels[~top1].tolist(), ranked[~top1, 0].tolist()))
    counts = labels.bincount(minlength=len(names))
    result["confusions"] = [
        {"true": names[t], "said": names[g], "images": n, "of": int(counts[t])} for (t, g), n in pairs.most_common(15)
    ]
    result["classes"] = {names[c]: [percent(top1[labels == c]), int(counts[c])] for c in labels.unique().tolist()}
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
    parser.add_argument("--val", type=Path, required=True, help="folder of the validation sets")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    vocabulary = Vocabulary()
    model, config = load(args.model, args.device)
    images, labels, part, sets = read(args.val, vocabulary, config["resolution"])
    logits = logits_of(model, torch.from_numpy(images), config["resolution"], args.device, progress=True)
    result = report(logits, labels, part, sets, vocabulary.names, config.get("temperature", 1.0), config.get("min_score", 0.0))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
