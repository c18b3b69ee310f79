"""Augmentation of whole batches with tensor operations: geometry, colour, what a camera does to an image, and mixing.

Everything happens on the device of the batch, without a loop over images, so that a CPU spends its time on the network.
"""

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Augment:
    """Strengths; `probability` fields say how many images of a batch are touched."""

    scale: tuple[float, float] = (0.35, 1.15)  # area of the crop over the image's; above 1 the border is mirrored
    close_up: float = 0.2  # share of the images of which only such an area is shown, as when a thing is held up to a camera
    close_up_scale: tuple[float, float] = (0.1, 0.4)
    aspect: float = 4 / 3
    rotate: float = 12.0  # degrees
    shear: float = 0.12
    off_centre: float = 0.12  # shift beyond what the crop allows, of the image's side
    brightness: float = 0.35
    contrast: float = 0.35
    saturation: float = 0.6
    white_balance: float = 0.22  # gain of red and blue
    curve: float = 0.2
    gamma: float = 0.25
    grey: float = 0.1
    posterise: float = 0.05
    invert: float = 0.0
    blur: float = 0.25
    sharpen: float = 0.15
    low_resolution: float = 0.08
    noise: float = 0.25
    noise_sigma: float = 0.06
    jpeg: float = 0.12
    erase: float = 0.1

    def __call__(self, images: Tensor, size: int) -> Tensor:
        """uint8 (B, H, W, 3) to float 0..1 (B, 3, size, size), channels-last in memory."""
        x = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 255
        x = self.geometry(x, size)
        x = self.colour(x)
        x = self.camera(x)
        x = on_subset(x.clamp_(0, 1), self.erase, erase)
        return x.contiguous(memory_format=torch.channels_last)

    def geometry(self, x: Tensor, size: int) -> Tensor:
        """Crop, shift, stretch, turn, shear and flip in one resampling."""
        b, dev = x.shape[0], x.device
        close = torch.rand(b, device=dev) < self.close_up
        area = torch.where(close, between(b, *self.close_up_scale, dev), between(b, *self.scale, dev))
        ratio = torch.exp(between(b, -1, 1, dev) * math.log(self.aspect))
        w, h = (area * ratio).sqrt(), (area / ratio).sqrt()
        angle = between(b, -1, 1, dev) * math.radians(self.rotate)
        shear = between(b, -1, 1, dev) * self.shear
        flip = torch.where(torch.rand(b, device=dev) < 0.5, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        # Close-ups stay near the middle, where the thing is.
        room = lambda extent: (1 - extent).clamp(min=0) * torch.where(close, 0.5, 1.0) + self.off_centre
        tx, ty = (between(b, -1, 1, dev) * room(e) for e in (w, h))
        rows = torch.stack([
            torch.stack([flip * w * cos, h * (shear * cos - sin), tx], 1),
            torch.stack([flip * w * sin, h * (shear * sin + cos), ty], 1),
        ], 1)
        grid = F.affine_grid(rows, [b, 3, size, size], align_corners=False)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    def colour(self, x: Tensor) -> Tensor:
        """Exposure, white balance, saturation and contrast as one affine map of the colours of an image, then the curves."""
        b, _, h, w = x.shape
        dev = x.device
        gain = torch.ones(b, 3, device=dev)
        # A wrong white balance moves red and blue against green.
        gain[:, 0::2] += between((b, 2), -1, 1, dev) * self.white_balance
        gain = gain * factor(b, self.brightness, dev).view(b, 1)
        saturation, contrast = (factor(b, s, dev).view(b, 1, 1) for s in (self.saturation, self.contrast))
        saturation[torch.rand(b, device=dev) < self.grey] = 0
        luma = torch.tensor([0.299, 0.587, 0.114], device=dev)
        matrix = torch.diag_embed(gain) @ (saturation * torch.eye(3, device=dev) + (1 - saturation) * luma[:, None]) * contrast
        flat = x.permute(0, 2, 3, 1).reshape(b, h * w, 3)
        mean = (flat.mean(1) * gain).mean(1)[:, None, None]
        x = torch.baddbmm((1 - contrast) * mean, flat, matrix).clamp_(0, 1).view(b, h, w, 3).permute(0, 3, 1, 2)
        x = on_subset(x, self.posterise, lambda t: (t * 7).round() / 7)
        return on_subset(x, self.curve, lambda t: t.clamp(min=1e-4) ** factor(len(t), self.gamma, dev))

    def camera(self, x: Tensor) -> Tensor:
        """Defocus, over-sharpening, low resolution, sensor noise, compression."""
        x = on_subset(x, self.low_resolution, low_resolution)
        x = on_subset(x, self.blur, lambda t: blur(t, between((len(t), 1, 1, 1), 0.05, 1 / 3, t.device)))
        x = on_subset(x, self.sharpen, lambda t: 2 * t - blur(t, between((len(t), 1, 1, 1), 0.1, 0.3, t.device)))
        noise = lambda t: t + normal_like(t) * between((len(t), 1, 1, 1), 0, self.noise_sigma, t.device)
        x = on_subset(x, self.noise, noise)
        return on_subset(x, self.jpeg, jpeg)


def between(shape, low: float, high: float, device) -> Tensor:
    return torch.rand(shape, device=device) * (high - low) + low


def factor(count: int, spread: float, device) -> Tensor:
    """Factors around 1 (B, 1, 1, 1), as likely to halve as to double."""
    return torch.exp(between((count, 1, 1, 1), -1, 1, device) * math.log1p(spread))


@functools.cache
def noise_bank(device) -> Tensor:
    return torch.randn(1 << 23, device=device)


def normal_like(x: Tensor) -> Tensor:
    """Normal noise: a stretch, from a random place on, of numbers that were drawn once, as drawing is slow on CPUs."""
    bank = noise_bank(x.device)
    if x.numel() >= len(bank):
        return torch.randn_like(x)
    start = torch.randint(len(bank) - x.numel(), ()).item()
    return bank[start : start + x.numel()].view_as(x)


def on_subset(x: Tensor, probability: float, change) -> Tensor:
    """Applies `change` to a random share of a batch; in place, as these batches are nobody else's."""
    chosen = (torch.rand(x.shape[0], device=x.device) < probability).nonzero().flatten()
    if len(chosen):
        x[chosen] = change(x[chosen])
    return x


def blur(x: Tensor, side: Tensor) -> Tensor:
    """Twice a three-tap kernel (side, 1 - 2 side, side) along both axes; `side` (B, 1, 1, 1) up to 1/3."""
    for _ in range(2):
        p = F.pad(x, (1, 1, 0, 0), mode="replicate")
        x = x * (1 - 2 * side) + (p[..., 2:] + p[..., :-2]) * side
        p = F.pad(x, (0, 0, 1, 1), mode="replicate")
        x = x * (1 - 2 * side) + (p[..., 2:, :] + p[..., :-2, :]) * side
    return x


def low_resolution(x: Tensor) -> Tensor:
    """Down by a random factor and back up."""
    size = x.shape[-1]
    small = int(size * (0.4 + 0.4 * torch.rand(()).item()))
    x = F.interpolate(x, size=small, mode="area")
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def erase(x: Tensor) -> Tensor:
    """A rectangle of one random colour in every image."""
    b, _, h, w = x.shape
    box = boxes(b, between(b, 0.05, 0.25, x.device), h, w, x.device)
    return torch.where(box.unsqueeze(1), torch.rand(b, 3, 1, 1, device=x.device), x)


def boxes(b: int, area: Tensor, h: int, w: int, device) -> Tensor:
    """Masks (B, H, W) of rectangles of about this share of the image, anywhere in it."""
    ratio = torch.exp(between(b, -0.7, 0.7, device))
    bw, bh = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    x0, y0 = torch.rand(b, device=device) * (1 - bw), torch.rand(b, device=device) * (1 - bh)
    inside = lambda n, start, extent: (
        (torch.arange(n, device=device) + 0.5) / n - start[:, None]).div(extent[:, None]).sub(0.5).abs() < 0.5
    return inside(h, y0, bh)[:, :, None] & inside(w, x0, bw)[:, None, :]


# The luminance table of the JPEG standard's annex K, at quality 50; used for all three components.
QUANTISATION = torch.tensor([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], dtype=torch.float32)


def jpeg(x: Tensor) -> Tensor:
    """The losses of JPEG at qualities of 15 to 70: blocks of 8 x 8, cosine transform, rounding to a table's steps."""
    b, c, h, w = x.shape
    if h % 8 or w % 8:
        return x
    k = torch.arange(8, dtype=torch.float32, device=x.device)
    dct = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    dct[0] /= math.sqrt(2)
    to_ycc = torch.tensor([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], device=x.device)
    ycc = torch.einsum("ij,bjhw->bihw", to_ycc, x * 255)
    blocks = ycc.reshape(b, 3, h // 8, 8, w // 8, 8).transpose(3, 4)
    quality = between(b, 15, 70, x.device)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    step = (QUANTISATION.to(x.device) * scale[:, None, None]).clamp(min=1)[:, None, None, None]
    blocks = dct.T @ (((dct @ blocks @ dct.T) / step).round() * step) @ dct
    ycc = blocks.transpose(3, 4).reshape(b, 3, h, w)
    return (torch.einsum("ij,bjhw->bihw", to_ycc.inverse(), ycc) / 255).clamp(0, 1)


def mix(x: Tensor, target: Tensor, mixup: float, cutmix: float, alpha: float = 0.3) -> tuple[Tensor, Tensor]:
    """Blends images with others of the batch (mixup) or puts a rectangle of another in (cutmix), and their targets alike.

    `mixup` and `cutmix` are shares of the batch; an image gets at most one of the two.
    """
    b, _, h, w = x.shape
    dev = x.device
    kind = torch.rand(b, device=dev)
    chosen = (kind < mixup + cutmix).nonzero().flatten()
    if not len(chosen):
        return x, target
    other = torch.randint(b, (len(chosen),), device=dev)
    share = torch.distributions.Beta(alpha, alpha).sample((len(chosen),)).to(dev).view(-1, 1, 1, 1)
    box = boxes(len(chosen), torch.rand(len(chosen), device=dev), h, w, dev).unsqueeze(1)
    weight = torch.where((kind[chosen] < mixup).view(-1, 1, 1, 1), share, (~box).float())
    kept = weight.mean((1, 2, 3)).unsqueeze(1)
    mixed, blend = x.clone(), target.clone()
    mixed[chosen] = torch.lerp(x[other], x[chosen], weight)
    blend[chosen] = torch.lerp(target[other], target[chosen], kept)
    return mixed, blend
