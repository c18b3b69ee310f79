"""The set that is trained on: views with the teacher's answers, composed scenes, and what each should be called."""

from pathlib import Path

import numpy as np
import torch

from .sources import Vocabulary
from .targets import load_views, targets_of

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class TrainingSet:
    """uint8 images (N, S, S, 3) that stay in their files until they are asked for, and targets (N, classes)."""

    def __init__(self, root: str | Path, vocabulary: Vocabulary):
        root = Path(root)
        parts = sorted(root.glob("[0-9]*.images.npy"))
        if not parts:
            raise FileNotFoundError(f"no views in {root}: make them with `python -m training.views`")
        self.files = [np.load(p, mmap_mode="r") for p in parts]
        _, teacher, views = load_views(root, images=False)
        targets = [targets_of(views, teacher, np.load(root / "people.npy"), vocabulary)]
        self.scenes = 0
        for path in sorted(root.glob("scenes*.images.npy")):
            self.files.append(np.load(path, mmap_mode="r"))
            targets.append(np.load(path.with_name(path.name.replace("images", "targets"))).astype(np.float32))
            self.scenes += len(targets[-1])
        self.targets = torch.from_numpy(np.concatenate(targets))
        self.starts = np.cumsum([0] + [len(f) for f in self.files])
        if self.starts[-1] != len(self.targets):
            raise ValueError(f"{root} holds {self.starts[-1]} images and {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.targets)

    def images(self, index: torch.Tensor) -> torch.Tensor:
        """(B, S, S, 3)."""
        places = index.numpy()
        file = np.searchsorted(self.starts, places, side="right") - 1
        return torch.from_numpy(np.stack([self.files[f][i - self.starts[f]] for f, i in zip(file, places)]))

    def weights(self, power: float, shares: dict[str, float], vocabulary: Vocabulary) -> torch.Tensor:
        """How often each image is drawn: classes in proportion to their count to the power `1 - power` (0 as found, 1 all alike),
        then the scenes (`scenes`) and named classes brought to fixed shares of the whole."""
        first = self.targets.argmax(1)
        counts = torch.bincount(first, minlength=self.targets.shape[1]).clamp(min=1).double()
        weight = counts[first] ** -power
        scene = torch.zeros(len(weight), dtype=torch.bool)
        scene[len(weight) - self.scenes :] = True
        groups = {name: scene if name == "scenes" else ~scene & (first == vocabulary.index[name]) for name in shares}
        rest = ~torch.stack(list(groups.values())).any(0) if groups else torch.ones_like(scene)
        left = 1 - sum(share for name, share in shares.items() if groups[name].any())
        weight[rest] *= left / weight[rest].sum()
        for name, members in groups.items():
            if members.any():
                weight[members] *= shares[name] / weight[members].sum()
        return weight


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Float images 0..1 `(B, 3, H, W)` to what the network reads."""
    mean, std = (torch.tensor(v, device=images.device, dtype=images.dtype).view(1, 3, 1, 1) for v in (MEAN, STD))
    return torch.addcmul(-mean / std, images, 1 / std)
