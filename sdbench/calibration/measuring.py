"""Measuring the small networks on two appearances crossed with two motions, all drawn independently."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sdbench.assets.store import AssetStore
from sdbench.base.cache_keys import identity_of
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.base.machine import available_cores
from sdbench.calibration.drawing import HEADINGS, KINDS, draw_appearances, draw_motions
from sdbench.calibration.scenes import draw_looks, draw_moves
from sdbench.calibration.tasks import feed_of, scene_inputs, unseen_textures, video_inputs
from sdbench.calibration.trained import FOLDER, SEEDS, Kind, kind_named, load_trained
from sdbench.calibration.training import one_thread
from sdbench.engine import About, Finished, Measurement, Plan, Planned, join, measure
from sdbench.engine.running import OneProcess, Runner, SeveralProcesses
from sdbench.networks.network import Network
from sdbench.studies.views import CROSSED_PAIRS, CROSSED_VIEWS
from sdbench.video.feed import Feed

DATASETS = ("rendered", "rendered_vos")
"""What action networks and what segmentation networks are measured on."""

BLOCKS = 256
"""Independent blocks by default: two appearances crossed with two motions, two pairs of each factor."""

_TOGETHER = 16  # blocks that are drawn together


def measure_trained(
    name: str,
    task: str,
    dataset: str,
    *,
    seed: int = 0,
    pairs: int | None = None,
    device: str = "cpu",
    store: AssetStore | None = None,
    folder: Path = FOLDER,
    finished: Finished | None = None,
) -> Measurement:
    """Measure all trainings of a small network on one task.

    Every network and every training sees the same blocks, in textures that none was trained on: see `SceneStudy`.

    Args:
        name: one of `sdbench.calibration.trained.KINDS`.
        task: one of its tasks.
        dataset: "rendered" for an action network, "rendered_vos" for a segmentation network.
        seed: of the blocks and the intervals.
        pairs: pairs of each factor, two a block; by default those of `BLOCKS` blocks.
        device: where the network runs.
        store: where unfinished measurements lie.
        folder: where the weights lie.
        finished: takes the parts of this run: see `sdbench.engine.measure`.

    Returns:
        The measurement; values are means over the trainings (`Measurement.networks`), all layers but the answer and
        those that it does not depend on are read.

    Raises:
        InputError: a name is unknown, there are too few pairs, or the device is not there.
        AssetError: the weights are missing or damaged.
        DiskError: what is finished cannot be written.
    """
    kind = kind_named(name)
    fitting = DATASETS[kind.segments]
    if dataset != fitting:
        raise InputError(f"{name} is measured on the data set {fitting}; got {dataset}")
    if task not in kind.tasks:
        raise unknown_name(f"task of {name}", task, kind.tasks)
    study = SceneStudy(kind, BLOCKS if pairs is None else -(-pairs // 2))
    unseen_textures()  # made once here, and not in every process that is forked
    trainings = []
    for training in range(SEEDS):
        network = trained_network(name, task, training, folder)
        # More threads than one wait for each other longer than networks as small as these take.
        with one_thread():
            found = measure(
                network, study, seed=seed, device=device, store=store, runner=_runner_for(device), finished=finished
            )
        trainings.append(found)
    return join(trainings, [f"values are means over {SEEDS} networks that were trained alike from other seeds"])


def trained_network(name: str, task: str, training: int = 0, folder: Path = FOLDER) -> Network:
    """One training of a small network on a task, with all layers but the answer and those it does not depend on.

    Raises:
        InputError: a name is unknown.
        AssetError: the weights are missing or damaged.
    """
    module = load_trained(name, task, training, folder)
    layers = [layer for layer in module.layers[:-1] if layer not in module.dead_ends]
    return Network(module, feed_of(kind_named(name)), name, layers)


def _runner_for(device: str) -> Runner:
    """A process a core, where processes can be forked and share no device."""
    forks = device == "cpu" and sys.platform.startswith("linux")
    return SeveralProcesses(available_cores()) if forks else OneProcess(0)


@dataclass(frozen=True, kw_only=True)
class PlannedBlock(Planned):
    """One block.

    Attributes:
        number: which of the blocks, from 0.
        drawn_with: the numbers of the blocks that it is drawn together with, itself among them.
    """

    number: int
    drawn_with: range


class SceneStudy:
    """Blocks of two appearances crossed with two motions, all four drawn independently.

    A block gives two pairs of each factor and is what is resampled. Its views are drawn as the tensors that a small
    network takes, in textures that none was trained on.

    Args:
        kind: the small network that they are shown to.
        blocks: how many, at least 2.

    Raises:
        InputError: there are fewer.
    """

    def __init__(self, kind: Kind, blocks: int = BLOCKS) -> None:
        if blocks < 2:
            raise InputError(
                f"at least 3 pairs of each factor are needed, 2 from a block; got {blocks} blocks: ask for more"
            )
        self.kind, self.blocks = kind, blocks
        self._last: tuple[tuple[int, range], dict[str, Tensor]] | None = None

    def plan(self, feed: Feed, seed: int) -> Plan[PlannedBlock]:
        """All blocks; what they show is drawn from `seed` when it is needed.

        Raises:
            InputError: a network that is fed otherwise than the study's kind is asked about.
        """
        if feed != feed_of(self.kind):
            raise InputError(f"these blocks are drawn for networks that are fed {feed_of(self.kind)}; got {feed}")
        groups = [range(n, min(n + _TOGETHER, self.blocks)) for n in range(0, self.blocks, _TOGETHER)]
        samples = tuple(
            PlannedBlock(
                name=f"block {number}",
                block=str(number),
                views=len(CROSSED_VIEWS),
                pairs=CROSSED_PAIRS,
                crossed=True,
                seed=seed,
                number=number,
                drawn_with=group,
            )
            for group in groups
            for number in group
        )
        about = About(
            dataset=DATASETS[self.kind.segments],
            protocol="crossed",
            unit="block",
            units=self.blocks,
            clips=len(CROSSED_VIEWS) * self.blocks,
            notes=(
                "appearance and motion are drawn independently: dynamic pairs share the motion exactly, static pairs "
                "the appearance",
            ),
            identity=identity_of("blocks", self.kind, self.blocks, seed),
        )
        return Plan(about, samples)

    def draw(self, planned: PlannedBlock, feed: Feed) -> Mapping[str, Tensor]:  # noqa: ARG002 - `plan` looked at it
        """The block's four views; see `sdbench.engine.study.Study.draw`."""
        which = (planned.seed, planned.drawn_with)
        if self._last is None or self._last[0] != which:
            generator = generator_for(planned.seed, f"blocks {planned.drawn_with.start}")
            self._last = (which, _views(self.kind, len(planned.drawn_with), generator))
        return {name: values[planned.drawn_with.index(planned.number)] for name, values in self._last[1].items()}


def _views(kind: Kind, count: int, generator: np.random.Generator) -> dict[str, Tensor]:
    """Inputs of `count` blocks: (count, 4, ...) each, views in the order of `CROSSED_VIEWS`."""
    textures = unseen_textures()
    if kind.segments:
        looks = [draw_looks(textures, count, generator) for _ in range(2)]
        moves = [draw_moves(count, generator) for _ in range(2)]
        drawn = [scene_inputs(kind, textures, looks[a], moves[m]) for a, m in CROSSED_VIEWS]
    else:
        shown = [draw_appearances(textures, generator.integers(0, len(KINDS), count), generator) for _ in range(2)]
        moved = [draw_motions(generator.integers(0, len(HEADINGS), count), generator) for _ in range(2)]
        drawn = [video_inputs(kind, textures, shown[a], moved[m]) for a, m in CROSSED_VIEWS]
    return {name: torch.stack([inputs[name] for inputs in drawn], dim=1) for name in drawn[0]}
