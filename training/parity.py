"""PyTorch's logits for 64 pieces of the photographs in `tests/images`: the fixture that the runtime is held against.

    python -m training.parity --models models/mamba_vision_nano models/mila_nano --out tests/fixtures/nano_logits.safetensors

Piece i is cut, without any resizing, from photograph i mod 4 at (37 i mod (width - S + 1), 53 i mod (height - S + 1)), where S is
the input size of the model.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from .evaluate import load, prepare

IMAGES = Path(__file__).parents[1] / "tests" / "images"
PHOTOS = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg")
COUNT = 64


def pieces(size: int) -> Tensor:
    """uint8 (COUNT, size, size, 3)."""
    photos = [np.asarray(Image.open(IMAGES / name).convert("RGB")) for name in PHOTOS]
    out = []
    for i in range(COUNT):
        photo = photos[i % len(photos)]
        left, top = 37 * i % (photo.shape[1] - size + 1), 53 * i % (photo.shape[0] - size + 1)
        out.append(torch.from_numpy(photo[top : top + size, left : left + size].copy()))
    return torch.stack(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="exported folders")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    logits = {}
    for folder in args.models:
        model, config = load(folder)
        with torch.no_grad():
            logits[folder.name] = model(prepare(pieces(config["resolution"]), config["resolution"])).contiguous()
    save_file(logits, args.out)


if __name__ == "__main__":
    main()
