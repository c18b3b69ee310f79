"""Vocabulary, crops, targets, cut-outs, scenes and sampling."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ..cutouts import cut, plain_ground
from ..data import TrainingSet
from ..scenes import KINDS, Stock, compose, grounds_of, paste
from ..sources import Record, Vocabulary
from ..targets import covered, targets_of
from ..validation import coco_crops, read
from ..views import SIDE, squares

VOCABULARY = Vocabulary()
CLASSES = len(VOCABULARY.names)


def answer(number: int) -> np.ndarray:
    """A teacher that is sure of a class of ImageNet."""
    out = np.zeros((1, 1000), np.float16)
    out[0, number] = 1
    return out


def view(**more) -> dict:
    return {"label": None, "source": "tiny", "synset": "n02123045", "file": "x.jpg", "boxes": [], **more}


def test_no_class_of_imagenet_is_in_two_of_ours_and_names_are_unique():
    entries = json.loads((Path(__file__).parents[1] / "vocabulary.json").read_text())
    numbers = [n for e in entries for n in e["imagenet"]]
    assert len(numbers) == len(set(numbers)) and all(0 <= n < 1000 for n in numbers)
    assert len(set(VOCABULARY.names)) == CLASSES and 100 <= CLASSES <= 200


def test_the_teachers_answer_is_summed_over_what_makes_up_a_class():
    probabilities = np.zeros((1, 1000), np.float32)
    probabilities[0, [281, 282, 487, 999]] = 0.3, 0.2, 0.4, 0.1
    folded = VOCABULARY.fold(probabilities)[0]
    for name, share in (("cat", 0.5), ("phone", 0.4), ("something else", 0.1)):
        assert folded[VOCABULARY.index[name]] == pytest.approx(share)
    assert folded.sum() == pytest.approx(1)


@pytest.mark.parametrize("source, synset", [("coco", ""), ("caltech", "Faces"), ("caltech", "cup"), ("caltech", "BACKGROUND_Google"),
                                            ("grocery", "Apple"), ("nette", "n01440764"), ("tiny", "n02123045"),
                                            ("devices", "Mobile"), ("devices", "PCB"), ("pets", "cat"), ("trash", "glass"), ("office", "")])
def test_crops_are_squares_inside_the_image_and_always_the_same(source, synset):
    record = Record(Path("a/b.jpg"), source, 0, synset, boxes=[(2, 0.9, 0.9, 0.2, 0.2), (3, 0.5, 0.5, 0.01, 0.01), (None, 0.3, 0.5, 0.6, 1.0)])
    crops = squares(record, 320, 200)
    assert crops == squares(record, 320, 200) and len(crops) >= 1
    for left, top, side in crops:
        assert left >= -1e-6 and top >= -1e-6 and left + side <= 320.001 and top + side <= 200.001


def test_labels_and_the_teacher_share_the_target():
    cat, dog = VOCABULARY.index["cat"], VOCABULARY.index["dog"]
    [target] = targets_of([view(label=cat)], answer(207), np.zeros(1), VOCABULARY)
    assert target[cat] == pytest.approx(0.5) and target[dog] == pytest.approx(0.5)


def test_without_a_label_the_teacher_alone_says_what_it_is():
    [target] = targets_of([view(source="trash")], answer(281), np.zeros(1), VOCABULARY)
    assert target[VOCABULARY.index["cat"]] == pytest.approx(1)


def test_people_make_a_person_and_leave_no_animal():
    fish, person = VOCABULARY.index["fish"], VOCABULARY.index["person"]
    far, near = targets_of([view(label=fish)] * 2, np.repeat(answer(0), 2, 0), np.array([0.03, 0.2]), VOCABULARY)
    assert far[fish] == pytest.approx(1) and near[fish] == 0 and near[person] == pytest.approx(1)


def test_boxes_say_what_fills_a_crop():
    phone, person = VOCABULARY.index["phone"], VOCABULARY.index["person"]
    boxes = [(phone, 0.5, 0.5, 0.8, 0.8), (None, 0.0, 0.0, 0.2, 0.2), (person, 1.2, 0.5, 0.2, 1.0)]
    area = covered(view(boxes=boxes), VOCABULARY)
    assert area[phone] == pytest.approx(0.64) and area[VOCABULARY.unknown] == pytest.approx(0.01) and area[person] == 0
    [target] = targets_of([view(source="coco", boxes=boxes)], answer(999), np.zeros(1), VOCABULARY)
    assert target.argmax() == phone and target.sum() == pytest.approx(1)


def test_things_before_a_plain_ground_are_cut_out():
    image = Image.new("RGB", (80, 60), (240, 240, 235))
    image.paste((20, 60, 200), (20, 10, 50, 50))
    mask = plain_ground(np.asarray(image))
    assert mask[30, 35] and not mask[30, 10] and abs(mask.mean() - 30 * 40 / 4800) < 0.03
    thing = cut(image, mask)
    assert abs(thing.width - 30) <= 2 and abs(thing.height - 40) <= 2 and thing.getpixel((15, 20))[3] == 255
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    assert plain_ground(noise) is None and plain_ground(np.full((60, 80, 3), 200, np.uint8)) is None


def test_what_a_thing_covers_is_what_is_in_the_scene():
    rng, item = np.random.default_rng(0), Image.new("RGBA", (40, 40), (255, 0, 0, 255))
    for centre, share in (((0.5, 0.5), 0.25), ((0.0, 0.5), 0.125), ((3.0, 0.5), 0.0)):
        scene = Image.new("RGB", (SIDE, SIDE))
        assert paste(scene, item, 0.5, centre, 0.0, rng) == pytest.approx(share, abs=0.01)
        assert (np.asarray(scene).any(2)).mean() == pytest.approx(share, abs=0.01)


@pytest.fixture
def stock(tmp_path):
    for name in ("person", "hand", "phone", "cup"):
        (tmp_path / name).mkdir()
        Image.new("RGBA", (60, 90), (200, 150, 90, 255)).save(tmp_path / name / "0.png")
    return Stock(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_scenes_have_targets_that_add_up(kind, stock):
    ground = np.zeros(CLASSES, np.float32)
    ground[VOCABULARY.unknown] = 1
    for seed in range(10):
        scene, target = compose(kind, stock, Image.new("RGB", (SIDE, SIDE)), ground, VOCABULARY, np.random.default_rng(seed))
        assert scene.size == (SIDE, SIDE) and np.asarray(scene).any()
        assert target.sum() == pytest.approx(1, abs=1e-5) and target.min() >= 0
        if kind == "person":
            assert target[VOCABULARY.index["person"]] == 1


def test_nothing_is_pasted_on_people_or_animals():
    one = lambda name: np.eye(CLASSES, dtype=np.float32)[VOCABULARY.index[name]]
    targets = np.stack([one("person"), one("dog"), one("something else"), one("desk or table"), one("phone")])
    views = [view(source="caltech")] * 5
    assert grounds_of(views, targets, VOCABULARY).tolist() == [2, 3]


@pytest.fixture
def views(tmp_path):
    """Twelve views of cats, two of cups and six scenes of phones."""
    cat, cup = VOCABULARY.index["cat"], VOCABULARY.index["cup"]
    np.save(tmp_path / "0.images.npy", np.arange(14, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8))
    np.save(tmp_path / "0.teacher.npy", np.concatenate([answer(281)] * 12 + [answer(504)] * 2))
    (tmp_path / "0.json").write_text(json.dumps([view(label=cat)] * 12 + [view(label=cup)] * 2))
    np.save(tmp_path / "people.npy", np.zeros(14, np.float32))
    np.save(tmp_path / "scenes0.images.npy", np.full((6, 8, 8, 3), 99, np.uint8))
    np.save(tmp_path / "scenes0.targets.npy", np.eye(CLASSES, dtype=np.float16)[[VOCABULARY.index["phone"]] * 6])
    return tmp_path


def test_images_come_from_their_files(views):
    data = TrainingSet(views, VOCABULARY)
    assert len(data) == 20 and data.images(torch.tensor([13, 0, 19]))[:, 0, 0, 0].tolist() == [13, 0, 99]
    with pytest.raises(FileNotFoundError, match="training.views"):
        TrainingSet(views / "nowhere", VOCABULARY)


@pytest.mark.parametrize("power, cats", [(0.0, 12 / 14), (1.0, 0.5)])
def test_thin_classes_and_scenes_get_their_share(views, power, cats):
    data = TrainingSet(views, VOCABULARY)
    weights = data.weights(power, {"scenes": 0.25}, VOCABULARY)
    assert weights.sum() == pytest.approx(1) and weights[14:].sum() == pytest.approx(0.25)
    assert weights[:12].sum() / weights[:14].sum() == pytest.approx(cats)


def test_validation_takes_what_stands_alone(tmp_path):
    cup, phone = VOCABULARY.index["cup"], VOCABULARY.index["phone"]
    record = Record(Path("x.jpg"), "coco", None, boxes=[(cup, 0.2, 0.5, 0.2, 0.4), (phone, 0.7, 0.5, 0.3, 0.3), (cup, 0.7, 0.5, 0.2, 0.25)])
    assert [kind for kind, _ in coco_crops(record, 400, 300)] == [cup]
    (tmp_path / "people/person").mkdir(parents=True)
    Image.new("RGB", (30, 20), "white").save(tmp_path / "people/person/1.png")
    images, labels, part, names = read(tmp_path, VOCABULARY, 16)
    assert images.shape == (1, 16, 16, 3) and images.min() == 255 and labels.tolist() == [0] and part.tolist() == [0] and names == ["people"]
