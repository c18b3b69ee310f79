"""Cuts the views that are trained on out of the sources, and asks the teacher about each: the same crop that the student sees.

    python -m training.views --sources SOURCES --out VIEWS --part 0 --parts 2

Writes `PART.images.npy` (N, 144, 144, 3), `PART.teacher.npy` (N, 1000) f16 and `PART.json` (label, source, synset, box of each view).
Parts can be made side by side; which view is in which part, and its crop, depend on the files alone.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from .sources import Record, Vocabulary, records, seed_of
from .teacher import BATCH, SIZE, SMALL, Teacher

SIDE = 144
# People stand in many images of these; who fills how much of a view decides its label (`people.py`).
PEOPLE = {
    "nette": {"n01440764", "n03394916", "n03000684", "n03445777", "n03417042", "n03425413", "n02979186"},
    "tiny": {"n02669723", "n03814639", "n02791270", "n03617480", "n03980874", "n04532106", "n03763968", "n02963159", "n02883205",
             "n04259630", "n03404251", "n03770439", "n04023962", "n04540053", "n02730930", "n04356056", "n03838899", "n04371430"},
    "mini": {"n04509417", "n03535780", "n03888605", "n04296562", "n04389033", "n02966193", "n02871525", "n03676483", "n04251144"},
}
# Images of these show what stands on desks, beyond what their label says.
DESK = {"n03584254", "n03085013", "n03179701", "n04099969", "n02823428", "n03983396", "n07920052", "n06596364", "n02988304", "n04074963",
        "n03924679", "n03908618", "n02871525", "n03337140"}

# Tabby, Persian and Egyptian cat: the only ones, and people hold theirs close.
CATS = {"n02123045", "n02123394", "n02124075"}


def quota(record: Record, vocabulary: Vocabulary) -> int:
    """How many images of this synset or category are taken."""
    if record.source == "caltech":
        return {"airplanes": 150, "Motorbikes": 150, "Leopards": 100, "Faces_easy": 100}.get(record.synset, 1000)
    if record.source == "nette":
        return 700 if record.synset in PEOPLE["nette"] else 300
    if record.source == "woof":
        return 150
    if record.source in ("tiny", "mini"):
        if record.synset in CATS:
            return 1000
        if record.synset in DESK:
            return 400
        if record.synset in PEOPLE[record.source]:
            return 220
        return 80 if record.label == vocabulary.unknown else 160
    if record.source == "pets":
        return 1800 if record.synset == "cat" else 250
    if record.source == "trash":
        return 350 if record.synset in ("glass", "plastic") else 100
    return 1 << 30


def squares(record: Record, width: int, height: int) -> list[tuple[float, float, float]]:
    """Crops (left, top, side) of an image."""
    rng, short = np.random.default_rng(seed_of(record.path, 1)), min(width, height)
    centre = ((width - short) / 2, (height - short) / 2, short)

    def anywhere(low: float, high: float) -> tuple[float, float, float]:
        side = short * rng.uniform(low, high)
        return rng.uniform(0, width - side), rng.uniform(0, height - side), side

    def around(box: tuple, low: float, high: float) -> tuple[float, float, float]:
        _, x, y, w, h = box
        side = min(max(w * width, h * height) * rng.uniform(low, high), short)
        left, top = x * width - side / 2, y * height - side / 2
        slack = side * 0.12
        left, top = left + rng.uniform(-slack, slack), top + rng.uniform(-slack, slack)
        return min(max(left, 0), width - side), min(max(top, 0), height - side), side

    if record.source == "office":
        # Ceiling cameras: only what is near one.
        near = sorted((b for b in record.boxes if max(b[3] * width, b[4] * height) > 56), key=lambda b: -b[3] * b[4])[:5]
        return [around(box, 1.05, 1.8) for box in near]
    if record.source == "devices":
        return [centre, anywhere(0.6, 0.95)] if record.synset in ("Mobile", "Keyboard", "Mouse") else [centre]
    if record.source == "coco":
        out = [anywhere(0.5, 1.0) for _ in range(4)]
        return out + [around(box, 1.05, 2.2) for box in record.boxes if box[3] * box[4] >= 0.015 for _ in range(2)]
    if record.source == "caltech":
        if record.synset == "Faces":
            return [centre, (0, 0, short), (width - short, 0, short), anywhere(0.6, 1.0)]
        if record.synset == "BACKGROUND_Google":
            return [centre, anywhere(0.5, 1.0), anywhere(0.5, 1.0)]
        return [centre] if record.synset in ("airplanes", "Motorbikes", "Leopards", "Faces_easy") else [centre, anywhere(0.7, 1.0)]
    if record.source == "grocery":
        return [centre, anywhere(0.6, 1.0)]
    if record.source == "nette" and record.synset in PEOPLE["nette"] and rng.random() < 0.3:
        return [centre, anywhere(0.5, 0.9)]
    return [centre, anywhere(0.5, 0.9)] if record.synset in CATS else [centre]


def chosen(sources: Path, vocabulary: Vocabulary) -> list[Record]:
    """The images to train on, in an order that mixes all sources."""
    groups = defaultdict(list)
    for r in records(sources, vocabulary):
        if not r.held and r.source != "signs":
            groups[r.source, r.synset].append(r)
    out = []
    for members in groups.values():
        members.sort(key=lambda r: seed_of(r.path, 2))
        out += members[: quota(members[0], vocabulary)]
    return sorted(out, key=lambda r: seed_of(r.path, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="sources to take; else all")
    args = parser.parse_args()
    vocabulary, teacher = Vocabulary(), Teacher()
    args.out.mkdir(parents=True, exist_ok=True)
    views, images, answers, waiting = [], [], [], {SIZE: [], SMALL: []}

    def ask(size: int) -> None:
        index, crops = zip(*waiting[size])
        answers.extend(zip(index, teacher(list(crops)).astype(np.float16)))
        waiting[size].clear()

    listed = [r for r in chosen(args.sources, vocabulary) if not args.only or r.source in args.only]
    for record in tqdm(listed[args.part % args.parts :: args.parts], unit="img", mininterval=10):
        image = Image.open(record.path).convert("RGB")
        size = SMALL if record.source in ("tiny", "mini", "devices", "office") else SIZE
        for left, top, side in squares(record, *image.size):
            box = (left, top, left + side, top + side)
            images.append(np.asarray(image.resize((SIDE, SIDE), Image.BICUBIC, box)))
            waiting[size].append((len(views), np.asarray(image.resize((size, size), Image.BICUBIC, box))))
            near = [(k, (x * image.width - left) / side, (y * image.height - top) / side, w * image.width / side, h * image.height / side)
                    for k, x, y, w, h in record.boxes]
            views.append({"label": record.label, "source": record.source, "synset": record.synset, "file": record.path.name, "boxes": near})
            if len(waiting[size]) == BATCH:
                ask(size)
    for size in waiting:
        if waiting[size]:
            ask(size)
    answers.sort(key=lambda pair: pair[0])
    np.save(args.out / f"{args.part}.images.npy", np.stack(images))
    np.save(args.out / f"{args.part}.teacher.npy", np.stack([a for _, a in answers]))
    (args.out / f"{args.part}.json").write_text(json.dumps(views))


if __name__ == "__main__":
    main()
