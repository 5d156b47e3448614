"""Checkpoints of the transformers library, of its hub or of a folder: "hf:MCG-NJU/videomae-base", "hf:./folder".

They are loaded whole, by the class that their config names: with its head and its other towers, so that every entry of
the file has its place and one that has none is an error. Which entries may be left out, or left over, by family: none.
(Buffers that count positions, which old files hold, are known to the library itself.) Weights come from safetensors
alone, code from the library alone, and are read as float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from sdbench.assets.store import AssetStore
from sdbench.base.errors import AssetError, some
from sdbench.networks.network import Network
from sdbench.zoo import adapters
from sdbench.zoo.adapters.extras import imported
from sdbench.zoo.adapters.hidden_states import FAMILIES, Family, HiddenStates
from sdbench.zoo.adapters.hugging_face_feed import feed_of, json_of
from sdbench.zoo.adapters.hugging_face_hub import Checkpoint, described, is_folder, silent, with_weights
from sdbench.zoo.asked import Asked

_OLDEST = (5, 18)
"""Before it, query and value biases of VideoMAE are loaded as zeros without a word."""

_WRONG = {
    "missing_keys": "lacks",
    "unexpected_keys": "holds entries that are not of the network:",
    "mismatched_keys": "has another shape of",
}
"""What the library tells of loading -> how to say it of a checkpoint."""


def network_of(name: str, asked: Asked, store: AssetStore) -> Network:
    """A checkpoint as a network whose layers are its hidden states.

    Args:
        name: of a model of the hub, or the path of a folder: "./folder", "/folder".
        asked: what the user asks of it.
        store: whether there is a network; the hub keeps its files in a cache of its own.

    Raises:
        InputError: there is no such checkpoint, or what is asked for does not fit it.
        AssetError: it cannot be had, is damaged, or is of a family that is not read.
    """
    kind = "a checkpoint of transformers"
    asked.without(kind, trained_on="its name says it", weights="a folder of your own is named hf:./FOLDER")
    if is_folder(name):
        asked.without("a folder", revision="it is as it is")
    transformers = _library()
    checkpoint = described(name, asked.revision, store.offline)
    entries = json_of(checkpoint.folder / "config.json")
    family = _family(entries, checkpoint)
    made = _class(transformers, entries, family, checkpoint)
    with silent():
        config = _config(made, checkpoint)
    feed = feed_of(checkpoint.folder, family, getattr(config, "vision_config", config), asked)
    seed = asked.untrained
    if seed is None:
        model = _loaded(made, config, with_weights(checkpoint, store.offline), checkpoint)
    else:
        model = adapters.fresh(_fresh(made, config), seed)
    module = HiddenStates(model, family).eval()
    notes = [checkpoint.source, f"loaded as {made.__name__} by transformers {transformers.__version__}", _read(family)]
    if seed is not None:
        notes.append(adapters.untrained_note(seed))
    elif checkpoint.licence:
        notes.append(checkpoint.licence)
    return Network(module, feed, f"hf:{name}", asked.layers, notes=tuple(notes))


def _library() -> Any:
    """The library.

    Raises:
        AssetError: it is not here, or of a version that loads some checkpoints wrongly.
    """
    transformers = imported("transformers", "transformers")
    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    if version < _OLDEST:
        raise AssetError(
            f"transformers {transformers.__version__} loads some checkpoints wrongly without a word (biases of "
            f"VideoMAE as zeros); expected {'.'.join(map(str, _OLDEST))} or newer: "
            'pip install --upgrade "sdbench[transformers]"'
        )
    return transformers


def _family(entries: dict[str, Any], checkpoint: Checkpoint) -> Family:
    kind = entries.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        titles = dict.fromkeys(family.title for family in FAMILIES.values())
        raise AssetError(
            f"{checkpoint.name} is of type {kind!r}, which is not read; known: {', '.join(titles)}. Any other network "
            "can be measured as a function of your own: my_model.py:build"
        )
    return FAMILIES[kind]


def _class(transformers: Any, entries: dict[str, Any], family: Family, checkpoint: Checkpoint) -> Any:
    """The class that the config names.

    Raises:
        AssetError: it names none, none of this library, or none of the family.
    """
    names = entries.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise AssetError(
            f'the config.json of {checkpoint.name} names no class; expected such as "architectures": ["{family.tower}"]'
        )
    try:
        made = getattr(transformers, names[0], None)
    except (ImportError, RuntimeError):
        made = None
    if not (isinstance(made, type) and issubclass(made, nn.Module) and hasattr(made, "config_class")):
        raise AssetError(
            f"transformers {transformers.__version__} has no model {names[0]!r}, which {checkpoint.name} was saved "
            "from, and code that comes with a checkpoint is not run"
        )
    if FAMILIES.get(made.config_class.model_type) is not family:
        raise AssetError(
            f"{checkpoint.name} was saved from {names[0]}, which is not read: expected a class of {family.title} that "
            f"holds a {family.tower}"
        )
    return made


def _config(made: Any, checkpoint: Checkpoint) -> Any:
    try:
        return made.config_class.from_pretrained(checkpoint.folder, local_files_only=True)
    except Exception as error:  # the library checks a config in many ways
        raise AssetError(f"the config.json of {checkpoint.name} cannot be used ({_line(error)})") from error


def _loaded(made: Any, config: Any, folder: Path, checkpoint: Checkpoint) -> nn.Module:
    """The model with its weights, each of them accounted for.

    Raises:
        AssetError: the file is damaged, or does not hold exactly the entries of the model.
    """
    try:
        with silent():
            model, told = made.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are told, and refused below
                output_loading_info=True,
            )
    except (ImportError, OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise AssetError(
            f"the weights of {checkpoint.name} cannot be read ({_line(error)}); fetch or save them again"
        ) from error
    wrong = [
        f"{how} {some(sorted(entry if isinstance(entry, str) else entry[0] for entry in told[kind]), most=3)}"
        for kind, how in _WRONG.items()
        if told[kind]
    ]
    wrong += [str(message).splitlines()[0] for message in told.get("error_msgs") or ()]
    if wrong:
        raise AssetError(
            f"the checkpoint {checkpoint.name} does not fit {made.__name__}: it {'; it '.join(wrong)}; expected "
            "exactly the entries of the class that its config names"
        )
    return model.eval()  # type: ignore[no-any-return]


def _fresh(made: Any, config: Any) -> Callable[[], nn.Module]:
    """What makes the model with the random weights that its own code gives it."""

    def build() -> nn.Module:
        with silent():
            return made(config).float()  # type: ignore[no-any-return]

    return build


def _read(family: Family) -> str:
    cls = "; the class token as NAME.cls" if family.class_token else ""
    frames = ", each frame for itself" if family.frames is None else ""
    return f"read: the mean over all tokens{frames}{cls}"


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
