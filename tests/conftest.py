"""Fixtures of several test modules: the asset store, small videos, and folders that all processes of a run share."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from sdbench.assets import AssetStore

SEVERAL_PROCESSES = "PYTEST_XDIST_WORKER" in os.environ
for _name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
    del os.environ[_name]  # runs of pytest that tests start are none of this run's processes

CONFORMANCE = Path(__file__).parent / "conformance"

COMMAND = (
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from sdbench.cli import main; sys.exit(main())",
)
"""The command `sdbench`, hearing Ctrl-C even where the tests run in the background and inherited that it is ignored."""


WARNINGS = (
    *("error:::sdbench", "error:::tests", "error:::benchmarks", "error:::experiments", "error:::__main__"),
    *("error::ResourceWarning", "error::pytest.PytestWarning"),
    "ignore::pytest_benchmark.logger.PytestBenchmarkWarning",
    "ignore:one .* carries more than a quarter of the variance",  # true of the few small videos of many tests
)
"""Filters: a warning of ours, or of what we call wrongly, is an error in a test; a library's own is none."""


def pytest_configure(config: pytest.Config) -> None:
    """Make errors of this package's warnings: here and not for the cases, which a library's news must not stop."""
    for line in WARNINGS:
        config.addinivalue_line("filterwarnings", line)


def pytest_collection(session: pytest.Session) -> None:
    """No garbage is collected while modules are imported: a tenth of the time."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported stays, and no later collection looks at it."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def networks_of_tests_are_of_the_suite() -> Iterator[None]:
    """Small networks of tests that list their layers stand for networks of the suite, which are not self-checked."""
    with pytest.MonkeyPatch.context() as patch:
        if module := sys.modules.get("sdbench.networks.network"):
            patch.setattr(module, "OWNERS", module.OWNERS | {"tests"})
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shard", metavar="K/N", default="1/1", help="run the K-th of N shares of the tests")


SPLIT = ("tests/test_documents.py", "tests/networks/test_action_networks.py", "tests/networks/test_vos_networks.py")
"""Long files whose tests may run in any process; those of all others stay together and share their fixtures."""


RAY, ON_RAY = "tests/engine/test_ray.py", "docs/scaling.md"
"""A command of that page joins whatever Ray cluster runs on the machine, so that it may not run beside that file."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share out files, and of `SPLIT` single tests, to several processes."""
    from xdist.scheduler.loadfile import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            scope = super()._split_scope(nodeid)
            if scope in SPLIT:
                return RAY if ON_RAY in nodeid else nodeid
            return scope

    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that have most slow tests, and keep a shard."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    slow = {path: sum("slow" in item.keywords for item in members) for path, members in files.items()}
    number, _, shards = config.getoption("--shard").partition("/")
    if not (number.isdigit() and shards.isdigit() and 1 <= int(number) <= int(shards)):
        raise pytest.UsageError(f"--shard takes K/N with K from 1 to N; got {config.getoption('--shard')!r}")
    ordered = sorted(files, key=lambda path: -slow[path])
    kept = [item for path in ordered[int(number) - 1 :: int(shards)] for item in files[path]]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=list(set(items) - set(kept)))
    items[:] = kept


@pytest.fixture(scope="session")
def store() -> AssetStore:
    """The user's own asset store: what a package index serves is fetched once and kept."""
    from sdbench.assets import AssetStore

    return AssetStore(quiet=True)


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """make_once(name, make): the folder that `make(folder)` filled, once in a run, whichever process comes first.

    Processes that come later wait for it and read the same files, so nobody may change what lies there.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if SEVERAL_PROCESSES else base) / "shared"

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        shared.mkdir(exist_ok=True)
        target, partial = shared / name, shared / f"{name}.partial"
        with FileLock(f"{target}.lock"):
            if not target.exists():
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                make(partial)
                partial.rename(target)
        return target

    return folder


def moving_squares(frames: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """(frames, height, width, 3) uint8: coloured blocks that drift behind a bright square that moves."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 180, (-(-height // 8), -(-width // 8), 3), dtype=np.uint8)
    ground = blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    clip = np.stack([np.roll(ground, (t, 2 * t), axis=(0, 1)) for t in range(frames)])
    for t in range(frames):
        top, left = (3 * t) % (height - 12), (2 * t) % (width - 12)
        clip[t, top : top + 12, left : left + 12] = generator.integers(200, 256, 3)
    return clip


def write_video(path: Path, frames: np.ndarray, codec: str = "mpeg4") -> Path:
    """Encode (T, H, W, 3) uint8 frames; the index stands in front, so that a cut-off file still opens."""
    import av

    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def video_file(tmp_path: Path) -> Callable[..., Path]:
    """Make a video file: video_file(name, frames=40, seed=0)."""

    def make(name: str = "video.mp4", frames: int = 40, seed: int = 0) -> Path:
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_video(path, moving_squares(frames, seed=seed))

    return make
