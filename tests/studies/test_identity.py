"""Which measurements can be paired: the hash of what a study shows, whatever the network that it is cut for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdbench import Feed, studies
from sdbench.assets import AssetStore
from sdbench.engine.study import Study
from sdbench.studies import ClipStudy, DavisStudy
from tests.made.davis import make_davis, make_painted
from tests.made.stylised import make, names
from tests.studies.test_appearance_free import Cut

FORWARD, BOTH = Feed(1, (32, 48), fit="stretch", flow="forward"), Feed(1, 32, flow="both")


def identity(study: Study, feed: Feed, seed: int = 0) -> tuple[str, list[str]]:
    """The hash, and the blocks in the order in which they first come."""
    plan = study.plan(feed, seed)
    assert plan.about.identity
    return plan.about.identity, list(dict.fromkeys(sample.block for sample in plan.samples))


def overwrite(path: Path) -> None:
    with Image.open(path) as picture:
        size = picture.size
    Image.fromarray(np.full((size[1], size[0], 3), 77, np.uint8)).save(path)


@pytest.mark.parametrize("protocol", ["published", "corrected"])
def test_stylised_videos(tmp_path: Path, protocol: str) -> None:
    folder = make(tmp_path / "ssv2", "ssv2", dict.fromkeys(names(40, "ssv2"), 12))
    store = AssetStore(tmp_path / "cache", quiet=True)

    def study(**options: Any) -> Study:
        return studies.stylised("ssv2", folder, protocol=protocol, store=store, **options)

    same = [identity(study(), feed) for feed in (Feed(4, 16), Feed(8, 32, window=12), Feed(4, 16, order="(BT)CHW"))]
    assert same[0] == same[1] == same[2]
    other = "corrected" if protocol == "published" else "published"
    others = [
        identity(study(), Feed(4, 16), seed=1),
        identity(study(pairs=16), Feed(4, 16)),
        identity(studies.stylised("ssv2", folder, protocol=other, store=store), Feed(4, 16)),
    ]
    first = next(path for path in sorted(folder.rglob("*.jpg")))
    overwrite(first)
    others.append(identity(study(), Feed(4, 16)))
    assert len({which for which, _ in (same[0], *others)}) == 5, "another style network leaves the names as they are"


def test_sequences_of_networks_of_one_frame_and_of_two(tmp_path: Path) -> None:
    folder = make_davis(tmp_path / "davis", tuple(f"sequence{i}" for i in range(8)), frames=6)
    painted = make_painted(tmp_path / "painted", folder)
    store = AssetStore(tmp_path / "cache", quiet=True)

    def study(**options: Any) -> DavisStudy:
        return studies.davis(folder, painted, store=store, **options)

    one, two = identity(study(), FORWARD), identity(study(), BOTH)
    assert one == two
    others = [identity(study(), FORWARD, seed=1), identity(study(seeds=2), FORWARD), identity(study(frames=2), FORWARD)]
    overwrite(next(path for path in sorted(painted.rglob("*.jpg"))))
    others.append(identity(study(), FORWARD))
    assert len({which for which, _ in (one, *others)}) == 5


@pytest.mark.assets
def test_clips_of_videos(store: AssetStore) -> None:
    def study(styles: tuple[str, ...] = ("style1", "style2"), videos: int = 9, digest: str = "") -> ClipStudy:
        return ClipStudy(lambda length, side: Cut(videos, 2, length, side, digest), store, styles)

    same = [identity(study(), feed) for feed in (Feed(4, 16), Feed(8, 112, stride=4), Feed(8, 32, alpha=2))]
    assert same[0] == same[1] == same[2]
    others = [
        identity(study(), Feed(4, 16), seed=1),
        identity(study(("style1", "style3")), Feed(4, 16)),
        identity(study(videos=10), Feed(4, 16)),
        identity(study(digest="changed"), Feed(4, 16)),
    ]
    assert len({which for which, _ in (same[0], *others)}) == 5
