"""Libraries that only some networks need; each has an extra of this package that installs it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sdbench.base.errors import AssetError


def imported(module: str, extra: str) -> Any:
    """A module of a library that this package can do without.

    Args:
        module: its name, dotted where a part of the library is meant.
        extra: the extra that installs the library.

    Raises:
        AssetError: the library is not installed, or what is installed cannot be imported.
    """
    library = module.partition(".")[0]
    if find_spec(library) is None:
        raise AssetError(f'{library} is not installed; get it with: pip install "sdbench[{extra}]"')
    try:
        return import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        raise AssetError(
            f"{library} is installed, but cannot be imported ({_first_line(error)}); install versions that go "
            f'together: pip install --upgrade "sdbench[{extra}]"'
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
