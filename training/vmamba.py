"""VMamba (Liu et al., NeurIPS 2024), second version: a pyramid of blocks that scan a map in four directions.

Written from the paper's equations; module names give the keys of the published checkpoints.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DropPath, Mlp, drop_rates, init_weights
from .scan import selective_scan


class ToLast(nn.Module):
    """Channels behind the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class ToFirst(nn.Module):
    """Channels before the pixels, as convolutions take them."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2)


def cross_scan(x: Tensor) -> list[Tensor]:
    """The tokens (B, L, C) of a map (B, H, W, C) row by row, column by column, and both backwards."""
    rows, columns = x.flatten(1, 2), x.transpose(1, 2).flatten(1, 2)
    return [rows, columns, rows.flip(1), columns.flip(1)]


def cross_merge(y: list[Tensor], height: int, width: int) -> Tensor:
    """The map of which the four sequences are; they add up."""
    rows = y[0] + y[2].flip(1)
    columns = y[1] + y[3].flip(1)
    return rows.unflatten(1, (height, width)) + columns.unflatten(1, (width, height)).transpose(1, 2)


class CrossScan(nn.Module):
    """A depthwise convolution and a selective scan in four directions between two projections."""

    def __init__(self, dim: int, d_state: int, ratio: float):
        super().__init__()
        inner, self.rank, self.d_state = int(dim * ratio), math.ceil(dim / 16), d_state
        self.x_proj_weight = nn.Parameter(torch.randn(4, self.rank + 2 * d_state, inner) * inner**-0.5)
        self.A_logs = nn.Parameter(torch.arange(1, d_state + 1).float().log().repeat(4 * inner, 1))
        self.Ds = nn.Parameter(torch.ones(4 * inner))
        # Time steps spread evenly in their logarithm from 0.001 to 0.1.
        dt = torch.exp(torch.empty(4, inner).uniform_(math.log(0.001), math.log(0.1)))
        self.dt_projs_weight = nn.Parameter(torch.empty(4, inner, self.rank).uniform_(-(self.rank**-0.5), self.rank**-0.5))
        self.dt_projs_bias = nn.Parameter(torch.log(torch.expm1(dt)))
        self.out_norm = nn.LayerNorm(inner)
        self.in_proj = nn.Linear(dim, inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        x = F.silu(self.conv2d(self.in_proj(x).permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        y = []
        a, d = -torch.exp(self.A_logs.float()).unflatten(0, (4, -1)), self.Ds.unflatten(0, (4, -1))
        for k, u in enumerate(cross_scan(x)):
            dt, b, c = F.linear(u, self.x_proj_weight[k]).split([self.rank, self.d_state, self.d_state], dim=-1)
            y.append(selective_scan(u, F.linear(dt, self.dt_projs_weight[k]), a[k], b, c, d[k], self.dt_projs_bias[k]))
        return self.out_proj(self.out_norm(cross_merge(y, x.shape[1], x.shape[2])))


class Block(nn.Module):
    """Scan and MLP, each behind a layer norm and around a shortcut."""

    def __init__(self, dim: int, d_state: int, ratio: float, mlp_ratio: float, drop: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.op = CrossScan(dim, d_state, ratio)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.op(self.norm(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


def reduction(inputs: int, outputs: int) -> list[nn.Module]:
    """A convolution of stride 2 and a norm, on maps whose channels are behind."""
    return [ToFirst(), nn.Conv2d(inputs, outputs, 3, 2, 1), ToLast(), nn.LayerNorm(outputs)]


class Stage(nn.Module):
    """Blocks, and the step down to the next stage."""

    def __init__(self, blocks: list[nn.Module], downsample: list[nn.Module]):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        # The keys of the published files are the places of a sequence that begins with a change of layout.
        self.downsample = nn.Sequential(*downsample) if downsample else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.blocks(x))


class VMamba(nn.Module):
    """The whole network; arguments are the keys of `config.json`."""

    def __init__(self, dims, depths, num_classes, ssm_d_state=1, ssm_ratio=1.0, mlp_ratio=4.0, drop_path=0.0):
        super().__init__()
        half = dims[0] // 2
        self.patch_embed = nn.Sequential(
            nn.Conv2d(3, half, 3, 2, 1), ToLast(), nn.LayerNorm(half), ToFirst(), nn.GELU(),
            nn.Conv2d(half, dims[0], 3, 2, 1), ToLast(), nn.LayerNorm(dims[0]))
        rates, stages = drop_rates(drop_path, depths), []
        for stage, (dim, depth) in enumerate(zip(dims, depths)):
            blocks = [Block(dim, ssm_d_state, ssm_ratio, mlp_ratio, rates[stage][i]) for i in range(depth)]
            stages.append(Stage(blocks, reduction(dim, dims[stage + 1]) if stage + 1 < len(dims) else []))
        self.layers = nn.ModuleList(stages)
        self.classifier = nn.ModuleDict({"norm": nn.LayerNorm(dims[-1]), "head": nn.Linear(dims[-1], num_classes)})
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        return self.classifier["head"](self.classifier["norm"](x).mean((1, 2)))
