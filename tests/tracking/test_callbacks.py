"""A tracker as a callback: it is called when it should be, and the training does not notice."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sdbench import Feed, Network, Tracker, studies

pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]

EXAMPLES = 6


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 6, 3, stride=2, padding=1)
        self.top = nn.Linear(6, 2)

    def forward(self, video: Tensor) -> Tensor:
        return self.top(torch.dropout(torch.relu(self.conv(video)).mean(dim=(2, 3, 4)), 0.2, self.training))


class Videos(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return EXAMPLES

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(number)
        return {"video": torch.randn(3, 4, 16, 16, generator=generator), "labels": torch.tensor(number % 2)}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tracker(module: nn.Module) -> Tracker:
    return Tracker(Network(module, Feed(4, 16), "small", ["conv"]), studies.rendered(9))


def weights(module: nn.Module) -> dict[str, bytes]:
    return {name: value.detach().numpy().tobytes() for name, value in module.state_dict().items()}


def fitted_by_lightning(folder: Path, by: str | None) -> tuple[dict[str, bytes], list[int]]:
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed: nox -s adapters tries it")

    class Fitted(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = Small()

        def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
            return nn.functional.cross_entropy(self.network(batch["video"]), batch["labels"])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(0)
    module = Fitted()
    tracked = tracker(module.network)
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[tracked.lightning(by)] if by else [],  # type: ignore[arg-type]
    )
    trainer.fit(module, DataLoader(Videos(), batch_size=2, shuffle=True))
    return weights(module.network), [record["step"] for record in tracked.history]


def test_lightning(tmp_path: Path) -> None:
    plain, none = fitted_by_lightning(tmp_path, None)
    assert none == []
    assert fitted_by_lightning(tmp_path, "epoch") == (plain, [0, 1, 2])
    assert fitted_by_lightning(tmp_path, "step") == (plain, [0, 1, 2, 3, 4, 5, 6])


def fitted_by_trainer(folder: Path, by: str | None) -> tuple[dict[str, bytes], list[int]]:
    pytest.importorskip("accelerate", reason="accelerate is not installed: nox -s adapters tries it")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")

    class Answered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = Small()

        def forward(self, video: Tensor, labels: Tensor) -> dict[str, Tensor]:
            answered = self.network(video)
            return {"loss": nn.functional.cross_entropy(answered, labels), "logits": answered}

    torch.manual_seed(0)
    module = Answered()
    tracked = tracker(module.network)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=2,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        learning_rate=0.1,
    )
    callbacks = [tracked.trainer(by)] if by else []  # type: ignore[arg-type]
    transformers.Trainer(model=module, args=arguments, train_dataset=Videos(), callbacks=callbacks).train()
    return weights(module.network), [record["step"] for record in tracked.history]


def test_trainer(tmp_path: Path) -> None:
    plain, none = fitted_by_trainer(tmp_path, None)
    assert none == []
    assert fitted_by_trainer(tmp_path, "epoch") == (plain, [0, 1, 2])
    assert fitted_by_trainer(tmp_path, "step") == (plain, [0, 1, 2, 3, 4, 5, 6])
