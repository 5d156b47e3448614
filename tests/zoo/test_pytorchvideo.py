"""Renaming PyTorchVideo's entries."""

from __future__ import annotations

import pytest
import torch

from sdbench.base.errors import AssetError
from sdbench.networks.registry import build, network_names
from sdbench.zoo.pytorchvideo import from_pytorchvideo, is_pytorchvideo


def test_names_with_and_without_the_prefix_are_renamed_alike() -> None:
    entries = {
        "blocks.0.conv.weight": "s1.pathway0_stem.conv.weight",
        "blocks.0.multipathway_blocks.1.norm.running_mean": "s1.pathway1_stem.bn.running_mean",
        "blocks.0.multipathway_fusion.conv_fast_to_slow.weight": "s1_fuse.conv_f2s.weight",
        "blocks.2.multipathway_fusion.norm.bias": "s3_fuse.bn.bias",
        "blocks.1.res_blocks.0.branch1_conv.weight": "s2.pathway0_res0.branch1.weight",
        "blocks.4.multipathway_blocks.1.res_blocks.2.branch2.norm_c.weight": "s5.pathway1_res2.branch2.c_bn.weight",
        "blocks.3.multipathway_blocks.0.res_blocks.5.branch2.conv_b.weight": "s4.pathway0_res5.branch2.b.weight",
        "blocks.6.proj.bias": "head.projection.bias",
    }
    value = torch.zeros(1)
    assert list(from_pytorchvideo(dict.fromkeys(entries, value))) == list(entries.values())
    prefixed = from_pytorchvideo({f"model.{name}": value for name in entries})
    assert list(prefixed) == list(entries.values())
    assert prefixed["head.projection.bias"] is value


@pytest.mark.parametrize("name", ["s1.pathway0_stem.conv.weight", "blocks.7.proj.weight", "blocks.1.conv_q.weight"])
def test_entries_of_other_networks_are_refused(name: str) -> None:
    with pytest.raises(AssetError, match="unexpected entry"):
        from_pytorchvideo({name: torch.zeros(1)})


@pytest.mark.parametrize("name", network_names())
def test_no_network_of_ours_is_taken_for_one_of_theirs(name: str) -> None:
    with torch.device("meta"):
        assert not is_pytorchvideo(build(name).state_dict())


def test_theirs_are_recognised() -> None:
    assert is_pytorchvideo(["blocks.6.proj.bias", "model.blocks.1.res_blocks.0.branch1_conv.weight"])
    assert is_pytorchvideo(["blocks.0.multipathway_blocks.1.norm.running_mean"])
