"""Checkpoints whose entries are named as PyTorchVideo names them, renamed to ours.

PyTorchVideo builds Slow and SlowFast of numbered `blocks`: 0 is the stem, 1 to 4 are the residual stages, the last
one is the classifier. SlowFast keeps its two pathways under `multipathway_blocks` and what leads from fast to slow
under `multipathway_fusion`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from sdbench.errors import AssetError

_STAGE = re.compile(
    r"(?:model\.)?blocks\.(?P<block>[0-4])\.(?:multipathway_blocks\.(?P<pathway>[01])\.)?(?P<inside>.+)"
)
_HEAD = re.compile(r"(?:model\.)?blocks\.[56]\.proj\.(?P<leaf>weight|bias)")
_INSIDE = (
    (re.compile(r"multipathway_fusion\.conv_fast_to_slow\.(\w+)"), r"_fuse.conv_f2s.\1"),
    (re.compile(r"multipathway_fusion\.norm\.(\w+)"), r"_fuse.bn.\1"),
    (re.compile(r"conv\.(\w+)"), r".pathway{pathway}_stem.conv.\1"),
    (re.compile(r"norm\.(\w+)"), r".pathway{pathway}_stem.bn.\1"),
    (re.compile(r"res_blocks\.(\d+)\.branch1_conv\.(\w+)"), r".pathway{pathway}_res\1.branch1.\2"),
    (re.compile(r"res_blocks\.(\d+)\.branch1_norm\.(\w+)"), r".pathway{pathway}_res\1.branch1_bn.\2"),
    (re.compile(r"res_blocks\.(\d+)\.branch2\.conv_([abc])\.(\w+)"), r".pathway{pathway}_res\1.branch2.\2.\3"),
    (re.compile(r"res_blocks\.(\d+)\.branch2\.norm_([abc])\.(\w+)"), r".pathway{pathway}_res\1.branch2.\2_bn.\3"),
)


def _rename(name: str) -> str:
    if head := _HEAD.fullmatch(name):
        return f"head.projection.{head['leaf']}"
    if stage := _STAGE.fullmatch(name):
        for pattern, ours in _INSIDE:
            if inside := pattern.fullmatch(stage["inside"]):
                return f"s{int(stage['block']) + 1}" + inside.expand(ours).format(pathway=stage["pathway"] or 0)
    raise AssetError(
        f"unexpected entry {name} in a PyTorchVideo checkpoint; expected those of its Slow or SlowFast with a "
        "ResNet-50, blocks.0 to blocks.6"
    )


def from_pytorchvideo(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of PyTorchVideo's Slow or SlowFast (ResNet-50) under the names of ours, in the same order.

    Names may begin with `model.`. The tensors are not copied.

    Raises:
        AssetError: an entry belongs to neither network.
    """
    return {_rename(name): tensor for name, tensor in state_dict.items()}
