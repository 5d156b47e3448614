"""Every published file that a program or a person can get, and how its stand-in is made."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rehearsal import checkpoints as write
from benchmarks.rehearsal.davis import davis_archive, painted_archive
from benchmarks.rehearsal.entries import blobs_of, pytorchvideo_c2d, shapes_of
from benchmarks.rehearsal.values import Values, colours_in_fusionseg, colours_in_x3d, made_up, one_answer

Writer = Callable[[Path], None]


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes:
        asset: as `sdbench list assets` names it.
        form: of the file, in a few words.
        write: writes the stand-in to a path.
    """

    asset: str
    form: str
    write: Writer


def _pyslowfast(
    asset: str, table: str, values: Values | None = None, legacy: bool = False, prefix: str = ""
) -> Published:
    def writer(path: Path) -> None:
        shapes = shapes_of(table)
        write.pyslowfast(write.state_of(write.under(prefix, shapes), values or made_up(shapes)), path, legacy)

    return Published(asset, f"PySlowFast .pyth{', of a torch before 1.6' if legacy else ''}", writer)


def _caffe2(asset: str, table: str, answers_one: bool = False) -> Published:
    def writer(path: Path) -> None:
        shapes = shapes_of(table)
        values = one_answer(made_up(shapes)) if answers_one else made_up(shapes)
        write.caffe2(blobs_of(table), shapes, values, path)

    return Published(asset, "Caffe2 .pkl", writer)


def _pytorchvideo(asset: str, table: str, answers_one: bool = False) -> Published:
    """The tables name these entries as PySlowFast holds them, with `model.` before the names of the file."""

    def writer(path: Path) -> None:
        shapes = shapes_of(table)
        names = {entry.removeprefix("model."): entry for entry in shapes}
        values = made_up(shapes)
        if answers_one:
            values = one_answer(values, next(entry for entry in shapes if entry.endswith("proj.bias")))
        write.pytorchvideo(write.state_of(names, values), path)

    return Published(asset, "PyTorchVideo .pyth", writer)


def _c2d(path: Path) -> None:
    shapes = shapes_of("c2d")
    write.pytorchvideo(write.state_of(pytorchvideo_c2d(shapes), made_up(shapes)), path)


def _timesformer_ssv2(path: Path) -> None:
    """The published network has 8 frames; its table is of one that the study made for 16."""
    shapes = shapes_of("timesformer_ssv2")
    batch, _, width = shapes["model.time_embed"]
    shapes["model.time_embed"] = (batch, 8, width)
    write.pyslowfast(write.state_of(write.under("", shapes), made_up(shapes)), path)


def _three_models(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as inside:
        folder = Path(inside)
        shapes = shapes_of("fusionseg")
        (folder / "checkpoints_fseg").mkdir()
        for seed, name in enumerate(("davis", "taovos", "imgnetvid")):
            values = made_up(shapes, seed) if seed else colours_in_fusionseg(shapes)
            file = folder / "checkpoints_fseg" / f"latest_twostream_deeplabv3plus_resnet101_{name}_os16.pth"
            write.fusionseg(write.state_of(write.under("", shapes), values), file)
        shapes = shapes_of("matnet_gated")
        write.matnet(write.state_of(write.under("", shapes), made_up(shapes)), folder / "checkpoints_matnet")
        shapes = shapes_of("rtnet")
        write.rtnet(write.state_of(write.under("", shapes), made_up(shapes)), folder / "model_RX50.pth")
        write.zipped(folder, path)


def _gated_reciprocal(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as inside:
        shapes = shapes_of("matnet_coatt_gated_recip")
        write.matnet(write.state_of(write.under("", shapes), made_up(shapes)), Path(inside) / "ckpt")
        write.zipped(Path(inside), path)


def _x3d_xs(path: Path) -> None:
    shapes = shapes_of("x3d_xs")
    write.pyslowfast(write.state_of(write.under("", shapes), colours_in_x3d(shapes)), path, legacy=True)


PUBLISHED = (
    Published("c2d_kinetics400", "PyTorchVideo .pyth", _c2d),
    _caffe2("c2d_nopool_kinetics400", "c2d"),
    _caffe2("i3d_kinetics400", "i3d"),
    _caffe2("i3d_nln_kinetics400", "i3d_nln"),
    _caffe2("slow_r50_4x16_kinetics400", "slow_r50_4x16"),
    _caffe2("slow_r50_8x8_kinetics400", "slow_r50_8x8", answers_one=True),
    _caffe2("slowfast_r50_4x16_kinetics400", "slowfast_r50_4x16"),
    _caffe2("slowfast_r50_8x8_kinetics400", "slowfast_r50_8x8"),
    Published("x3d_xs_kinetics400", "PySlowFast .pyth, of a torch before 1.6", _x3d_xs),
    _pyslowfast("x3d_s_kinetics400", "x3d_s", legacy=True),
    _pyslowfast("x3d_m_kinetics400", "x3d_m", legacy=True),
    _pyslowfast("x3d_l_kinetics400", "x3d_l", legacy=True),
    _pyslowfast("mvit_b_16x4_kinetics400", "mvit"),
    _pyslowfast("timesformer_8x32_kinetics400", "timesformer"),
    Published("timesformer_16x8_ssv2", "PySlowFast .pyth", _timesformer_ssv2),
    _pytorchvideo("slow_r50_8x8_ssv2", "slow_ssv2_r50_8x8", answers_one=True),
    _pytorchvideo("slowfast_r50_8x8_ssv2", "slowfast_ssv2_r50_8x8"),
    _pyslowfast("slowfast_r50_16x8_ssv2", "slowfast_ssv2_16x8", legacy=True),
    _pyslowfast("slowfast_r50_16x8_multigrid_ssv2", "slowfast_ssv2_16x8_multigrid", legacy=True),
    Published("vos_checkpoints", "zip of FusionSeg .pth, MATNet's parts and RTNet .pth", _three_models),
    Published("matnet_recip_gated_checkpoints", "zip of MATNet's parts", _gated_reciprocal),
    Published("stylized_davis", "zip of pictures", painted_archive),
    Published("davis2016", "zip of pictures", davis_archive),
)
"""In the order of the suite's list of assets."""


def published(asset: str) -> Published:
    """The file of this asset."""
    return next(each for each in PUBLISHED if each.asset == asset)


def make(asset: str, path: Path) -> Path:
    """Write the stand-in of an asset to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    published(asset).write(unfinished)
    shutil.move(unfinished, path)
    return path
