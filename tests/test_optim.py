from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from research import optim, registry


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


@pytest.mark.parametrize("shape", [(20, 50), (64, 18), (16, 16), (32, 300)])
@pytest.mark.parametrize("rank", [0, 3, 16])
def test_the_square_is_iterated_to_what_the_matrix_would_be(
    shape: tuple[int, int], rank: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, columns = shape
    left, right = (torch.randn(side, rank, generator=generator) for side in shape)
    matrix = left @ right.T
    expected = (matrix.T if rows > columns else matrix) / (matrix.norm() + 1e-7)
    for _ in range(optim.STEPS):
        one, three, five = optim.QUINTIC
        square = expected @ expected.T
        expected = one * expected + (three * square + five * square @ square) @ expected
    if rows > columns:
        expected = (rows / columns) ** 0.5 * expected.T
    torch.testing.assert_close(optim.orthogonal(matrix), expected, rtol=0, atol=2e-4)


def test_steps_of_muon_are_orthogonal_and_of_the_rest_plain() -> None:
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((20, 50), (64, 18)):
        made = optim.orthogonal(torch.randn(rows, columns, generator=generator))
        values = torch.linalg.svdvals(made) / max(1.0, (rows / columns) ** 0.5)
        assert values.min() > 0.6 and values.max() < 1.25
    filters = torch.nn.Parameter(torch.zeros(32, 16, 3, 3))
    head, bias = torch.nn.Parameter(torch.ones(7, 32)), torch.nn.Parameter(torch.ones(7))
    optimizer = registry.optimisers.get("muon")(
        [bias, filters, head], lr=0.02, weight_decay=0.1, rest_lr=0.05, momentum=0.0
    )
    first, second, _ = optimizer.param_groups
    assert first["params"] == [filters] and second["params"] == [head]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.05, 0.05])
    filters.grad = torch.randn(filters.shape, generator=generator)
    head.grad, bias.grad = torch.full_like(head, 2.0), torch.full_like(bias, 2.0)
    optimizer.step()
    assert torch.linalg.svdvals(filters.detach().flatten(1)).min() > 0.6 * 0.02
    torch.testing.assert_close(head.detach(), torch.full((7, 32), 1 - 0.05 * 0.1 - 0.05 * 2))
    torch.testing.assert_close(bias.detach(), torch.full((7,), 1 - 0.05 * 2))


TIMES = [epoch + part for epoch in range(30) for part in (0.0, 0.25, 0.99)]


@pytest.mark.parametrize("name", registry.schedules.names())
def test_a_schedule_reaches_the_full_rate_and_stays_a_fraction(name: str) -> None:
    factor = registry.schedules.get(name)(30)
    rates = [factor(time, [0.5] * int(time)) for time in TIMES]
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert all(0 <= rate <= 1 for rate in rates)


def test_schedules_are_their_definitions() -> None:
    step = registry.schedules.get("step")(30, every=10, factor=0.1)
    assert [round(step(time, []), 6) for time in (9.9, 10, 20)] == [1.0, 0.1, 0.01]
    cosine = registry.schedules.get("cosine")(10, floor=0.2)
    assert math.isclose(cosine(5.5, []), 0.6)
    linear = registry.schedules.get("linear")(10)
    assert math.isclose(linear(2.5, []), 0.75)
    cycle = registry.schedules.get("one_cycle")(10, rise=0.5, start=0.1)
    assert [round(cycle(time, []), 6) for time in (0, 5, 10)] == [0.1, 1.0, 0.0]


@pytest.mark.parametrize("epochs", [40])
def test_restarts_and_plateau_are_torch_s(epochs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = (torch.rand(epochs, generator=generator).sqrt() / 2).tolist()

    def rates(make: Callable[[torch.optim.Optimizer], Any], scored: bool) -> list[float]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
        schedule = make(optimizer)
        seen = []
        for score in scores:
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step(score) if scored else schedule.step()
        return seen

    lr_scheduler = torch.optim.lr_scheduler
    theirs = rates(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 5, 2), scored=False)
    ours = registry.schedules.get("warm_restarts")(epochs, first=5, times=2)
    assert [ours(epoch, []) for epoch in range(epochs)] == pytest.approx(theirs)
    theirs = rates(
        lambda o: lr_scheduler.ReduceLROnPlateau(o, "max", factor=0.75, patience=3), scored=True
    )
    ours = registry.schedules.get("plateau")(epochs, factor=0.75, patience=3)
    assert [ours(epoch, scores[:epoch]) for epoch in range(epochs)] == pytest.approx(theirs)
    assert min(theirs) < 0.5
