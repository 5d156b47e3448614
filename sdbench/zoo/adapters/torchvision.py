"""The video networks of torchvision: "torchvision:r3d_18".

Weights are those of the library's own list, held against the hash in their file's name each time they are read. Layers
are the stages, or of MViT the blocks, by the names of their submodules. Swin's channels are the last axis of what its
stages answer; of what MViT's blocks answer, the first item is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sdbench.assets.store import OFFLINE_VARIABLE, AssetStore
from sdbench.base.errors import AssetError, InputError, MissingAssetError, unknown_name
from sdbench.base.files import sha256_of
from sdbench.networks.network import Network
from sdbench.networks.reading import Layer
from sdbench.video.feed import Feed
from sdbench.zoo.adapters import fresh, untrained_note
from sdbench.zoo.adapters.extras import imported
from sdbench.zoo.adapters.told import told
from sdbench.zoo.asked import Asked

_HASH = re.compile(r"-([0-9a-f]{8,})\.pth$")


@dataclass(frozen=True)
class _Family:
    """What networks of one kind have in common.

    Attributes:
        frames, stride: of a clip, as the library evaluates its weights: videos of Kinetics have 30 frames a second.
        layers: what is read where nothing else is asked for.
        axes: of every layer that `reads` fits.
        item: of the answer of every layer that `reads` fits.
        reads: names of submodules that answer so.
        fixed: whether positions are learnt for one number of frames of one size.
        notes: what else a reader of the numbers must know.
    """

    frames: int
    stride: int
    layers: tuple[str, ...]
    axes: str
    reads: str
    item: int | None = None
    fixed: bool = False
    notes: tuple[str, ...] = ()

    def layer(self, name: str) -> Layer | None:
        return Layer(name, self.axes, self.item) if re.fullmatch(self.reads, name) else None


_RESNET = _Family(16, 2, ("stem", *(f"layer{n}" for n in range(1, 5))), "BCTHW", r"stem.*|layer\d.*")
_S3D = _Family(
    # Each stage ends before a pooling over space, and the last before the head.
    *(32, 2, tuple(f"features.{n}" for n in (0, 3, 6, 12, 15))),
    "BCTHW",
    r"features\..+",
    notes=("fed 32 frames; torchvision evaluates its weights with 128, which takes four times as long",),
)
_MVIT = _Family(
    *(16, 4, tuple(f"blocks.{n}" for n in range(16))),
    "BNC",
    r"blocks\.\d+",
    item=0,
    fixed=True,
    notes=("units are averaged over all tokens, the class token among them",),
)
_SWIN = _Family(
    *(32, 2, ("patch_embed", *(f"features.{n}" for n in (0, 2, 4, 6)))),
    "BTHWC",
    r"patch_embed(\.norm)?|pos_drop|norm|features\.\d+(\.\d+(\.(norm1|attn|norm2|mlp.*|stochastic_depth))?)?",
)
_FAMILIES = {
    **dict.fromkeys(("r3d_18", "mc3_18", "r2plus1d_18"), _RESNET),
    "s3d": _S3D,
    **dict.fromkeys(("mvit_v1_b", "mvit_v2_s"), _MVIT),
    **dict.fromkeys(("swin3d_t", "swin3d_s", "swin3d_b"), _SWIN),
}


def network_of(name: str, asked: Asked, store: AssetStore) -> Network:
    """A video network of torchvision.

    Args:
        name: as `torchvision.models.list_models(torchvision.models.video)` has it.
        asked: `trained_on` picks weights by their name in the library, such as KINETICS400_V1.
        store: says whether the network may be asked.

    Raises:
        InputError: the name, the weights or a layer is unknown, or what is fed does not fit fixed positions.
        AssetError: the library is not installed, or the weights cannot be had or are damaged.
    """
    if name not in _FAMILIES:
        raise unknown_name("video network of torchvision", name, _FAMILIES)
    asked.without(
        "a network of torchvision",
        weights="load your own in a function, and name that: my_model.py:build",
        revision="the library names its weights; choose among them with --trained-on",
    )
    family = _FAMILIES[name]
    models = imported("torchvision.models", "torchvision")
    chosen = _weights(models.get_model_weights(name), asked.trained_on)
    preset, notes = chosen.transforms(), list(family.notes)
    feed = asked.fed(_feed(family, preset))
    if feed.fit != "stretch" and "short_side" not in asked.feed:
        cut = min(preset.resize_size) / min(preset.crop_size)
        feed = replace(feed, short_side=round(min(feed.height_and_width) * cut))
    if family.fixed:
        _check_fixed(name, feed, chosen.meta)
    if len(preset.resize_size) == 2:
        size = " x ".join(map(str, preset.resize_size))
        notes.append(
            f"torchvision squeezes frames to {size} pixels before it crops; here their aspect ratio is kept, and the "
            f"shorter side brought to {feed.side}"
        )

    def build() -> torch.nn.Module:
        module: torch.nn.Module = models.get_model(name, weights=None, num_classes=len(chosen.meta["categories"]))
        return module

    assets: dict[str, str] = {}
    if asked.untrained is not None:
        module = fresh(build, asked.untrained)
        notes.append(untrained_note(asked.untrained))
    else:
        module = fresh(build, 0)
        path = _fetched(chosen, store)
        assets = {path.name: _verified(path)}
        _fill(module, path)
        notes.append(f"weights: {chosen.name} of torchvision's {name}")
    named = Network(module, feed, f"torchvision:{name}", asked.layers or family.layers, assets, tuple(notes))
    return told(named, family.layer)


def _weights(known: Any, trained_on: str | None) -> Any:
    """The member of the library's list of weights that is asked for.

    Raises:
        InputError: there is none of that name.
    """
    if trained_on is None:
        return known.DEFAULT
    if trained_on.upper() not in known.__members__:
        raise unknown_name("set of weights", trained_on, (member.name for member in known))
    return known[trained_on.upper()]


def _feed(family: _Family, preset: Any) -> Feed:
    """What the library's own preset feeds: it interpolates four neighbours, and subtracts and divides by colour."""
    height, width = preset.crop_size
    return Feed(
        family.frames,
        height if height == width else (height, width),
        tuple(preset.mean),
        tuple(preset.std),
        argument="x",
        stride=family.stride,
        resample="bilinear",
    )


def _check_fixed(name: str, feed: Feed, meta: dict[str, Any]) -> None:
    frames, size = meta["min_temporal_size"], tuple(meta["min_size"])
    if feed.frames != frames or feed.height_and_width != size:
        height, width = feed.height_and_width
        raise InputError(
            f"torchvision:{name} has learnt positions of {frames} frames of {size[0]} x {size[1]} pixels and takes no "
            f"others; asked for were {feed.frames} of {height} x {width}: leave out --frames and --size"
        )


def _fetched(chosen: Any, store: AssetStore) -> Path:
    """The file of some weights, in torch's own cache.

    Raises:
        AssetError: it is not there, and cannot be fetched.
    """
    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / chosen.url.rpartition("/")[2]
    if path.is_file():
        return path
    if store.offline:
        raise MissingAssetError(
            f"offline ({OFFLINE_VARIABLE} is set), and {path.name} is not in {path.parent}: fetch {chosen.url} where "
            "there is a network and copy it there, or measure the architecture with --untrained"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(chosen.url, str(path), _in_name(path), progress=not store.quiet)
    except (OSError, RuntimeError) as error:
        raise MissingAssetError(
            f"{chosen.url} cannot be fetched ({error}); try again, or copy the file to {path.parent}"
        ) from None
    return path


def _in_name(path: Path) -> str:
    """How the hash of a file begins, as its name says."""
    found = _HASH.search(path.name)
    assert found is not None
    return found.group(1)


def _verified(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        AssetError: it is not the one in its name.
    """
    found = sha256_of(path)
    if not found.startswith(_in_name(path)):
        raise AssetError(
            f"{path} is damaged: its SHA-256 begins with {found[:8]}, not with {_in_name(path)}, as its name says; "
            "delete it, and it is fetched again"
        )
    return found


def _fill(module: torch.nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # of torch's own reader there is no end of kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AssetError(
            f"{path} does not hold the weights of this version of torchvision's network: {reason}"
        ) from None
