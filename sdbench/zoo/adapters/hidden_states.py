"""Hidden states of the transformers library, one family a row: which module answers them, and what their rows are.

Every state is read as tokens of clips, (B, N, C), so that the mean is taken over all tokens, the class token and
register tokens included, as the paper's suite reads transformers. A class token is besides a layer of its own, right
behind its block: `block7.cls`.

`embeddings` is what enters the first block and `blockN` what the last block answers, before any final norm. `norm` is
the answer of the norm behind the last block, where the architecture has one for all tokens; CLIP and X-CLIP norm the
class token alone, which then is `norm.cls`. A VideoMAE that was tuned (`use_mean_pooling`) has none: it norms the mean
of the tokens in its head. VideoPrism's own call answers the norm in place of the last hidden state; here the two are
apart: its last block is what the call names last_temporal_hidden_state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError
from sdbench.networks.reading import VideoNetwork

FRAMES_OF_IMAGES = 8
"""How many frames of a clip an image network sees where nothing else is said."""


@dataclass(frozen=True)
class Family:
    """Checkpoints whose hidden states are got and regrouped alike.

    Attributes:
        title: what it is called.
        tower: class of the library whose forward answers the hidden states; a model may hold it among other parts.
        argument: the input's name among the arguments of that forward.
        rows: of the hidden states: "clips" (B, N, C); "frames" (B * T, N, C), fed so too; "frames, then patches": fed
            as clips, (B * T, P, C) from spatial blocks and (B * P, T, C) from temporal ones.
        class_token: whether the first token is one.
        norm: what the last norm is taken of: "all" tokens, the "class" token, or "none", where there is none.
        frames: entry of the config that says how many frames it takes; None of an image network.
        any_frames: whether it takes other numbers too; where frames are joined in pairs, multiples of that.
        size: entry of the config that says how many pixels its positions are made for; None where it takes any number
            of patches.
        options: what else its forward is called with.
    """

    title: str
    tower: str
    argument: str = "pixel_values"
    rows: Literal["clips", "frames", "frames, then patches"] = "clips"
    class_token: bool = False
    norm: Literal["all", "class", "none"] = "all"
    frames: str | None = "num_frames"
    any_frames: bool = False
    size: str | None = "image_size"
    options: Mapping[str, Any] = field(default_factory=dict)

    def default_frames(self, config: Any) -> int:
        """How many frames it is fed where nothing else is said."""
        return FRAMES_OF_IMAGES if self.frames is None else int(getattr(config, self.frames))

    def fixed_size(self, config: Any) -> tuple[int, int] | None:
        """Height and width that its positions are made for, in pixels; None where they are made for any."""
        return None if self.size is None else _pair(getattr(config, self.size))

    def check(self, config: Any, frames: int, size: tuple[int, int]) -> None:
        """See that clips of this shape can be fed.

        Some of the library's networks answer numbers to clips that their positions were not made for, too.

        Raises:
            InputError: they cannot.
        """
        if self.frames is not None:
            made_for = int(getattr(config, self.frames))
            tubelet = int(getattr(config, "tubelet_size", 1)) if self.any_frames else 1
            if not self.any_frames and frames != made_for:
                raise InputError(
                    f"this {self.title} has positions for {made_for} frames; got {frames}: leave out --frames, and "
                    "spread the frames with --stride or --window"
                )
            if frames % tubelet:
                raise InputError(
                    f"this {self.title} joins every {tubelet} frames; got {frames}: choose a multiple of {tubelet}"
                )
        fixed = self.fixed_size(config)
        if fixed is not None and size != fixed:
            raise InputError(
                f"this {self.title} has positions for {fixed[0]} x {fixed[1]} pixels; got {size[0]} x {size[1]}: "
                f"feed it --size {fixed[0]}x{fixed[1]}"
            )
        patch = _pair(config.patch_size) if fixed is None else (1, 1)
        if size[0] % patch[0] or size[1] % patch[1]:
            raise InputError(
                f"this {self.title} sees patches of {patch[0]} x {patch[1]} pixels; got frames of {size[0]} x "
                f"{size[1]}: choose multiples of the patch"
            )


def _image(title: str, tower: str, **others: Any) -> Family:
    return Family(title, tower, rows="frames", frames=None, **others)


_CLIP = _image("CLIP", "CLIPVisionModel", class_token=True, norm="class")
_SIGLIP = _image("SigLIP", "SiglipVisionModel")
_VIDEOPRISM = Family("VideoPrism", "VideoPrismVisionModel", "pixel_values_videos", "frames, then patches")
_XCLIP = Family("X-CLIP", "XCLIPVisionModel", rows="frames", class_token=True, norm="class")

FAMILIES: Mapping[str, Family] = {
    "clip": _CLIP,
    "clip_vision_model": _CLIP,
    "dinov2": _image("DINOv2", "Dinov2Model", class_token=True, size=None),
    "dinov2_with_registers": _image("DINOv2 with registers", "Dinov2WithRegistersModel", class_token=True, size=None),
    "dinov3_vit": _image("DINOv3", "DINOv3ViTModel", class_token=True, size=None),
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "timesformer": Family("TimeSformer", "TimesformerModel", class_token=True),
    "videomae": Family("VideoMAE", "VideoMAEModel"),
    "videoprism": _VIDEOPRISM,
    "videoprism_vision_model": _VIDEOPRISM,
    "vivit": Family("ViViT", "VivitModel", class_token=True),
    "vjepa2": Family(
        "V-JEPA 2",
        "VJEPA2Model",
        "pixel_values_videos",
        frames="frames_per_clip",
        any_frames=True,
        size="crop_size",
        options={"skip_predictor": True},
    ),
    "xclip": _XCLIP,
    "xclip_vision_model": _XCLIP,
}
"""What a config calls its `model_type` -> how its hidden states are read."""


class HiddenStates(VideoNetwork):
    """A model of the library whose layers are its hidden states.

    It takes clips (B, T, C, H, W), whatever the model itself takes. The states come after the pass, all at once:
    nothing goes on from what `trace` yields, so that only the last layer is part of the answer.

    Args:
        model: of the library, the whole of it.
        family: how its states are read.

    Raises:
        InputError: the model does not hold the part that answers them.
    """

    def __init__(self, model: nn.Module, family: Family) -> None:
        super().__init__()
        self.model = model
        self.family = family
        towers = [name for name, part in model.named_modules() if type(part).__name__ == family.tower]
        if not towers:
            raise InputError(
                f"a {type(model).__name__} is not read: it holds no {family.tower}, whose hidden states are the layers"
            )
        self._tower = towers[0]
        self._blocks = _blocks(self.tower.config)
        self._norm = "none" if getattr(self.tower, "layernorm", ...) is None else family.norm
        self.layers = tuple(self._names())
        self.dead_ends = self.layers[:-1]
        self.train(model.training)

    @property
    def tower(self) -> Any:
        """The part of the model that answers the hidden states."""
        return self.model.get_submodule(self._tower)

    def _names(self) -> Iterator[str]:
        yield "embeddings"
        for block in range(1, self._blocks + 1):
            yield f"block{block}"
            if self.family.class_token:
                yield f"block{block}.cls"
        if self._norm == "all":
            yield "norm"
        if self._norm != "none" and self.family.class_token:
            yield "norm.cls"

    def trace(self, *args: Any, **inputs: Any) -> Iterator[tuple[str, Tensor]]:
        """Yield (layer name, tokens) for every layer.

        Args:
            args: the clips, or nothing.
            inputs: the clips under the name of the model's own argument.

        Yields:
            (B, N, C) of all tokens of all frames; of a class token (B, C), or (B, T, C) where every frame has its own.

        Raises:
            InputError: clips of this shape do not fit the model.
        """
        family = self.family
        clips: Tensor = args[0] if args else inputs[family.argument]
        if clips.ndim != 5:
            raise InputError(f"expected clips (B, T, C, H, W); got {tuple(clips.shape)}")
        batch, frames = clips.shape[:2]
        family.check(self.tower.config, frames, (clips.shape[3], clips.shape[4]))
        fed = clips.flatten(0, 1) if family.rows == "frames" else clips
        answer = self.tower(**{family.argument: fed}, output_hidden_states=True, **family.options)
        states = list(answer.hidden_states)
        if family.rows == "frames, then patches":
            states[-1] = answer.last_temporal_hidden_state
        for number, state in enumerate(states):
            if family.rows == "frames, then patches" and number > self.tower.config.num_spatial_layers:
                tokens = state.unflatten(0, (batch, -1)).transpose(1, 2).flatten(1, 2)
            else:
                tokens = _of_clips(state, batch)
            yield (f"block{number}" if number else "embeddings"), tokens
            if number and family.class_token:
                yield f"block{number}.cls", self._class_token(state, batch)
        if self._norm == "all":
            yield "norm", _of_clips(answer.last_hidden_state, batch)
        if self._norm == "class":
            yield "norm.cls", _of_clips(answer.pooler_output, batch)
        elif self._norm == "all" and family.class_token:
            yield "norm.cls", self._class_token(answer.last_hidden_state, batch)

    def __reduce__(self) -> tuple[Any, ...]:
        # The library leaves hooks in a model that has answered hidden states, which can be neither pickled nor copied.
        made, config = type(self.model), self.model.config
        return _made_again, (made, config, self.model.state_dict(), self.family, self.training)

    def _class_token(self, state: Tensor, batch: int) -> Tensor:
        """(B, C), or (B, T, C) where every frame has one."""
        first = state[:, 0]
        return _of_clips(first, batch) if self.family.rows == "frames" else first


def _made_again(made: Any, config: Any, entries: Mapping[str, Tensor], family: Family, training: bool) -> HiddenStates:
    """The module that `HiddenStates.__reduce__` took apart."""
    with torch.random.fork_rng(devices=[]):
        model = made(config).float()
    model.load_state_dict(entries)
    return HiddenStates(model.train(training), family)


def _of_clips(state: Tensor, batch: int) -> Tensor:
    """(B, N, C) of states (N, C) or (C,) whose rows are clips, or the frames of clips."""
    return state.reshape(batch, -1, state.shape[-1])


def _blocks(config: Any) -> int:
    spatial = getattr(config, "num_spatial_layers", None)
    return int(config.num_hidden_layers if spatial is None else spatial + config.num_temporal_layers)


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int | float) else (int(value[0]), int(value[1]))
