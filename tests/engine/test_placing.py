"""A network on its device: laid out for its convolutions, and afterwards as it was given."""

from __future__ import annotations

import torch
from torch import nn

from sdbench.engine.placing import placed


class Mixed(nn.Module):
    """Convolutions of videos and of frames, and a parameter of four axes that is of neither."""

    def __init__(self) -> None:
        super().__init__()
        self.video = nn.Conv3d(3, 4, (2, 3, 3))
        self.frame = nn.Conv2d(3, 4, 3)
        self.mask = nn.Parameter(torch.zeros(5, 1, 1, 6))
        self.register_buffer("count", torch.zeros(()))


def test_tensors_of_four_and_of_five_axes_may_be_mixed() -> None:
    module = Mixed().train()
    given = {name: (value.data_ptr(), value.stride()) for name, value in module.state_dict().items()}
    with placed(module, torch.device("cpu")):
        training = module.training
        assert module.video.weight.is_contiguous(memory_format=torch.channels_last_3d)
        assert module.frame.weight.is_contiguous(memory_format=torch.channels_last)
        assert module.mask.shape == (5, 1, 1, 6)
    assert (training, module.training) == (False, True)
    assert {name: (value.data_ptr(), value.stride()) for name, value in module.state_dict().items()} == given
