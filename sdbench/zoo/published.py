"""Which weights were published for which network, and what they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.reading import VideoNetwork
from sdbench.networks.registry import build
from sdbench.video.feed import Feed
from sdbench.zoo.feeds import feed_of

VOS = "video object segmentation"
"""The task of networks that are fed frames with their optical flow."""

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
        member: where the asset is a zip, the path of the weights in it: a file, or, with `/` at its end, a folder of
            `parts`; "" is the whole zip. None where the asset is no zip.
        parts: the names under which the weights lie in several files, each `PART_EPOCH.pt` for the entries `PART.*` of
            the network; () where they are one file.
    """

    name: str
    task: str
    trained_on: str
    asset: str
    architecture: str
    options: Mapping[str, int | str] = field(default_factory=lambda: MappingProxyType({}))
    member: str | None = None
    parts: tuple[str, ...] = ()

    def build(self) -> VideoNetwork:
        """The network with random weights, in eval mode."""
        options: dict[str, Any] = dict(self.options)
        return build(self.architecture, **options)

    @property
    def feed(self) -> Feed:
        """What the network is fed where its units are measured."""
        return feed_of(self.architecture)


def _action(name: str, trained_on: str = "kinetics400", architecture: str | None = None, **options: int) -> Model:
    return Model(
        name=name,
        task="action recognition",
        trained_on=trained_on,
        asset=f"{name}_{trained_on}",
        architecture=architecture or name,
        options=MappingProxyType({"num_classes": CLASSES[trained_on], **options}),
    )


def _fusionseg(trained_on: str, in_file_name: str) -> Model:
    file = f"checkpoints_fseg/latest_twostream_deeplabv3plus_resnet101_{in_file_name}_os16.pth"
    return Model("fusionseg", VOS, trained_on, "vos_checkpoints", "fusionseg", member=file)


def _matnet(name: str, trained_on: str, asset: str | None = None, member: str = "", **options: str) -> Model:
    """MATNet; of weights that were never published, the asset of the same name says so."""
    options = {"cross_connection": "coatt", "fusion": "gated", **options}
    parts = ("encoder", "decoder")
    return Model(name, VOS, trained_on, asset or name, "matnet", MappingProxyType(options), member=member, parts=parts)


_MODELS = (
    Model(
        name="i3d_inception",
        task="action recognition",
        trained_on="kinetics400",
        asset="i3d_inception_kinetics400",
        architecture="i3d_inception",
    ),
    Model(
        name="transnetv2",
        task="shot boundary detection",
        trained_on="clipshots, bbc, rai",
        asset="transnetv2",
        architecture="transnetv2",
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
    _fusionseg("davis", "davis"),
    _fusionseg("taovos", "taovos"),
    _fusionseg("imagenetvid", "imgnetvid"),
    _matnet("matnet", "davis+youtube-vos", "vos_checkpoints", "checkpoints_matnet/"),
    _matnet(
        "matnet_recip_gated",
        "davis+youtube-vos",
        "matnet_recip_gated_checkpoints",
        cross_connection="coatt_gated_recip",
    ),
    _matnet("matnet_reproduced", "davis+youtube-vos"),
    _matnet("matnet_nobar", "davis+youtube-vos, no boundary refinement"),
    _matnet("matnet_noytb", "davis only"),
    _matnet("matnet_gated", "not stated", cross_connection="coatt_gated"),
    Model(
        name="rtnet",
        task=VOS,
        trained_on="davis+duts",
        asset="vos_checkpoints",
        architecture="rtnet",
        options=MappingProxyType({"mixed_batch": True}),  # as its published code runs
        member="model_RX50.pth",
    ),
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
    if not found and Path(str(name)).suffix == ".py":
        raise InputError(f"{name} is a file; name the function in it that returns the network, as {name}:build")
    if not found and Path(str(name)).suffix in (".pt", ".pth", ".pyth", ".ckpt", ".safetensors", ".bin"):
        raise InputError(
            f"{name} is a file of weights; name the network that they belong to, such as i3d --weights {name}, or a "
            "function of yours that loads them: my_model.py:build"
        )
    if not found:
        raise unknown_name("network", name, model_names())
    if trained_on is None:
        return next(iter(found.values()))
    if trained_on not in found:
        raise InputError(f"no weights of {name} trained on {trained_on!r} are known; known: {', '.join(found)}")
    return found[trained_on]
