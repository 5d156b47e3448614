"""Names of the networks and how each is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from sdbench.base.checks import whole
from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.action.i3d_inception import I3DInception
from sdbench.networks.action.mvit import mvit_b_16x4
from sdbench.networks.action.resnet3d import c2d, fast_r50, i3d, i3d_nln, slow_r50
from sdbench.networks.action.slowfast import slowfast_r50_4x16, slowfast_r50_8x8, slowfast_r50_16x8
from sdbench.networks.action.timesformer import timesformer_8x32, timesformer_16x8
from sdbench.networks.action.x3d import x3d, x3d_l
from sdbench.networks.reading import VideoNetwork
from sdbench.networks.transnetv2 import TransNetV2
from sdbench.networks.vos.fusionseg import FusionSeg
from sdbench.networks.vos.matnet import MATNet
from sdbench.networks.vos.rtnet import RTNet, RTNet34

_BUILDERS: dict[str, Callable[..., VideoNetwork]] = {
    "c2d": c2d,
    "fast_r50_8x8": fast_r50,
    "fusionseg": FusionSeg,
    "i3d": i3d,
    "i3d_inception": I3DInception,
    "i3d_nln": i3d_nln,
    "matnet": MATNet,
    "mvit_b_16x4": mvit_b_16x4,
    "rtnet": RTNet,
    "rtnet34": RTNet34,
    "slow_r50_4x16": slow_r50,
    "slow_r50_8x8": slow_r50,
    "slowfast_r50_16x8": slowfast_r50_16x8,
    "slowfast_r50_4x16": slowfast_r50_4x16,
    "slowfast_r50_8x8": slowfast_r50_8x8,
    "timesformer_16x8": timesformer_16x8,
    "timesformer_8x32": timesformer_8x32,
    "transnetv2": TransNetV2,
    "x3d_l": x3d_l,
    "x3d_m": x3d,
    "x3d_s": x3d,
    "x3d_xs": x3d,
}


def network_names() -> tuple[str, ...]:
    """The names that `build` knows, in alphabetical order."""
    return tuple(sorted(_BUILDERS))


def build(name: str, num_classes: int = 400, **options: Any) -> VideoNetwork:
    """A network with random weights, in eval mode.

    Args:
        name: one of `network_names`.
        num_classes: size of the classifier; a network without classes ignores it.
        options: what else the architecture can vary.

    Raises:
        InputError: the name or an option is unknown.
    """
    if not isinstance(name, str) or name not in _BUILDERS:
        raise unknown_name("network", name, _BUILDERS)
    builder = _BUILDERS[name]
    known = inspect.signature(builder).parameters
    for option in options:
        if option not in known:
            if not known.keys() - {"num_classes"}:
                raise InputError(f"network {name} has no options; got {option!r}")
            raise unknown_name(f"option of {name}", option, known)
    if "num_classes" in known:
        options["num_classes"] = whole("num_classes", num_classes, 1)
    return builder(**options).eval()
