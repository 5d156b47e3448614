"""Models of the few-shot painter as they are published: pickles of a whole module, whose classes are in `models`."""

from __future__ import annotations

import contextlib
import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from sdbench.networks.filled import fill_state_dict

FORMS = ("zip", "legacy")


class GeneratorJ(nn.Module):
    """The published module's parts and attributes; it is never run."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_layer = nn.BatchNorm2d
        self.filters = (32, 64, 128, 128, 128, 64)
        self.tanh, self.append_smoothers, self.use_bias = True, True, True
        self.conv0 = down(3, 32, 7)
        self.conv1 = down(32, 64, 3)
        self.conv2 = down(64, 128, 3)
        self.resnets = nn.ModuleList([block() for _ in range(7)])
        self.upconv2 = up(256)
        self.upconv1 = up(192)
        self.conv_11 = nn.Sequential(nn.Conv2d(163, 64, 7), nn.ReLU())
        self.conv_11_a = nn.Sequential(
            nn.Conv2d(64, 64, 3), nn.ReLU(), nn.BatchNorm2d(64), nn.Conv2d(64, 64, 3), nn.ReLU()
        )
        self.conv_12 = nn.Sequential(nn.Conv2d(64, 3, 1), nn.Tanh())


class UpsamplingLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Upsample(scale_factor=2)


def down(inputs: int, outputs: int, size: int) -> nn.Sequential:
    parts = OrderedDict(conv=nn.Conv2d(inputs, outputs, size), normalization=nn.BatchNorm2d(outputs))
    return nn.Sequential(OrderedDict(**parts, nonlinearity=nn.LeakyReLU(0.2)))


def block() -> nn.Sequential:
    shared = nn.ReLU()
    return nn.Sequential(
        OrderedDict(
            nonlinearity_0=shared,
            conv_0=nn.Conv2d(128, 128, 3),
            normalization=nn.BatchNorm2d(128),
            nonlinearity_1=shared,
            conv_1=nn.Conv2d(128, 128, 3),
        )
    )


def up(inputs: int) -> nn.Sequential:
    return nn.Sequential(UpsamplingLayer(), nn.Conv2d(inputs, 128, 3, bias=False), nn.BatchNorm2d(128), nn.ReLU())


@contextlib.contextmanager
def published_names() -> Iterator[None]:
    """Inside, the classes above belong to a module `models`, as they do where the weights were trained."""
    models = types.ModuleType("models")
    own = {kind: kind.__module__ for kind in (GeneratorJ, UpsamplingLayer)}
    before = sys.modules.get("models")
    for kind in own:
        setattr(models, kind.__name__, kind)
        kind.__module__ = "models"
    sys.modules["models"] = models
    try:
        yield
    finally:
        for kind, place in own.items():
            kind.__module__ = place
        del sys.modules["models"]
        if before is not None:
            sys.modules["models"] = before


def save_whole(content: object, path: Path, form: str = "zip") -> Path:
    """Write what torch writes of a module that is saved whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with published_names(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older form wants the source of the classes, and finds none in `models`
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    return path


def published_model(seed: int = 0) -> GeneratorJ:
    """A whole module with made-up weights."""
    module = GeneratorJ()
    fill_state_dict(module, seed)
    return module
