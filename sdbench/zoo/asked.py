"""What a user asks of a network beyond its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.network import Network
from sdbench.networks.reading import Layer
from sdbench.video.feed import Feed


@dataclass(frozen=True)
class Asked:
    """What a user asks of a network beyond its name; nothing of it needs to be said.

    Attributes:
        trained_on: the data set of published weights.
        weights: a checkpoint of the user's own.
        layers: the layers to read, by name or glob.
        feed: fields of `Feed` -> what they shall be in place of what the network's own say.
        revision: of a hub's repository: a commit, tag or branch.
        axes: name or glob of layers -> what the axes of their activations are: see `Layer`.
        untrained: seed of fresh weights, which take the place of trained ones: the same architecture, initialised as
            its own code does it. None where weights are trained.
    """

    trained_on: str | None = None
    weights: Path | str | None = None
    layers: Sequence[str | Layer] | None = None
    feed: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    revision: str | None = None
    untrained: int | None = None
    axes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def fed(self, feed: Feed) -> Feed:
        """The feed as it was asked for.

        Raises:
            InputError: a field is unknown, or does not fit the others.
        """
        known = [of.name for of in fields(Feed)]
        for name in self.feed:
            if name not in known:
                raise unknown_name("field of a feed", name, known)
        return replace(feed, **{name: _plain(value) for name, value in self.feed.items()})

    def with_axes(self, network: Network) -> Network:
        """The network, its layers read by the axes that are asked for.

        Raises:
            InputError: there is no such layer among those that are read, or the axes make no sense.
        """
        layers = list(network.read)
        for wanted, axes in self.axes.items():
            fitting = [place for place, layer in enumerate(layers) if fnmatchcase(layer.name, wanted)]
            if not fitting:
                raise unknown_name("layer", wanted, (layer.name for layer in layers))
            for place in fitting:
                layers[place] = replace(layers[place], axes=axes)
        return replace(network, layers=layers) if self.axes else network

    def without(self, kind: str, **reasons: str) -> None:
        """See that nothing is asked for that networks of this kind do not have.

        Args:
            kind: of the network, for the sentence.
            reasons: name of an attribute -> why it says nothing here.

        Raises:
            InputError: it is.
        """
        for name, reason in reasons.items():
            if getattr(self, name) not in (None, {}):
                raise InputError(f"{name.replace('_', ' ')} says nothing of {kind}: {reason}")


def _plain(value: Any) -> Any:
    """Lists, which files have in place of tuples, as tuples."""
    return tuple(value) if isinstance(value, list) else value
