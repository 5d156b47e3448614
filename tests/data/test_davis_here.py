"""DAVIS where it lies: the user's own, or fetched, with flow pictures that are made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.data.davis_here import davis_at_hand, lacking_davis
from tests.made.davis import SEQUENCES, make_davis, make_painted

pytest.importorskip("cv2", reason="OpenCV is not installed")


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    """A cache of its own that fetches nothing."""
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)


@pytest.fixture
def fetched(tmp_path: Path, store: AssetStore) -> AssetStore:
    """Both data sets in the cache, without flow pictures."""
    davis = make_davis(tmp_path / "made" / "DAVIS", SEQUENCES[:2], frames=3, flow=False)
    painted = make_painted(tmp_path / "made" / "Stylized_DAVIS", davis)
    for name, folder in (("davis2016", davis), ("stylized_davis", painted)):
        store.add(name, Path(shutil.make_archive(str(tmp_path / name), "zip", folder.parent, folder.name)))
    return store


def test_flow_of_a_fetched_davis_is_made_once(fetched: AssetStore) -> None:
    assert lacking_davis(None, fetched) == []
    found = davis_at_hand(None, fetched, backward_flow=True)
    assert (found.name, found.assets) == ("stylized_davis", ("davis2016", "stylized_davis"))
    sequence = found.sequences[0]
    assert found.flow(sequence, 0).shape == found.flow(sequence, 2, backward=True).shape == (24, 40, 3)
    assert any("OpenCV DIS" in note for note in found.notes)
    pictures = sorted((fetched.folder / "flow").rglob("*.png"))
    assert len(pictures) == 2 * 2 * 2
    before = [path.stat().st_mtime_ns for path in pictures]
    assert davis_at_hand(None, fetched, backward_flow=True).identity == found.identity
    assert [path.stat().st_mtime_ns for path in pictures] == before
    assert not list((fetched.folder / "unpacked").rglob("FlowImages*")), "what was unpacked stays as it is"


def test_flow_that_is_no_longer_whole_is_made_again(fetched: AssetStore, capsys) -> None:
    found = davis_at_hand(None, fetched)
    (picture,) = found.files(found.sequences[0], [1], flow=[False])
    before = picture.read_bytes()
    picture.write_bytes(before[:40] + bytes([before[40] ^ 1]) + before[41:])
    davis_at_hand(None, fetched)
    assert picture.read_bytes() == before
    assert "is no longer as it was made" in capsys.readouterr().err


def test_what_lacks_is_said(tmp_path: Path, store: AssetStore) -> None:
    data = tmp_path / "data"
    lacking = lacking_davis(data, store)
    assert lacking[0] == f"data set davis2016 is not here: sdbench fetch davis2016 or put it into {data / 'davis2016'}"
    assert lacking_davis(None, store)[1].endswith("or name the folder that holds it with --data")
    own = make_davis(data / "davis2016", flow=False)
    make_painted(data / "stylized_davis", own)
    assert lacking_davis(data, store) == [f"{own} has no flow pictures: sdbench flow {own}"]
    assert lacking_davis(data, store, backward_flow=True)[1] == (
        f"{own} has no pictures of backward flow: sdbench flow {own}"
    )
    shutil.rmtree(own / "JPEGImages" / "480p" / "bear")
    assert lacking_davis(data, store) == [], "what is here but damaged is not lacking"
    with pytest.raises(InputError, match="missing sequences: 1, of bear"):
        davis_at_hand(data, store)
