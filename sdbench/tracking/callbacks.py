"""What calls a tracker from a training loop of Lightning or of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

from sdbench.base.errors import unknown_name
from sdbench.zoo.adapters.extras import imported

By = Literal["epoch", "step"]
Step = Callable[[int], object]


def lightning_callback(step: Step, by: By) -> Any:
    """A callback of Lightning; see `sdbench.Tracker.lightning`.

    Raises:
        InputError: `by` is another word.
        AssetError: lightning is not installed.
    """
    _check(by)
    parent: Any = imported("lightning.pytorch", "lightning").Callback

    class Tracking(parent):  # type: ignore[misc]
        """Measures on the first process; the others wait for it at their next step."""

        def on_train_start(self, trainer: Any, *_: Any) -> None:
            if trainer.is_global_zero:
                step(trainer.current_epoch if by == "epoch" else trainer.global_step)

        def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
            if by == "epoch" and trainer.is_global_zero:
                step(trainer.current_epoch + 1)

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if by == "step" and trainer.is_global_zero and trainer.global_step != self.last:
                step(trainer.global_step)
                self.last = trainer.global_step

        last = 0

    return Tracking()


def trainer_callback(step: Step, by: By) -> Any:
    """A callback of the Trainer of transformers; see `sdbench.Tracker.trainer`.

    Raises:
        InputError: `by` is another word.
        AssetError: transformers or accelerate is not installed.
    """
    _check(by)
    imported("accelerate", "trainer")
    parent: Any = imported("transformers", "trainer").TrainerCallback

    class Tracking(parent):  # type: ignore[misc]
        """Measures on the first process; the others wait for it at their next step."""

        def on_train_begin(self, _args: Any, state: Any, *_: Any, **_rest: Any) -> None:
            if state.is_world_process_zero:
                step(round(state.epoch or 0) if by == "epoch" else state.global_step)

        def on_epoch_end(self, _args: Any, state: Any, *_: Any, **_rest: Any) -> None:
            if by == "epoch" and state.is_world_process_zero:
                step(round(state.epoch))

        def on_step_end(self, _args: Any, state: Any, *_: Any, **_rest: Any) -> None:
            if by == "step" and state.is_world_process_zero:
                step(state.global_step)

    return Tracking()


def _check(by: str) -> None:
    if by not in get_args(By):
        raise unknown_name("way of counting", by, get_args(By))
