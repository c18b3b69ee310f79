"""The networks against the published implementations' outputs for formula-filled checkpoints (`tests/fixtures`)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ..models import build
from ..upernet import UPerNet

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
MASK = (1 << 64) - 1


def unit(name: str, shape: list[int]) -> np.ndarray:
    """Numbers in 0..1 from a name, as `tests/fixtures/README.md` defines them."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(h)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)


def uniform(name: str, shape: list[int], lo: float, hi: float) -> torch.Tensor:
    return torch.from_numpy(unit(name, shape) * np.float32(hi - lo) + np.float32(lo))


def fill(entry: dict) -> torch.Tensor | None:
    """One tensor of a manifest; None for what the module computes itself."""
    how, name, shape = entry["fill"], entry["name"], entry["shape"]
    if how["kind"] == "uniform":
        return uniform(name, shape, how["lo"], how["hi"])
    if how["kind"] == "values":
        return torch.tensor(how["values"]).reshape(shape)
    if how["kind"] == "constant":
        return torch.full(shape, how["value"], dtype=torch.int64)
    if how["kind"] == "blocks":
        cell, (h, w) = how["cell"], shape[2:]
        coarse = uniform(name + ".coarse", [*shape[:2], -(-h // cell), -(-w // cell)], **how["coarse"])
        coarse = coarse.repeat_interleave(cell, 2).repeat_interleave(cell, 3)[:, :, :h, :w]
        return coarse + uniform(name + ".fine", shape, **how["fine"])
    return None


def network(manifest: dict) -> torch.nn.Module:
    config = manifest["config"]
    if manifest["family"] != "upernet":
        return build({"model_type": manifest["family"], **config})
    backbone = {key: config["backbone"][key] for key in ("dim", "in_dim", "depths", "num_heads", "window_size")}
    return UPerNet(backbone, config["decode_head"]["channels"], config["decode_head"]["num_classes"])


@pytest.mark.parametrize("name", [
    "mambavision_micro", "mila_micro", "upernet_micro", "mambaout_micro", "vim_micro", "vim_micro_s8", "vim_t", "vmamba_micro", "vmamba_micro_s2",
    "vmamba_t",
])
def test_fixture(name):
    manifest = json.loads((FIXTURES / f"{name}.json").read_text())
    expected = load_file(FIXTURES / manifest["expected_file"])
    model = network(manifest).eval()
    state = model.state_dict()
    # The auxiliary head is for training.
    entries = {e["name"]: e for e in manifest["tensors"] if not e["name"].startswith("auxiliary_head.")}
    assert list(state) and set(state) == set(entries)
    for key, entry in entries.items():
        assert list(state[key].shape) == entry["shape"], key
        value = fill(entry)
        if value is not None:
            state[key].copy_(value)
    for case in manifest["cases"]:
        with torch.no_grad():
            got = model(fill(case["input"]))
        want = expected[case["expect"]["logits"]]
        error = (got - want).abs().max() / want.std()
        assert error < 1e-4, (case["id"], error)
        print(name, case["id"], float(error))
