"""The packed everyday64 data: decoding once to one array, a fixed validation split, class weights.

The format: `trainK.jpgs` are concatenated JPEG files, `trainK.offsets.npy` where they start, `trainK.labels.npy` and
`trainK.source.npy` their classes and origins; `classes.json` names the classes.
"""

import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

SIZE = 64
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SOURCES = ("Tiny-ImageNet-200", "Caltech-101", "Grocery Store")


def decode(data: bytes) -> np.ndarray:
    """(64, 64, 3) uint8; an image that is larger or not square is cut to its middle and reduced."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.size != (SIZE, SIZE):
        side = min(image.size)
        left, top = ((extent - side) // 2 for extent in image.size)
        image = image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.LANCZOS)
    return np.asarray(image)


class Everyday:
    """All images as uint8 `(N, 64, 64, 3)`, memory-mapped from `cache`, with labels and sources."""

    def __init__(self, root: str | Path, cache: str | Path):
        root, cache = Path(root), Path(cache)
        self.names = json.loads((root / "classes.json").read_text())["names"]
        shards = sorted(root.glob("*.offsets.npy"))
        if not shards:
            raise FileNotFoundError(f"no *.offsets.npy in {root}")
        part = lambda kind: np.concatenate([np.load(str(s).replace("offsets", kind)) for s in shards])
        self.labels = torch.from_numpy(part("labels").astype(np.int64))
        self.source = torch.from_numpy(part("source").astype(np.int64))
        path = cache / "images64.npy"
        if not path.exists():
            self._decode(shards, path)
        # Read into memory: 900 MB, and random access to a cold mapping would stall the first epoch.
        self.images = torch.from_numpy(np.load(path))
        if len(self.images) != len(self.labels):
            raise ValueError(f"{path} holds {len(self.images)} images, {root} {len(self.labels)}: remove the former")

    def _decode(self, shards: list[Path], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        out = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(self.labels), SIZE, SIZE, 3))
        at = 0
        for shard in shards:
            offsets = np.load(shard)
            blob = np.fromfile(str(shard).replace("offsets.npy", "jpgs"), np.uint8)
            for start, end in tqdm(list(zip(offsets[:-1], offsets[1:])), desc=shard.name, unit="img"):
                out[at] = decode(blob[start:end].tobytes())
                at += 1
        out.flush()
        # Renamed only when complete, so that an interrupted run leaves no half-filled cache.
        partial.rename(path)

    def split(self, fraction: float = 0.1, seed: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices of training and validation images: of every pair of class and source the same fraction, at least one of two."""
        generator = torch.Generator().manual_seed(seed)
        key = self.labels * 8 + self.source
        held = torch.zeros(len(key), dtype=torch.bool)
        for value in key.unique():
            members = (key == value).nonzero().flatten()
            members = members[torch.randperm(len(members), generator=generator)]
            count = 0 if len(members) < 2 else max(1, round(fraction * len(members)))
            held[members[:count]] = True
        return (~held).nonzero().flatten(), held.nonzero().flatten()

    def indices(self, part: str) -> torch.Tensor:
        """Of `train`, `val` or `all` images."""
        train, held = self.split()
        return {"train": train, "val": held, "all": torch.arange(len(self.labels))}[part]


def sampling_weights(labels: torch.Tensor, power: float = 0.5) -> torch.Tensor:
    """A weight an image: classes appear in proportion to their count to the power `1 - power` (0 as found, 1 all alike)."""
    counts = labels.bincount().clamp(min=1).double()
    return counts[labels] ** -power


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Float images 0..1 `(B, 3, H, W)` to what the network reads."""
    mean, std = (torch.tensor(v, device=images.device, dtype=images.dtype).view(1, 3, 1, 1) for v in (MEAN, STD))
    return torch.addcmul(-mean / std, images, 1 / std)
