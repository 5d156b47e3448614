"""Packaged clips in DAVIS's folders: made once, kept, and made again when they are not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sdbench.data.davis_packaged
from sdbench.assets import AssetStore
from sdbench.data.clip import Clip
from sdbench.data.davis_packaged import made_up_mask, packaged_davis
from sdbench.data.shots import ShotFinder
from sdbench.data.videos import VideoDataset, packaged_videos


def test_one_clip_of_each_shot_then_second_ones_of_the_longest() -> None:
    counts = {("a", 0): 3, ("a", 1): 1, ("b", 0): 5}
    clips = [Clip(video, shot, 16 * i, 16, 112, 200) for (video, shot), n in counts.items() for i in range(n)]
    chosen = sdbench.data.davis_packaged._chosen(clips)
    assert [(clip.video, clip.shot, clip.start) for clip in chosen] == [
        ("a", 0, 0),
        ("a", 0, 32),
        ("a", 1, 0),
        ("b", 0, 0),
        ("b", 0, 64),
    ]


def test_a_made_up_mask_is_where_the_flow_is_unlike_the_rest() -> None:
    flow = np.random.default_rng(0).normal((3, -1), 0.01, (10, 20, 2))
    flow[2:6, 4:14] = (0, 0)
    mask = made_up_mask(flow.astype(np.float32))
    assert mask.sum() == 40
    assert mask[2:6, 4:14].all()
    assert not made_up_mask(np.ones((4, 4, 2), np.float32)).any(), "nothing moves apart"


@pytest.mark.slow
@pytest.mark.assets
def made(folder: Path) -> dict[Path, bytes]:
    """What was made, without the seal, which says when."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "seal.json"}


def test_it_is_made_once_and_verified(
    store: AssetStore, shots: ShotFinder, tmp_path: Path, monkeypatch, capsys
) -> None:
    own = AssetStore(tmp_path, quiet=True)
    for name in ("styles26", "transnetv2", "clip_bikes", "clip_carphone_pristine", "clip_bigbuckbunny"):
        own.add(name, store.path(name))

    def carphone(*given) -> VideoDataset:
        found = packaged_videos(*given)
        found.clips = tuple(clip for clip in found.clips if clip.video == "carphone")
        return found

    monkeypatch.setattr(sdbench.data.davis_packaged, "packaged_videos", carphone)
    monkeypatch.setattr(sdbench.data.davis_packaged, "SEQUENCES", 1)
    monkeypatch.setattr(sdbench.data.davis_packaged, "available_cores", lambda: 1)
    found = packaged_davis(own, shots)
    assert [sequence.name for sequence in found.sequences] == list(found.sources)
    assert set(found.sources.values()) == {"carphone/shot0"}
    assert len(found.sequences) == 1
    assert len(found.styles) == 4
    assert [note.split(" ")[0] for note in found.notes] == ["optical", "styles:", "sequences", "masks"]
    first = found.sequences[0]
    assert len(first.frames) == 16
    assert found.image(first, 3).shape == found.image(first, 3, "style5").shape == (112, 136, 3)
    assert found.mask(first, 15).mean() == pytest.approx(0.2, abs=0.01)
    assert found.flow(first, 15, backward=True).std() > 0
    before = made(found.root)

    def never(*given):
        raise AssertionError("it is there")

    with monkeypatch.context() as patch:
        patch.setattr(sdbench.data.davis_packaged, "stylize", never)
        again = packaged_davis(own, shots)
    assert (again.identity, again.sequences) == (found.identity, found.sequences)
    path = found.root / "JPEGImages" / "style5" / first.name / "00003.jpg"
    path.write_bytes(path.read_bytes()[:-7])
    capsys.readouterr()
    assert packaged_davis(own, shots).identity == found.identity
    assert "is no longer as it was made; it is set aside as" in capsys.readouterr().err
    assert made(found.root) == before
