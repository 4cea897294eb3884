"""A moving average of a net, which a GPU is not waited for."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """Weights and batch norm's statistics of a net, averaged over its steps.

    The average is the net itself after the first step, then ``decay`` times the last average and
    ``1 - decay`` times the net (B. Polyak and A. Juditsky 1992 take the plain mean); whole numbers
    are the net's. PyTorch's ``AveragedModel`` averages these as well, and sends its count of the
    steps to the device at each.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.begun = False
        self._average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def follow(self, net: nn.Module) -> None:
        """Takes in the net as it is after one more step."""
        pairs = list(zip(_numbers(self.net), _numbers(net), strict=True))
        averaged = [pair for pair in pairs if self.begun and pair[0].is_floating_point()]
        for mine, theirs in pairs:
            if not (self.begun and mine.is_floating_point()):
                mine.copy_(theirs)
        if averaged:
            self._average(*map(list, zip(*averaged, strict=True)), None)
        self.begun = True

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from."""
        return {"net": self.net.state_dict(), "begun": self.begun}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.net.load_state_dict(saved["net"])
        self.begun = saved["begun"]


def _numbers(net: nn.Module) -> list[Tensor]:
    return [one.detach() for one in (*net.parameters(), *net.buffers())]
