"""Making the flow pictures that a data set lacks: resuming, threads, and pictures of another origin."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdbench.base.errors import InputError
from sdbench.cli import main
from sdbench.data import davis
from sdbench.data.make.flow import FlowJob, estimate_flow, frames_of, make_flow
from sdbench.video.flow import FlowMethod, dis_method, draw_flow
from tests.conftest import COMMAND
from tests.made.davis import make_davis, save


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_davis(tmp_path / "DAVIS", flow=False)


def job(folder: Path, method: FlowMethod | None = None) -> FlowJob:
    return FlowJob(*frames_of(folder), method or dis_method())


def made(folder: Path) -> dict[str, bytes]:
    """The pictures that are whole: not those which another process is writing under a hidden name."""
    found = sorted(path for path in folder.glob("FlowImages*/*/*.png") if not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def nothing() -> None:
    pass


def test_all_flow_pictures_of_davis_are_made_both_ways(data: Path) -> None:
    advanced: list[int] = []
    assert make_flow(job(data), 2, lambda: advanced.append(1)) == 24 == len(advanced)
    found = davis(data, backward_flow=True)
    assert found.notes[0].startswith("optical flow by OpenCV DIS (version ")
    assert found.notes[0].endswith("; not the published method")
    camel = found.sequences[1]
    frames = [found.image(camel, position) for position in range(5)]
    method = dis_method()
    np.testing.assert_array_equal(found.flow(camel, 1), draw_flow(method(frames[1], frames[2])))
    np.testing.assert_array_equal(found.flow(camel, 1, backward=True), draw_flow(method(frames[1], frames[0])))
    assert json.loads((data / "FlowImages_gap1/flow.json").read_text()) == method.described()


def test_threads_make_the_same_pictures(data: Path, tmp_path: Path) -> None:
    other = make_davis(tmp_path / "other", flow=False)
    make_flow(job(data), 1, nothing)
    make_flow(job(other), 2, nothing)
    assert len(made(data)) == 24
    assert made(data) == made(other)


def test_what_is_there_whole_is_kept(data: Path) -> None:
    make_flow(job(data), 1, nothing)
    before = made(data)
    (data / "FlowImages_gap1/camel/00001.png").unlink()
    cut = data / "FlowImages_gap-1/cows/00002.png"
    cut.write_bytes(cut.read_bytes()[:-20])
    times = {path: path.stat().st_mtime_ns for path in data.glob("FlowImages*/*/*.png") if path != cut}
    assert make_flow(job(data), 1, nothing) == 2
    assert made(data) == before
    assert all(path.stat().st_mtime_ns == when for path, when in times.items())
    assert make_flow(job(data), 1, nothing) == 0


def test_pictures_of_another_origin_are_never_mixed(data: Path, tmp_path: Path) -> None:
    came = make_davis(tmp_path / "came")
    before = made(came)
    assert make_flow(job(came), 1, nothing) == 0, "all are there"
    assert not (came / "FlowImages_gap1/flow.json").exists()
    (came / "FlowImages_gap1/camel/00001.png").unlink()
    with pytest.raises(InputError, match=r"gap1 holds pictures of another origin \(flow pictures as they came"):
        make_flow(job(came), 1, nothing)
    assert made(came).items() <= before.items()
    make_flow(job(data), 1, nothing)
    (data / "FlowImages_gap1/camel/00001.png").unlink()
    with pytest.raises(InputError, match=r"another origin \(optical flow by OpenCV DIS .*preset medium.* move"):
        make_flow(job(data, dis_method("fast")), 1, nothing)


def test_backward_flow_is_not_added_to_forward_flow_of_another_origin(tmp_path: Path) -> None:
    came = make_davis(tmp_path / "came")
    for path in (came / "FlowImages_gap-1").rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match="FlowImages_gap1 holds pictures of another origin"):
        make_flow(job(came), 1, nothing)
    assert not list((came / "FlowImages_gap-1").rglob("*.png"))


def test_too_little_disk_is_said_first(data: Path, monkeypatch) -> None:
    found = estimate_flow(job(data))
    assert (found.pictures, len(made(data))) == (24, 1)
    assert estimate_flow(job(data)).pictures == 23, "the picture that was judged by is kept"
    make_flow(job(data), 1, nothing)
    assert 0.5 < found.bytes / sum(map(len, made(data).values())) < 2
    assert estimate_flow(job(data)).pictures == 0
    next(iter((data / "FlowImages_gap1").rglob("*.png"))).unlink()
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1})())
    with pytest.raises(InputError, match=r"not enough disk at .*: 1 flow pictures, about .* make room"):
        estimate_flow(job(data))


def test_frames_that_give_no_flow_are_named(data: Path, tmp_path: Path) -> None:
    save(data / "JPEGImages/480p/camel/00002.jpg", np.zeros((24, 44, 3), np.uint8))
    with pytest.raises(InputError, match=r"no flow from .*camel/00001\.jpg to 00002\.jpg: .* 40 x 24 and 44 x 24"):
        make_flow(job(data), 1, nothing)
    (data / "JPEGImages/480p/camel/00002.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"camel/00002\.jpg cannot be read as a picture"):
        make_flow(job(data), 2, nothing)
    (data / "JPEGImages/480p/camel/00002.jpg").unlink()
    with pytest.raises(InputError, match=r"missing frames: 1, of camel \(first .*00002\.jpg\)"):
        frames_of(data)
    with pytest.raises(InputError, match="at least one thread"):
        make_flow(FlowJob(data, {}, dis_method()), 0, nothing)


def test_data_sets_without_lists_are_taken_as_they_lie(tmp_path: Path) -> None:
    for name in ("10.png", "9.png"):
        save(tmp_path / "data" / "JPEGImages" / "crab" / name, np.zeros((16, 16, 3), np.uint8))
    root, sequences = frames_of(tmp_path)
    assert root == tmp_path / "data"
    assert [path.name for path in sequences["crab"]] == ["9.png", "10.png"]
    make_flow(FlowJob(root, sequences, dis_method()), 1, nothing)
    assert set(made(root)) == {"FlowImages_gap1/crab/9.png", "FlowImages_gap-1/crab/10.png"}
    assert (np.asarray(Image.open(root / "FlowImages_gap1/crab/9.png")) == 255).all(), "nothing moved"
    save(root / "JPEGImages" / "fish" / "0.png", np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(InputError, match="one frame has no optical flow; expected two or more in fish"):
        frames_of(root)
    (tmp_path / "none" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no folder of pictures"):
        frames_of(tmp_path / "none")


class TestCommand:
    def test_it_makes_what_is_missing_and_says_so(self, data: Path, capsys) -> None:
        assert main(["flow", str(data), "--preset", "fast", "--threads", "1"]) == 0
        shown = capsys.readouterr().out
        assert "3 sequences; still to make: 24 flow pictures, about" in shown
        assert "optical flow by OpenCV DIS" in shown
        assert "24 flow pictures made" in shown
        assert main(["flow", str(data), "--preset", "fast"]) == 0
        assert "still to make: 0 flow pictures" in capsys.readouterr().out
        davis(data, backward_flow=True)

    def test_mistakes_are_answered_in_one_line(self, data: Path, tmp_path: Path, capsys) -> None:
        for arguments, said in (
            ([str(data), "--method", "raft"], "flow method 'raft' is not known"),
            ([str(tmp_path / "nowhere")], "no folder at"),
            ([str(data), "--split", "test"], "no list at"),
        ):
            assert main(["flow", *arguments]) == 1
            captured = capsys.readouterr()
            assert said in captured.err
            assert captured.err.count("\n") == 1

    def test_a_full_disk_is_said_in_one_line(self, data: Path, capsys, monkeypatch) -> None:
        def full(*given, **named):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Image.Image, "save", full)
        assert main(["flow", str(data)]) == 1
        captured = capsys.readouterr()
        assert captured.err == "sdbench: the disk is full; make room and run the same command again to go on\n"

    @pytest.mark.slow
    def test_ctrl_c_ends_it_and_the_next_run_goes_on(self, data: Path, tmp_path: Path, monkeypatch) -> None:
        (tmp_path / "slow_flow.py").write_text(
            "import os, time, numpy as np\n"
            "def still(first, second):\n    time.sleep(float(os.environ.get('PAUSE', 0)))\n"
            "    return np.zeros((*first.shape[:2], 2), np.float32)\n"
        )
        arguments = ["flow", str(data), "--method", "slow_flow:still", "--threads", "2"]
        path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        environment = {**os.environ, "PYTHONPATH": path, "PAUSE": "0.2"}
        with subprocess.Popen([*COMMAND, *arguments], env=environment, stderr=subprocess.PIPE, text=True) as running:
            deadline = time.monotonic() + 60
            while len(made(data)) < 4 and time.monotonic() < deadline:
                time.sleep(0.02)
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=30)
        assert running.returncode == 130, said
        assert "run the same command again to go on" in said
        assert "Traceback" not in said
        assert not list(data.rglob(".*.png")), "no half-written picture is left"
        assert 4 <= len(made(data)) < 24
        monkeypatch.syspath_prepend(tmp_path)
        assert main(arguments) == 0
        assert len(made(data)) == 24
