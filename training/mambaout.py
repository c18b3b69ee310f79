"""MambaOut (Yu and Wang, CVPR 2025): the gated convolutions that are left of a Mamba block without its scan.

Written from the paper's equations, in its first form; module names give the keys of the published checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DropPath, drop_rates, init_weights

EPS = 1e-6
# Of a block's width: what its gate and its values have.
EXPANSION = 8 / 3


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of a map (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Stem(nn.Module):
    """Two 3x3 convolutions of stride 2, each with a layer norm, and GELU between them."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, dim // 2, 3, 2, 1)
        self.norm1 = LayerNorm2d(dim // 2, eps=EPS)
        self.conv2 = nn.Conv2d(dim // 2, dim, 3, 2, 1)
        self.norm2 = LayerNorm2d(dim, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(F.gelu(self.norm1(self.conv1(x)))))


class Downsample(nn.Module):
    """3x3 convolution of stride 2, then a layer norm."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 2, 1)
        self.norm = LayerNorm2d(outputs, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class GatedConv(nn.Module):
    """A gate over values of which as many channels as the block is wide are convolved (7x7, depthwise); on (B, H, W, C)."""

    def __init__(self, dim: int, drop: float):
        super().__init__()
        hidden = int(EXPANSION * dim)
        self.widths = [hidden, hidden - dim, dim]
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.fc1 = nn.Linear(dim, 2 * hidden)
        self.conv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.fc2 = nn.Linear(hidden, dim)
        self.drop_path = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        gate, passed, convolved = self.fc1(self.norm(x)).split(self.widths, dim=-1)
        convolved = self.conv(convolved.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.drop_path(self.fc2(F.gelu(gate) * torch.cat([passed, convolved], -1)))


class Stage(nn.Module):
    """The step down from the stage before, and blocks."""

    def __init__(self, downsample: nn.Module, blocks: list[nn.Module]):
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Head(nn.Module):
    """The mean over all pixels, normalised, and an MLP with a norm inside."""

    def __init__(self, dim: int, num_classes: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.pre_logits = nn.ModuleDict({"fc": nn.Linear(dim, 4 * dim), "norm": nn.LayerNorm(4 * dim, eps=EPS)})
        self.fc = nn.Linear(4 * dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.pre_logits["fc"](self.norm(x.mean((2, 3)))))
        return self.fc(self.pre_logits["norm"](x))


class MambaOut(nn.Module):
    """The whole network; arguments are the keys of `config.json`."""

    def __init__(self, depths, dims, num_classes, drop_path=0.0):
        super().__init__()
        self.stem = Stem(dims[0])
        rates = drop_rates(drop_path, depths)
        self.stages = nn.ModuleList(
            Stage(Downsample(dims[stage - 1], dim) if stage else nn.Identity(), [GatedConv(dim, rate) for rate in rates[stage]])
            for stage, dim in enumerate(dims))
        self.head = Head(dims[-1], num_classes)
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x)
