"""What torch's errors on a GPU mean, in a sentence with the cure."""

from __future__ import annotations

import pytest
import torch

from sdbench.base.gpu_check import explain_gpu_error, gpu_complaint

OLD = "The NVIDIA driver on your system is too old (found version 11040)."
NO_CODE = "CUDA error: no kernel image is available for execution on the device"
GPU = "V100 (sm_70), only for sm_75, sm_80"


@pytest.mark.parametrize(
    ("said", "cuda", "driver", "meant"),
    [
        (
            OLD,
            "13.0",
            "470.82.01",
            "the driver is 470.82.01; torch 2.13.0 is built for CUDA 13.0, which needs a driver of 580 or",
        ),
        (
            OLD,
            "12.6",
            None,
            "no NVIDIA driver to be seen; torch 2.13.0 is built for CUDA 12.6, which needs a driver of 525",
        ),
        (NO_CODE, "13.0", "580.95", "torch 2.13.0 has no code for V100 (sm_70), only for sm_75, sm_80; take a torch"),
        ("out\nof memory", "13.0", "580.95", "out of memory (driver 580.95; torch 2.13.0 is built for CUDA 13.0"),
        (OLD, "14.1", "580.95", "CUDA 14.1, which needs a newer driver"),
    ],
)
def test_the_sentence(said: str, cuda: str, driver: str | None, meant: str) -> None:
    assert meant in explain_gpu_error(said, "2.13.0", cuda, driver, GPU)


def test_a_torch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    complaint = gpu_complaint()
    assert complaint is not None
    assert "is built without CUDA" in complaint


def test_a_gpu_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "zeros", lambda _shape, device: torch.ones(1))
    assert gpu_complaint() is None
