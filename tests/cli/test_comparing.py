"""`sdbench compare`, and `sdbench measure --controls`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sdbench
from sdbench.assets import AssetStore
from sdbench.cli import main
from sdbench.engine.written import content_of
from sdbench.zoo import network_named
from tests.conftest import COMMAND
from tests.made.fork_server import run_python
from tests.made.small_zoo import bring_weights, make_small

ROOT = Path(__file__).parents[2]
SMALL = ("--scenes", "9", "--workers", "0", "--compile", "off", "--frames", "4", "--size", "32")


@pytest.fixture
def here(small_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a cache with made-up weights of a narrow X3D."""
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    (tmp_path / "given").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a network, its untrained self, and a control."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDBENCH_CACHE", str(folder / "cache"))
        patch.setenv("SDBENCH_OFFLINE", "1")
        make_small(patch.setattr)
        bring_weights(AssetStore(folder / "cache", quiet=True), folder)
        for name, words in (
            ("a", ("x3d_m",)),
            ("b", ("x3d_m", "--untrained", "1")),
            ("c", ("control:frame_average",)),
        ):
            assert main(["measure", *words, *SMALL, "--json", str(folder / f"{name}.json")]) == 0
    return folder


@pytest.fixture
def measured(files: Path, here: Path) -> Path:
    """A folder with these files."""
    for name in "abc":
        shutil.copy(files / f"{name}.json", here)
    return here


def test_two_files_are_compared_layer_by_layer(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["compare", "a.json", "b.json", "--json", "out.json", "--picture", "out.png"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("one: x3d_m (a.json); other: x3d_m (b.json)\n")
    assert "95 % intervals of differences, paired by 9 scenes." in said
    written = json.loads((measured / "out.json").read_text())
    found = sdbench.compare("a.json", "b.json")
    assert written["paired"]
    assert [each["layer"] for each in written["differences"]] == [each.layer for each in found.differences]
    last, difference = written["differences"][-1], found.differences[-1]
    assert last["values"] == difference.values
    assert difference.intervals is not None
    assert last["intervals"]["static"]["low"] == difference.intervals["static"].low
    assert (measured / "out.png").read_bytes().startswith(b"\x89PNG")
    assert main(["compare", "a.json", "c.json", "--layers", "stage2=conv1,stage5=average"]) == 0
    said = capsys.readouterr().out
    rows = [line.split("  ")[0] for line in said.splitlines() if " - " in line]
    assert rows == ["stage2 - conv1", "stage5 - average"] * 2, "parts of variance, then shares"
    assert said.index("Parts of variance") < said.index("Shares as the paper has them")


def test_any_number_of_files_is_a_table_and_a_picture_and_needs_no_torch(measured: Path) -> None:
    words = ["compare", "a.json", "b.json", "c.json", "--picture", "atlas.png", "--json", "rows.json"]
    code = (
        "import sys; from sdbench.cli import main; status = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "x3d_m (b.json), untrained" in done.stdout
    assert {row["rank"] for row in json.loads((measured / "rows.json").read_text())} == {1, 2, 3}
    assert (measured / "atlas.png").stat().st_size > 1000


def test_a_network_is_shown_beside_itself_untrained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["x3d_m", *SMALL, "--controls", "--json", "both.json", "--picture", "both.png"]
    assert main(["measure", *words]) == 0
    _, answer = [line for line in capsys.readouterr().out.splitlines() if line.startswith("At its last layer")]
    content = json.loads((here / "both.json").read_text())
    (control,) = content["controls"]
    assert control["measurement"]["networks"]
    assert control["measurement"]["seeds"] == 3
    assert control["measurement"]["notes"][0].startswith("untrained: ")
    assert "values are means over fresh weights of seeds 0, 1, 2" in control["measurement"]["notes"]
    last = list(content["layers"])[-1]
    held, before = (of["layers"][last]["shares"] for of in (content, control))
    assert (
        f"holds {held['static']:.0f} % static and {held['dynamic']:.0f} % dynamic; untrained it held "
        f"{before['static']:.0f} % and {before['dynamic']:.0f} % (3 seeds): training moved static by "
        f"{held['static'] - before['static']:+.1f} ["
    ) in answer
    assert main(["compare", "both.json"]) == 0
    assert "x3d_m (both.json)" in capsys.readouterr().out


def test_the_control_is_the_mean_of_three_untrained_networks(here: Path) -> None:
    assert main(["measure", "x3d_m", *SMALL, "--controls", "--json", "both.json"]) == 0
    (control,) = json.loads((here / "both.json").read_text())["controls"]
    alone = []
    for seed in range(3):
        assert main(["measure", "x3d_m", *SMALL, "--untrained", str(seed), "--json", "one.json"]) == 0
        alone.append(json.loads((here / "one.json").read_text())["layers"]["stage5"]["shares"]["static"])
    assert len(set(alone)) == 3
    assert control["layers"]["stage5"]["shares"]["static"] == pytest.approx(sum(alone) / 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("measure", "x3d_m", "--controls", "--untrained"), "leave out --untrained"),
        (("measure", "x3d_m", "--controls", "--slice", "1/2"), "--controls does not go with --slice"),
        (("measure", "control:frame_average", "--scenes", "9", "--controls"), "untrained says nothing of a control"),
        (("measure", "control:frame"), "unknown control 'frame'; did you mean frame_average"),
        (("compare", "no.json"), "no file at no.json; expected a file that `sdbench measure NETWORK --json FILE`"),
        (("compare", "given"), "given is no JSON that can be read"),
    ],
)
def test_mistakes_are_told(here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str) -> None:
    assert main(list(words)) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_layers_say_which_of_two_files(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["compare", "a.json", "--layers", "stage5"]) == 1
    assert "--layers says which layers of two files are compared; got 1 files" in capsys.readouterr().err


def test_compare_in_a_process_of_its_own(here: Path) -> None:
    network = network_named("control:frame_average", feed={"frames": 4, "size": 32})
    found = sdbench.measure(network, sdbench.studies.rendered(9), workers=0, compiling="off")
    (here / "a.json").write_text(json.dumps(content_of(found)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = run_python(*COMMAND[1:], "compare", "a.json:conv1", "a.json:average", cwd=here, environment=environment)
    assert done.returncode == 0, done.stderr
    assert "conv1 - average" in done.stdout
