"""Writes the validation sets as files, one folder a set and in it one a class, from images that are never trained on.

    python -m training.validation --sources SOURCES --out VALIDATION
    python -m training.scenes .. --held --out VALIDATION/scenes --count 2000
    webmamba eval --data VALIDATION/people --model models/mamba_vision_nano

`people`: whole frames of people in rooms; `coco`: crops around the things of COCO's photographs; `devices`, `pets`: electric devices,
cats and dogs; `objects`: Caltech-101; `groceries`: the dataset's own validation split (other days, other shops); `imagenet`: what is
left of the ImageNet subsets, all of it small but `photographs`, which is the part at full size; `unknown`: what is none of the classes.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from .sources import Record, Vocabulary, records, seed_of
from .views import PEOPLE

PER_SYNSET = 20


def coco_crops(record: Record, width: int, height: int) -> list[tuple[int, tuple[float, float, float, float]]]:
    """Class and square around each thing that is large enough and not mostly behind another one of another class."""
    out, short = [], min(width, height)
    for kind, x, y, w, h in record.boxes:
        if kind is None or w * h < 0.02 or max(w * width, h * height) > 1.2 * short:
            continue
        inside = lambda k2, x2, y2, w2, h2: k2 != kind and abs(x2 - x) < w / 3 and abs(y2 - y) < h / 3 and w2 * h2 > 0.2 * w * h
        if any(inside(*box) for box in record.boxes):
            continue
        side = min(1.4 * max(w * width, h * height), short)
        left, top = (min(max(c * e - side / 2, 0), e - side) for c, e in ((x, width), (y, height)))
        out.append((kind, (left, top, left + side, top + side)))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    vocabulary = Vocabulary()
    counts: dict[str, int] = {}

    def keep(part: str, label: int, image: Image.Image) -> None:
        folder = args.out / part / vocabulary.names[label]
        folder.mkdir(parents=True, exist_ok=True)
        counts[part] = counts.get(part, 0) + 1
        image.save(folder / f"{part}-{counts[part]:05}.png", compress_level=1)

    groups: dict[tuple[str, str], int] = {}
    listed = sorted((r for r in records(args.sources, vocabulary) if r.held), key=lambda r: seed_of(r.path, 6))
    for record in tqdm(listed, unit="img", mininterval=10):
        key = record.source, record.synset
        groups[key] = groups.get(key, 0) + 1
        if record.source in ("tiny", "mini", "nette", "woof") and groups[key] > (50 if record.source == "nette" else PER_SYNSET):
            continue
        image = Image.open(record.path).convert("RGB")
        if record.source == "coco":
            for label, box in coco_crops(record, *image.size):
                keep("coco", label, image.crop(tuple(map(round, box))))
        elif record.synset == "Faces":
            keep("people", record.label, image)
        elif record.synset == "Faces_easy" or record.synset in PEOPLE.get(record.source, ()) or record.source == "signs":
            continue
        elif record.source in ("trash", "office"):
            continue
        elif record.label == vocabulary.unknown:
            keep("unknown", record.label, image)
        elif record.source == "caltech":
            keep("objects", record.label, image)
        elif record.source == "grocery":
            keep("groceries", record.label, image)
        elif record.source in ("devices", "pets"):
            keep(record.source, record.label, image)
        else:
            keep("photographs" if record.source in ("nette", "woof") else "imagenet", record.label, image)
    print(counts)


def read(root: Path, vocabulary: Vocabulary, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Middle squares (N, side, side, 3) of all sets, their labels, the number of the set of each, and the names of the sets."""
    images, labels, part, names = [], [], [], sorted(p.name for p in root.iterdir())
    for number, name in enumerate(names):
        for path in sorted((root / name).glob("*/*.png")):
            image = Image.open(path).convert("RGB")
            short = min(image.size)
            left, top = ((extent - short) // 2 for extent in image.size)
            images.append(np.asarray(image.resize((side, side), Image.BICUBIC, (left, top, left + short, top + short))))
            labels.append(vocabulary.index[path.parent.name])
            part.append(number)
    return np.stack(images), np.array(labels), np.array(part), names


if __name__ == "__main__":
    main()
