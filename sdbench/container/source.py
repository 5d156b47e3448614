"""The exact state of the source that an image is made from."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from docker.utils import exclude_paths

from sdbench.base.errors import InputError

DOCKERFILE = "docker/Dockerfile"
LOCK = "docker/requirements.lock"

NO_LOCK = Path("none")
"""In the place of a file of hashes: packages are installed without."""


@dataclass(frozen=True)
class Source:
    """The files that go into an image, and what their build is told.

    Attributes:
        root: the checkout.
        files: paths below it, sorted.
        arguments: the build arguments that change what is built; labels are none of them.
        digest: SHA-256 over names, contents and arguments.
        untracked: those of the files that git does not track.
        replaced: files whose content comes from elsewhere.
    """

    root: Path
    files: Sequence[str]
    arguments: Mapping[str, str]
    digest: str
    untracked: Sequence[str] = ()
    replaced: Mapping[str, Path] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The name of its image: the same state always has the same one."""
        return f"sdbench:{self.digest[:16]}"

    def read(self, name: str) -> bytes:
        """The content of one of the files."""
        return (self.replaced.get(name) or self.root / name).read_bytes()

    def context(self, instead: Mapping[str, bytes] | None = None) -> IO[bytes]:
        """The files as the tar archive that an engine builds from; a temporary file at its start.

        Contents in `instead` take the place of those of the files of these names.

        Owners, dates and all but readable modes are left out, so that the engine finds its layers again after a new
        checkout.
        """
        archive = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in self.files:
                content = (instead or {}).get(name) or self.read(name)
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
        archive.seek(0)
        return archive


def source_state(root: Path, arguments: Mapping[str, str], lock: Path | None = None) -> Source:
    """What an image of the checkout at `root` would be made from now.

    Of a git checkout these are its tracked files and the untracked ones that git does not ignore; of another copy, all.
    The file .dockerignore says which of them go into an image.

    Args:
        root: the checkout.
        arguments: the build arguments that change what is built.
        lock: a file of hashes in the place of the checkout's; `NO_LOCK` for none.

    Raises:
        InputError: the folder is no copy of this repository.
    """
    ignored = root / ".dockerignore"
    if not ignored.is_file() or not (root / DOCKERFILE).is_file():
        raise InputError(
            f"{root} holds no {DOCKERFILE} and .dockerignore to build an image from; "
            "expected a checkout of sdbench, or run on this machine: --where host"
        )
    patterns = [line for line in ignored.read_text(encoding="utf-8").split("\n") if line and not line.startswith("#")]
    listed = exclude_paths(str(root), patterns, dockerfile=DOCKERFILE)
    chosen = {name for name in listed if (root / name).is_file()} - {ignored.name}  # it is always listed
    untracked: set[str] = set()
    if (root / ".git").exists():
        untracked = chosen & _listed_by_git(root, "--others")
        chosen &= _listed_by_git(root, "--cached") | untracked
    if lock is not None:
        chosen -= {LOCK}
    replaced = {} if lock is None or lock == NO_LOCK else {LOCK: lock}
    files = sorted(Path(name).as_posix() for name in chosen | set(replaced))
    state = Source(root, files, dict(arguments), "", sorted(untracked), replaced)
    digest = hashlib.sha256()
    for name in files:
        content = hashlib.sha256(state.read(name)).hexdigest()
        digest.update(f"{name}\0{content}\n".encode())
    for name, value in sorted(arguments.items()):
        digest.update(f"{name}={value}\0".encode())
    return replace(state, digest=digest.hexdigest())


def _listed_by_git(root: Path, which: str) -> set[str]:
    """Files of the checkout at `root` that git does not ignore: the tracked ones ("--cached") or the "--others"."""
    listing = ["git", "-C", str(root), "ls-files", "-z", which, "--exclude-standard"]
    try:
        run = subprocess.run(listing, capture_output=True, check=True, timeout=60)
    except FileNotFoundError:
        raise InputError(f"git is needed to list the files of {root}; install it, or use --where host") from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.decode(errors="replace").split())
        cure = "see what it says"
        if "dubious ownership" in said:
            cure = f"it belongs to somebody else: git config --global --add safe.directory {root}"
        raise InputError(f"git cannot list the files of {root} ({said[:300]}); {cure}, or use --where host") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"git cannot list the files of {root} ({error}); use --where host") from None
    return set(run.stdout.decode().split("\0"))
