"""Packaged clips in a published stylised layout: made once, kept, and made again when they are not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sdbench.data.stylised_packaged
from sdbench.assets import AssetStore
from sdbench.data.shots import ShotFinder
from sdbench.data.stylised_packaged import packaged_stylised
from sdbench.data.videos import VideoDataset, packaged_videos


@pytest.mark.slow
@pytest.mark.assets
def test_it_is_made_once_and_verified(
    store: AssetStore, shots: ShotFinder, tmp_path: Path, monkeypatch, capsys
) -> None:
    own = AssetStore(tmp_path, quiet=True)
    for name in ("styles26", "transnetv2", "clip_bikes", "clip_carphone_pristine", "clip_bigbuckbunny"):
        own.add(name, store.path(name))

    def two_clips(*given) -> VideoDataset:
        found = packaged_videos(*given)
        found.clips = found.clips[:2]
        return found

    monkeypatch.setattr(sdbench.data.stylised_packaged, "packaged_videos", two_clips)
    monkeypatch.setattr(sdbench.data.stylised_packaged, "available_cores", lambda: 1)
    found = packaged_stylised(own, shots)
    first, second = two_clips(16, 112, shots, own).clips
    assert found.sources == {f"{clip.video}_{clip.start:03d}": clip.video for clip in (first, second)}
    assert [video.name for video in found.videos] == sorted(found.sources)
    assert {video.frames for video in found.videos} == {16}
    assert found.styles == ("style_1", "style_2", "style_3", "style_4")
    assert found.read(found.videos[0], "style_2", [3]).shape == (1, first.height, first.width, 3)
    kept = found.folder.parent
    with Image.open(kept / "frames" / f"{second.video}_{second.start:03d}" / "005.png") as written:
        np.testing.assert_array_equal(np.asarray(written), two_clips(16, 112, shots, own).read(second)[5])

    def never(*given):
        raise AssertionError("it is there")

    with monkeypatch.context() as patch:
        patch.setattr(sdbench.data.stylised_packaged, "stylize", never)
        again = packaged_stylised(own, shots)
    assert (again.identity, again.videos) == (found.identity, found.videos)
    (path,) = found.files(found.videos[0], "style_3", [2])
    before = path.read_bytes()
    path.write_bytes(before[:-7])
    capsys.readouterr()
    assert packaged_stylised(own, shots).identity == found.identity
    assert path.read_bytes() == before
    assert "is no longer as it was made" in capsys.readouterr().err
