"""MambaVision (Hatamizadeh and Kautz, CVPR 2025): two convolutional stages, then two of Mamba mixers and windowed attention.

Written from the paper's equations; module names give the keys of the published checkpoints. What the paper leaves open is as
those checkpoints need it: the bias of `dt_proj` acts twice (in the projection and before the softplus), the 1-D convolutions
are centred and have no bias, and the branch without a scan is concatenated instead of being a gate.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DropPath, Mlp, drop_rates, init_weights
from .scan import selective_scan

STEM_EPS = 1e-4


class PatchEmbed(nn.Module):
    """Two 3x3 convolutions of stride 2, each with batch norm and ReLU."""

    def __init__(self, in_dim: int, dim: int):
        super().__init__()
        self.conv_down = nn.Sequential(
            nn.Conv2d(3, in_dim, 3, 2, 1, bias=False), nn.BatchNorm2d(in_dim, eps=STEM_EPS), nn.ReLU(inplace=True),
            nn.Conv2d(in_dim, dim, 3, 2, 1, bias=False), nn.BatchNorm2d(dim, eps=STEM_EPS), nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_down(x)


class ConvBlock(nn.Module):
    """Residual pair of 3x3 convolutions (tanh GELU)."""

    def __init__(self, dim: int, drop: float, layer_scale: float | None):
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, 1, 1)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv2 = nn.Conv2d(dim, dim, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(dim)
        self.gamma = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale else None
        self.drop_path = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.norm1(self.conv1(x)), approximate="tanh")
        h = self.norm2(self.conv2(h))
        if self.gamma is not None:
            h = h * self.gamma.view(1, -1, 1, 1)
        return x + self.drop_path(h)


class MambaMixer(nn.Module):
    """One projection to two branches: the first is convolved and scanned, the second only convolved; both meet in `out_proj`."""

    def __init__(self, dim: int, d_state: int, d_conv: int, expand: int):
        super().__init__()
        inner = dim * expand
        self.half, self.d_state, self.rank, self.d_conv = inner // 2, d_state, math.ceil(dim / 16), d_conv
        self.in_proj = nn.Linear(dim, inner, bias=False)
        self.x_proj = nn.Linear(self.half, self.rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.rank, self.half)
        self.A_log = nn.Parameter(torch.arange(1, d_state + 1).float().log().repeat(self.half, 1))
        self.D = nn.Parameter(torch.ones(self.half))
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.conv1d_x = nn.Conv1d(self.half, self.half, d_conv, groups=self.half, bias=False)
        self.conv1d_z = nn.Conv1d(self.half, self.half, d_conv, groups=self.half, bias=False)

    def reset_parameters(self) -> None:
        """Called after the generic initialisation: time steps spread over a decade and a half around 0.1."""
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        dt = torch.exp(torch.empty(self.half).uniform_(math.log(0.01), math.log(0.4)))
        with torch.no_grad():
            # Halved, because the bias acts twice.
            self.dt_proj.bias.copy_(torch.log(torch.expm1(dt)) / 2)

    def forward(self, x: Tensor) -> Tensor:
        taps = torch.cat([self.conv1d_x.weight, self.conv1d_z.weight])
        xz = F.silu(depthwise1d(self.in_proj(x), taps))
        u, z = xz.split(self.half, dim=-1)
        dt, b, c = self.x_proj(u).split([self.rank, self.d_state, self.d_state], dim=-1)
        a = -torch.exp(self.A_log.float())
        y = selective_scan(u, self.dt_proj(dt), a, b, c, self.D, self.dt_proj.bias)
        return self.out_proj(torch.cat([y.to(z.dtype), z], dim=-1))


def depthwise1d(x: Tensor, taps: Tensor) -> Tensor:
    """Centred depthwise convolution over the tokens of (B, L, C); sums of shifted copies, which need no transposes."""
    k, length = taps.shape[-1], x.shape[1]
    taps = taps.to(x.dtype)
    padded = F.pad(x, (0, 0, k // 2, k // 2))
    return sum(padded[:, i : i + length] * taps[:, 0, i] for i in range(k))


class Attention(nn.Module):
    """Multi-head self-attention within a window."""

    def __init__(self, dim: int, heads: int, qkv_bias: bool):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        # Spelled out: for windows this small the fused kernel's gradient is far slower on CPUs.
        weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).float().softmax(-1)
        h = weights.to(v.dtype) @ v
        return self.proj(h.transpose(1, 2).reshape(b, n, c))


class MixerBlock(nn.Module):
    """Token mixer and MLP, each behind a layer norm and around a shortcut."""

    def __init__(self, dim: int, mixer: nn.Module, mlp_ratio: float, drop: float, layer_scale: float | None):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.gamma_1 = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale else None
        self.gamma_2 = nn.Parameter(torch.full((dim,), layer_scale)) if layer_scale else None
        self.drop_path = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        for norm, branch, gamma in (self.norm1, self.mixer, self.gamma_1), (self.norm2, self.mlp, self.gamma_2):
            h = branch(norm(x))
            x = x + self.drop_path(h if gamma is None else h * gamma)
        return x


class Downsample(nn.Module):
    """3x3 convolution of stride 2 to twice the channels."""

    def __init__(self, dim: int):
        super().__init__()
        self.reduction = nn.Sequential(nn.Conv2d(dim, 2 * dim, 3, 2, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(x)


class Level(nn.Module):
    """The blocks of a stage and the step down to the next; with a window the blocks work on windows of tokens."""

    def __init__(self, blocks: list[nn.Module], window: int | None, downsample: nn.Module | None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.window = window
        self.downsample = downsample

    def mixed(self, x: Tensor) -> Tensor:
        """The map of the stage, which dense models take."""
        if self.window is not None:
            return self.on_windows(x, self.window)
        for block in self.blocks:
            x = block(x)
        return x

    def reduced(self, x: Tensor) -> Tensor:
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduced(self.mixed(x))

    def on_windows(self, x: Tensor, size: int) -> Tensor:
        """Incomplete windows are filled up with zeros, which then take part like any token."""
        b, c, h, w = x.shape
        x = x.permute(0, 2, 3, 1)
        rows, cols = -(-h // size), -(-w // size)
        padded = (rows * size, cols * size) != (h, w)
        if padded:
            x = F.pad(x, (0, 0, 0, cols * size - w, 0, rows * size - h))
        x = x.reshape(b, rows, size, cols, size, c).transpose(2, 3).reshape(b * rows * cols, size * size, c)
        for block in self.blocks:
            x = block(x)
        x = x.reshape(b, rows, cols, size, size, c).transpose(2, 3).reshape(b, rows * size, cols * size, c)
        return x[:, :h, :w].permute(0, 3, 1, 2)


class MambaVision(nn.Module):
    """The whole network; arguments are the keys of `config.json`."""

    def __init__(self, dim, in_dim, depths, num_heads, window_size, num_classes, mlp_ratio=4.0, layer_scale=None,
                 layer_scale_conv=None, d_state=8, d_conv=3, expand=1, qkv_bias=True, drop_path=0.0):
        super().__init__()
        # Files may say `true` where the initial value is of no interest.
        scale, scale_conv = (1e-5 if s is True else s for s in (layer_scale, layer_scale_conv))
        rates = drop_rates(drop_path, depths)
        self.patch_embed = PatchEmbed(in_dim, dim)
        levels = []
        for stage, depth in enumerate(depths):
            c = dim << stage
            if stage < 2:
                blocks = [ConvBlock(c, rates[stage][i], scale_conv) for i in range(depth)]
            else:
                # The first half of the blocks (of an odd number the larger) scan, the rest attend.
                mixers = [MambaMixer(c, d_state, d_conv, expand) if i < (depth + 1) // 2 else Attention(c, num_heads[stage], qkv_bias)
                          for i in range(depth)]
                blocks = [MixerBlock(c, m, mlp_ratio, rates[stage][i], scale) for i, m in enumerate(mixers)]
            levels.append(Level(blocks, window_size[stage] if stage >= 2 else None, Downsample(c) if stage < 3 else None))
        self.levels = nn.ModuleList(levels)
        self.window_size = window_size
        self.norm = nn.BatchNorm2d(dim << 3)
        self.head = nn.Linear(dim << 3, num_classes)
        self.apply(init_weights)
        for module in self.modules():
            if isinstance(module, MambaMixer):
                module.reset_parameters()

    def at_resolution(self, size: int, configured: int) -> None:
        """Scales the windows for inputs of `size` pixels, where the configuration means `configured`."""
        for level, window in zip(self.levels, self.window_size):
            if level.window is not None:
                level.window = max(1, round(window * size / configured))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for level in self.levels:
            x = level(x)
        return self.head(self.norm(x).mean((2, 3)))
