"""The image networks of timm, shown frame by frame: "timm:resnet50".

Every frame is a picture of its own, and the units of a clip are means over its frames: such a network cannot tell the
order of frames, which makes it a control for those that can. Layers are the stages that timm itself reads features
from, or all blocks where it has no stages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sdbench.assets.store import OFFLINE_VARIABLE, AssetStore
from sdbench.base.errors import AssetError, InputError, MissingAssetError, unknown_name
from sdbench.networks.network import Network
from sdbench.networks.reading import Layer, fed
from sdbench.video.feed import Feed
from sdbench.zoo.adapters import fresh, untrained_note
from sdbench.zoo.adapters.extras import imported
from sdbench.zoo.adapters.told import told
from sdbench.zoo.asked import Asked

FRAMES = 8
"""Of a clip, where nothing else is asked for."""

_NOTE = "frame by frame: units are means over the frames of a clip, whose order this network cannot tell"

_RESAMPLE: dict[str, Literal["area", "bicubic"]] = {"bicubic": "bicubic", "bilinear": "area"}
"""timm's word for Pillow's filter -> that of `Feed`."""


def network_of(name: str, asked: Asked, store: AssetStore) -> Network:
    """An image network of timm.

    Args:
        name: as `timm.list_models()` has it; a tag behind a dot says which weights.
        asked: `trained_on` is the tag where the name has none.
        store: says whether the network may be asked.

    Raises:
        InputError: the name, the weights or a layer is unknown, or it does not take pictures in colour.
        AssetError: the library is not installed, or the weights cannot be had.
    """
    asked.without(
        "a network of timm",
        weights="load your own in a function, and name that: my_model.py:build",
        revision="the name says it: timm:NAME.TAG",
    )
    timm = imported("timm", "timm")
    if asked.trained_on is not None:
        name = f"{name}.{asked.trained_on}"
    _check_name(timm, name)
    notes = [_NOTE]
    if asked.untrained is not None:
        module: nn.Module = fresh(lambda: timm.create_model(name, pretrained=False), asked.untrained)
        notes.append(untrained_note(asked.untrained))
    else:
        module = _trained(timm, name, store)
        cfg: dict[str, Any] = module.pretrained_cfg  # type: ignore[assignment]
        notes.append(f"weights: {cfg.get('hf_hub_id') or cfg.get('url') or name}, tag {cfg.get('tag') or 'none'}")
    config = timm.data.resolve_model_data_config(module)
    feed = asked.fed(_feed(name, config, asked))
    if feed.fit != "stretch" and "short_side" not in asked.feed:
        feed = replace(feed, short_side=math.floor(min(feed.height_and_width) / config["crop_pct"]))
    channels = _channels(module)
    layers = asked.layers or tuple(channels)
    if not layers:
        raise InputError(
            f"timm says no stages or blocks of {name}: name submodules to read, such as --layers 'stages.*'"
        )
    network = Network(module, feed, f"timm:{name}", layers, notes=tuple(notes))
    shapes = _shapes(network)
    return told(network, lambda layer: _layer(layer, shapes.get(layer), channels.get(layer), module))


def _check_name(timm: Any, name: str) -> None:
    if name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
        raise InputError(
            f"timm:{name} is not of timm's own list: load it in a function, and name that: my_model.py:build"
        )
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown_name("network of timm", architecture, timm.list_models())
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise unknown_name(f"tag of {architecture} in timm", tag, tags)


def _trained(timm: Any, name: str, store: AssetStore) -> nn.Module:
    """The network with the weights that timm has for it.

    Raises:
        InputError: it has none.
        AssetError: they cannot be had.
    """
    if not timm.models.is_model_pretrained(name):
        raise InputError(f"timm has no weights of {name}: measure the architecture with --untrained")
    try:
        with _offline(store.offline):
            module: nn.Module = timm.create_model(name, pretrained=True).eval()
    except Exception as error:  # of those who fetch there is no end of kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if store.offline:
            raise MissingAssetError(
                f"offline ({OFFLINE_VARIABLE} is set), and the weights of timm:{name} are not in the cache of "
                f"huggingface_hub ({reason}): fetch them where there is a network, or measure with --untrained"
            ) from None
        raise AssetError(f"the weights of timm:{name} cannot be had ({reason})") from error
    return module


@contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Meanwhile what fetches for timm takes only what is in its cache: its own variable is read once, on import."""
    constants = imported("huggingface_hub.constants", "timm")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _feed(name: str, config: dict[str, Any], asked: Asked) -> Feed:
    """What timm's own evaluation feeds: a picture brought to a size by Pillow, and its middle.

    Raises:
        InputError: the network does not take pictures in colour, or how they are resized is not known.
    """
    colours, height, width = config["input_size"]
    if colours != 3:
        raise InputError(f"timm:{name} takes pictures of {colours} channels; frames have red, green and blue")
    if config["interpolation"] not in _RESAMPLE and "resample" not in asked.feed:
        raise InputError(
            f"timm:{name} is shown pictures that are resized by {config['interpolation']!r}, which is not known here: "
            "say --resample area or bicubic"
        )
    return Feed(
        FRAMES,
        height if height == width else (height, width),
        tuple(config["mean"]),
        tuple(config["std"]),
        order="(BT)CHW",
        argument="x",
        fit="stretch" if config["crop_mode"] == "squash" else "crop",
        resample=_RESAMPLE.get(config["interpolation"], "area"),
    )


def _channels(module: nn.Module) -> dict[str, int | None]:
    """Name of each submodule that timm reads features from -> the channels it says that it has; else the blocks."""
    known = dict(module.named_modules())
    told_of: Sequence[dict[str, Any]] = list(getattr(module, "feature_info", None) or [])
    stages: dict[str, int | None] = {of["module"]: of["num_chs"] for of in told_of if of.get("module") in known}
    if stages:
        return stages
    for holder in ("blocks", "stages", "layers"):
        if isinstance(blocks := known.get(holder), (nn.Sequential, nn.ModuleList)):
            return {f"{holder}.{number}": None for number in range(len(blocks))}
    return {}


@torch.no_grad()
def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Name of each layer that is read -> the shape of what it answers to two frames, where that is a tensor."""
    shapes: dict[str, tuple[int, ...]] = {}

    def hook_of(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                shapes[name] = tuple(output.shape)

        return hook

    frames = {network.feed.argument: torch.zeros(2, 3, *network.feed.height_and_width)}
    read = {layer.name for layer in network.read}
    hooks = [part.register_forward_hook(hook_of(name)) for name, part in network.module.named_modules() if name in read]
    try:
        with fed(network.name, frames):
            network.module(*frames.values())
    finally:
        for hook in hooks:
            hook.remove()
    return shapes


def _layer(name: str, shape: tuple[int, ...] | None, channels: int | None, module: nn.Module) -> Layer | None:
    """How a layer is read; None where it answers no tensor, or one whose axes the engine has to be told.

    Raises:
        InputError: channels may be the second or the last of its axes, or are neither.
    """
    if shape is None or len(shape) not in (2, 3, 4):
        return None
    inner = "N" if len(shape) == 3 else "HW"[: len(shape) - 2]
    first, last = f"(BT)C{inner}", f"(BT){inner}C"
    if len(shape) == 2:
        return Layer(name, first)
    if channels is not None:
        fitting = [axes for axes, size in ((first, shape[1]), (last, shape[-1])) if size == channels]
        if not fitting:
            raise InputError(f"layer {name!r} answers {shape} to 2 frames; timm says that it has {channels} channels")
    elif len(shape) == 3:
        return Layer(name, last)
    else:
        # Of a square picture, what is left of height and width is a square too.
        fitting = [axes for axes, rest in ((first, shape[2:]), (last, shape[1:-1])) if rest[0] == rest[1]]
    if len(fitting) == 1:
        return Layer(name, fitting[0])
    return Layer(name, last if getattr(module, "output_fmt", "NCHW") == "NHWC" else first)
