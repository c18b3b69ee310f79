"""MILA, also called MLLA (Han et al., NeurIPS 2024): Mamba's macro design around linear attention with rotary embedding.

Written from the paper's equations; module names give the keys of the published checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import DropPath, Mlp, drop_rates, init_weights

ROPE_BASE = 10_000.0
EPS = 1e-6


class ConvNorm(nn.Module):
    """Convolution, then batch norm and ReLU where asked for."""

    def __init__(self, inp: int, out: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False, norm: bool = True,
                 act: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(inp, out, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(out) if norm else None
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        if self.training and x.device.type == "cpu" and conv.groups > 1 and conv.stride == (2, 2):
            # All positions, then every second one: the gradient of a depthwise convolution with a stride is slow on CPUs.
            x = F.conv2d(x, conv.weight, conv.bias, 1, conv.padding, 1, conv.groups)[..., ::2, ::2]
        else:
            x = conv(x)
        x = x if self.norm is None else self.norm(x)
        return F.relu(x) if self.act else x


class Stem(nn.Module):
    """Stride 2, a residual pair (no activation after the sum), stride 2 to a wide layer, and down to `dim`."""

    def __init__(self, dim: int):
        super().__init__()
        half, wide = dim // 2, dim * 4
        self.conv1 = ConvNorm(3, half, 3, 2)
        self.conv2 = nn.Sequential(ConvNorm(half, half, 3), ConvNorm(half, half, 3, act=False))
        self.conv3 = nn.Sequential(ConvNorm(half, wide, 3, 2), ConvNorm(wide, dim, 1, act=False))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.conv3(x + self.conv2(x))


class PatchMerging(nn.Module):
    """1x1 up, depthwise stride 2, 1x1 down with batch norm; ReLU after the first two."""

    def __init__(self, dim: int):
        super().__init__()
        out = 2 * dim
        wide = 4 * out
        self.conv = nn.Sequential(
            ConvNorm(dim, wide, 1, bias=True, norm=False),
            ConvNorm(wide, wide, 3, 2, groups=wide, bias=True, norm=False),
            ConvNorm(wide, out, 1, bias=True, act=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Pairs x (B, H, W, parts, dim / 2, 2) turned by the angles of table (H, W, dim / 2, 2), as a product of complex numbers: one pass
    over memory, and one for the gradient."""
    return torch.view_as_real(torch.view_as_complex(x) * torch.view_as_complex(table.contiguous())[:, :, None])


class Rope(nn.Module):
    """Rotates neighbouring channels by angles that grow with the row (first half of the pairs) and the column (second half).

    The table is a buffer because published checkpoints carry it; other input sizes get a table of their own.
    """

    def __init__(self, height: int, width: int, dim: int):
        super().__init__()
        self.dim = dim
        self.register_buffer("rotations", self.table(height, width))

    def table(self, height: int, width: int) -> Tensor:
        """(height, width, dim / 2, 2): cosines and sines."""
        count = self.dim // 4
        theta = 1.0 / ROPE_BASE ** (torch.arange(count, dtype=torch.float32) / count)
        rows = (torch.arange(height)[:, None] * theta)[:, None].expand(height, width, count)
        cols = (torch.arange(width)[:, None] * theta)[None].expand(height, width, count)
        angle = torch.cat([rows, cols], -1)
        return torch.stack([angle.cos(), angle.sin()], -1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, H, W, parts * dim) in f32."""
        b, h, w, c = x.shape
        table = self.rotations if self.rotations.shape[:2] == (h, w) else self.table(h, w).to(x.device)
        return rotate(x.view(b, h, w, c // self.dim, self.dim // 2, 2), table).view(b, h, w, c)


class LinearAttention(nn.Module):
    """Attention without softmax: positive features ELU + 1, rotated in the product but not in the normaliser."""

    def __init__(self, dim: int, heads: int, resolution: tuple[int, int], qkv_bias: bool):
        super().__init__()
        self.heads = heads
        self.qk = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.lepe = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.rope = Rope(*resolution, dim)

    def forward(self, v: Tensor) -> Tensor:
        """v (B, H, W, C)."""
        b, h, w, c = v.shape
        n, heads = h * w, self.heads
        lepe = depthwise(self.lepe, v)
        qk = self.qk(v)
        with torch.autocast(v.device.type, enabled=False):
            qk = F.elu(qk.float()) + 1.0
            split = lambda t: t.reshape(b, n, heads, c // heads).transpose(1, 2)
            q, k = (split(t) for t in qk.chunk(2, dim=-1))
            q_rot, k_rot = (split(t) for t in self.rope(qk).chunk(2, dim=-1))
            z = 1.0 / (q @ k.mean(2, keepdim=True).transpose(-1, -2) + EPS)
            kv = (k_rot.transpose(-1, -2) * n**-0.5) @ (split(v.float()) * n**-0.5)
            y = (q_rot @ kv) * z
        return y.transpose(1, 2).reshape(b, h, w, c).to(lepe.dtype) + lepe


def depthwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution on channels-last (B, H, W, C); both permutations are views."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Block(nn.Module):
    """Gated linear attention and MLP, each after a convolutional position encoding."""

    def __init__(self, dim: int, heads: int, resolution: tuple[int, int], mlp_ratio: float, qkv_bias: bool, drop: float):
        super().__init__()
        self.cpe1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, dim)
        self.act_proj = nn.Linear(dim, dim)
        self.dwc = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.attn = LinearAttention(dim, heads, resolution, qkv_bias)
        self.out_proj = nn.Linear(dim, dim)
        self.cpe2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, H, W, C)."""
        x = x + depthwise(self.cpe1, x)
        h = self.norm1(x)
        gate = F.silu(self.act_proj(h))
        v = F.silu(depthwise(self.dwc, self.in_proj(h)))
        x = x + self.drop_path(self.out_proj(self.attn(v) * gate))
        x = x + depthwise(self.cpe2, x)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Layer(nn.Module):
    """The blocks of a stage and the step down to the next."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x)
        x = x.permute(0, 3, 1, 2)
        return x if self.downsample is None else self.downsample(x)


class Mila(nn.Module):
    """The whole network; arguments are the keys of `config.json`."""

    def __init__(self, embed_dim, depths, num_heads, num_classes, resolution, mlp_ratio=4.0, qkv_bias=True, drop_path=0.0):
        super().__init__()
        rates = drop_rates(drop_path, depths)
        self.patch_embed = Stem(embed_dim)
        layers = []
        for stage, depth in enumerate(depths):
            dim = embed_dim << stage
            # Every step down is a 3x3 convolution of stride 2 and padding 1, so odd sizes round up.
            size = resolution
            for _ in range(stage + 2):
                size = -(-size // 2)
            blocks = [Block(dim, num_heads[stage], (size, size), mlp_ratio, qkv_bias, rates[stage][i]) for i in range(depth)]
            layers.append(Layer(blocks, PatchMerging(dim) if stage < 3 else None))
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(embed_dim << 3)
        self.head = nn.Linear(embed_dim << 3, num_classes)
        self.apply(init_weights)

    def at_resolution(self, size: int, configured: int) -> None:
        """Nothing to do: rotation tables follow the input."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x.permute(0, 2, 3, 1)).mean((1, 2)))
