"""ONNX Runtime's WebGPU provider and webmamba on one adapter, in turns: python -m benches.peers.gpu ONNX_FOLDER [--adapter swiftshader]

Needs `onnxruntime-webgpu` in place of `onnxruntime`, so an environment of its own; `VK_DRIVER_FILES` chooses the driver for both.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime

from benches.peers.ours import webmamba

SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what `python -m benches.peers.cpu --export FOLDER` wrote")
    parser.add_argument("--adapter", default="swiftshader", help="the adapter's name, for webmamba")
    parser.add_argument("--binary", type=Path, default=Path("target/release/webmamba"))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    x = np.random.default_rng(1).standard_normal((1, 3, SIZE, SIZE), dtype=np.float32)
    print("| model | ONNX Runtime, ms | webmamba, ms | ratio, median of rounds |")
    print("|---|---:|---:|---:|")
    for name in ("mamba_vision_t", "mila_t"):
        session = onnxruntime.InferenceSession(str(args.folder / f"{name}_1.onnx"), providers=["WebGpuExecutionProvider"])
        if session.get_providers()[0] != "WebGpuExecutionProvider":
            raise SystemExit("ONNX Runtime found no adapter")
        # The first run compiles.
        session.run(None, {"x": x})
        rounds = []
        for _ in range(args.rounds):
            start = time.perf_counter()
            session.run(None, {"x": x})
            theirs = 1e3 * (time.perf_counter() - start)
            rounds.append((theirs, webmamba(args.binary, name, "--adapter", args.adapter, "--iters", "3", NODEVICE_SELECT="1")))
        theirs, ours = (statistics.median(r[i] for r in rounds) for i in (0, 1))
        print(f"| {name} | {theirs:.0f} | {ours:.0f} | {statistics.median(a / b for a, b in rounds):.1f} |", flush=True)


if __name__ == "__main__":
    main()
