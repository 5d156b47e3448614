"""Measuring a network again and again while it is trained, without the training noticing."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from sdbench import engine
from sdbench.assets.store import AssetStore
from sdbench.base.checks import whole
from sdbench.base.errors import InputError
from sdbench.base.files import check_place, json_text, write_text
from sdbench.base.outputs import refused as _writing
from sdbench.engine.loader import MOST_WORKERS
from sdbench.engine.study import Study
from sdbench.engine.written import content_of
from sdbench.networks import Layer, Network
from sdbench.report.outcome import outcome_of
from sdbench.report.tracked import tracked_picture
from sdbench.studies import rendered, study_of
from sdbench.tracking.callbacks import lightning_callback, trainer_callback
from sdbench.tracking.undisturbed import undisturbed

SCENES = 200
"""Rendered scenes that a network is shown at each measurement, where no other study is named."""


class Tracker:
    """Measures a network while it is trained: `step` in a plain loop, or a callback of Lightning or of transformers.

    The module is measured as it is at that moment, in eval mode and without gradients; afterwards its parameters,
    gradients, modes and buffers, and the state of every random generator, are what they were: a training goes on as it
    would have gone without.

    Args:
        network: the module that is trained, with its feed; not a name.
        study: what it is shown; by default 200 rendered scenes in its own size. A folder of videos also does.
        every: of the numbers that `step` is given, those that this divides are measured.
        layers: the layers to read; by default those of the network.
        seed: of every draw of the study, the same at each measurement: they can be compared pair by pair.
        path: a JSON file that is written after each measurement, whole or not at all. Where it is there already, its
            history goes on.
        workers: processes that draw samples while the network is busy; 0 draws in this one.
        store: where assets and unfinished parts lie; by default the user's cache.
        unchecked: go on where answers depend on more than the clip: see `sdbench.measure`.

    Attributes:
        history: what was measured at each step, as plain values: "step", "seconds", and what `sdbench measure --json`
            writes.

    Raises:
        InputError: the network is none, a layer is unknown, `every` is not positive, or the file is of something else.
        DiskError: the file cannot be written.
    """

    def __init__(
        self,
        network: Network,
        study: Study | str | Path | None = None,
        *,
        every: int = 1,
        layers: Sequence[str | Layer] | None = None,
        seed: int = 0,
        path: str | Path | None = None,
        workers: int = 0,
        store: AssetStore | None = None,
        unchecked: bool = False,
    ) -> None:
        if not isinstance(network, Network):
            raise InputError(
                f"expected sdbench.Network(module, feed) of the module that is trained; got {type(network).__name__}"
            )
        if whole("every", every) < 1:
            raise InputError(f"every must be a positive whole number of steps; got {every}")
        self.network = network if layers is None else replace(network, layers=layers)
        self.study = rendered(SCENES) if study is None else study_of(study)
        self.every, self.seed, self.unchecked = int(every), whole("seed", seed), unchecked
        self.workers = whole("workers", workers, 0, MOST_WORKERS)
        self.store = store or AssetStore(quiet=True)
        self.path = None if path is None else Path(path)
        if self.path is not None:
            with _writing(self.path):
                check_place(self.path)
        self.history: list[dict[str, Any]] = self._kept()

    def step(self, number: int) -> dict[str, Any] | None:
        """Measure the network where `every` divides the number of the step or epoch; number 0 is before the first.

        What the history holds of this and later steps is dropped: the training has gone back to here.

        Returns:
            What is added to the history; None where nothing is measured.

        Raises:
            InputError: the network cannot be read, or the history is of another study or of other layers.
            DiskError: what is measured cannot be kept.
        """
        if whole("the number of a step", number) % self.every:
            return None
        started, finished = time.perf_counter(), engine.Finished()
        module = self.network.module
        device = next((str(value.device) for value in module.parameters()), "cpu")
        with undisturbed(module):
            found = engine.measure(
                replace(self.network),  # another hash of weights than last time
                self.study,
                seed=self.seed,
                device=device,
                compiling="off",
                store=self.store,
                workers=self.workers,
                finished=finished,
                unchecked=self.unchecked,
            )
            content = {"step": number, "seconds": round(time.perf_counter() - started, 3), **content_of(found)}
            record: dict[str, Any] = json.loads(json_text(content))  # what a file gives back
        self._check(record)
        self.history = [*(past for past in self.history if past["step"] < number), record]
        if self.path is not None:
            self.save(self.path)
        finished.discard()
        return record

    def save(self, path: str | Path) -> None:
        """Write the history to a JSON file, whole or not at all: `sdbench compare` reads it.

        Raises:
            InputError: nothing was measured yet.
            DiskError: the file cannot be written.
        """
        last = self._last()
        with _writing(Path(path)):
            write_text(Path(path), json_text({**last, "history": self.history}))

    def picture(self, path: str | Path) -> None:
        """Draw what every layer encodes over the steps: parts of variance where scenes are crossed, else shares.

        Args:
            path: a PNG, SVG or PDF file, as its name ends.

        Raises:
            InputError: nothing was measured yet, or the name ends otherwise.
            DiskError: the file cannot be written.
        """
        self._last()
        with _writing(Path(path)):
            tracked_picture([(record["step"], outcome_of(record)) for record in self.history], Path(path))

    def lightning(self, by: Literal["epoch", "step"] = "epoch") -> Any:
        """A callback of Lightning that calls `step`: before the training, and after each epoch (or each of its steps).

        Raises:
            AssetError: lightning is not installed.
        """
        return lightning_callback(self.step, by)

    def trainer(self, by: Literal["epoch", "step"] = "epoch") -> Any:
        """The same as a callback of the Trainer of transformers.

        Raises:
            AssetError: transformers or accelerate is not installed.
        """
        return trainer_callback(self.step, by)

    def _last(self) -> dict[str, Any]:
        if not self.history:
            raise InputError("nothing was measured yet: call tracker.step(0) before the training")
        return self.history[-1]

    def _kept(self) -> list[dict[str, Any]]:
        if self.path is None or not self.path.exists():
            return []
        found = outcome_of(self.path)
        if not found.history or found.network != self.network.name:
            raise InputError(
                f"{self.path} holds {'a measurement' if not found.history else 'the history'} of {found.network}, not "
                f"the history of {self.network.name}: name another file"
            )
        kept: list[dict[str, Any]] = json.loads(self.path.read_text(encoding="utf-8"))["history"]
        return kept

    def _check(self, record: dict[str, Any]) -> None:
        """See that what was measured goes on with the history.

        Raises:
            InputError: it does not.
        """
        if not self.history:
            return

        def decisive(of: dict[str, Any]) -> tuple[Any, ...]:
            about = of["measurement"]
            return (*(about[name] for name in ("dataset", "protocol", "seed", "study")), list(of["layers"]))

        if decisive(self.history[-1]) != decisive(record):
            raise InputError(
                f"the history{'' if self.path is None else f' in {self.path}'} is of another study, another seed or "
                "other layers: name another file, or leave out what has changed"
            )
