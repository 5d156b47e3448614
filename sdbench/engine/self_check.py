"""Self-check: whether what a network answers to a clip depends on that clip alone, seen before hours of work.

Three passes over made-up clips: one alone, the same once more, and the same among others. Networks that are of this
suite altogether are not checked: what they do is known. What was answered also stands for all that decides a forward
pass, so that parts of an interrupted run are only taken where the network still answers the same: `claim_folder`.
"""

from __future__ import annotations

import contextlib
import functools
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sdbench.base.errors import InputError
from sdbench.base.kept import Arrays, disk_error, keep_arrays, key_of, read_arrays
from sdbench.base.memory import is_out_of_memory
from sdbench.engine.parts import OUTPUTS
from sdbench.engine.passes import BatchSize, Passes, no_memory, passes_of
from sdbench.engine.placing import Placement, device_named, precision_of
from sdbench.networks.module_hash import check_values
from sdbench.networks.network import Network
from sdbench.networks.probe_clips import made_up
from sdbench.networks.reading import VideoNetwork
from sdbench.networks.user_errors import said_by

TOLERANCES = {"float64": 1e-9, "float32": 1e-4, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 1e-1}
"""Precision -> how far, in parts of the largest value of a layer, its answers to the same clip may lie apart.

Batches of other sizes are summed in another order: what rounding makes of that in a deep network, and ten times more.
"""

_COARSEST = 1e-1
"""The same for other types, such as 8-bit integers."""

_ALIKE = {"float64": 1e-10, "float32": 1e-5, "tf32": 1e-3, "float16": 1e-3, "bfloat16": 5e-3}
"""The same for a network that is gone on with: here batches are equal, and only machines may differ."""

_COARSEST_ALIKE = 1e-3

_MOST_ALIKE = 16
"""So many measurements that differ in nothing but what the network answers have their parts side by side."""

_SEEDS = 6
"""With so many a pass is repeated that draws random numbers: two draws of a few may be the same."""

_DRAWS = 300
"""So many draws show what comes once in a hundred."""

Units = dict[str, Tensor]


@dataclass(frozen=True)
class Checked:
    """What the self-check saw.

    Attributes:
        sentence: what was done, and what it cost; "" where nothing was.
        wrong: in a sentence, why answers do not depend on the clip alone; "" where they do.
        notes: what else a reader of the numbers must know.
        precision: what the network computes in.
        size: of the batches that it takes.
        outputs: layer -> what it answered to the made-up clips; empty where nothing was passed.
        steady: whether the same clip is answered alike each time.
        seconds: how long it took.
    """

    sentence: str = ""
    wrong: str = ""
    notes: tuple[str, ...] = ()
    precision: str = "float32"
    size: BatchSize = field(default_factory=BatchSize)
    outputs: Arrays = field(default_factory=dict)
    steady: bool = True
    seconds: float = 0.0


def check_network(network: Network, placement: Placement, folder: Path) -> Checked:
    """Pass made-up clips through a network that is not of the suite; its module comes back as it was given.

    Args:
        network: to be measured.
        placement: where and how; where that device is another machine's, the check is made on the CPU.
        folder: where nothing is written.

    Raises:
        InputError: the module is of a kind whose layers cannot be read, or the network does not take what it is fed.
    """
    module = network.module
    check_kind(network)
    if network.is_known:
        plain = precision_of(module)
        return Checked(precision=placement.precision if plain == torch.float32 else _dtype_name(plain))
    try:
        device_named(placement.device)
    except InputError:
        placement = Placement("cpu", "float32" if placement.precision == "tf32" else placement.precision)
    placement = replace(placement, compiling="off")
    with _random_state_kept(), passes_of(network, placement, 1, 1, folder) as passes:
        return _Check(network, placement, passes).run()


class _Check:
    """The passes of one self-check."""

    def __init__(self, network: Network, placement: Placement, passes: Passes) -> None:
        self.network, self.placement, self.passes = network, placement, passes
        self.count = 0
        self.seen = _Seen()
        assert passes.state is not None
        self.state = passes.state
        clips = [made_up(network.feed, number) for number in range(2)]
        self.clips = [passes.on_device(clip) for clip in clips]

    def run(self) -> Checked:
        started = time.perf_counter()
        self.state.watch_parameters()
        before = _random_state()
        alone, fewest = self._alone()
        changed = self.state.put_back(by_value=True)
        again = self._pass(*([0] * fewest))
        others, draws = ([], False) if _random_state() == before else self._random(fewest)
        changed = tuple(dict.fromkeys((*changed, *self.state.put_back(by_value=True))))
        self.state.forget_parameters()
        among, most, single = self._among(fewest)
        precision = _named(self.seen.types, self.placement)
        tolerance = _tolerance(precision)
        passes = self.count
        wrong, steady = "", True
        first = _row(alone, 0, fewest)
        meant = self.network.mixes_batch  # it says so itself, and notes do
        of_batch = self._differing(first, _row(among, 1, 2), tolerance) if among and not meant else ""
        if of_batch:
            others.append(self._seeded(_SEEDS, fewest))  # it may have drawn the same before
        differing = (self._differing(first, other, tolerance) for other in (_row(again, 0, fewest), *others))
        if unsteady := next(filter(None, differing), ""):
            wrong, steady = self._why_unsteady(unsteady, fewest, tolerance), False
        elif of_batch:
            wrong = (
                f"what {self.network.name} answers to a clip depends on the other clips of its batch ({of_batch}), as "
                "with a batch norm that has no running statistics or is in training mode, or a mean over the batch"
            )
        notes = [single] if single else []
        if changed:
            notes.append(
                f"a forward pass of {self.network.name} changes its {', '.join(changed[:3])}"
                f"{' and others' if len(changed) > 3 else ''}: every pass began with what was given"
            )
        if draws and not wrong:
            notes.append(
                f"a forward pass of {self.network.name} draws random numbers, which changed nothing in {passes} passes "
                "of made-up clips; what it does with them is rare, or comes to nothing"
            )
        vanishing = [layer for layer, values in alone.items() if self._vanishes(layer, values)]
        if vanishing and not wrong:
            wrong = (
                f"the channels of layer {vanishing[0]} of {self.network.name} average to 0 in every clip, as behind an "
                "instance norm, and what is left of them is rounding: read the layer before or behind it"
            )
        outputs = {
            f"{kind} {layer}": values.detach().cpu().double().numpy()
            for kind, units in (("alone", alone), ("among", among))
            for layer, values in units.items()
        }
        said = f"self-check: {passes} passes of made-up clips, beside those that are counted"
        return Checked(
            sentence=said
            if wrong
            else f"{said}: answers depend on the clip alone, to {tolerance:g} of a layer's largest",
            wrong=wrong,
            notes=tuple(notes),
            precision=precision,
            size=BatchSize(most, fewest, bool(of_batch)),
            outputs=outputs,
            steady=steady,
            seconds=time.perf_counter() - started,
        )

    def _alone(self) -> tuple[Units, int]:
        """What is answered to the first clip alone; or to it twice, where a batch of one is not taken."""
        try:
            return self._pass(0, watched=True), 1
        except InputError as error:
            try:
                return self._pass(0, 0, watched=True), 2
            except InputError:
                raise error from error.__cause__

    def _among(self, fewest: int) -> tuple[Units, int | None, str]:
        """What is answered to the second clip and the first in one batch; where that is not taken, a note."""
        try:
            return self._pass(1, 0), None, ""
        except InputError as error:
            if fewest > 1:
                raise
            said = said_by(error.__cause__ or error)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return {}, 1, ""  # nothing meets in a batch of one
        self._pass(1)  # it is the batch that is not taken, and no clip of another kind
        return {}, 1, f"{self.network.name} takes one clip at a time: of two at once, {said}"

    def _pass(self, *clips: int, watched: bool = False) -> Units:
        self.count += 1
        watching = functools.partial(self.seen.watching, self.network) if watched else contextlib.nullcontext
        batch = {name: torch.cat([self.clips[number][name] for number in clips]) for name in self.clips[0]}
        try:
            return self.passes.eager(batch, len(clips), watching)
        except Exception as error:
            if len(set(clips)) > 1 or not is_out_of_memory(error):
                raise
            raise no_memory(self.network, " ".join(str(error).split())[:200]) from error

    def _differing(self, one: Units, other: Units, tolerance: float) -> str:
        """In words, where two answers to the same clip lie further apart than rounding; "" where nowhere."""
        found: dict[str, float] = {}
        for layer, values in one.items():
            apart = _distance(values, other[layer], self.seen.sizes.get(layer, 0.0))
            if apart > tolerance:
                found[layer] = apart
        if not found:
            return ""
        worst = max(found, key=found.__getitem__)
        return f"layer {worst}: {100 * min(found[worst], 9.99):.2g} % of its largest value apart"

    def _vanishes(self, layer: str, values: Tensor) -> bool:
        """Whether unit values are nothing beside the activations whose means they are."""
        size = self.seen.sizes.get(layer, 0.0)
        return size > 0 and float(values.abs().max()) < 10 * torch.finfo(torch.float32).eps * size

    def _seeded(self, seed: int, fewest: int) -> Units:
        """What is answered to the first clip with these random numbers."""
        _seed(seed)
        return self._repeated(fewest)

    def _repeated(self, fewest: int) -> Units:
        """What is answered to the first clip once more."""
        return _row(self._pass(*([0] * fewest)), 0, fewest)

    def _random(self, fewest: int) -> tuple[list[Units], bool]:
        """What is answered to the first clip with other random numbers, and whether these are not the network's own.

        Drop path of 1 %, say, changes nothing in most passes: numbers of torch are also the least and the largest of
        many. A network that seeds them itself is not asked so.
        """
        found, begins, ends = [], [], []
        for seed in range(_SEEDS):
            _seed(seed)
            begins.append(_random_state())
            found.append(self._repeated(fewest))
            ends.append(_random_state())
        # Of torch, Python and NumPy: what moves, and ends otherwise where it began otherwise.
        draws = [end not in (begin, other) for begin, end, other in zip(begins[0], ends[0], ends[1], strict=True)]
        for pick in (torch.minimum, torch.maximum) if draws[0] else ():
            with _Extreme(pick):
                found.append(self._repeated(fewest))
        return found, any(draws)

    def _why_unsteady(self, differing: str, fewest: int, tolerance: float) -> str:
        """Whether it is chance or memory, seen in passes with the same random numbers."""
        if not self._differing(self._seeded(0, fewest), self._seeded(0, fewest), tolerance):
            return (
                f"{self.network.name} answers the same clip differently each time ({differing}): its forward pass "
                "draws random numbers, as dropout does that ignores eval mode"
            )
        return (
            f"what {self.network.name} answers to a clip depends on what it saw before ({differing}): its forward pass "
            "remembers something outside its buffers"
        )


class _Extreme(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Meanwhile each random number of torch is the least, or the largest, of many that it could have been.

    Args:
        pick: takes one of two, element by element.
    """

    def __init__(self, pick: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pick = pick

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What an operation of torch answers."""
        answer = function(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in function.tags:
            return answer
        extremes = [part.clone() for part in tree_leaves(answer)]
        for _ in range(_DRAWS):
            # In place, the next draw is written over this one.
            again = tree_leaves(function(*args, **(kwargs or {})))
            extremes = [self.pick(one, other) for one, other in zip(extremes, again, strict=True)]
        for part, extreme in zip(tree_leaves(answer), extremes, strict=True):
            part.copy_(extreme)
        return answer


class _Seen:
    """What modules compute in, and how large the answers of layers are."""

    def __init__(self) -> None:
        self.types: set[str] = set()
        self.sizes: dict[str, float] = {}

    @contextlib.contextmanager
    def watching(self, network: Network) -> Iterator[None]:
        """Meanwhile what modules with parameters and layers that are read answer is looked at."""
        layers = {layer.name for layer in network.read}
        hooks = []
        for name, part in network.module.named_modules():
            weighty = next(part.parameters(recurse=False), None) is not None or _is_quantised(part)
            if (name in layers or weighty) and not isinstance(part, torch.jit.ScriptModule):
                hooks.append(part.register_forward_hook(self._hook(name, name in layers)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, name: str, is_layer: bool) -> Callable[..., None]:
        def see(part: nn.Module, _given: Any, answer: Any) -> None:
            for value in answer if isinstance(answer, (tuple, list)) else [answer]:
                if not isinstance(value, Tensor) or not (value.is_floating_point() or value.is_quantized):
                    continue
                self.types.add("int8" if _is_quantised(part) else _dtype_name(value.dtype))
                if is_layer and value.numel() and not value.is_quantized:
                    size = float(value.detach().float().abs().mean())
                    self.sizes[name] = max(size, self.sizes.get(name, 0.0))

        return see


def check_kind(network: Network) -> None:
    """Refuse modules whose layers cannot be read, with the cause.

    Raises:
        InputError: parameters have no values, or a layer lies in what torch has made one function of.
    """
    module, name = network.module, network.name
    for key, value in (*module.named_parameters(), *module.named_buffers()):
        check_values(key, value, name)
    if any(kind.__name__ == "FSDPModule" for part in module.modules() for kind in type(part).__mro__):
        raise InputError(
            f"the weights of {name} are sharded by fully_shard, and come and go with its own passes: load its full "
            "state dict into a module that is not, and give that"
        )
    parts = dict(module.named_modules())
    for layer in network.read if not isinstance(module, VideoNetwork) else ():
        words = layer.name.split(".")
        for outer in (".".join(words[:number]) for number in range(len(words) + 1)):
            if isinstance(parts.get(outer), torch.jit.ScriptModule):
                raise InputError(
                    f"layer {layer.name!r} of {name} lies in TorchScript, which lets nothing be read of it: give the "
                    "module that it was made of, or read a layer outside it"
                )
    if isinstance(module, GraphModule):
        called = {str(node.target) for node in module.graph.nodes if node.op == "call_module"} - {"_guards_fn"}
        lost = [layer.name for layer in network.read if layer.name in parts and not _runs(layer.name, called)]
        if lost:
            raise InputError(
                f"layer {lost[0]!r} of {name} is not called: it was exported or traced into a graph of operations, in "
                "which its parameters are left and its forward is not; give the module that it was made of"
                + (f", or read one of {', '.join(sorted(called)[:5])}" if called else "")
            )


def _runs(layer: str, called: set[str]) -> bool:
    """Whether a submodule of a graph is called, or lies in one that is."""
    return any(layer == name or layer.startswith(f"{name}.") for name in called)


def _named(types: set[str], placement: Placement) -> str:
    """What a network computes in: as asked for, where that is what was seen."""
    asked = placement.precision
    if not types or asked in types or (asked == "tf32" and types == {"float32"}):
        return asked if asked != "float32" or len(types) < 2 else " and ".join(sorted(types))
    return " and ".join(sorted(types))


def _tolerance(precision: str) -> float:
    return max(TOLERANCES.get(name, _COARSEST) for name in precision.split(" and "))


def _is_quantised(part: nn.Module) -> bool:
    kind = type(part).__module__
    return kind.startswith("torch.ao.nn.") and "quantized" in kind


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _row(units: Units, number: int, of: int) -> Units:
    """The rows of one of some clips."""
    found = {}
    for layer, values in units.items():
        each = len(values) // of
        found[layer] = values[number * each : (number + 1) * each]
    return found


def _distance(one: Tensor, other: Tensor, size: float) -> float:
    """How far two answers lie apart, in parts of their largest value, or of the mean of what they are means of."""
    if one.shape != other.shape:
        return float("inf")
    one, other = one.double(), other.double()
    finite = one.isfinite() & other.isfinite()
    if bool((finite != one.isfinite()).any()) or bool((finite != other.isfinite()).any()):
        return float("inf")
    if not bool(finite.any()):
        return 0.0
    scale = max(float(one[finite].abs().max()), float(other[finite].abs().max()), size)
    return float((one[finite] - other[finite]).abs().max()) / scale if scale else 0.0


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _random_state() -> tuple[object, ...]:
    """What tells whether anything was drawn of the random numbers that all share."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    of_torch = [state.numpy().tobytes() for state in (torch.get_rng_state(), *devices)]
    return (of_torch, random.getstate(), repr(np.random.get_state(legacy=False)))


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """Afterwards all global random numbers go on as if nothing had been drawn meanwhile."""
    plain, of_numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(of_numpy)


def claim_folder(parent: Path, key: str, checked: Checked) -> Path:
    """The folder for the parts of a measurement: one that was begun is gone on with if the network answers the same.

    Args:
        parent: folders of all measurements lie there.
        key: of all that decides the measurement but what the network answers.
        checked: what it answers.

    Raises:
        DiskError: the disk cannot be read or written.
    """
    if not checked.outputs:
        return parent / key
    if not checked.steady:
        return parent / key_of(key, uuid.uuid4().hex)  # no later run would be one run with it
    tolerance = max(_ALIKE.get(name, _COARSEST_ALIKE) for name in checked.precision.split(" and "))
    places = [parent / key_of(key, number) for number in range(_MOST_ALIKE)]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with FileLock(parent / ".lock"):
            for place in places:
                known = read_arrays(place / OUTPUTS, of=key)
                if known is not None and _same_outputs(known, checked.outputs, tolerance):
                    return place
            free = [place for place in places if not place.exists() or not any(place.iterdir())]
            place = free[0] if free else parent / key_of(key, uuid.uuid4().hex)
            place.mkdir(exist_ok=True)
            keep_arrays(place / OUTPUTS, checked.outputs, of=key)
            return place
    except OSError as error:
        raise disk_error(parent, "written", error) from None


def _same_outputs(one: Arrays, other: Arrays, tolerance: float) -> bool:
    return one.keys() == other.keys() and all(
        _distance(torch.from_numpy(values), torch.from_numpy(other[name]), 0.0) <= tolerance
        for name, values in one.items()
    )
