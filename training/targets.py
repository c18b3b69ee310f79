"""What each view should be called: the teacher's answer, the label where there is one, and how much of the view people fill.

    python -m training.targets people --sources SOURCES --views VIEWS      DeepLab's share of people, once
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .people import DeepLab, person_shares
from .sources import Vocabulary
from .views import PEOPLE

# How much the label counts against the teacher, by source. The teacher knows none of the groceries well.
TRUST = {"caltech": 0.7, "grocery": 0.85, "tiny": 0.5, "mini": 0.5, "nette": 0.5, "woof": 0.5, "devices": 0.75, "pets": 0.7}


def load_views(root: Path, images: bool = True) -> tuple[np.ndarray | None, np.ndarray, list[dict]]:
    """Images (if wanted), the teacher's answers and what is known of all parts."""
    parts = sorted(root.glob("[0-9]*.json"))
    read = lambda kind: np.concatenate([np.load(p.with_suffix(f".{kind}.npy")) for p in parts])
    return read("images") if images else None, read("teacher"), [view for p in parts for view in json.loads(p.read_text())]


def covered(view: dict, vocabulary: Vocabulary) -> np.ndarray:
    """Share of a view that boxes of each class fill, at most 1; what is none of the classes is counted as such."""
    out = np.zeros(len(vocabulary.names), np.float32)
    for kind, x, y, w, h in view["boxes"]:
        clip = lambda a: min(max(a, 0.0), 1.0)
        area = (clip(x + w / 2) - clip(x - w / 2)) * (clip(y + h / 2) - clip(y - h / 2))
        out[vocabulary.unknown if kind is None else kind] += area
    return out.clip(max=1)


def targets_of(views: list[dict], teacher: np.ndarray, shares: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """(N, classes) probabilities."""
    out = vocabulary.fold(teacher)
    person, animals = vocabulary.index["person"], slice(vocabulary.index["dog"], vocabulary.unknown)
    for i, view in enumerate(views):
        target, label = out[i], view["label"]
        if view["source"] in ("coco", "office"):
            area = covered(view, vocabulary)
            area[person] *= 1.5
            best = int(area.argmax())
            if area[best] > 0.12:
                trust = min(0.75, 0.3 + 1.5 * float(area[best]))
                target *= 1 - trust
                target[best] += trust
            if area[person] > 0.2:
                _no_animals(target, animals, person)
            continue
        if view["synset"] in ("Faces", "Faces_easy"):
            target[:] = 0
            target[person] = 1
            continue
        if label is None:
            continue
        trust = TRUST[view["source"]]
        if view["source"] == "caltech" and label == vocabulary.unknown:
            trust = 0.4
        if label != vocabulary.unknown:
            # Where somebody knows what it is, the teacher's doubt counts half.
            target[vocabulary.unknown] /= 2
            target /= target.sum()
        target *= 1 - trust
        target[label] += trust
        known = float(np.clip((shares[i] - 0.05) / 0.17, 0, 1))
        if known:
            target *= 1 - known
            target[person] += known
            if known > 0.3:
                _no_animals(target, animals, person)
    return out


def _no_animals(target: np.ndarray, animals: slice, person: int) -> None:
    target[person] += target[animals].sum()
    target[animals] = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["people"])
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--views", type=Path, required=True)
    args = parser.parse_args()
    images, _, views = load_views(args.views)
    index = np.array([i for i, v in enumerate(views) if v["synset"] in PEOPLE.get(v["source"], ())])
    shares, net = np.zeros(len(views), np.float32), DeepLab(args.sources)
    for start in tqdm(range(0, len(index), 800), mininterval=10):
        shares[index[start : start + 800]] = person_shares(net, images[index[start : start + 800]])
    np.save(args.views / "people.npy", shares)


if __name__ == "__main__":
    main()
