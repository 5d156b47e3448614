"""What measuring the published cases takes, counted: passes, multiply-adds and bytes, by the suite's own plans.

Nothing is downloaded and no network is run: videos of the published data sets are stood in for by their number and
length, which `SIZES` gives with their source, and networks are counted on torch's device "meta".
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sdbench import Feed, build, units
from sdbench.answers.ablation import SELECTIONS
from sdbench.answers.segmenting import published_input
from sdbench.assets import AssetStore
from sdbench.base.draws import generator_for
from sdbench.cases.records import Asked, Claim, ExpectedValue, Record, Unpublished, asked, read_all
from sdbench.data.davis_check import PUBLISHED_STYLES
from sdbench.data.davis_here import PAINTED
from sdbench.data.layouts import STYLE_FOLDERS
from sdbench.data.segmentation import VideoSequence
from sdbench.data.stylised import StylisedVideo
from sdbench.engine.parts import cut
from sdbench.engine.study import Planned, blocks_of
from sdbench.studies.sequences import PUBLISHED_BATCH, SEEDS, draw_sequences
from sdbench.studies.stylised_study import MOST_VIDEOS, draw_pairs
from sdbench.suite.datasets import ACTION_SEEDS
from sdbench.suite.quantities import quantity_named, shuffled_orders
from sdbench.suite.weights import assets_of_weights, lacking_weights
from sdbench.video.style_network import StyleNetwork
from sdbench.zoo import model
from sdbench.zoo.complexity import skip_norms

EXPECTED = Path(__file__).parents[1] / "expected" / "cvpr2022"

MOCA = "moca"


@dataclass(frozen=True)
class Size:
    """How large a published data set is.

    Attributes:
        videos: how many it has, of the part that is shown.
        frames: of a video, once it is a folder of pictures: the mean; of "moca" all annotated frames of all videos.
        source: where the numbers are from.
        guessed: whether the number of frames is a guess.
    """

    videos: int
    frames: int
    source: str
    guessed: bool = False


_ACTIVITYNET_VIDEOS = 10024 + 4926 + 5044

SIZES = {
    "stylized_activitynet": Size(
        4926,
        round(648 * 3600 * 5 / _ACTIVITYNET_VIDEOS),
        "ActivityNet 1.3: 10,024, 4,926 and 5,044 videos, 648 hours (activity-net.org), at 5 frames a second",
    ),
    "stylized_ssv2": Size(
        24777,
        48,
        "Something-Something V2: 24,777 videos (VideoMAE V2's lists); 4 s at 12 frames a second is a guess",
        True,
    ),
    "stylized_diving48": Size(
        1970,
        150,
        "Diving48 V2, test: 1,970 videos, as its users count them; 5 s at 30 frames a second is a guess",
        True,
    ),
    "kinetics400_validation": Size(
        19796, 0, "Kinetics-400: 19,796 videos in the copy that MMAction2 names; copies differ, as videos vanish"
    ),
    "ssv2_validation": Size(24777, 0, "as above"),
    "diving48_validation": Size(1970, 0, "as above"),
    MOCA: Size(88, 4803, "MoCA as the motion grouping project prepared it: 88 videos, 4,803 annotated frames"),
}
"""Data set -> its size, of the part that cases are measured on; DAVIS is `DAVIS_LENGTHS`."""

DAVIS_LENGTHS = {
    "blackswan": 50,
    "bmx-trees": 80,
    "breakdance": 84,
    "camel": 90,
    "car-roundabout": 75,
    "car-shadow": 40,
    "cows": 104,
    "dance-twirl": 90,
    "dog": 60,
    "drift-chicane": 52,
    "drift-straight": 50,
    "goat": 90,
    "horsejump-high": 50,
    "kite-surf": 50,
    "libby": 49,
    "motocross-jump": 40,
    "paragliding-launch": 80,
    "parkour": 100,
    "scooter-black": 43,
    "soapbox": 99,
}
"""Frames of the validation sequences of DAVIS 2016: 1,376 in all.

Written down without a source at hand: only their sum and blackswan's 50 were checked.
"""

DAVIS_SOURCE = f"DAVIS 2016, validation: {len(DAVIS_LENGTHS)} sequences, {sum(DAVIS_LENGTHS.values()):,} frames"


@dataclass(frozen=True)
class Counted:
    """What one measurement takes at full protocol.

    Attributes:
        asked: the network, its training and the data set.
        cases: how many cases need it.
        values: how many of them have a published number.
        never: whether the weights were never published, so that it can never be made.
        what: "units", "accuracy" or "masks".
        feed: what the network is fed.
        passes: how many inputs go through the network.
        gmacs: 10**9 multiply-adds of one.
        kept: bytes of the sums that are kept until the run is over, at least.
    """

    asked: Asked
    cases: int
    values: int
    never: bool
    what: str
    feed: Feed
    passes: int
    gmacs: float
    kept: int


def counted() -> list[Counted]:
    """Every measurement that the published cases need, by data set and then by network."""
    store = AssetStore(quiet=True, offline=True)
    needed: dict[Asked, list[Record]] = {}
    for record in read_all(EXPECTED):
        for each in asks(record):
            needed.setdefault(each, []).append(record)
    return [
        _counted(each, records, bool(lacking_weights(each, store)))
        for each, records in sorted(needed.items(), key=lambda item: (*_order(item[0]), item[0].network))
    ]


def can_run() -> dict[str, tuple[int, int]]:
    """Kind of case -> how many can be measured by whoever has weights and data, and how many by nobody.

    Cases that speak of an architecture need neither, and are left out.
    """
    store = AssetStore(quiet=True, offline=True)
    counts = {kind: [0, 0] for kind in _KINDS.values()}
    for record in read_all(EXPECTED):
        if wanted := asks(record):
            never = any(lacking_weights(each, store) for each in wanted)
            counts[_KINDS[type(record)]][never] += 1
    return {kind: (possible, never) for kind, (possible, never) in counts.items()}


_KINDS: dict[type[Record], str] = {
    ExpectedValue: "published values",
    Claim: "published claims",
    Unpublished: "results without a published number",
}


def asks(record: Record) -> tuple[Asked, ...]:
    """The measurements that a case needs; none of one that speaks of an architecture."""
    wanted = asked(record) if isinstance(record, Claim) else quantity_named(record.quantity).asks(record)
    return tuple(each for each in wanted if each.dataset != "none")


def _order(each: Asked) -> tuple[int, str]:
    return [PAINTED, MOCA, *SIZES].index(each.dataset), each.trained_on


def _counted(each: Asked, records: Sequence[Record], never: bool) -> Counted:
    known = model(each.network, each.trained_on)
    samples: tuple[Planned, ...] = ()
    if each.dataset == MOCA:
        what, feed = "masks", published_input(known.architecture)
        passes = SIZES[MOCA].frames * passes_a_frame(records)
    elif each.dataset.endswith("_validation"):
        what, feed = "accuracy", known.feed
        videos = SIZES[each.dataset].videos
        passes = (1 + shuffled_orders(videos)) * videos
    else:
        what, feed = "units", known.feed
        samples = _planned(each.dataset, feed)
        passes = sum(sample.inputs for sample in samples)
    gmacs, layers = work(each, feed)
    return Counted(
        each,
        len(records),
        sum(isinstance(record, ExpectedValue) for record in records),
        never,
        what,
        feed,
        passes,
        gmacs,
        kept_bytes(samples, layers),
    )


@functools.lru_cache(maxsize=8)  # networks of one data set are often fed alike
def _planned(dataset: str, feed: Feed) -> tuple[Planned, ...]:
    return tuple(planned_sequences(feed) if dataset == PAINTED else planned_videos(dataset, feed))


def planned_videos(dataset: str, feed: Feed, videos: int | None = None) -> Iterator[Planned]:
    """The samples of a stylised data set, as the published protocol draws them for the seeds from 0 on."""
    size = SIZES[dataset]
    start = 0 if dataset == "stylized_activitynet" else None
    stand_in = [
        StylisedVideo(f"{number:06}", max(size.frames, 2 * feed.span), start, "")
        for number in range(size.videos if videos is None else videos)
    ]
    runs = [
        draw_pairs("published", stand_in, STYLE_FOLDERS, feed, generator_for(seed, "pairs"))
        for seed in range(ACTION_SEEDS)
    ]
    block = blocks_of(pair.video.name for pairs in runs for pair in pairs)
    for seed, pairs in enumerate(runs):
        for pair in pairs:
            yield Planned(
                name=pair.video.name, block=block[pair.video.name], views=len(pair.shown), pairs=(pair.pair,), seed=seed
            )


def planned_sequences(feed: Feed, lengths: Mapping[str, int] = DAVIS_LENGTHS) -> Iterator[Planned]:
    """The samples of Stylized DAVIS, as the published protocol draws them for the seeds from 0 on."""
    paired = feed.flow == "both"
    sequences = [VideoSequence(name, tuple(f"{i:05}" for i in range(length))) for name, length in lengths.items()]
    block = blocks_of(lengths)
    rows = PUBLISHED_BATCH if paired else 1
    for seed in range(SEEDS):
        drawn = draw_sequences("published", sequences, PUBLISHED_STYLES, paired, generator_for(seed, "pairs"))
        for plan in drawn:
            for start in range(0, len(plan.rows), rows):
                together = plan.rows[start : start + rows]
                yield Planned(
                    name=f"{plan.sequence.name} {start}",
                    block=block[plan.sequence.name],
                    views=len(plan.views),
                    pairs=plan.pairs,
                    seed=seed,
                    rows=len(together),
                    together=paired,
                )


def passes_a_frame(records: Iterable[Record]) -> int:
    """How often a frame of MoCA goes through a network for all cases together.

    Once for each condition, however many cases share it, and at both published thresholds; a mirror image is one more.
    """
    conditions: set[tuple[object, ...]] = set()
    for record in records:
        assert isinstance(record, ExpectedValue | Unpublished)
        flip = bool(record.options.get("flip", False))
        conditions.add(("whole", flip))
        if record.quantity == "ablation":
            conditions |= {(record.layer, record.options["percent"], how, flip) for how in SELECTIONS}
    return sum(1 + bool(condition[-1]) for condition in conditions)


def kept_bytes(samples: Sequence[Planned], layers: Mapping[str, int]) -> int:
    """Bytes of the sums of all parts: of each layer and resampling block two counts and eight numbers a unit."""
    one = sum(16 + 64 * count for count in layers.values())
    return sum(one * len({(sample.seed, sample.block) for sample in part.samples}) for part in cut(samples))


def work(each: Asked, feed: Feed) -> tuple[float, dict[str, int]]:
    """10**9 multiply-adds of one input, and the number of units of each layer.

    The last layer that is read is the network's answer: a pass that reads units and one that answers are as long.

    Args:
        each: the network and its training.
        feed: what it is fed.
    """
    known = model(each.network, each.trained_on)
    return _work(known.architecture, tuple(known.options.items()), feed)


@functools.cache
def _work(architecture: str, options: tuple[tuple[str, int | str], ...], feed: Feed) -> tuple[float, dict[str, int]]:
    given: dict[str, Any] = dict(options)
    with torch.device("meta"):
        module, inputs = build(architecture, **given), made_up_inputs(feed)
        skip_norms(module)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            read = units(module, inputs)
    return float(counter.get_total_flops() / 2e9), {name: values.shape[1] for name, values in read.items()}


def made_up_inputs(feed: Feed, rows: int = 1) -> dict[str, Tensor]:
    """Inputs of zeros, of the size that a network is fed."""
    size = feed.height_and_width
    if feed.flow == "both":
        return {"image": torch.zeros(rows, 2, 3, *size), "flow": torch.zeros(rows, 2, 6, *size)}
    if feed.flow == "forward":
        return {name: torch.zeros(rows, 3, *size) for name in ("image", "flow")}
    return {name: feed.ordered([torch.zeros(3, frames, *size)] * rows) for name, frames in feed.inputs.items()}


@dataclass(frozen=True)
class Weights:
    """A file of weights that cases need.

    Attributes:
        asset: its name.
        bytes: of all entries of all networks in it as float32: what it has at least.
        how: "direct", "browser" or "never published".
    """

    asset: str
    bytes: int
    how: str


def weights(measurements: Iterable[Counted]) -> list[Weights]:
    """The files that the measurements need, in the order of the manifest."""
    store = AssetStore(quiet=True, offline=True)
    inside: dict[str, set[tuple[str, str]]] = {}
    for each in measurements:
        for asset in assets_of_weights(each.asked):
            inside.setdefault(asset, set()).add((each.asked.network, each.asked.trained_on))
    known = [asset for asset in store.manifest.assets if asset.name in inside]
    return [
        Weights(
            asset.name,
            sum(state_bytes(*network) for network in inside[asset.name]),
            str(getattr(asset.source, "how", "direct")),
        )
        for asset in known
    ]


def state_bytes(network: str, trained_on: str) -> int:
    """Bytes of a network's state dict."""
    with torch.device("meta"):
        state = model(network, trained_on).build().state_dict()
    return sum(values.numel() * values.element_size() for values in state.values())


def painted_frames(dataset: str) -> int:
    """How many frames are painted at least, all styles together: of as many videos as are drawn."""
    if dataset == PAINTED:
        return len(PUBLISHED_STYLES) * sum(DAVIS_LENGTHS.values())
    size = SIZES[dataset]
    return len(STYLE_FOLDERS) * min(size.videos, MOST_VIDEOS["published"]) * size.frames


def painting_gmacs(height: int, width: int) -> float:
    """10**9 multiply-adds of painting one frame in one style."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        StyleNetwork()(torch.zeros(1, 3, height, width), torch.zeros(1, dtype=torch.int64))
    return float(counter.get_total_flops() / 2e9)


def flow_pictures() -> int:
    """How many flow pictures DAVIS gets: forward of all frames but the last, backward of all but the first."""
    return sum(2 * (length - 1) for length in DAVIS_LENGTHS.values())


def by_data_set(measurements: Iterable[Counted]) -> Counter[str]:
    """Data set -> passes of these measurements on it."""
    passes: Counter[str] = Counter()
    for each in measurements:
        passes[each.asked.dataset] += each.passes
    return passes
