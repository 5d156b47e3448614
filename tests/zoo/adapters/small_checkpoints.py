"""Small checkpoints of every family, with random weights and the files of preprocessing that published ones have."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CLIP_COLOURS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
DONE = {"do_resize": True, "do_center_crop": True, "do_normalize": True, "do_rescale": True}
BYTES = {"rescale_factor": 0.00392156862745098}

_TRANSFORMER = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_CLIP_VISION = {**_TRANSFORMER, "image_size": 32, "patch_size": 16, "projection_dim": 16}
_CLIP_TEXT = {**_TRANSFORMER, "vocab_size": 50, "max_position_embeddings": 8, "projection_dim": 16}
_VIDEOMAE = {
    **_TRANSFORMER,
    "image_size": 32,
    "num_frames": 4,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 16,
}
_VJEPA2 = {
    "crop_size": 32,
    "frames_per_clip": 6,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pred_hidden_size": 24,
    "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 1,
    "num_pooler_layers": 1,
}
_VIDEOPRISM = {
    "hidden_size": 24,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 36,
    "num_frames": 4,
    "num_spatial_layers": 2,
    "num_temporal_layers": 2,
    "num_auxiliary_layers": 1,
}
_VIDEOMAE_FILE = {**DONE, **BYTES, **IMAGENET, "resample": 2, "size": {"shortest_edge": 32}} | {
    "crop_size": {"height": 32, "width": 32},
    "image_processor_type": "VideoMAEImageProcessor",
}
_VJEPA2_FILE = {**DONE, **BYTES, **IMAGENET, "resample": 2, "size": {"shortest_edge": 36}} | {
    "crop_size": {"height": 32, "width": 32},
    "video_processor_type": "VJEPA2VideoProcessor",
}
_CLIP_FILE = {**CLIP_COLOURS, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3} | {
    "crop_size": 32,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "size": 32,
}
_SIGLIP_FILE = {**BYTES, **HALVES, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 3} | {
    "image_processor_type": "SiglipImageProcessor",
    "size": {"height": 32, "width": 32},
}
_DINOV2_FILE = {**DONE, **BYTES, **IMAGENET, "resample": 3, "size": {"shortest_edge": 32}} | {
    "crop_size": {"height": 28, "width": 28},
    "image_processor_type": "BitImageProcessor",
}


@dataclass(frozen=True)
class Small:
    """What a small checkpoint is made of.

    Attributes:
        family: of it.
        made: class of the library.
        config: what differs from the defaults of its config.
        file: the content of its file of preprocessing.
        name: of that file.
    """

    family: str
    made: str
    config: dict[str, Any]
    file: dict[str, Any]
    name: str = "preprocessor_config.json"
    seed: int = field(default=0)

    def save(self, folder: Path) -> Path:
        """Write it; returns the folder."""
        model = self.model()
        model.save_pretrained(folder)
        (folder / self.name).write_text(json.dumps(self.file))
        return folder

    def model(self) -> Any:
        """The model, with noise in every parameter: those that begin as zeros or ones matter too."""
        import transformers

        made = getattr(transformers, self.made)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.seed)
            model = made(made.config_class(**self.config))
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return model.eval()


SMALL = (
    Small("VideoMAE", "VideoMAEModel", {**_VIDEOMAE, "use_mean_pooling": False}, _VIDEOMAE_FILE),
    Small("VideoMAE", "VideoMAEForPreTraining", {**_VIDEOMAE, "use_mean_pooling": False}, _VIDEOMAE_FILE),
    Small("VideoMAE", "VideoMAEForVideoClassification", {**_VIDEOMAE, "num_labels": 5}, _VIDEOMAE_FILE),
    Small(
        "ViViT",
        "VivitForVideoClassification",
        {**_TRANSFORMER, "image_size": 32, "num_frames": 4},
        {**DONE, **HALVES, "do_normalize": False, "offset": True, "rescale_factor": 0.00784313725490196, "resample": 2}
        | {"crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 36}},
    ),
    Small(
        "ViViT",
        "VivitModel",
        {**_TRANSFORMER, "image_size": 32, "num_frames": 4},
        {**DONE, **HALVES, "rescale_factor": 1 / 127.5, "offset": True, "resample": 2}
        | {"crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 36}},
    ),
    Small(
        "TimeSformer",
        "TimesformerForVideoClassification",
        {**_TRANSFORMER, "image_size": 32, "num_frames": 4},
        {**DONE, **BYTES, "image_mean": [0.45] * 3, "image_std": [0.225] * 3, "resample": 2}
        | {"crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 32}},
    ),
    Small("V-JEPA 2", "VJEPA2Model", _VJEPA2, _VJEPA2_FILE, "video_preprocessor_config.json"),
    Small("V-JEPA 2", "VJEPA2ForVideoClassification", _VJEPA2, _VJEPA2_FILE, "video_preprocessor_config.json"),
    Small(
        "VideoPrism",
        "VideoPrismVisionModel",
        _VIDEOPRISM,
        {
            "video_processor": {**BYTES, "do_rescale": True, "do_normalize": False, "do_resize": True, "resample": 3}
            | {"size": {"height": 36, "width": 36}, "do_center_crop": False},
            "processor_class": "VideoPrismProcessor",
        },
        "processor_config.json",
    ),
    Small(
        "VideoPrism",
        "VideoPrismClipModel",
        {"vision_config": _VIDEOPRISM, "text_config": {**_TRANSFORMER, "vocab_size": 50}},
        {**BYTES, "do_rescale": True, "do_normalize": False, "do_resize": True, "resample": 3}
        | {"size": {"height": 36, "width": 36}, "crop_size": None},
        "video_preprocessor_config.json",
    ),
    Small(
        "X-CLIP",
        "XCLIPModel",
        {
            "projection_dim": 16,
            "prompt_num_attention_heads": 2,
            "text_config": _CLIP_TEXT,
            "vision_config": {**_CLIP_VISION, "num_frames": 4, "mit_hidden_size": 16, "mit_num_attention_heads": 2}
            | {"mit_intermediate_size": 16},
        },
        {**IMAGENET, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 2}
        | {"crop_size": 32, "size": 32, "feature_extractor_type": "VideoMAEFeatureExtractor"},
    ),
    Small("X-CLIP", "XCLIPVisionModel", {**_CLIP_VISION, "num_frames": 4}, _CLIP_FILE),
    Small("DINOv2", "Dinov2Model", {**_TRANSFORMER, "image_size": 42, "patch_size": 14}, _DINOV2_FILE),
    Small(
        "DINOv2",
        "Dinov2ForImageClassification",
        {**_TRANSFORMER, "image_size": 28, "patch_size": 14, "num_labels": 5},
        _DINOV2_FILE,
    ),
    Small(
        "DINOv2 with registers",
        "Dinov2WithRegistersModel",
        {**_TRANSFORMER, "image_size": 28, "patch_size": 14, "num_register_tokens": 2},
        _DINOV2_FILE,
    ),
    Small(
        "DINOv3",
        "DINOv3ViTModel",
        {**_TRANSFORMER, "image_size": 32, "num_register_tokens": 2},
        {**BYTES, **IMAGENET, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 2}
        | {"do_center_crop": None, "crop_size": None, "size": {"height": 32, "width": 32}},
    ),
    Small(
        "CLIP",
        "CLIPModel",
        {"projection_dim": 16, "text_config": _CLIP_TEXT, "vision_config": _CLIP_VISION},
        _CLIP_FILE,
    ),
    Small("CLIP", "CLIPVisionModelWithProjection", _CLIP_VISION, _CLIP_FILE),
    Small(
        "SigLIP",
        "SiglipModel",
        {
            "text_config": {**_TRANSFORMER, "vocab_size": 50, "max_position_embeddings": 8},
            "vision_config": {**_TRANSFORMER, "image_size": 32, "patch_size": 16},
        },
        _SIGLIP_FILE,
    ),
    Small("SigLIP", "SiglipVisionModel", {**_TRANSFORMER, "image_size": 32, "patch_size": 16}, _SIGLIP_FILE),
)
"""One of each class that published checkpoints name."""


def small(made: str) -> Small:
    """The small checkpoint of this class."""
    return next(of for of in SMALL if of.made == made)
