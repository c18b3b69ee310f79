"""Schedule, distillation targets, augmentation, and starting from exported weights."""

import json

import pytest
import torch
from safetensors.torch import save_file

from ..augment import Augment, mix
from ..data import normalise
from ..evaluate import auroc, choose_bias, choose_min_score, report
from ..models import build
from ..train import Helper, adopt, draw, phase, start_from

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
    start, earlier, names = start_from(tmp_path, "cpu")
    assert not earlier and names == list("01234")
    for key, value in build(CONFIG).state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(start[key], model.state_dict()[key].half().float(), rtol=0, atol=0)
            assert start[key].shape == value.shape


def test_a_run_starts_from_the_averaged_weights_of_another_and_knows_of_it(tmp_path):
    average = {k: v + 1 for k, v in build(CONFIG).state_dict().items()}
    state = {"step": 7, "epoch": 3, "elapsed": 130.0}
    torch.save({"ema": average, "state": state, "earlier": [{"epochs": 40, "minutes": 90}], "names": list("abcde")}, tmp_path / "last.pt")
    start, earlier, names = start_from(tmp_path / "last.pt", "cpu")
    assert names == list("abcde") and all(torch.equal(start[k], v) for k, v in average.items())
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


def test_of_the_head_the_rows_of_the_same_names_are_kept():
    torch.manual_seed(1)
    old = build(CONFIG).state_dict()
    model = build(CONFIG, num_classes=3)
    adopt(model, dict(old), list("abcde"), ["d", "new", "a"])
    torch.testing.assert_close(model.head.weight[[0, 2]], old["head.weight"][[3, 0]])
    assert not model.head.weight[1].any()
    torch.testing.assert_close(model.state_dict()["patch_embed.conv_down.0.weight"], old["patch_embed.conv_down.0.weight"])


def test_scores_above_and_below():
    assert auroc(torch.tensor([0.9, 0.4]), torch.tensor([0.5, 0.1])) == 0.75


def test_the_least_score_parts_right_from_wrong():
    """Right answers at 0.8, wrong ones and unknown things at 0.4, and unknown things that are seen to be."""
    rows = torch.tensor([[0.8, 0.1, 0.1]] * 6 + [[0.4, 0.35, 0.25]] * 6 + [[0.1, 0.1, 0.8]] * 3)
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 6)
    assert 0.4 < choose_min_score(rows.log(), labels, unknown=2) <= 0.8


def test_the_bias_leaves_three_of_five_unknown_things_unknown():
    logits = torch.tensor([[0.0, 0.35]] * 2 + [[0.0, 0.75]] * 2 + [[5.0, 0.0]])
    assert choose_bias(logits, torch.tensor([1, 1, 1, 1, 0]), unknown=1) == pytest.approx(0.3)


def test_reports_by_set_and_class():
    names = ["person", "dog", "something else"]
    logits = torch.tensor([[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0], [0, 9.0, 0]])
    result = report(logits, [0, 0, 2, 1], [0, 0, 1, 1], ["people", "unknown"], names, 1.0, 0.5)
    assert result["sets"]["people"]["top1"] == 50 and result["sets"]["unknown"] == {"images": 2, "top1": 100, "top5": 100, "sure": 50}
    assert result["animal_for_person"] == 1 and result["auroc"] == 1 and result["classes"]["person"] == [50, 2]
    assert result["confusions"] == [{"true": "person", "said": "dog", "images": 1, "of": 2}]


def test_a_helper_answers_what_it_was_asked():
    helper = Helper(lambda a, b: (a + b, a * b))
    while helper.wants:
        helper.ask(torch.tensor(3.0), 4)
    assert helper.asked == Helper.AHEAD
    while helper.asked:
        assert helper.here.poll(20) and helper.ready() == (7, 12)
    helper.process.kill()
