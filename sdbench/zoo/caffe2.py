"""Checkpoints of Caffe2, renamed to ours.

Its model zoo stores a pickle of a dict whose key `blobs` holds arrays by flat names such as `res3_0_branch2a_bn_rm`:
residual stage 3, block 0, convolution a, the running mean of its batch norm. SlowFast's fast pathway begins with `t_`,
and what leads from fast to slow is named after the blob it reads, with `_subsample`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdbench.base.errors import AssetError

_CONVOLUTION = {"w": "weight", "b": "bias"}
_NORM = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
_NAMES = (
    # pattern of the owner, our owner of a convolution, our owner of a norm; None where there is none
    (re.compile(r"(?P<fast>t_)?conv1"), "s1.pathway{pathway}_stem.conv", None),
    (re.compile(r"(?P<fast>t_)?res_conv1"), None, "s1.pathway{pathway}_stem.bn"),
    (re.compile(r"t_pool1_subsample"), "s1_fuse.conv_f2s", "s1_fuse.bn"),
    (
        re.compile(r"t_res(?P<stage>[2-5])_\d+_branch2c_bn_subsample"),
        "s{stage}_fuse.conv_f2s",
        "s{stage}_fuse.bn",
    ),
    (
        re.compile(r"(?P<fast>t_)?res(?P<stage>[2-5])_(?P<block>\d+)_branch1"),
        "s{stage}.pathway{pathway}_res{block}.branch1",
        "s{stage}.pathway{pathway}_res{block}.branch1_bn",
    ),
    (
        re.compile(r"(?P<fast>t_)?res(?P<stage>[2-5])_(?P<block>\d+)_branch2(?P<step>[abc])"),
        "s{stage}.pathway{pathway}_res{block}.branch2.{step}",
        "s{stage}.pathway{pathway}_res{block}.branch2.{step}_bn",
    ),
    (
        re.compile(r"nonlocal_conv(?P<stage>[2-5])_(?P<block>\d+)_(?P<step>theta|phi|g|out)"),
        "s{stage}.pathway0_nonlocal{block}.conv_{step}",
        None,
    ),
    (
        re.compile(r"nonlocal_conv(?P<stage>[2-5])_(?P<block>\d+)"),
        None,
        "s{stage}.pathway0_nonlocal{block}.bn",
    ),
    (re.compile(r"pred"), "head.projection", None),
)
_BLOB = re.compile(r"(?P<owner>.+?)(?P<norm>_bn)?_(?P<leaf>w|b|s|rm|riv)")
_OF_TRAINING = re.compile(r"lr|model_iter|.+_momentum")


def caffe2_name(blob: str) -> str | None:
    """Our state-dict entry for the blob of that name; None where there is none."""
    parts = _BLOB.fullmatch(blob)
    if parts is None:
        return None
    leaf = (_NORM if parts["norm"] else _CONVOLUTION).get(parts["leaf"])
    for pattern, convolution, norm in _NAMES:
        owner = norm if parts["norm"] else convolution
        if owner and leaf and (found := pattern.fullmatch(parts["owner"])):
            fields = found.groupdict()
            return owner.format(**fields, pathway=1 if fields.get("fast") else 0) + f".{leaf}"
    return None


def from_caffe2(blobs: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The blobs under the names of ours.

    Blobs of the optimiser (`lr`, `model_iter`, `..._momentum`) are left out. A blob without a counterpart keeps its
    name, for `load_state` to list. Axes of length 1 that a blob lacks at its end are added. Batch norm's counters,
    which Caffe2 does not have and a network in eval mode does not read, are zero.

    Args:
        blobs: arrays by Caffe2's names.
        shapes: the network's entries and their shapes.

    Raises:
        AssetError: a blob is no array of numbers, or two of them mean the same entry.
    """
    state: dict[str, Tensor] = {}
    for blob, value in blobs.items():
        if _OF_TRAINING.fullmatch(blob):
            continue
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise AssetError(f"blob {blob} is a {type(value).__name__}; expected an array of numbers")
        name = caffe2_name(blob) or blob
        if name in state:
            raise AssetError(f"blob {blob} and another one both mean {name}; expected one blob for each entry")
        missing_axes = len(shapes.get(name, ())) - value.ndim
        array = value.reshape(value.shape + (1,) * max(missing_axes, 0))
        # A pickled array may lie in read-only memory or in another byte order; torch wants neither.
        state[name] = torch.from_numpy(np.array(array, dtype=value.dtype.newbyteorder("="), order="C"))
    for name in shapes:
        if name.endswith(".num_batches_tracked") and name not in state:
            state[name] = torch.zeros((), dtype=torch.int64)
    return state
