from __future__ import annotations

import copy
import math

import pytest
import torch

from research import registry


@pytest.mark.parametrize("name", registry.optimisers.names())
def test_an_optimiser_goes_downhill_and_its_state_goes_round(name: str) -> None:
    def descend(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            ((weight - 3) ** 2).sum().backward()
            optimizer.step()

    weight = torch.nn.Parameter(torch.zeros(4))
    optimizer = registry.optimisers.get(name)([weight], lr=0.05)
    descend(weight, optimizer, 5)
    saved = {"weight": weight.detach().clone(), "optimizer": copy.deepcopy(optimizer.state_dict())}
    descend(weight, optimizer, 5)
    assert (weight > 0).all()

    other = torch.nn.Parameter(saved["weight"])
    again = registry.optimisers.get(name)([other], lr=0.5)
    again.load_state_dict(saved["optimizer"])
    descend(other, again, 5)
    assert torch.equal(weight, other)


@pytest.mark.parametrize("name", registry.schedules.names())
def test_a_schedule_starts_at_the_full_rate_and_stays_a_fraction(name: str) -> None:
    factor = registry.schedules.get(name)(30)
    assert factor(0) == 1.0
    assert all(0 <= factor(epoch) <= 1 for epoch in range(30))


def test_schedules_are_their_definitions() -> None:
    step = registry.schedules.get("step")(30, every=10, factor=0.1)
    assert [round(step(epoch), 6) for epoch in (9, 10, 20)] == [1.0, 0.1, 0.01]
    cosine = registry.schedules.get("cosine")(10, floor=0.2)
    assert math.isclose(cosine(5), 0.6)
