"""Small networks that were trained where only one factor helps, and the files that hold them.

Each is one of the suite's own architectures, narrow and shallow. A file holds all trainings of one network: their
weights rounded to eight bits for each output channel, everything else to half precision, and for each training its
accuracy with those very numbers. Entries that no answer depends on (the published networks have some) are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sdbench.base.errors import AssetError, InputError, unknown_name
from sdbench.base.files import atomic_path
from sdbench.calibration.scenes import SIDE
from sdbench.networks import VideoNetwork, build

SEEDS = 5
"""Trainings of each network on each task."""

CLASSES = 4
"""Classes of an action network: as many kinds of texture as headings."""

FOLDER = Path(__file__).parent / "weights"

_SHALLOW = (1, 1, 1, 1)
_LEVELS = 127
_SCALE = ".scale"


@dataclass(frozen=True)
class Kind:
    """One of the small networks.

    Attributes:
        architecture: its name for `build`.
        options: what makes it small.
        tasks: what it is trained on, one after the other: for an action network, what predicts the label ("motion",
            "texture" or "both"); for a segmentation network, which sprite is to be found: the "camouflaged" one that
            moves or the "still" one that stands out.
        layer: the layer that claims speak of: the last that both streams or pathways reach.
        batch: videos or scenes in a batch of the training.
        steps: batches that a training takes.
        rate: its highest learning rate.
        enough: percent of right answers (or mean intersection over union) below which a training has failed.
    """

    architecture: str
    options: Mapping[str, Any]
    tasks: tuple[str, ...]
    layer: str
    batch: int
    steps: int
    rate: float
    enough: float

    @property
    def segments(self) -> bool:
        """Whether it finds sprites, rather than classes of videos."""
        return self.tasks == SEGMENTATION

    @property
    def paired(self) -> bool:
        """Whether it takes two frames of a scene."""
        return self.architecture.startswith("rtnet")

    @property
    def two_speeds(self) -> bool:
        """Whether it takes a video slow and fast."""
        return self.architecture.startswith("slowfast")

    def build(self) -> VideoNetwork:
        """The network with random weights, in eval mode."""
        return build(self.architecture, num_classes=CLASSES, **self.options)


ACTION = ("motion", "texture", "both")
SEGMENTATION = ("camouflaged", "still")

KINDS: dict[str, Kind] = {
    "calibration_resnet3d": Kind(
        architecture="i3d",
        options={"width_per_group": 4, "depths": _SHALLOW},
        tasks=ACTION,
        layer="stage5",
        batch=32,
        steps=350,
        rate=0.01,
        enough=50,
    ),
    "calibration_slowfast": Kind(
        architecture="slowfast_r50_8x8",
        options={"width_per_group": 2, "fast_fraction": 1, "depths": _SHALLOW},
        tasks=ACTION,
        layer="slow.stage5",
        batch=32,
        steps=450,
        rate=0.01,
        enough=50,
    ),
    "calibration_fusionseg": Kind(
        architecture="fusionseg",
        options={"width": 2, "depths": _SHALLOW},
        tasks=SEGMENTATION,
        layer="fusion.layer5",
        batch=16,
        steps=250,
        rate=0.01,
        enough=45,
    ),
    "calibration_matnet": Kind(
        architecture="matnet",
        options={"width": 2, "depths": _SHALLOW, "mask_size": SIDE},
        tasks=SEGMENTATION,
        layer="decoder",
        batch=8,
        steps=200,
        rate=0.01,
        enough=45,
    ),
    "calibration_rtnet": Kind(
        architecture="rtnet34",
        options={"width": 3, "depths": _SHALLOW},
        tasks=SEGMENTATION,
        layer="fusion.layer2",
        batch=8,
        steps=240,
        rate=0.01,
        enough=40,
    ),
}
"""The small networks by name."""


def kind_named(name: str) -> Kind:
    """The small network of this name.

    Raises:
        InputError: there is none.
    """
    if name not in KINDS:
        raise unknown_name("small network", name, KINDS)
    return KINDS[name]


@dataclass(frozen=True)
class Training:
    """One finished training.

    Attributes:
        network: name of the network, one of `KINDS`.
        task: one of its tasks.
        seed: of the first weights and of all that was drawn while training.
        state: the entries that answers depend on, rounded as they are stored.
        about: accuracy, revision, command and so on, for the file.
    """

    network: str
    task: str
    seed: int
    state: dict[str, Tensor] = field(repr=False)
    about: dict[str, Any]


def rounded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights (of two axes or more) at 255 levels for each channel of their first axis, the rest in half precision."""
    return {name: _unpacked(*_packed(name, value)) for name, value in state.items()}


def _packed(name: str, value: Tensor) -> tuple[Tensor, Tensor | None]:
    if value.ndim < 2:
        # Variances go below what half precision can hold.
        return (value.float() if name.endswith("running_var") else value.half()), None
    largest = value.abs().flatten(1).amax(dim=1).clamp(min=1e-4)
    scale = (largest / _LEVELS).half()
    levels = (value / _spread(scale, value.ndim)).round().clamp(-_LEVELS, _LEVELS)
    return levels.to(torch.int8), scale


def _unpacked(value: Tensor, scale: Tensor | None) -> Tensor:
    return value.float() if scale is None else value.float() * _spread(scale, value.ndim)


def _spread(scale: Tensor, axes: int) -> Tensor:
    return scale.float().view(-1, *[1] * (axes - 1))


def alive(module: VideoNetwork) -> tuple[str, ...]:
    """Names of the entries of the state dict that the answer depends on, after a backward pass has gone through it."""
    used = {name for name, parameter in module.named_parameters() if parameter.grad is not None}
    owners = {name.rpartition(".")[0] for name in used}
    buffers = {name for name, _ in module.named_buffers() if name.rpartition(".")[0] in owners}
    return tuple(
        name for name in module.state_dict() if name in used | buffers and not name.endswith("num_batches_tracked")
    )


def save_trained(path: Path, trainings: Mapping[tuple[str, int], Training]) -> None:
    """Write the trainings of one network to one file, atomically.

    Args:
        path: of the safetensors file.
        trainings: (task, seed) -> training; all of the same network.
    """
    arrays: dict[str, Tensor] = {}
    for (task, seed), training in trainings.items():
        for name, value in training.state.items():
            packed, scale = _packed(name, value)
            arrays.setdefault(name, torch.empty((len(trainings), *packed.shape), dtype=packed.dtype))
            number = list(trainings).index((task, seed))
            arrays[name][number] = packed
            if scale is not None:
                arrays.setdefault(name + _SCALE, torch.empty((len(trainings), *scale.shape), dtype=scale.dtype))
                arrays[name + _SCALE][number] = scale
    listed = [{"task": task, "seed": seed, **training.about} for (task, seed), training in trainings.items()]
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, metadata={"trainings": json.dumps(listed)})


def listed(name: str, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """What is known of each stored training of a network: task, seed, accuracy and how it came about.

    Raises:
        InputError: the network is unknown.
        AssetError: its file is missing or damaged.
    """
    kind_named(name)
    return list(_file(folder / f"{name}.safetensors")[1])


def load_trained(name: str, task: str, seed: int, folder: Path = FOLDER) -> VideoNetwork:
    """A small network as it was stored, in eval mode.

    Args:
        name: one of `KINDS`.
        task: one of its tasks.
        seed: which of its `SEEDS` trainings.
        folder: where the files lie.

    Raises:
        InputError: the network, the task or the seed is unknown.
        AssetError: its file is missing, damaged, or does not fit.
    """
    kind = kind_named(name)
    if task not in kind.tasks:
        raise unknown_name(f"task of {name}", task, kind.tasks)
    path = folder / f"{name}.safetensors"
    arrays, trainings = _file(path)
    number = next((i for i, about in enumerate(trainings) if (about["task"], about["seed"]) == (task, seed)), None)
    if number is None:
        raise InputError(f"{path.name} holds no training of {name} on {task} with seed {seed}; seeds are 0 to 4")
    module = kind.build()
    expected = module.state_dict()
    for entry, value in arrays.items():
        if entry.endswith(_SCALE):
            continue
        scale = arrays.get(entry + _SCALE)
        found = _unpacked(value[number], None if scale is None else scale[number])
        if entry not in expected or expected[entry].shape != found.shape:
            raise AssetError(f"{path} does not fit {name}: {entry} is {tuple(found.shape)}; train the networks again")
        expected[entry].copy_(found)
    for entry, value in expected.items():
        if entry not in arrays and value.is_floating_point():
            value.zero_()  # no answer depends on it; random numbers there would only change the hash of the weights
    return module.eval()


@lru_cache(maxsize=8)
def _file(path: Path) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["trainings"])  # noqa: SIM118
    except FileNotFoundError:
        raise AssetError(f"no weights at {path}; run `nox -s train-calibration`") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise AssetError(f"{path} is damaged ({error}); get it anew or run `nox -s train-calibration`") from None
