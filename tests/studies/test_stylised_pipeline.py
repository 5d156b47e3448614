"""The whole action pipeline without downloads: one network of each family, thin or cut short, with random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdbench import Network, build, estimate, measure, units
from sdbench.assets import AssetStore
from sdbench.base.draws import generator_for
from sdbench.networks import VideoNetwork
from sdbench.networks.filled import fill_state_dict
from sdbench.studies.stylised_study import StylisedStudy, draw_pairs
from sdbench.zoo import feed_of
from tests.made.stylised import make, names, read

FAMILIES = {
    "slow_r50_4x16": ("stage1", "stage5"),
    "slowfast_r50_4x16": ("slow.stage4.fused", "fast.stage5"),
    "x3d_xs": ("stage2", "stage5"),
    "mvit_b_16x4": ("block0", "block3"),
    "timesformer_8x32": ("block0", "block1"),
}
THIN = {"slow_r50_4x16": {"width_per_group": 8}, "slowfast_r50_4x16": {"width_per_group": 8}}
BLOCKS = {"mvit_b_16x4": 4, "timesformer_8x32": 2}
"""Transformers cannot be thin: those after the last block that is read are left out."""


def small_network(name: str) -> VideoNetwork:
    """A network of this name with few weights, the same on every machine."""
    with torch.device("meta"):
        module = build(name, **THIN.get(name, {}))
    if name in BLOCKS:
        transformer = module.get_submodule("model") if name.startswith("timesformer") else module
        del transformer.get_submodule("blocks")[BLOCKS[name] :]  # type: ignore[operator]
    module = module.to_empty(device="cpu")
    fill_state_dict(module, 0)
    return module.double()


@pytest.mark.filterwarnings("ignore:.*the intervals will be wide:UserWarning")
@pytest.mark.parametrize("network", FAMILIES)
@pytest.mark.slow
def test_the_pipeline_agrees_with_plain_code(network: str, tmp_path: Path) -> None:
    """Every layer's shares equal those of units computed view by view and given to the estimator at once."""
    videos = dict.fromkeys(names(8, "diving48"), 24)
    dataset = read(make(tmp_path / "data", "diving48", videos, height=64, width=72), "diving48")
    feed = replace(feed_of(network), short_side=64, size=64)
    module = small_network(network)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        store = AssetStore(tmp_path / "cache", quiet=True)
        shown = Network(module, feed, network, FAMILIES[network])
        found = measure(shown, StylisedStudy(dataset, store), seed=1, store=store)
        rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {layer: [] for layer in FAMILIES[network]}
        factors = []
        plans = draw_pairs("published", dataset.videos, dataset.styles, feed, generator_for(1, "pairs"))
        for plan in plans:
            answers = []
            for view in plan.shown:
                inputs = {
                    name: feed.pixels(dataset.read(plan.video, view.style, positions))[None].double()
                    for name, positions in view.frames
                }
                answers.append({k: v[0].numpy() for k, v in units(module, inputs, FAMILIES[network]).items()})
            first, second, factor = plan.pair
            factors.append(factor)
            for layer in FAMILIES[network]:
                rows[layer].append((answers[first][layer], answers[second][layer]))
    finally:
        torch.set_num_threads(threads)
    assert found.passes == sum(len(plan.shown) for plan in plans)
    for layer, pairs in rows.items():
        first_rows, second_rows = (np.stack(column) for column in zip(*pairs, strict=True))
        plain = estimate(first_rows, second_rows, factors)
        measured = found.layer(layer).estimate
        assert measured.shares == pytest.approx(plain.shares, abs=1e-9)
        assert np.isfinite(list(measured.shares.values())).all()
