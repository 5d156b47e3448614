"""Networks of other libraries, and of the user's own, by a name with a prefix; one file each.

hf:MCG-NJU/videomae-base     a checkpoint of Hugging Face's hub, or hf:./folder of one of your own
torchvision:r3d_18           a video network of torchvision
timm:resnet50                an image network of timm, shown frame by frame
pytorchvideo:slow_r50        the network of this suite that pytorchvideo calls so
my_model.py:build            a function of your own that returns a module or an `sdbench.Network`
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.network import Network
from sdbench.zoo.asked import Asked

PREFIXES = {
    "control": "sdbench.zoo.adapters.control",
    "hf": "sdbench.zoo.adapters.hugging_face",
    "pytorchvideo": "sdbench.zoo.adapters.pytorchvideo",
    "timm": "sdbench.zoo.adapters.timm",
    "torchvision": "sdbench.zoo.adapters.torchvision",
}
"""Prefix -> the module that opens its names: it has `network_of(name, asked, store)`, of the name behind the prefix."""

_OWN = "sdbench.zoo.adapters.own"

Module = TypeVar("Module", bound=nn.Module)


def network_of(name: str, asked: Asked, store: AssetStore) -> Network:
    """The network that a name with a prefix stands for.

    Raises:
        InputError: the prefix or the name is unknown, or what is asked for does not fit.
        AssetError: a library or the weights cannot be had.
    """
    prefix, _, rest = name.partition(":")
    if not prefix or not rest:
        raise InputError(f"expected PREFIX:NAME, such as hf:MCG-NJU/videomae-base or my_model.py:build; got {name!r}")
    if prefix not in PREFIXES and not _may_be_own(prefix):
        hint = f"{prefix} can be imported from neither the current folder nor what is installed"
        raise InputError(f"{unknown_name('prefix', prefix, PREFIXES)}; as PACKAGE.MODULE:FUNCTION, {hint}")
    found: Network = import_module(PREFIXES.get(prefix, _OWN)).network_of(
        rest if prefix in PREFIXES else name, asked, store
    )
    return found


def _may_be_own(prefix: str) -> bool:
    """Whether this may be a file of Python, or a module that can be imported."""
    if "." in prefix or "/" in prefix or Path(f"{prefix}.py").is_file() or Path(prefix).is_dir():
        return True
    try:
        return importlib.util.find_spec(prefix) is not None
    except (ImportError, ValueError):
        return False


def fresh(build: Callable[[], Module], seed: int) -> Module:
    """What `build` makes when torch's random numbers follow from `seed`, in eval mode; then they go on as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def untrained_note(seed: int) -> str:
    """What a reader of the numbers must know of an untrained network."""
    return f"untrained: the architecture with fresh weights of seed {seed}"
