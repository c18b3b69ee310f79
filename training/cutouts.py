"""Cuts things, hands and people out of images, with soft edges, for `scenes.py` to compose.

    python -m training.cutouts --sources SOURCES --out CUTOUTS

Things come from product photographs (whatever does not hang together with the plain ground at the border) and from COCO's outlines,
hands from the sign language digits (plain grounds), people from DeepLab's masks and COCO's outlines. Writes `CUTOUTS/train` and
`CUTOUTS/held` (images that training never sees), a folder a class, RGBA.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage
from tqdm import tqdm

from .people import PERSON, DeepLab
from .sources import COCO, Record, Vocabulary, coco_names, records, seed_of

LONG = 200  # pixels of the longer side at most
# What a person may hold or what stands near one; the rest is pasted nowhere.
THINGS = (
    "phone laptop keyboard mouse camera headphones cup glass bottle teapot bowl pan spoon pizza banana apple orange lemon pear melon "
    "pomegranate kiwi avocado pepper tomato potato carrot mushroom book scissors glasses bag shoe sock hat umbrella chair lamp candle "
    "plant lock ball guitar barrel bus car cat dog"
).split() + ["remote control", "monitor or TV", "printer or copier", "radio or stereo", "vase or jug", "ice cream", "bread or pretzel",
             "peach or plum", "onion or garlic", "cucumber or zucchini", "milk or juice carton", "pen or pencil", "watch or clock",
             "sweater or shirt", "sewing machine", "teddy bear", "bed or sofa", "box or crate", "bucket or bin", "hot dog or burger",
             "cabbage or cauliflower", "brass instrument", "desk or table"]
CLASS_LIMIT = 200


def plain_ground(pixels: np.ndarray, tolerance: float = 26.0) -> np.ndarray | None:
    """The mask of what stands before a plain ground; None where the ground is not plain or the mask no thing."""
    h, w, _ = pixels.shape
    x = ndimage.gaussian_filter(pixels.astype(np.float32), (0.6, 0.6, 0))
    border = np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]])
    ground = np.median(border, 0)
    near_border = np.abs(border - ground).max(1) < tolerance
    if near_border.mean() < 0.8:
        return None
    alike = np.abs(x - ground).max(2) < tolerance
    parts, _ = ndimage.label(alike)
    edges = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    thing = ~np.isin(parts, edges[edges > 0])
    thing = ndimage.binary_opening(thing, iterations=1)
    parts, count = ndimage.label(thing)
    if not count:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    thing = np.isin(parts, 1 + np.flatnonzero(sizes > 0.15 * sizes.max()))
    thing = ndimage.binary_fill_holes(thing)
    area = thing.mean()
    return thing if 0.08 < area < 0.8 and sizes.max() > 0.8 * sizes[sizes > 0.02 * sizes.max()].sum() else None


def hand(pixels: np.ndarray) -> np.ndarray | None:
    """A hand before a plain, unevenly lit ground: redder than the ground."""
    x = ndimage.gaussian_filter(pixels.astype(np.float32), (0.8, 0.8, 0))
    redness = x[..., 0] - x[..., 1:].mean(2)
    low, high = np.percentile(redness, [10, 90])
    if high - low < 14:
        return None
    thing = redness > low + 0.42 * (high - low)
    parts, count = ndimage.label(ndimage.binary_opening(thing, iterations=1))
    if not count:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    thing = ndimage.binary_fill_holes(parts == 1 + sizes.argmax())
    return thing if 0.1 < thing.mean() < 0.55 and sizes.max() > 0.85 * sizes.sum() else None


def cut(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """RGBA of what a mask holds, cropped to it; the edge is drawn in by a pixel and softened."""
    alpha = Image.fromarray((ndimage.binary_erosion(mask) * 255).astype(np.uint8)).resize(image.size, Image.BILINEAR)
    alpha = alpha.filter(ImageFilter.GaussianBlur(0.7))
    out = image.convert("RGB")
    out.putalpha(alpha)
    out = out.crop(alpha.point(lambda a: 255 * (a > 40)).getbbox())
    scale = LONG / max(out.size)
    return out.resize([max(1, round(s * scale)) for s in out.size], Image.BICUBIC) if scale < 1 else out


def outlines(sources: Path, record: Record, vocabulary: Vocabulary) -> list[tuple[str, np.ndarray]]:
    """Class and mask of the large things that COCO outlines in an image."""
    file = sources / "coco/instance_segmentation/labels" / record.path.parent.name / f"{record.path.stem}.txt"
    out, names = [], coco_names(sources, "instance_segmentation")
    size = Image.open(record.path).size
    for row in file.read_text().splitlines() if file.exists() else ():
        kind, *points = row.split()
        name = COCO.get(names[int(kind)])
        if name is None:
            continue
        mask = Image.new("1", size)
        xy = [(float(x) * size[0], float(y) * size[1]) for x, y in zip(points[::2], points[1::2])]
        ImageDraw.Draw(mask).polygon(xy, fill=1)
        mask = np.asarray(mask)
        if mask.mean() > (0.04 if name == "person" else 0.012):
            out.append((name, mask))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    vocabulary, net = Vocabulary(), DeepLab(args.sources)
    counts = defaultdict(int)

    def keep(name: str, held: bool, image: Image.Image, limit: int = CLASS_LIMIT) -> None:
        part = "held" if held else "train"
        if counts[part, name] < limit:
            folder = args.out / part / name
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{counts[part, name]:04}.png", compress_level=1)
            counts[part, name] += 1

    people = []
    listed = sorted(records(args.sources, vocabulary), key=lambda r: ({"coco": 0, "caltech": 1, "grocery": 2, "devices": 0}.get(r.source, 3), seed_of(r.path, 5)))
    for record in tqdm(listed, unit="img", mininterval=10):
        name = vocabulary.names[record.label] if record.label is not None else None
        if record.source == "coco":
            for name, mask in outlines(args.sources, record, vocabulary):
                keep(name, record.held, cut(Image.open(record.path), mask))
        elif record.source == "signs":
            image = Image.open(record.path).convert("RGB")
            mask = hand(np.asarray(image)) if counts["held" if record.held else "train", "hand"] < 700 else None
            if mask is not None:
                keep("hand", record.held, cut(image, mask), 700)
        elif record.synset == "Faces" or record.source == "nette" and record.synset in ("n01440764", "n03394916", "n03445777", "n03000684"):
            people.append(record)
        elif name in THINGS and record.source in ("caltech", "devices", "tiny", "mini", "nette") and counts["held" if record.held else "train", name] < CLASS_LIMIT:
            image = Image.open(record.path).convert("RGB")
            mask = plain_ground(np.asarray(image))
            if mask is not None:
                keep(name, record.held, cut(image, mask))
    for path in sorted((args.sources / "grocery/dataset/iconic-images-and-descriptions").rglob("*_Iconic.jpg")):
        name = next((vocabulary.names[vocabulary.grocery[p]] for p in path.parts if p in vocabulary.grocery), None)
        if name:
            image = Image.open(path).convert("RGB")
            image.thumbnail((260, 260))
            mask = plain_ground(np.asarray(image))
            if mask is not None:
                keep(name, False, cut(image, mask))
    for start in tqdm(range(0, min(len(people), 2400), 4), unit="4 img", mininterval=10):
        images = [Image.open(r.path).convert("RGB") for r in people[start : start + 4]]
        for record, image, labels in zip(people[start : start + 4], images, net(images, 2)):
            parts, count = ndimage.label(labels == PERSON)
            if not count:
                continue
            mask = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
            if 0.1 < mask.mean() < 0.75:
                keep("person", record.held, cut(image, mask), 900)
    print({f"{part} {name}": n for (part, name), n in sorted(counts.items())})


if __name__ == "__main__":
    main()
