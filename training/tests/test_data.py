"""The packed format, the validation split, and images as files."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from .. import unpack
from ..data import SIZE, Everyday, decode, sampling_weights

COUNT = 120


def encoded(width: int, height: int, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture
def packed(tmp_path):
    """Two shards of three classes from two sources."""
    root = tmp_path / "data"
    root.mkdir()
    (root / "classes.json").write_text(json.dumps({"names": ["cat", "cup", "key"]}))
    for shard in range(2):
        files = [encoded(SIZE, SIZE, COUNT * shard + i) for i in range(COUNT // 2)]
        (root / f"train{shard}.jpgs").write_bytes(b"".join(files))
        np.save(root / f"train{shard}.offsets.npy", np.cumsum([0] + [len(f) for f in files]))
        index = np.arange(COUNT // 2)
        np.save(root / f"train{shard}.labels.npy", (index % 3).astype(np.uint8))
        np.save(root / f"train{shard}.source.npy", (index % 2).astype(np.uint8))
    return root


def test_other_sizes_are_cut_to_their_middle():
    image = Image.new("RGB", (200, 100), "black")
    image.paste("white", (50, 0, 150, 100))
    file = io.BytesIO()
    image.save(file, "PNG")
    assert decode(file.getvalue()).shape == (SIZE, SIZE, 3) and decode(file.getvalue()).min() == 255


def test_the_split_is_fixed_and_takes_of_every_class_and_source(packed, tmp_path):
    data = Everyday(packed, tmp_path / "cache")
    train, held = data.split()
    assert sorted(train.tolist() + held.tolist()) == list(range(COUNT))
    assert held.tolist() == Everyday(packed, tmp_path / "cache").split()[1].tolist() == data.indices("val").tolist()
    pairs = lambda index: set(zip(data.labels[index].tolist(), data.source[index].tolist()))
    assert pairs(held) == pairs(train) and len(held) == COUNT // 10
    assert data.indices("all").tolist() == list(range(COUNT))


def test_a_cache_of_other_data_is_refused(packed, tmp_path):
    Everyday(packed, tmp_path / "cache")
    for part in ("offsets", "labels", "source"):
        (packed / f"train1.{part}.npy").unlink()
    with pytest.raises(ValueError, match="remove the former"):
        Everyday(packed, tmp_path / "cache")


@pytest.mark.parametrize("arguments, count", [([], COUNT // 10), (["--split", "all"], COUNT), (["--split", "all", "--source", "1"], COUNT // 2)])
def test_unpacked_images_are_the_decoded_ones(packed, tmp_path, monkeypatch, arguments, count):
    out = tmp_path / "files"
    monkeypatch.setattr(sys, "argv", ["unpack", "--data", str(packed), "--cache", str(tmp_path / "cache"), "--out", str(out), *arguments])
    unpack.main()
    files = sorted(out.glob("*/*.png"))
    assert len(files) == count
    data = Everyday(packed, tmp_path / "cache")
    for file in files:
        index = int(file.stem)
        assert file.parent.name == data.names[data.labels[index]]
        assert np.array_equal(np.asarray(Image.open(file)), data.images[index].numpy())


def test_thin_classes_are_seen_more_often():
    labels = torch.tensor([0] * 90 + [1] * 10)
    for power, share in ((0.0, 0.1), (0.5, 0.25), (1.0, 0.5)):
        weights = sampling_weights(labels, power)
        assert weights[labels == 1].sum() / weights.sum() == pytest.approx(share)
