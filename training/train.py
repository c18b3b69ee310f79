"""Trains a network on the views and scenes; a second start with the same `--out` goes on where the first one stopped.

    python -m training.train --config training/configs/mamba_vision_nano.json --views VIEWS --val VALIDATION --init models/mamba_vision_nano --out RUN

The schedule runs over `epochs`, or, with `--minutes`, over that much time: a cosine that ends when the time does, however
fast the machine turns out to be.
"""

import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from .augment import Augment, mix
from .data import TrainingSet, normalise
from .evaluate import load, logits_of, report
from .models import build
from .sources import Vocabulary
from .validation import read
from .views import SIDE


SAVE_EVERY = 120  # seconds


class Ema:
    """Exponential moving average of the weights (buffers are copied), faster at first."""

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay = copy.deepcopy(model).eval().requires_grad_(False), decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        mine, new = list(self.model.parameters()), [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(mine, new, 1 - decay)
        for a, b in zip(self.model.buffers(), model.buffers()):
            a.copy_(torch.lerp(a, b, 1 - decay) if a.is_floating_point() else b)


def parameter_groups(model: nn.Module, decay: float) -> list[dict]:
    """Weight decay for matrices and kernels only."""
    plain, decayed = [], []
    for name, parameter in model.named_parameters():
        (plain if parameter.dim() < 2 or name.endswith("A_log") else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]


def learning_rate(progress: float, peak: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine; `progress` and `warmup` are shares of the whole training."""
    if progress < warmup:
        return peak * max(progress / warmup, 1e-3)
    return peak * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup)))))


def draw(weights: Tensor, count: int) -> Tensor:
    """`count` indices, each about as often as its weight says (systematic resampling), shuffled."""
    edges = weights.cumsum(0) / weights.sum() * count
    points = torch.arange(count, dtype=torch.float64) + torch.rand((), dtype=torch.float64)
    picked = torch.searchsorted(edges, points).clamp(max=len(weights) - 1)
    return picked[torch.randperm(count)]


def phase(phases: list[list[float]], progress: float) -> int:
    """Pixels at this share of the training: `phases` are pairs of a start and the size from there on."""
    return [int(size) for start, size in phases if start <= progress][-1]


class Helper:
    """Prepares batches in a process of its own, ahead of the network; where it is late, the caller prepares one itself."""

    AHEAD = 3

    def __init__(self, make):
        self.here, there = mp.Pipe()
        self.asked = 0
        self.process = mp.get_context("fork").Process(target=self.serve, args=(make, self.here, there), daemon=True)
        self.process.start()
        there.close()

    @staticmethod
    def serve(make, here, there) -> None:
        here.close()
        # The network may be bound to one core: this is for the others.
        os.sched_setaffinity(0, range(os.cpu_count()))
        torch.manual_seed(int.from_bytes(os.urandom(4)))
        try:
            while True:
                there.send(make(*there.recv()))
        except (EOFError, ConnectionError):
            pass

    @property
    def wants(self) -> bool:
        return self.asked < self.AHEAD

    def ask(self, *request) -> None:
        self.here.send(request)
        self.asked += 1

    def ready(self) -> tuple[Tensor, Tensor] | None:
        if not self.here.poll():
            return None
        self.asked -= 1
        return self.here.recv()


def start_from(path: Path, device: str) -> tuple[dict[str, Tensor], list[dict], list[str]]:
    """The weights of an exported folder, or the averaged ones of a checkpoint, what is known of the runs that made them, and the
    names of their classes."""
    if path.is_dir():
        model, config = load(path, device)
        return model.state_dict(), [], list(config["id2label"].values())
    saved = torch.load(path, map_location=device, weights_only=True)
    run = {"epochs": saved["state"]["epoch"], "minutes": round(saved["state"]["elapsed"] / 60)}
    return saved["ema"], [*saved.get("earlier", []), run], saved["names"]


def adopt(model: nn.Module, start: dict[str, Tensor], theirs: list[str], ours: list[str]) -> None:
    """Takes weights over; of the head the rows of classes that both know by name, with zeros for new ones."""
    # Rotation tables depend on the input size and are not exported.
    start = {k: v for k, v in start.items() if not k.endswith("rotations")}
    rows = {name: i for i, name in enumerate(theirs)}
    for key in ("head.weight", "head.bias"):
        new = torch.zeros(len(ours), *start[key].shape[1:])
        for i, name in enumerate(ours):
            if name in rows:
                new[i] = start[key][rows[name]]
        start[key] = new
    model.load_state_dict({**model.state_dict(), **start})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--views", type=Path, required=True, help="folder of the views and scenes")
    parser.add_argument("--val", type=Path, required=True, help="folder of the validation sets")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and logs")
    parser.add_argument("--minutes", type=float, help="stretch the schedule over this time instead of the epochs")
    parser.add_argument("--init", type=Path, help="exported folder or checkpoint that a new run starts from")
    parser.add_argument("--helper", action="store_true", help="prepare batches in a second process, for CPUs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()

    config = json.loads(args.config.read_text())
    recipe, device = config["recipe"], args.device
    args.out.mkdir(parents=True, exist_ok=True)
    vocabulary = Vocabulary()
    data, held = TrainingSet(args.views, vocabulary), read(args.val, vocabulary, SIDE)
    torch.manual_seed(recipe["seed"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    model = build(config["model"], num_classes=len(vocabulary.names), drop_path=recipe["drop_path"])
    model = model.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(parameter_groups(model, recipe["weight_decay"]), lr=recipe["lr"], betas=(0.9, 0.99), fused=True)
    earlier = []
    if args.init:
        start, earlier, names = start_from(args.init, device)
        adopt(model, start, names, vocabulary.names)
    ema = Ema(model, recipe["ema_decay"])
    state = {"step": 0, "epoch": 0, "elapsed": 0.0}
    last = args.out / "last.pt"
    if last.exists():
        saved = torch.load(last, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        ema.model.load_state_dict(saved["ema"])
        optimiser.load_state_dict(saved["optimiser"])
        state, earlier = saved["state"], saved.get("earlier", [])
        torch.manual_seed(recipe["seed"] + state["step"])
        print(f"resumed after epoch {state['epoch']}, step {state['step']}, {state['elapsed'] / 60:.1f} min")

    def save() -> None:
        partial = last.with_suffix(".partial")
        torch.save({"model": model.state_dict(), "ema": ema.model.state_dict(), "optimiser": optimiser.state_dict(),
                    "state": state, "earlier": earlier, "config": config, "names": vocabulary.names}, partial)
        partial.rename(last)

    batch = recipe["batch"]
    phases = recipe.get("phases", [[0, config["model"]["resolution"]]])
    augment = Augment(**recipe.get("augment", {}))
    weights = data.weights(recipe["balance"], recipe.get("shares", {}), vocabulary)
    steps = len(data) // batch
    started, before = time.monotonic(), state["elapsed"]

    def progress() -> float:
        if args.minutes:
            return state["elapsed"] / (60 * args.minutes)
        return state["step"] / (steps * recipe["epochs"])

    def make(index: Tensor, size: int, mixing: float) -> tuple[Tensor, Tensor]:
        """Augmented, mixed and normalised images, and their targets."""
        images, target = data.images(index).to(device), data.targets[index].to(device)
        x, target = mix(augment(images, size), target, mixing * recipe["mixup"], mixing * recipe["cutmix"])
        return normalise(x).bfloat16(), target

    def endless():
        while True:
            yield from draw(weights, steps * batch).split(batch)

    indices, helper = endless(), Helper(make) if args.helper else None
    while progress() < 1:
        model.train()
        bar = tqdm(range(steps), desc=f"epoch {state['epoch'] + 1}", unit="batch", mininterval=5)
        losses, saved_at = [], time.monotonic()
        for _ in bar:
            if progress() >= 1:
                break
            rate = learning_rate(progress(), recipe["lr"], recipe["warmup"])
            for group in optimiser.param_groups:
                group["lr"] = rate
            # Mixing ends before the end, when the network should settle on whole images.
            mixing = 1.0 if progress() < recipe.get("mix_until", 1.0) else 0.0
            how = phase(phases, progress()), mixing
            while helper and helper.wants:
                helper.ask(next(indices), *how)
            x, target = (helper and helper.ready()) or make(next(indices), *how)
            size = x.shape[-1]
            model.at_resolution(size, config["model"]["resolution"])
            with torch.autocast(device.split(":")[0], torch.bfloat16):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
            optimiser.step()
            state["step"] += 1
            ema.update(model, state["step"])
            state["elapsed"] = before + time.monotonic() - started
            losses.append(loss.detach())
            if len(losses) % 20 == 0:
                bar.set_postfix(loss=f"{torch.stack(losses[-20:]).mean():.3f}", lr=f"{rate:.1e}", done=f"{100 * progress():.1f}%")
            if time.monotonic() - saved_at > SAVE_EVERY:
                save()
                saved_at = time.monotonic()
        state["epoch"] += 1
        save()
        if state["epoch"] % recipe["eval_every"] == 0 or progress() >= 1:
            ema.model.at_resolution(size, config["model"]["resolution"])
            result = report(logits_of(ema.model, torch.from_numpy(held[0]), size, device), *held[1:], vocabulary.names)
            line = {**state, "size": size, "loss": float(torch.stack(losses).mean()), "sets": {k: v["top1"] for k, v in result["sets"].items()}, "auroc": result["auroc"]}
            with open(args.out / "history.jsonl", "a") as file:
                print(json.dumps(line), file=file)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
