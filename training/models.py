"""From a configuration to a network."""

import inspect

from torch import nn

from .mambaout import MambaOut
from .mambavision import MambaVision
from .mila import Mila
from .vim import Vim
from .vmamba import VMamba

FAMILIES = {"mambavision": MambaVision, "mila": Mila, "mambaout": MambaOut, "vim": Vim, "vmamba": VMamba}


def build(config: dict, **overrides) -> nn.Module:
    """The network that the keys of a `config.json` describe; keys that are none of its arguments are left alone."""
    family = FAMILIES[config["model_type"]]
    if "id2label" in config:
        overrides.setdefault("num_classes", len(config["id2label"]))
    known = inspect.signature(family).parameters
    return family(**{k: v for k, v in {**config, **overrides}.items() if k in known})
