"""ONNX Runtime and webmamba on the CPU, in turns: python -m benches.peers.cpu [--task families|segment] [--rounds N] [--json FILE]"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F

from benches.peers.ours import webmamba
from training import mambavision, mila, vim, vmamba
from training.models import build
from training.upernet import UPerNet

T = {"dim": 80, "in_dim": 32, "depths": [1, 3, 8, 4], "num_heads": [2, 4, 8, 16]}
MODELS = {
    "mamba_vision_t": {
        "model_type": "mambavision", **T, "window_size": [8, 8, 14, 7], "num_classes": 1000,
    },
    "mila_t": {
        "model_type": "mila", "resolution": 224, "embed_dim": 64, "depths": [2, 4, 8, 4], "num_heads": [2, 4, 8, 16],
        "num_classes": 1000,
    },
}
FAMILIES = {
    "vim_t": {"model_type": "vim", "embed_dim": 192, "depth": 24, "num_classes": 1000},
    "vmamba_t_s1l8": {"model_type": "vmamba", "dims": [96, 192, 384, 768], "depths": [2, 2, 8, 2], "num_classes": 1000},
    "mambaout_femto": {"model_type": "mambaout", "dims": [48, 96, 192, 288], "depths": [3, 3, 9, 3], "num_classes": 1000},
    "mambaout_tiny": {"model_type": "mambaout", "dims": [96, 192, 384, 576], "depths": [3, 3, 9, 3], "num_classes": 1000},
}
DENSE = {"mamba_vision_t_upernet": {"backbone": {**T, "window_size": [8, 8, 64, 32]}, "channels": 512, "num_classes": 150}}
# Of each task: the models, the size of their inputs, and how many images a run has.
TASKS = {"classify": (MODELS, 224, [1, 8]), "families": (FAMILIES, 224, [1, 8]), "segment": (DENSE, 512, [1])}


def log_steps(decay, h):
    """The states of a scan in log2(L) steps over all tokens at once."""
    step = 1
    while step < h.shape[1]:
        h = torch.cat([h[:, :step], h[:, step:] + decay[:, step:] * h[:, :-step]], 1)
        decay = torch.cat([decay[:, :step], decay[:, step:] * decay[:, :-step]], 1)
        step *= 2
    return h


def blocks(decay, drive, size=8):
    """The same with few passes over the memory: all blocks of some tokens at once, token after token; then their last states the same way."""
    length = drive.shape[1]
    if length <= size:
        h = [drive[:, 0]]
        for t in range(1, length):
            h.append(decay[:, t] * h[-1] + drive[:, t])
        return torch.stack(h, 1)
    padding = (0, 0, 0, 0, 0, -length % size)
    decay, drive = (F.pad(x, padding).unflatten(1, (-1, size)) for x in (decay, drive))
    h, decays = [drive[:, :, 0]], [decay[:, :, 0]]
    for t in range(1, size):
        h.append(decay[:, :, t] * h[-1] + drive[:, :, t])
        decays.append(decay[:, :, t] * decays[-1])
    last = blocks(decays[-1], h[-1], size)
    before = torch.cat([torch.zeros_like(last[:, :1]), last[:, :-1]], 1).unsqueeze(2)
    return (torch.stack(h, 2) + torch.stack(decays, 2) * before).flatten(1, 2)[:, :length]


def prefix_scan(states):
    """The selective scan in operators that ONNX has."""
    def scan(u, delta, a, b, c, d, delta_bias):
        delta = F.softplus(delta + delta_bias)
        h = states(torch.exp(delta.unsqueeze(-1) * a), (delta * u).unsqueeze(-1) * b.unsqueeze(2))
        return torch.matmul(h, c.unsqueeze(-1)).squeeze(-1) + u * d
    return scan


def rotate(x, table):
    """Pairs turned by angles, in real numbers."""
    (re, im), (cos, sin) = x.unbind(-1), table[:, :, None].unbind(-1)
    return torch.stack([re * cos - im * sin, re * sin + im * cos], -1)


SCANS = {"blocks": prefix_scan(blocks), "log-steps": prefix_scan(log_steps)}
# What ONNX Runtime runs fastest.
DEFAULT_SCAN = "blocks"


def export(name: str, batch: int, size: int, folder: Path, scan: str) -> Path:
    """The network as ONNX, once for each batch size, so that every shape is known; in operators that ONNX has. What is there is taken."""
    path = folder / f"{name}_{batch}{'' if scan == DEFAULT_SCAN else '_' + scan}.onnx"
    if path.exists():
        return path
    for family in mambavision, vim, vmamba:
        family.selective_scan = SCANS[scan]
    mila.rotate = rotate
    torch.manual_seed(0)
    network = (UPerNet(**DENSE[name]) if name in DENSE else build({**MODELS, **FAMILIES}[name])).eval()
    torch.onnx.export(network, (torch.zeros(batch, 3, size, size),), str(path), input_names=["x"], output_names=["y"],
                      opset_version=18, dynamo=True, verbose=False)
    return path


def onnx_runtime(path: Path, batch: int, size: int, threads: int):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((batch, 3, size, size), dtype=np.float32)

    def run(iterations: int) -> float:
        times = []
        for _ in range(iterations):
            start = time.perf_counter()
            session.run(None, {"x": x})
            times.append(time.perf_counter() - start)
        return 1e3 * statistics.median(times)

    run(2)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=Path("target/release/webmamba"))
    parser.add_argument("--task", choices=TASKS, default="classify")
    parser.add_argument("--scan", choices=SCANS, default=DEFAULT_SCAN, help="how the selective scan is exported")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", help="images a run")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    parser.add_argument("--onnx", type=Path, help="keep the ONNX files in this folder; those of the families take minutes")
    parser.add_argument("--export", type=Path, help="only write the ONNX files of batch 1 into this folder, for wasm.mjs")
    args = parser.parse_args()
    models, size, batches = TASKS[args.task]
    if args.export:
        args.export.mkdir(parents=True, exist_ok=True)
        for name in models:
            print(export(name, 1, size, args.export, args.scan))
        return
    if args.onnx:
        args.onnx.mkdir(parents=True, exist_ok=True)
    rows = []
    print("| model | batch | threads | ONNX Runtime, ms | webmamba, ms | ratio, median of rounds |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name in models:
            for batch in args.batches or batches:
                path = export(name, batch, size, args.onnx or Path(folder), args.scan)
                for threads in args.threads:
                    theirs = onnx_runtime(path, batch, size, threads)
                    iterations = 1 if name in DENSE else 10 if batch == 1 else 3
                    rounds = [(theirs(iterations), webmamba(args.binary, name, "--device", "cpu", "--batch", str(batch), "--iters", str(iterations),
                                                             WEBMAMBA_THREADS=str(threads)))
                              for _ in range(args.rounds)]
                    row = {"model": name, "batch": batch, "threads": threads, "rounds": rounds,
                           "onnx_runtime_ms": statistics.median(r[0] for r in rounds),
                           "webmamba_ms": statistics.median(r[1] for r in rounds),
                           "ratio": statistics.median(r[0] / r[1] for r in rounds)}
                    rows.append(row)
                    print(f"| {name} | {batch} | {threads} | {row['onnx_runtime_ms']:.1f} | {row['webmamba_ms']:.1f} | {row['ratio']:.2f} |",
                          flush=True)
    if args.json:
        args.json.write_text(json.dumps({"onnxruntime": onnxruntime.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
