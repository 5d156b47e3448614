"""The atlas of published models, with small ones in their place: random weights, or a hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import atlas
from tests.zoo.adapters.local_hub import COMMIT, Hub, serving
from tests.zoo.adapters.small_checkpoints import small

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="needs sdbench[transformers]")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    with serving(tmp_path, monkeypatch) as answers:
        yield answers


def test_small_checkpoints_are_marked_in_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    given = ["--small", "--scenes", "8", "--workers", "0", "--only", "*video*base", "--out", str(out)]
    assert atlas.main(given) == 0
    assert {path.name for path in out.iterdir()} == {
        "small-MCG-NJU--videomae-base.json",
        "small-atlas.md",
        "small-atlas.png",
    }
    measurement = json.loads((out / "small-MCG-NJU--videomae-base.json").read_text())["measurement"]
    assert measurement["network"] == "small: MCG-NJU/videomae-base"
    assert atlas.STAND_IN in measurement["notes"]
    text = (out / "small-atlas.md").read_text()
    assert text.startswith(f"# Atlas: {atlas.STAND_IN}")
    assert "| MCG-NJU/videomae-base |  | CC-BY-NC-4.0 (forbids commercial use) | small stand-in" in text
    assert "norm" not in text  # the last layer is the last block, not what is read beside it
    printed = capsys.readouterr()
    assert text in printed.out
    assert printed.err == ""


def test_the_first_run_locks_the_commits(
    hub: type[Hub],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.folders["facebook/dinov2-base"] = small("Dinov2Model").save(tmp_path / "dino")
    out = tmp_path / "out"
    given = ["--scenes", "8", "--workers", "0", "--only", "*base-f16r288", "--out", str(out)]
    assert atlas.main(given) == 1
    assert "the hub has no model 'google/videoprism-base-f16r288'" in capsys.readouterr().err
    assert "the hub has no model" in (out / "atlas.md").read_text()
    assert not (out / "lock.json").exists()

    given[5] = "facebook/dinov2*"
    assert atlas.main(given) == 0
    assert json.loads((out / "lock.json").read_text()) == {"facebook/dinov2-base": COMMIT}
    assert f"| facebook/dinov2-base | {COMMIT} | Apache-2.0 | measured |" in (out / "atlas.md").read_text()
    found = json.loads((out / "facebook--dinov2-base.json").read_text())
    assert found["measurement"]["network"] == "hf:facebook/dinov2-base"
    assert {"block1.cls", "norm"} <= set(found["layers"])

    (out / "lock.json").write_text(json.dumps({"facebook/dinov2-base": "f" * 40}))
    assert atlas.main(given) == 1
    assert "f" * 40 in capsys.readouterr().err
    (out / "lock.json").write_text("[]")
    assert atlas.main(given) == 1
    assert "must hold the name of each model with its commit" in capsys.readouterr().err


def test_an_unknown_name_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert atlas.main(["--only", "none/*", "--out", str(tmp_path / "out")]) == 1
    assert "no model of the list matches 'none/*'; known: MCG-NJU/videomae-base" in capsys.readouterr().err


def test_every_model_of_the_list_has_a_stand_in() -> None:
    for entry in atlas.entries():
        assert small(entry.small)
        assert ("commercial" in entry.said) == (entry.licence == "CC-BY-NC-4.0")
