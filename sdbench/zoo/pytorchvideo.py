"""Checkpoints whose entries are named as PyTorchVideo names them, renamed to ours.

PyTorchVideo builds C2D, Slow and SlowFast of numbered `blocks`: 0 is the stem, 1 to 4 are the residual stages, the last
one is the classifier. In C2D the pooling over time after the first residual stage counts as a block too. SlowFast keeps
its two pathways under `multipathway_blocks` and what leads from fast to slow under `multipathway_fusion`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from sdbench.base.errors import AssetError

_STAGE = re.compile(
    r"(?:model\.)?blocks\.(?P<block>[0-5])\.(?:multipathway_blocks\.(?P<pathway>[01])\.)?(?P<inside>.+)"
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


# Not `proj`: MViT has one in some of its blocks.
_RESIDUAL = re.compile(r"(?:model\.)?blocks\.\d+\.(?:conv|norm|res_blocks|multipathway_blocks|multipathway_fusion)\..+")


def is_pytorchvideo(names: Iterable[str]) -> bool:
    """Whether any of the entries is named as in PyTorchVideo's residual networks, and in no other's."""
    return any(_RESIDUAL.fullmatch(name) for name in names)


def _rename(name: str, pooled: bool) -> str | None:
    if head := _HEAD.fullmatch(name):
        return f"head.projection.{head['leaf']}"
    if stage := _STAGE.fullmatch(name):
        block = int(stage["block"])
        if pooled and block > 1:  # block 2 is the pooling, which has no entries
            block -= 1
        for pattern, ours in _INSIDE:
            if block < 5 and (inside := pattern.fullmatch(stage["inside"])):
                return f"s{block + 1}" + inside.expand(ours).format(pathway=stage["pathway"] or 0)
    return None


def from_pytorchvideo(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of PyTorchVideo's C2D, Slow or SlowFast (ResNet-50) under the names of ours, in the same order.

    Names may begin with `model.`. The tensors are not copied.

    Raises:
        AssetError: entries belong to none of these networks.
    """
    pooled = any(re.match(r"(?:model\.)?blocks\.5\.res_blocks\.", name) for name in state_dict)
    renamed = {name: _rename(name, pooled) for name in state_dict}
    strange = [name for name, ours in renamed.items() if ours is None]
    if strange:
        shown = ", ".join(strange[:5]) + (f" and {len(strange) - 5} more" if len(strange) > 5 else "")
        raise AssetError(
            f"unexpected entry {shown} in a PyTorchVideo checkpoint; expected those of its C2D, Slow or SlowFast with "
            "a ResNet-50, blocks.0 to blocks.6"
        )
    return {str(renamed[name]): tensor for name, tensor in state_dict.items()}
