"""Which weights were published for which network, and what they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from sdbench.errors import InputError, unknown_name
from sdbench.networks.reading import VideoNetwork
from sdbench.networks.registry import build
from sdbench.zoo.preparation import Preparation

CLASSES = {"kinetics400": 400, "ssv2": 174, "diving48": 48}
"""Data set -> number of classes that a network trained on it tells apart."""


@dataclass(frozen=True)
class Model:
    """A network with one set of weights that are known.

    Attributes:
        name: as `load` takes it.
        task: what the weights were trained to do.
        trained_on: the data set they were trained on; with the name, it is unique.
        asset: the asset that holds the weights.
        architecture: the name that `build` knows the network by.
        options: what `build` is given besides.
        preparation: what the network is fed; None where this version does not know it.
    """

    name: str
    task: str
    trained_on: str
    asset: str
    architecture: str
    options: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    preparation: Preparation | None = None

    def build(self) -> VideoNetwork:
        """The network with random weights, in eval mode."""
        return build(self.architecture, **self.options)

    def known_preparation(self) -> Preparation:
        """What the network is fed.

        Raises:
            InputError: this version does not know it.
        """
        if self.preparation is None:
            raise InputError(
                f"{self.name} is measured on stylised data sets: make one with sdbench stylize, then "
                f"sdbench measure {self.name} FOLDER --stylised LAYOUT "
                "(or say with preparation= how frames of plain videos become its input)"
            )
        return self.preparation


def _action(name: str, trained_on: str = "kinetics400", architecture: str | None = None, **options: int) -> Model:
    return Model(
        name=name,
        task="action recognition",
        trained_on=trained_on,
        asset=f"{name}_{trained_on}",
        architecture=architecture or name,
        options=MappingProxyType({"num_classes": CLASSES[trained_on], **options}),
    )


_MODELS = (
    Model(
        name="i3d_inception",
        task="action recognition",
        trained_on="kinetics400",
        asset="i3d_inception_kinetics400",
        architecture="i3d_inception",
        # 112 x 112 instead of the 224 x 224 of training: a quarter of the time, and the network is convolutional.
        preparation=Preparation(frames=16, short_side=112, size=(112, 112), fit="crop", layout="signed"),
    ),
    Model(
        name="transnetv2",
        task="shot boundary detection",
        trained_on="clipshots, bbc, rai",
        asset="transnetv2",
        architecture="transnetv2",
        preparation=Preparation(frames=16, short_side=112, size=(27, 48), fit="stretch", layout="bytes"),
    ),
    # Of one name, the first is what `load` takes when no training set is named.
    _action("c2d"),
    _action("c2d_nopool", architecture="c2d", temporal_pool=1),
    _action("i3d"),
    _action("i3d_nln"),
    _action("slow_r50_4x16"),
    _action("slow_r50_8x8"),
    _action("slow_r50_8x8", "ssv2"),
    _action("slow_r50_8x8", "diving48"),
    _action("fast_r50_8x8"),
    _action("fast_r50_8x8", "ssv2"),
    _action("fast_r50_8x8", "diving48"),
    _action("slowfast_r50_4x16"),
    _action("slowfast_r50_8x8"),
    _action("slowfast_r50_8x8", "ssv2"),
    _action("slowfast_r50_16x8", "ssv2"),
    _action("slowfast_r50_16x8_multigrid", "ssv2", architecture="slowfast_r50_16x8"),
    _action("x3d_xs"),
    _action("x3d_s"),
    _action("x3d_m"),
    _action("x3d_l"),
    _action("mvit_b_16x4"),
    _action("timesformer_8x32"),
    _action("timesformer_16x8", "ssv2"),
)


def models() -> tuple[Model, ...]:
    """Every network with every set of weights that is known, in alphabetical order of the names."""
    return tuple(sorted(_MODELS, key=lambda known: known.name))


def model_names() -> tuple[str, ...]:
    """The names that `load` knows, in alphabetical order."""
    return tuple(sorted({known.name for known in _MODELS}))


def model(name: str, trained_on: str | None = None) -> Model:
    """What is known of the network `name` trained on `trained_on` (by default, its first training set: Kinetics-400).

    Raises:
        InputError: there is no such network, or no weights of it trained on that data set.
    """
    found = {known.trained_on: known for known in _MODELS if known.name == name}
    if not found:
        raise unknown_name("network", name, model_names())
    if trained_on is None:
        return next(iter(found.values()))
    if trained_on not in found:
        raise InputError(f"no weights of {name} trained on {trained_on!r} are known; known: {', '.join(found)}")
    return found[trained_on]
