"""CPU seconds of what `benchmarks.published_cost` multiplies: a pass, an input that is drawn, a painted frame, a flow.

All are seconds of one core, of this process: work that goes on beside it lengthens them little. Networks have the
suite's made-up weights and inputs of noise; nothing is compiled, and torch has one thread.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.compare_vos import made_up
from benchmarks.published_passes import Counted, made_up_inputs
from sdbench import Feed, doctor, studies, units
from sdbench.assets import AssetStore
from sdbench.base.files import read_json
from sdbench.base.machine import processor_name
from sdbench.data import stylised_diving48
from sdbench.data.davis_here import PAINTED
from sdbench.data.layouts import LAYOUTS, STYLE_FOLDERS
from sdbench.data.make.job import QUALITY
from sdbench.engine import Study
from sdbench.networks.filled import fill_state_dict
from sdbench.studies import StylisedStudy
from sdbench.video.decode import decode_frames
from sdbench.video.flow import dis_method, draw_flow
from sdbench.video.frames import Frames, resize_frame
from sdbench.video.paint import DEFAULT_STYLES, Painter
from sdbench.zoo import model
from sdbench.zoo.feeds import DAVIS_SIZE

RECORDED = Path(doctor.__file__).with_name("published_seconds.json")

PAINTED_SIZE = (256, 344)
"""Height and width of a painted frame: short side 256, both multiples of 4."""

_CLIPS = ("clip_bikes", "clip_carphone_pristine", "clip_bigbuckbunny")
_VIDEOS = 4
_SPAN = 260


def recorded() -> dict[str, Any]:
    """What was measured before."""
    return read_json(RECORDED, "CPU seconds that --measure wrote")


def pass_name(each: Counted) -> str:
    """How seconds of a pass are called: cases of one network and another training share them."""
    return f"{each.asked.network} {each.what}"


def passes_of(measurements: Iterable[Counted]) -> dict[str, dict[str, int]]:
    """Data set -> name of a pass -> how many of them the measurements on it take."""
    found: dict[str, dict[str, int]] = {}
    for each in measurements:
        if not each.never:
            passes = found.setdefault(each.asked.dataset, {})
            passes[pass_name(each)] = passes.get(pass_name(each), 0) + each.passes
    return found


def measured(measurements: Iterable[Counted], said: Callable[[str], None]) -> dict[str, Any]:
    """CPU seconds of everything; `said` hears of each as soon as it is known."""
    measurements = list(measurements)
    wanted = {pass_name(each): each for each in measurements if not each.never}
    torch.set_num_threads(1)
    found: dict[str, Any] = {"processor": processor_name(), "torch": torch.__version__, "pass": {}, "draw": {}}
    with tempfile.TemporaryDirectory() as folder:
        store = AssetStore(quiet=True)
        found |= _pictures(store, Path(folder))
        said(json.dumps({name: found[name] for name in ("paint", "painted_bytes", "flow", "flow_bytes")}))
        for each in wanted.values():
            if each.what == "units" and each.asked.network not in found["draw"]:
                found["draw"][each.asked.network] = _drawing(each, Path(folder))
                said(f"drawing for {each.asked.network}: {found['draw'][each.asked.network]} s an input")
    for name, each in sorted(wanted.items(), key=lambda item: item[1].gmacs):
        found["pass"][name] = _passing(each)
        said(f"{name}: {found['pass'][name]} s a pass")
    found["passes"] = passes_of(measurements)
    return found


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.3g}")


def _passing(each: Counted) -> float:
    """Seconds of one pass, of two: torch's first one is slower."""
    torch.manual_seed(0)
    module = model(each.asked.network, each.asked.trained_on).build().eval()
    fill_state_dict(module, 0)
    inputs = {name: torch.randn_like(values) for name, values in made_up_inputs(each.feed).items()}
    with torch.no_grad():
        run = (lambda: units(module, inputs)) if each.what == "units" else (lambda: module(**inputs))
        return _rounded(min(_seconds(run) for _ in range(2)))


def _drawing(each: Counted, folder: Path) -> float:
    """Seconds of reading and preparing one input, pictures that views share counted once."""
    store = AssetStore(folder / "cache", quiet=True)
    study: Study
    if each.asked.dataset == PAINTED:
        root = folder / "vos"
        if not root.exists():
            made_up(root)
        study = studies.davis(
            root / "davis2016", root / "stylized_davis", protocol="published", seeds=1, frames=1, store=store
        )
    else:
        study = StylisedStudy(stylised_diving48(folder / "action"), store, "corrected")
    return _rounded(_drawn(study, each.feed))


def _drawn(study: Study, feed: Feed) -> float:
    samples = study.plan(feed, 0).samples
    study.draw(samples[0], feed)
    seconds = _seconds(lambda: [study.draw(sample, feed) for sample in samples])
    return seconds / float(sum(sample.inputs for sample in samples))


def _pictures(store: AssetStore, folder: Path) -> dict[str, Any]:
    """Seconds and bytes of painted frames and of flow pictures of the packaged clips; painted frames as a data set."""
    clips = [_two_frames(store.path(clip)) for clip in _CLIPS]
    painter = Painter(store.path("styles26"), threads=1)
    small = [resize_frame(first, PAINTED_SIZE) for first, _ in clips]
    list(painter.paint_frame(small[0], DEFAULT_STYLES[:1]))
    painted: list[Frames] = []
    seconds = _seconds(lambda: painted.extend(p for frame in small for p in painter.paint_frame(frame, DEFAULT_STYLES)))
    files = [_encoded(frame, "JPEG", quality=QUALITY) for frame in painted]
    _as_data_set(folder / "action", files[: len(STYLE_FOLDERS)])
    large = [[resize_frame(frame, DAVIS_SIZE) for frame in clip] for clip in clips]
    method = dis_method()
    flows: list[bytes] = []
    flowing = _seconds(lambda: flows.extend(_encoded(draw_flow(method(*clip)), "PNG") for clip in large))
    return {
        "paint": _rounded(seconds / len(painted)),
        "painted_bytes": round(float(np.mean([len(file) for file in files]))),
        "flow": _rounded(flowing / len(flows)),
        "flow_bytes": round(float(np.mean([len(file) for file in flows]))),
    }


def _two_frames(path: Path) -> tuple[Frames, Frames]:
    frames = decode_frames(path)
    return next(frames), next(frames)


def _encoded(frame: Frames, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, kind, **options)
    return file.getvalue()


def _as_data_set(folder: Path, files: list[bytes]) -> None:
    """The same painted frame again and again, in the layout of Diving48."""
    layout = LAYOUTS["diving48"]
    for style, content in zip(STYLE_FOLDERS, files, strict=True):
        for video in range(_VIDEOS):
            place = folder / style / f"video{video}"
            place.mkdir(parents=True)
            first = place / layout.frame_name(0)
            first.write_bytes(content)
            for position in range(1, _SPAN):
                (place / layout.frame_name(position)).hardlink_to(first)
    entries = [{"vid_name": f"video{video}", "label": 0} for video in range(_VIDEOS)]
    (folder / layout.annotations[0]).write_text(json.dumps(entries), encoding="utf-8")
