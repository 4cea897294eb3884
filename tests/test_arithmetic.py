"""Where and how a net computes."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from research.arithmetic import Arithmetic

CPU = torch.device("cpu")
WAYS: dict[Literal["contiguous", "channels_last"], torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("other", WAYS.values())
def test_a_batch_is_laid_out_so_that_convolutions_follow(
    channels: int, name: Literal["contiguous", "channels_last"], other: torch.memory_format
) -> None:
    """With one channel both layouts count as either, and only the strides tell convolutions."""
    images = torch.randn(2, channels, 6, 5).contiguous(memory_format=other)
    if channels == 1:  # as they come from a data set's (N, H, W, C)
        images = torch.randn(2, 6, 5, 1).permute(0, 3, 1, 2)
    laid = Arithmetic(CPU, memory_format=name).lay_out(images)
    assert torch.equal(laid, images)
    wanted = torch.empty(laid.shape, memory_format=WAYS[name])
    assert laid.stride() == wanted.stride()
    net = torch.nn.Conv2d(channels, 4, 3).to(memory_format=WAYS[name])  # type: ignore[call-overload]
    assert net(laid).is_contiguous(memory_format=WAYS[name])
