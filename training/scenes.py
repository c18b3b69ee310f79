"""Composes what a webcam sees: things, hands and people (`cutouts.py`) before rooms and other grounds, small and large, near and far.

    python -m training.scenes --views VIEWS --cutouts CUTOUTS --out VIEWS --count 20000
    python -m training.scenes .. --held --out SCENES --count 2000     of cut-outs that training never sees, as files, a folder a class

Writes `scenes0.images.npy` and `scenes0.targets.npy` (of part 0).
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from .sources import Vocabulary
from .targets import load_views, targets_of
from .views import SIDE

# Shares of the scenes.
KINDS = {"thing": 0.44, "person": 0.2, "person with thing": 0.1, "hand with thing": 0.14, "hand": 0.07, "person with hand": 0.05}


class Stock:
    """All cut-outs of a part, in memory."""

    def __init__(self, root: Path):
        self.of = {f.name: [Image.open(p).convert("RGBA") for p in sorted(f.glob("*.png"))] for f in sorted(root.iterdir())}
        self.things = [n for n in self.of if n not in ("person", "hand")]
        counts = np.array([len(self.of[n]) for n in self.things], float)
        # What stands on desks is wanted most; a class of few cut-outs is not shown as often as one of many.
        desk = {"phone": 4, "mouse": 3, "laptop": 3, "keyboard": 2, "book": 2, "cup": 3, "bottle": 2, "headphones": 2, "chair": 2, "glasses": 1.5}
        weight = np.minimum(counts, 60) ** 0.5 * [desk.get(n, 1.0) for n in self.things]
        self.weight = weight / weight.sum()

    def thing(self, rng: np.random.Generator) -> tuple[str, Image.Image]:
        name = self.things[rng.choice(len(self.things), p=self.weight)]
        return name, self.any(name, rng)

    def any(self, name: str, rng: np.random.Generator) -> Image.Image:
        pool = self.of[name]
        return pool[rng.integers(len(pool))]


def light(image: Image.Image, rng: np.random.Generator, spread: float = 0.25) -> Image.Image:
    """Another exposure and tint, alpha untouched."""
    pixels = np.asarray(image).astype(np.float32)
    gain = np.exp(rng.uniform(-spread, spread)) * (1 + rng.uniform(-0.07, 0.07, 3))
    pixels[..., :3] = np.clip(pixels[..., :3] * gain + rng.uniform(-12, 12), 0, 255)
    return Image.fromarray(pixels.astype(np.uint8), image.mode)


def paste(scene: Image.Image, item: Image.Image, extent: float, centre: tuple[float, float], turn: float, rng: np.random.Generator) -> float:
    """Pastes an item whose geometric mean side is `extent` of the scene's; returns the share of the scene that it covers."""
    item = light(item, rng)
    if rng.random() < 0.5:
        item = item.transpose(Image.FLIP_LEFT_RIGHT)
    scale = extent * SIDE / (item.width * item.height) ** 0.5
    item = item.resize([max(2, min(3 * SIDE, round(s * scale))) for s in item.size], Image.BICUBIC)
    if turn:
        item = item.rotate(turn, Image.BICUBIC, expand=True)
    if rng.random() < 0.3:
        item = item.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    left, top = round(centre[0] * SIDE - item.width / 2), round(centre[1] * SIDE - item.height / 2)
    scene.paste(item, (left, top), item)
    alpha = np.asarray(item.getchannel("A"), np.float32)
    return float(alpha[max(0, -top) : max(0, SIDE - top), max(0, -left) : max(0, SIDE - left)].sum() / 255 / SIDE**2)


def person(scene: Image.Image, stock: Stock, rng: np.random.Generator) -> float:
    """Someone who sits or stands before the camera, mostly in the middle, cut off by the lower border."""
    item = stock.any("person", rng)
    height = rng.uniform(0.45, 1.25)
    extent = height * (item.width / item.height) ** 0.5
    centre_y = 1.0 - height / 2 + rng.uniform(-0.02, 0.15) if rng.random() < 0.85 else rng.uniform(0.4, 0.7)
    return paste(scene, item, extent, (float(np.clip(rng.normal(0.5, 0.16), 0.15, 0.85)), centre_y), 0.0, rng)


def compose(kind: str, stock: Stock, ground: Image.Image, ground_target: np.ndarray, vocabulary: Vocabulary, rng: np.random.Generator):
    """The scene and its target: the nearest and largest thing, in doubt also what else is in sight."""
    scene, target = ground.copy(), np.zeros(len(vocabulary.names), np.float32)

    def give(name: str, share: float) -> None:
        target[vocabulary.index[name]] += share

    middle = (rng.normal(0.5, 0.12), rng.normal(0.52, 0.12))
    if kind == "thing":
        name, item = stock.thing(rng)
        extent = float(np.exp(rng.uniform(np.log(0.22), np.log(0.95))))
        spread = 0.5 * max(0.0, 1 - extent)
        centre = (0.5 + rng.uniform(-spread, spread) * 0.8, 0.5 + rng.uniform(-spread, spread) * 0.8)
        if rng.random() < 0.25:
            # Something smaller stands beside it.
            _, other = stock.thing(rng)
            paste(scene, other, extent * rng.uniform(0.3, 0.6), (rng.uniform(0.1, 0.9), rng.uniform(0.3, 0.95)), rng.uniform(-10, 10), rng)
        covered = paste(scene, item, extent, centre, rng.uniform(-25, 25) if rng.random() < 0.6 else rng.uniform(-180, 180) * (rng.random() < 0.3), rng)
        share = float(np.clip(0.45 + covered * 3.5, 0.5, 1.0))
        give(name, share)
        target += (1 - share) * ground_target
    elif kind in ("person", "person with hand", "person with thing"):
        person(scene, stock, rng)
        if kind == "person":
            give("person", 1.0)
        elif kind == "person with hand":
            covered = paste(scene, stock.any("hand", rng), rng.uniform(0.15, 0.5), (rng.uniform(0.15, 0.85), rng.uniform(0.4, 0.9)), rng.uniform(-30, 30), rng)
            share = float(np.clip((covered - 0.08) * 4, 0.05, 0.6))
            give("hand", share)
            give("person", 1 - share)
        else:
            name, item = stock.thing(rng)
            covered = paste(scene, item, rng.uniform(0.15, 0.62), (rng.uniform(0.2, 0.8), rng.uniform(0.45, 0.85)), rng.uniform(-25, 25), rng)
            share = float(np.clip((covered - 0.03) * 6, 0.05, 0.9))
            give(name, share)
            give("person", 1 - share)
    elif kind == "hand":
        covered = paste(scene, stock.any("hand", rng), rng.uniform(0.3, 0.95), middle, rng.uniform(-40, 40), rng)
        share = float(np.clip(0.6 + covered * 2, 0, 1))
        give("hand", share)
        target += (1 - share) * ground_target
    else:
        name, item = stock.thing(rng)
        extent = rng.uniform(0.25, 0.8)
        grip = (middle[0] + rng.uniform(-0.15, 0.15) * extent, middle[1] + rng.uniform(0.2, 0.6) * extent)
        behind = rng.random() < 0.7
        if behind:
            paste(scene, stock.any("hand", rng), extent * rng.uniform(0.6, 1.1), grip, rng.uniform(-50, 50), rng)
        paste(scene, item, extent, middle, rng.uniform(-25, 25), rng)
        if not behind:
            paste(scene, stock.any("hand", rng), extent * rng.uniform(0.4, 0.7), grip, rng.uniform(-50, 50), rng)
        give(name, 0.85)
        give("hand", 0.15)
    return scene, target


def grounds_of(views: list[dict], targets: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Views to paste on: no people, no animals; rooms and what is none of the classes."""
    rooms = {vocabulary.index[n] for n in ("desk or table", "bookshelf", "cabinet", "window or curtain", "bed or sofa", "refrigerator", "monitor or TV")}
    best, animals = targets.argmax(1), set(range(vocabulary.index["dog"], vocabulary.unknown))
    low = np.array([v["source"] in ("tiny", "mini") for v in views])
    fine = (targets[:, vocabulary.index["person"]] < 0.02) & ~np.isin(best, list(animals)) & (targets[:, list(animals)].sum(1) < 0.2)
    good = fine & (np.isin(best, list(rooms)) | (best == vocabulary.unknown))
    index = np.flatnonzero(good)
    # Of images that were small only a third: they are blurred grounds.
    return index[~low[index] | (np.arange(len(index)) % 3 == 0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=Path, required=True)
    parser.add_argument("--cutouts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--part", type=int, default=0, help="others get other scenes")
    parser.add_argument("--held", action="store_true")
    args = parser.parse_args()
    vocabulary = Vocabulary()
    images, teacher, views = load_views(args.views)
    shares = np.load(args.views / "people.npy")
    targets = targets_of(views, teacher, shares, vocabulary)
    grounds = grounds_of(views, targets, vocabulary)
    stock = Stock(args.cutouts / ("held" if args.held else "train"))
    rng = np.random.default_rng([args.held, args.part])
    out = None if args.held else np.empty((args.count, SIDE, SIDE, 3), np.uint8)
    answers = np.zeros((args.count, len(vocabulary.names)), np.float16)
    kinds = list(KINDS)
    for i in tqdm(range(args.count), mininterval=10):
        pick = grounds[rng.integers(len(grounds))]
        ground = light(Image.fromarray(images[pick]), rng)
        if rng.random() < 0.4:
            ground = ground.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
        kind = kinds[rng.choice(len(kinds), p=list(KINDS.values()))]
        scene, target = compose(kind, stock, ground, targets[pick], vocabulary, rng)
        answers[i] = target
        if out is not None:
            out[i] = np.asarray(scene)
        elif target.max() > 0.6:
            folder = args.out / vocabulary.names[int(target.argmax())]
            folder.mkdir(parents=True, exist_ok=True)
            scene.save(folder / f"scenes-{i:05}.png", compress_level=1)
    if out is not None:
        np.save(args.out / f"scenes{args.part}.images.npy", out)
        np.save(args.out / f"scenes{args.part}.targets.npy", answers)


if __name__ == "__main__":
    main()
