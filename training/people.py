"""Person masks by DeepLab-v3 (MobileNetV2, Pascal VOC; `google-coral/test_data`, Apache-2.0), several small images at a time."""

from pathlib import Path

import numpy as np
from PIL import Image

CANVAS, PERSON = 513, 15


class DeepLab:
    """Labels of Pascal VOC for images; `tiles` x `tiles` of them share one run of the network."""

    def __init__(self, sources: Path, threads: int = 2):
        import openvino

        core = openvino.Core()
        model = core.read_model(sources / "coral/deeplabv3_mnv2_pascal_quant.tflite")
        self.net = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads})

    def __call__(self, images: list[Image.Image], tiles: int) -> list[np.ndarray]:
        """Class maps (side, side), uint8, of images stretched to squares of side 513 // tiles; at most tiles squared images."""
        side = CANVAS // tiles
        canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
        places = [divmod(i, tiles) for i in range(len(images))]
        for (row, column), image in zip(places, images):
            canvas[row * side : (row + 1) * side, column * side : (column + 1) * side] = image.resize((side, side), Image.BICUBIC)
        labels = self.net(canvas[None])[0][0].astype(np.uint8)
        return [labels[row * side : (row + 1) * side, column * side : (column + 1) * side] for row, column in places]


def person_shares(net: DeepLab, images: np.ndarray, tiles: int = 4) -> np.ndarray:
    """Share of the pixels of each image (N, H, W, 3) that belong to people."""
    out = np.zeros(len(images), np.float32)
    for start in range(0, len(images), tiles * tiles):
        group = [Image.fromarray(i) for i in images[start : start + tiles * tiles]]
        out[start : start + len(group)] = [(m == PERSON).mean() for m in net(group, tiles)]
    return out
