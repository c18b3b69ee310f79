"""Where the images come from: checkouts of public repositories, listed as records with what is known of each image.

A folder `sources` holds one checkout a repository (their names, terms and what is left out of each: `training/README.md`):

    caltech  MachineLearning2020/Homework2-Caltech101        grocery  marcusklasson/GroceryStoreDataset
    tiny     seshuad/IMagenet (tiny-imagenet-200)            mini     Deo0330/split_minidataset
    nette    thunderInfy/imagenette                          woof     q878787/imagewoof2-320
    signs    ardamavi/Sign-Language-Digits-Dataset           coco     lightly-ai/coco128_yolo
    devices  younus099/e-waste-classification (Dataset)       pets     chanakya2734/Image-classification-using-CNN (dataset)
    trash    congduytran12/Trash-Classification-              office   mukhlisraza/office-object-detection-hackathon_challenge
    coral    google-coral/test_data (label names, DeepLab)
"""

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

VOCABULARY = Path(__file__).with_name("vocabulary.json")
# Synsets that both Tiny-ImageNet and mini-ImageNet hold are taken from the former; imagewoof's golden retriever is left out.
LEFT_OUT = {"woof": {"n02099601"}}
# Of Caltech's `Faces` the last people in the order of the files; pictures of one person follow each other.
HELD_FACES = 360
UNKNOWN = "something else"
COCO = {
    "person": "person", "cell phone": "phone", "laptop": "laptop", "keyboard": "keyboard", "mouse": "mouse", "tv": "monitor or TV",
    "remote": "remote control", "cup": "cup", "wine glass": "glass", "bottle": "bottle", "vase": "vase or jug", "bowl": "bowl",
    "spoon": "spoon", "refrigerator": "refrigerator", "pizza": "pizza", "hot dog": "hot dog or burger", "banana": "banana",
    "apple": "apple", "orange": "orange", "carrot": "carrot", "broccoli": "cabbage or cauliflower", "book": "book",
    "scissors": "scissors", "clock": "watch or clock", "backpack": "bag", "handbag": "bag", "umbrella": "umbrella", "chair": "chair",
    "dining table": "desk or table", "couch": "bed or sofa", "bed": "bed or sofa", "potted plant": "plant", "sports ball": "ball",
    "car": "car", "truck": "truck or van", "bus": "bus", "train": "train", "airplane": "airplane", "motorcycle": "motorcycle",
    "boat": "boat", "stop sign": "sign", "dog": "dog", "cat": "cat", "bear": "bear", "elephant": "elephant", "sheep": "sheep",
    "cow": "cow", "bird": "bird", "teddy bear": "teddy bear",
}
# The classes of `office`, in the order of its label files.
OFFICE = ("chair", "keyboard", "laptop", "monitor or TV", "person", "phone")


@dataclass
class Record:
    path: Path
    source: str
    label: int | None = None  # class of the vocabulary, where a person gave one
    synset: str = ""
    held: bool = False  # for validation, never trained on
    boxes: list = field(default_factory=list)  # (class or None, x, y, w, h), of the image's size


class Vocabulary:
    def __init__(self, path: Path = VOCABULARY):
        entries = json.loads(path.read_text())
        self.names = [e["name"] for e in entries]
        self.index = {n: i for i, n in enumerate(self.names)}
        self.unknown = self.index[UNKNOWN]
        self.caltech = {c: i for i, e in enumerate(entries) for c in e.get("caltech", [])}
        self.devices = {d: i for i, e in enumerate(entries) for d in e.get("devices", [])}
        self.grocery = {g: i for i, e in enumerate(entries) for g in e.get("grocery", [])}
        # Of each of ImageNet's 1000 classes the class here.
        self.of_imagenet = np.full(1000, self.unknown)
        for i, e in enumerate(entries):
            self.of_imagenet[e["imagenet"]] = i

    def fold(self, probabilities: np.ndarray) -> np.ndarray:
        """(N, 1000) of the teacher to (N, classes): sums over the classes of ImageNet that make up one here."""
        out = np.zeros((len(probabilities), len(self.names)), np.float32)
        np.add.at(out.T, self.of_imagenet, probabilities.T.astype(np.float32))
        return out


def synsets(sources: Path) -> dict[str, int]:
    """ImageNet's class number of each synset, by the names in Tiny-ImageNet's `words.txt` and the label file of the teacher's classes."""
    lines = [line.strip() for line in (sources / "coral/imagenet_labels.txt").read_text().splitlines()]
    # Two pairs of classes share a name; none of theirs is among the sources.
    number = {text: i for i, text in enumerate(line for line in lines if line != "background")}
    words = (line.split("\t") for line in (sources / "tiny/words.txt").read_text().splitlines())
    return {wnid: number[text] for wnid, text in words if text in number}


def seed_of(path: Path, salt: int = 0) -> int:
    """A number that depends on the file alone, so that a rebuilt set is the same."""
    return zlib.crc32(f"{salt}:{path.parent.name}/{path.name}".encode())


def _imagenet(sources: Path, name: str, folders: list[str], vocabulary: Vocabulary, held: float) -> list[Record]:
    numbers, out = synsets(sources), []
    for folder in folders:
        for path in sorted((sources / name / folder).glob("n*/**/*.[jJ]*[gG]")):
            synset = path.relative_to(sources / name / folder).parts[0]
            if synset in LEFT_OUT.get(name, ()):
                continue
            label = int(vocabulary.of_imagenet[numbers[synset]])
            out.append(Record(path, name, label, synset, held=seed_of(path, 64) % 1000 < held * 1000))
    return out


def records(sources: Path, vocabulary: Vocabulary) -> list[Record]:
    """All images that may be trained on or validated with."""
    out: list[Record] = []
    root = sources / "caltech/101_ObjectCategories"
    for line in (sources / "caltech/train.txt").read_text().split():
        if not line.endswith(".jpg"):
            continue
        category = line.split("/")[0]
        number = int(line.split("_")[-1].split(".")[0])
        held = number >= HELD_FACES if category.startswith("Faces") else seed_of(root / line, 64) % 10 == 0
        out.append(Record(root / line, "caltech", vocabulary.caltech.get(category, vocabulary.unknown), category, held))
    for part in ("train", "val"):
        for path in sorted((sources / "grocery/dataset" / part).rglob("*.jpg")):
            kinds = path.relative_to(sources / "grocery/dataset" / part).parts[1:-1]
            label = next((vocabulary.grocery[k] for k in kinds if k in vocabulary.grocery), vocabulary.unknown)
            out.append(Record(path, "grocery", label, kinds[0], held=part == "val"))
    tiny = {p.name for p in (sources / "tiny/train").iterdir()}
    out += _imagenet(sources, "tiny", ["train"], vocabulary, 0.06)
    out += [r for r in _imagenet(sources, "mini", ["train", "val"], vocabulary, 0.06) if r.synset not in tiny]
    out += _imagenet(sources, "nette", ["train", "val"], vocabulary, 0.06)
    out += _imagenet(sources, "woof", ["train", "val"], vocabulary, 0.06)
    out += [Record(p, "signs", vocabulary.index["hand"], p.parent.name, held=seed_of(p, 64) % 10 == 0)
            for p in sorted((sources / "signs/Dataset").rglob("*.JPG"))]
    for part in ("train", "val"):
        for path in sorted((sources / "devices/Dataset" / part).glob("*/*.jpg")):
            label = vocabulary.devices.get(path.parent.name, vocabulary.unknown)
            out.append(Record(path, "devices", label, path.parent.name, held=part == "val"))
    for kind, folder in (("cat", "training_set/cats"), ("cat", "test_set/cats"), ("cat", "breed_dataset/cat_breeds/train"), ("dog", "training_set/dogs")):
        for path in sorted((sources / "pets/dataset" / folder).glob("*.jpg")):
            out.append(Record(path, "pets", vocabulary.index[kind], kind, held=seed_of(path, 64) % 20 == 0))
    out += [Record(p, "trash", None, p.parent.name, held=seed_of(p, 64) % 10 == 0)
            for p in sorted((sources / "trash/dataset-resized").glob("*/*.jpg"))]
    for part in ("train", "valid"):
        for path in sorted((sources / "office/data" / part / "images").glob("*.jpg")):
            rows = (path.parents[1] / "labels" / f"{path.stem}.txt").read_text().splitlines()
            boxes = [(vocabulary.index[OFFICE[int(kind)]], *map(float, rest)) for kind, *rest in map(str.split, rows) if len(rest) == 4]
            out.append(Record(path, "office", None, "", part == "valid", boxes))
    names = coco_names(sources)
    for part in ("train2017", "val2017"):
        for path in sorted((sources / "coco/images" / part).glob("*.jpg")):
            boxes, file = [], sources / "coco/object_detection/labels" / part / f"{path.stem}.txt"
            for row in file.read_text().splitlines() if file.exists() else ():
                kind, x, y, w, h = row.split()
                boxes.append((vocabulary.index.get(COCO.get(names[int(kind)], "")), *map(float, (x, y, w, h))))
            out.append(Record(path, "coco", None, "", part == "val2017", boxes))
    return out


def coco_names(sources: Path, task: str = "object_detection") -> dict[int, str]:
    """The class names of COCO by the numbers that the label files of a task use."""
    lines = (line.strip().split(":", 1) for line in (sources / "coco" / task / "config.yaml").read_text().splitlines())
    return {int(key): name.strip() for key, *rest in lines if key.isdigit() for name in rest}
