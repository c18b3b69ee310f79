"""Vim (Zhu et al., ICML 2024): a plain stack of Mamba blocks that scan the tokens of an image forwards and backwards.

Written from the paper's equations; module names give the keys of the published checkpoints: a class token in the middle, RMS norms, and
a residual that runs beside the blocks.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import init_weights
from .scan import selective_scan

EPS = 1e-5


class RmsNorm(nn.Module):
    """Divides by the root of the mean square over channels; no bias."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * self.weight


class BidirectionalMixer(nn.Module):
    """One projection in and out, and between them for each direction a causal convolution, a selective scan and the gate."""

    def __init__(self, dim: int, d_state: int, d_conv: int, expand: int, dt_rank: int):
        super().__init__()
        inner = dim * expand
        self.inner, self.d_state, self.d_conv, self.rank = inner, d_state, d_conv, dt_rank
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        for suffix, a_log in ("", "A_log"), ("_b", "A_b_log"):
            setattr(self, f"conv1d{suffix}", nn.Conv1d(inner, inner, d_conv, groups=inner))
            setattr(self, f"x_proj{suffix}", nn.Linear(inner, dt_rank + 2 * d_state, bias=False))
            setattr(self, f"dt_proj{suffix}", nn.Linear(dt_rank, inner))
            setattr(self, a_log, nn.Parameter(torch.arange(1, d_state + 1).float().log().repeat(inner, 1)))
            setattr(self, f"D{suffix}", nn.Parameter(torch.ones(inner)))
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def reset_parameters(self) -> None:
        """Called after the generic initialisation: time steps spread evenly in their logarithm from 0.001 to 0.1."""
        for dt_proj in self.dt_proj, self.dt_proj_b:
            nn.init.uniform_(dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
            dt = torch.exp(torch.empty(self.inner).uniform_(math.log(0.001), math.log(0.1)))
            with torch.no_grad():
                dt_proj.bias.copy_(torch.log(torch.expm1(dt)))

    def direction(self, x: Tensor, z: Tensor, suffix: str, a_log: Tensor) -> Tensor:
        """(B, L, inner) in the direction's own order."""
        conv, dt_proj = getattr(self, f"conv1d{suffix}"), getattr(self, f"dt_proj{suffix}")
        padded = F.pad(x.transpose(1, 2), (self.d_conv - 1, 0))
        u = F.silu(conv(padded)).transpose(1, 2)
        dt, b, c = getattr(self, f"x_proj{suffix}")(u).split([self.rank, self.d_state, self.d_state], dim=-1)
        delta = F.linear(dt, dt_proj.weight)
        y = selective_scan(u, delta, -torch.exp(a_log.float()), b, c, getattr(self, f"D{suffix}"), dt_proj.bias)
        return y * F.silu(z)

    def forward(self, x: Tensor) -> Tensor:
        x, z = self.in_proj(x).split(self.inner, dim=-1)
        forwards = self.direction(x, z, "", self.A_log)
        backwards = self.direction(x.flip(1), z.flip(1), "_b", self.A_b_log).flip(1)
        return self.out_proj((forwards + backwards) / 2)


class Layer(nn.Module):
    """A mixer behind an RMS norm."""

    def __init__(self, dim: int, mixer: nn.Module):
        super().__init__()
        self.mixer = mixer
        self.norm = RmsNorm(dim)

    def forward(self, residual: Tensor) -> Tensor:
        return self.mixer(self.norm(residual))


class PatchEmbed(nn.Module):
    """A convolution; with a stride below the patch size patches overlap."""

    def __init__(self, dim: int, patch: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Vim(nn.Module):
    """The whole network; arguments are the keys of `config.json`."""

    def __init__(self, embed_dim, depth, num_classes, resolution=224, patch_size=16, stride=16, d_state=16, d_conv=4, expand=2,
                 dt_rank=None):
        super().__init__()
        self.middle = ((resolution - patch_size) // stride + 1) ** 2 // 2
        tokens = ((resolution - patch_size) // stride + 1) ** 2 + 1
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, embed_dim))
        self.patch_embed = PatchEmbed(embed_dim, patch_size, stride)
        self.head = nn.Linear(embed_dim, num_classes)
        rank = dt_rank or math.ceil(embed_dim / 16)
        self.layers = nn.ModuleList(
            Layer(embed_dim, BidirectionalMixer(embed_dim, d_state, d_conv, expand, rank)) for _ in range(depth))
        self.norm_f = RmsNorm(embed_dim)
        self.apply(init_weights)
        for token in self.cls_token, self.pos_embed:
            nn.init.trunc_normal_(token, std=0.02)
        for layer in self.layers:
            layer.mixer.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        before, after = x[:, : self.middle], x[:, self.middle :]
        residual = torch.cat([before, self.cls_token.expand(x.shape[0], -1, -1), after], 1) + self.pos_embed
        for layer in self.layers:
            residual = residual + layer(residual)
        return self.head(self.norm_f(residual[:, self.middle]))
