"""UPerNet (Xiao et al., ECCV 2018) over the maps of MambaVision's stages: a class for every pixel.

Written from the paper; module names give the keys of mmsegmentation's checkpoints, without the auxiliary head of training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mambavision import MambaVision

POOLS = (1, 2, 3, 6)


class DenseMambaVision(MambaVision):
    """The maps of the four stages before they are reduced, each behind a layer norm; the next stage takes them without it."""

    def __init__(self, **config):
        super().__init__(**config, num_classes=1)
        # What makes labels of whole images.
        del self.norm, self.head
        for stage in range(4):
            setattr(self, f"outnorm{stage}", nn.LayerNorm(config["dim"] << stage))

    def forward(self, x: Tensor) -> list[Tensor]:
        x, maps = self.patch_embed(x), []
        for stage, level in enumerate(self.levels):
            x = level.mixed(x)
            maps.append(getattr(self, f"outnorm{stage}")(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
            x = level.reduced(x)
        return maps


class ConvModule(nn.Module):
    """Convolution without bias, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class UPerHead(nn.Module):
    """Pooled pyramids of the last map, a path from the coarse maps down to the fine ones, and all of them fused."""

    def __init__(self, widths: list[int], channels: int, classes: int):
        super().__init__()
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), ConvModule(widths[-1], channels, 1)) for bins in POOLS)
        self.bottleneck = ConvModule(widths[-1] + len(POOLS) * channels, channels, 3)
        self.lateral_convs = nn.ModuleList(ConvModule(width, channels, 1) for width in widths[:-1])
        self.fpn_convs = nn.ModuleList(ConvModule(channels, channels, 3) for _ in widths[:-1])
        self.fpn_bottleneck = ConvModule(len(widths) * channels, channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        last = maps[-1]
        top = self.bottleneck(torch.cat([last, *(resized(level(last), last) for level in self.psp_modules)], 1))
        laterals = [lateral(x) for lateral, x in zip(self.lateral_convs, maps)] + [top]
        for k in (3, 2, 1):
            laterals[k - 1] = laterals[k - 1] + resized(laterals[k], laterals[k - 1])
        fine = [conv(x) for conv, x in zip(self.fpn_convs, laterals)] + [top]
        return self.conv_seg(self.fpn_bottleneck(torch.cat([resized(x, fine[0]) for x in fine], 1)))


class UPerNet(nn.Module):
    """The whole network; `backbone` has the keys of a `config.json`. Logits are at a quarter of the input's size."""

    def __init__(self, backbone: dict, channels: int, num_classes: int):
        super().__init__()
        self.backbone = DenseMambaVision(**backbone)
        self.decode_head = UPerHead([backbone["dim"] << stage for stage in range(4)], channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x))
