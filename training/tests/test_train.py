"""Schedule, distillation targets, augmentation, and starting from exported weights."""

import json

import pytest
import torch
from safetensors.torch import save_file

from ..augment import Augment, mix
from ..data import normalise
from ..models import build
from ..train import Helper, draw, phase, soft_targets, start_from

CONFIG = {"model_type": "mambavision", "resolution": 64, "dim": 16, "in_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 1, 2, 4],
          "window_size": [8, 8, 4, 2], "id2label": {str(i): str(i) for i in range(5)}}


def test_sizes_grow_with_progress():
    phases = [[0, 48], [0.1, 64], [0.6, 96]]
    assert [phase(phases, p) for p in (0, 0.05, 0.1, 0.5, 0.6, 1)] == [48, 48, 64, 64, 96, 96]


@pytest.mark.parametrize("size, windows", [(32, [2, 1]), (64, [4, 2]), (96, [6, 3])])
def test_windows_grow_with_the_input(size, windows):
    model = build(CONFIG).eval()
    model.at_resolution(size, 64)
    assert [level.window for level in model.levels[2:]] == windows
    assert model(torch.zeros(1, 3, size, size)).shape == (1, 5)


def test_a_run_starts_from_exported_weights(tmp_path):
    torch.manual_seed(0)
    model = build(CONFIG)
    save_file({k: v.half() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    start, earlier = start_from(tmp_path, "cpu")
    assert not earlier
    for key, value in build(CONFIG).state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(start[key], model.state_dict()[key].half().float(), rtol=0, atol=0)
            assert start[key].shape == value.shape


def test_a_run_starts_from_the_averaged_weights_of_another_and_knows_of_it(tmp_path):
    average = {k: v + 1 for k, v in build(CONFIG).state_dict().items()}
    state = {"step": 7, "epoch": 3, "elapsed": 130.0}
    torch.save({"ema": average, "state": state, "earlier": [{"epochs": 40, "minutes": 90}]}, tmp_path / "last.pt")
    start, earlier = start_from(tmp_path / "last.pt", "cpu")
    assert all(torch.equal(start[k], v) for k, v in average.items())
    assert earlier == [{"epochs": 40, "minutes": 90}, {"epochs": 3, "minutes": 2}]


@pytest.mark.parametrize("size", [48, 64, 96])
def test_augmented_images_are_images(size):
    torch.manual_seed(size)
    images = torch.randint(0, 256, (64, 64, 64, 3), dtype=torch.uint8)
    x = Augment()(images, size)
    assert x.shape == (64, 3, size, size) and x.min() >= 0 and x.max() <= 1
    target = torch.eye(64)
    mixed, blend = mix(x, target, 0.4, 0.4)
    torch.testing.assert_close(blend.sum(1), torch.ones(64))
    alone = blend.diagonal() == 1
    assert 0 < alone.sum() < 64
    torch.testing.assert_close(mixed[alone], x[alone])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(normalise(x), (x - mean) / std)


def test_draws_follow_the_weights():
    picked = draw(torch.tensor([1.0, 2.0, 0.0, 1.0]), 400).bincount(minlength=4)
    assert (picked - torch.tensor([100, 200, 0, 100])).abs().max() <= 1


def test_softer_at_a_higher_temperature():
    logits = torch.tensor([[4.0, 0.0, -4.0]])
    assert soft_targets(logits, 2.0)[0, 0] < soft_targets(logits, 1.0)[0, 0]
    torch.testing.assert_close(soft_targets(logits, 2.0).sum(1), torch.ones(1))


def test_a_helper_answers_what_it_was_asked():
    helper = Helper(lambda a, b: (a + b, a * b))
    while helper.wants:
        helper.ask(torch.tensor(3.0), 4)
    assert helper.asked == Helper.AHEAD
    while helper.asked:
        assert helper.here.poll(20) and helper.ready() == (7, 12)
    helper.process.kill()
