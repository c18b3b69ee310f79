"""Writes the packed images as files, one folder a class and without loss, for tools that read folders.

    python -m training.unpack --data everyday64 --cache CACHE --out DIR [--split val|train|all] [--source 0]
    webmamba eval --data DIR
"""

import argparse
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from .data import SOURCES, Everyday


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the decoded images")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument("--split", choices=["val", "train", "all"], default="val", help="all: of a packed set that is apart as a whole")
    parser.add_argument("--source", type=int, choices=range(len(SOURCES)), help=", ".join(f"{i} {s}" for i, s in enumerate(SOURCES)))
    args = parser.parse_args()
    data = Everyday(args.data, args.cache)
    index = data.indices(args.split)
    if args.source is not None:
        index = index[data.source[index] == args.source]
    # Of images of another run nothing may stay.
    args.out.mkdir(parents=True)
    for i in tqdm(index.tolist(), unit="img"):
        folder = args.out / data.names[data.labels[i]]
        folder.mkdir(exist_ok=True)
        Image.fromarray(data.images[i].numpy()).save(folder / f"{i:05}.png", compress_level=1)


if __name__ == "__main__":
    main()
