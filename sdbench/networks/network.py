"""A module together with all that it takes to measure it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

from torch import nn

from sdbench.base.checks import listed, text
from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.module_hash import hash_module
from sdbench.networks.reading import Layer, VideoNetwork, arguments_of, as_layer
from sdbench.video.feed import Feed

OWNERS = frozenset({"sdbench", "torch"})
"""Packages of which a network of the suite is made, all of it."""


@dataclass(frozen=True)
class Network:
    """A module, what it is fed, and which of its layers are read.

    Attributes:
        module: a network of the suite, or any module; it comes back from a measurement as it was given.
        feed: how frames become its input.
        name: how to call it in reports; by default the module's class.
        layers: the layers to read: by name, by a glob of names ("blocks.*"), or as `Layer`. By default those of a
            network of the suite, the mask of a segmentation network left out; for any other module they must be named:
            those of its submodules.
        assets: name of each asset that its weights came from -> SHA-256.
        notes: what a reader of its numbers must know: where it came from, what is read of it; one sentence each.

    Raises:
        InputError: no layers are named for a module that does not list its own, one of them is unknown, more than the
            name is said of one of a network of the suite, or the module has no argument of the name that is fed.
    """

    module: nn.Module
    feed: Feed
    name: str = ""
    layers: Sequence[str | Layer] | None = None
    assets: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module) or not isinstance(self.feed, Feed):
            raise InputError(
                "expected sdbench.Network(module, feed) with a torch.nn.Module and an sdbench.Feed; got "
                f"{type(self.module).__name__} and {type(self.feed).__name__}"
            )
        object.__setattr__(self, "name", text("name", self.name or type(self.module).__name__))
        if self.layers is not None:
            object.__setattr__(self, "layers", listed("layers", self.layers, "names or sdbench.Layer"))
        object.__setattr__(self, "layers", self._checked())
        self._check_argument()

    def _checked(self) -> tuple[Layer, ...]:
        if isinstance(self.module, VideoNetwork):
            known = self.module.layers
            if self.layers is None:
                return tuple(Layer(name) for name in known if name not in self.module.unread)
            asked = _asked(self.layers, known)
            for name, layer in asked.items():
                if layer != Layer(name):
                    raise InputError(
                        f"{self.name} says itself how its layers are read: name {name!r} without axes, item or run"
                    )
            return tuple(asked[name] for name in known if name in asked)
        submodules = [name for name, _ in self.module.named_modules() if name]
        if not self.layers:
            raise InputError(
                f"{self.name} does not list its layers: say which submodules to read, with layers=[...]; it has "
                f"{', '.join(submodules[:8])}{', ...' if len(submodules) > 8 else ''}"
            )
        return tuple(_asked(self.layers, submodules).values())

    def _check_argument(self) -> None:
        """See that an argument that was named is there; one that was not is the module's first, whatever its name."""
        argument, known = self.feed.argument, arguments_of(self.module)
        if argument == Feed.argument or "**" in known or list(self.feed.inputs) != [argument] or argument in known:
            return
        raise InputError(
            f"the forward of {self.name} takes {', '.join(known) or 'no arguments by name'}; there is no "
            f"{argument!r}: name one of them as the feed's argument"
        )

    @property
    def read(self) -> tuple[Layer, ...]:
        """The layers that are read, in order."""
        assert self.layers is not None
        return tuple(map(as_layer, self.layers))

    @cached_property
    def is_known(self) -> bool:
        """Whether it is a network of this suite, all of it: no other class has a part in its forward pass."""
        owners = {type(part).__module__.partition(".")[0] for part in self.module.modules()}
        return isinstance(self.module, VideoNetwork) and owners <= OWNERS

    @property
    def mixes_batch(self) -> bool | None:
        """Whether the samples of a batch meet in the module, as in RTNet's published code; None where nobody knows."""
        known = {m.mixed_batch for m in self.module.modules() if isinstance(m, VideoNetwork)} - {None}
        return any(known) if known else None

    @cached_property
    def weights(self) -> str:
        """SHA-256 over the names and values of the module's state dict, and of buffers that are no part of it."""
        return hash_module(self.module, self.name)


def _asked(layers: Iterable[str | Layer], known: Sequence[str]) -> dict[str, Layer]:
    """Name -> each layer that is asked for, in the order of asking; a glob stands for all that fit, in their own order.

    Raises:
        InputError: one of them is unknown, or nothing fits a glob.
    """
    asked: dict[str, Layer] = {}
    for wanted in layers:
        layer = as_layer(wanted)
        if layer.name in known:
            asked[layer.name] = layer
            continue
        fitting = [name for name in known if fnmatchcase(name, layer.name)]
        if not fitting or not isinstance(wanted, str):
            raise unknown_name("layer", layer.name, known)
        asked |= {name: Layer(name) for name in fitting if name not in asked}
    return asked
