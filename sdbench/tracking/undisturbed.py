"""A training that does not notice what is done meanwhile."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn


@contextlib.contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Afterwards gradients and the state of every random generator are what they were.

    Parameters, buffers and modes are the engine's to restore. Meanwhile the module has no gradients, which would change
    their memory layout with it, and so the order in which a norm of them is summed; and autocast is off.
    """
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    begun: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if begun else ()
    python, legacy = random.getstate(), np.random.get_state()
    kinds = {parameter.device.type for parameter, _ in gradients} | {"cpu"}
    try:
        for parameter, _ in gradients:
            parameter.grad = None
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=list(devices)))
            for kind in kinds:
                stack.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        random.setstate(python)
        np.random.set_state(legacy)
