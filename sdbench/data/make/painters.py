"""Which painter makes the stylised copies: the packaged style network, or that of the paper with the user's models."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from sdbench.base.errors import InputError
from sdbench.base.files import sha256_of
from sdbench.data.davis_check import AS_FILMED
from sdbench.data.layouts import STYLE_FOLDERS, Layout
from sdbench.video.fewshot import FewShotPainter
from sdbench.video.frames import Frames
from sdbench.video.paint import Painter

FEW_SHOT = "few-shot patch network"

_NAME = re.compile(r"\w[\w.+-]*")


class FramePainter(Protocol):
    """Paints frames, one after the other."""

    def paint_frame(self, frame: Frames, styles: Sequence[str], what: str = "the frame") -> Iterator[Frames]:
        """Paint one frame (H, W, 3) uint8, sides in multiples of 4, in some styles; yields them in their order."""
        ...


def painter_of(styles: Sequence[str], model: Path | tuple[Path, ...], device: str) -> FramePainter:
    """What paints: the packaged network of one file, or the few-shot network with a model a style.

    Raises:
        AssetError: a file is not there, damaged, or holds something else.
    """
    if isinstance(model, tuple):
        return FewShotPainter(dict(zip(styles, model, strict=True)), device)
    return Painter(model, threads=1, device=device)


def described_painter(styles: Sequence[str], model: Path | tuple[Path, ...]) -> dict[str, Any]:
    """Plain values that tell painters apart, to be written beside the copies."""
    if isinstance(model, tuple):
        digests = {style: sha256_of(path) for style, path in zip(styles, model, strict=True)}
        return {"painter": FEW_SHOT, "weights_sha256": digests}
    return {"style_network_sha256": sha256_of(model)}


def check_models(styles: Sequence[str], models: Sequence[Path], layout: Layout) -> None:
    """See that each style has a model and a name that a folder can have.

    Raises:
        InputError: it has not, or there are more of them than the layout has folders.
    """
    if len(styles) != len(models):
        raise InputError(f"each model paints one style; got {len(models)} models and {len(styles)} names of styles")
    for style in styles:
        if not _NAME.fullmatch(style) or style in AS_FILMED:
            raise InputError(
                f"{style!r} cannot be the name of a style: expected letters, digits, '_', '-', '+' and '.', and none "
                f"of {', '.join(sorted(AS_FILMED))}"
            )
    if len({style.lower() for style in styles}) != len(styles):
        raise InputError(f"each style may be named once; got {', '.join(styles)}")
    for path in models:
        if not path.is_file():
            raise InputError(f"no file at {path}; expected a model of the few-shot network, such as model_00020.pth")
    if not layout.mirrors and len(models) > len(STYLE_FOLDERS):
        raise InputError(f"the layout has {len(STYLE_FOLDERS)} style folders; got {len(models)} models")


def names_of_models(models: Sequence[Path]) -> tuple[str, ...]:
    """A name for the style of each model: of the files, or, where files are called alike, of the folders they lie in.

    Raises:
        InputError: neither tells them apart.
    """
    whole = [path.resolve() for path in models]
    for names in ([path.stem for path in whole], [path.parent.name for path in whole]):
        if len({name.lower() for name in names}) == len(names):
            return tuple(names)
    raise InputError(
        "neither the files of the models nor their folders have different names: name the styles, --styles"
    )


def lacking_styles(count: int, layout: Layout) -> str:
    """What is to be said of copies in so few styles that nothing can be measured on them; nothing where it can."""
    needed = 2 if layout.mirrors else len(STYLE_FOLDERS) // 2 + 1
    if count >= needed:
        return ""
    return (
        f"copies in {count} style{'s' if count > 1 else ''} give no study: {needed} are needed at least; give the "
        "other models too, --weights for each"
    )
