"""A checkpoint's files: a folder of the user's own, or what the hub keeps under a name, fetched into its cache here."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdbench.assets.store import OFFLINE_VARIABLE
from sdbench.base.errors import AssetError, InputError, MissingAssetError, some
from sdbench.zoo.adapters.extras import imported

_DESCRIPTION = ("config.json", "*processor_config.json", "README.md")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
_PICKLES = ("pytorch_model*.bin", "*.ckpt", "*.pt", "*.pth")

_CONFIG = "config.json"


@dataclass(frozen=True)
class Checkpoint:
    """Where a checkpoint lies.

    Attributes:
        name: what the user calls it.
        folder: with its files: its description at least.
        commit: of the hub's repository; None of a folder of the user's own.
    """

    name: str
    folder: Path
    commit: str | None = None

    @property
    def source(self) -> str:
        """In a sentence: what it is."""
        if self.commit is None:
            return "a checkpoint in a folder of the user's own"
        return f"{self.name} of Hugging Face's hub, revision {self.commit}"

    @property
    def licence(self) -> str | None:
        """In a sentence: what the card beside it says of its licence; None where it says nothing."""
        try:
            card = (self.folder / "README.md").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        front = re.match(r"---\s*\n(.*?)\n---", card, re.DOTALL)
        entries = dict(re.findall(r"^(license|license_name):[ \t]*(\S+)", front[1], re.MULTILINE)) if front else {}
        licence = entries.get("license", "").strip("'\"")
        if licence in ("", "other"):
            licence = entries.get("license_name", licence).strip("'\"")
        if not licence:
            return None
        forbids = ", which forbids commercial use" if re.search(r"(^|-)nc(-|$)", licence.lower()) else ""
        return f"licence of the weights: {licence}{forbids}"


def is_folder(name: str) -> bool:
    """Whether the name means a folder, not one of the hub."""
    return name.startswith((".", "/", "~"))


def described(name: str, revision: str | None, offline: bool) -> Checkpoint:
    """The checkpoint with its description, without its weights where they would have to be fetched.

    Raises:
        InputError: there is no such folder, model or revision.
        AssetError: the hub cannot be reached or does not give it, or it has no config.json.
    """
    if is_folder(name):
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise InputError(f"no folder at {name}; expected one that save_pretrained wrote, with a {_CONFIG}")
        found = Checkpoint(name, folder)
    else:
        folder = _fetched(name, revision, _DESCRIPTION, offline)
        found = Checkpoint(name, folder, folder.name)
    if not (found.folder / _CONFIG).is_file():
        raise AssetError(
            f"{name} has no {_CONFIG}, which names its architecture; expected what save_pretrained writes"
            + (": a checkpoint of transformers, not of another library" if found.commit else "")
        )
    return found


def with_weights(checkpoint: Checkpoint, offline: bool) -> Path:
    """The folder of the checkpoint, with its weights in it.

    Raises:
        AssetError: it has none in safetensors, or they cannot be had.
    """
    folder = checkpoint.folder
    if checkpoint.commit is not None:
        folder = _fetched(checkpoint.name, checkpoint.commit, _WEIGHTS, offline)
    if any((folder / file).is_file() for file in _WEIGHTS[:2]):
        return folder
    pickles = sorted({path.name for pattern in _PICKLES for path in folder.glob(pattern)})
    holds = f"only {some(pickles)}, which can run any code when it is opened" if pickles else "none"
    ask = (
        "; look among the repository's pull requests for one that adds safetensors, and name it with --revision "
        "refs/pr/NUMBER"
        if checkpoint.commit is not None
        else "; open it where you trust it, and save_pretrained writes safetensors"
    )
    raise AssetError(f"weights are read from model.safetensors alone, and {checkpoint.name} has {holds}{ask}")


def _fetched(name: str, revision: str | None, files: Sequence[str], offline: bool) -> Path:
    """The folder of the hub's cache that holds these files of a revision.

    Raises:
        InputError: the name or the revision is none of the hub's.
        AssetError: it is out of reach.
    """
    hub = imported("huggingface_hub", "transformers")
    errors = imported("huggingface_hub.errors", "transformers")
    try:
        with silent():
            return Path(
                hub.snapshot_download(name, revision=revision, allow_patterns=list(files), local_files_only=offline)
            )
    except errors.HFValidationError:
        raise InputError(f"{name!r} is no name of the hub; expected hf:ORGANISATION/NAME, or hf:./FOLDER") from None
    except errors.GatedRepoError:
        raise AssetError(
            f"{name} is gated: accept its licence on the model's page, then log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{name} has no revision {revision!r}; expected a commit, tag or branch of it") from None
    except errors.RepositoryNotFoundError:
        own = f"; the folder of that name is hf:./{name}" if Path(name).is_dir() else ""
        raise InputError(
            f"the hub has no model {name!r} for you: check the name, or log in with `hf auth login` if it is private"
            f"{own}"
        ) from None
    except errors.LocalEntryNotFoundError as error:
        at = f" at revision {revision}" if revision else ""
        if offline:
            raise MissingAssetError(
                f"offline, and {name}{at} is not in the hub's cache, or not all of it: fetch it where there is a "
                f"network (`hf download {name}`), or unset {OFFLINE_VARIABLE}"
            ) from None
        raise MissingAssetError(
            f"{name}{at} is not in the hub's cache, and the hub cannot be reached ({_cause(error)}): try again with a "
            f"network, or copy its files into a folder and name it hf:./FOLDER"
        ) from None
    except (errors.HfHubHTTPError, OSError) as error:
        raise MissingAssetError(f"{name} could not be fetched from the hub ({_line(error)}); try again") from None


def _cause(error: BaseException) -> str:
    return _line(error.__cause__ or error)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Meanwhile the libraries show no progress and log no warnings; then they do as before."""
    logging: Any = imported("transformers.utils.logging", "transformers")
    hub_logging: Any = imported("huggingface_hub.utils.logging", "transformers")
    hub: Any = imported("huggingface_hub.utils", "transformers")
    bars, hub_bars = logging.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    level, hub_level = logging.get_verbosity(), hub_logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity_error()
        hub_logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            hub_logging.set_verbosity(hub_level)
            if bars:
                logging.enable_progress_bar()  # which enables those of the hub too
            if hub_bars:
                hub.enable_progress_bars()
            else:
                hub.disable_progress_bars()
