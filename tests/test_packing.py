"""How many runs one device takes side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat

import psutil
import pytest
import torch

from research import execution, packing
from research.execution import crew_of
from research.packing import Trainee, Trial, runs_at_once
from research.planning import Plan, prepare
from research.project import Project
from research.request import Request
from research.tracking.database import connect

GB = 1e9


@pytest.fixture
def plan(project: Project) -> Plan:
    return prepare("tiny", Request(), project, connect(project))


@pytest.fixture
def trial(plan: Plan) -> Trial:
    return Trial(plan.cells[0].recipe, plan.location, "cpu", seconds=0.2)


def test_processes_train_side_by_side_and_are_gone_afterwards(
    trial: Trial, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "research"):
        chosen = runs_at_once(trial, 2)
    one, two = [float(rate) for rate in re.findall(r"on cpu: (\d+) images/s", caplog.text)]
    assert one > 0 and two > 0 and chosen == (2 if two >= packing.GAIN * one else 1)
    assert not [one for one in psutil.Process().children() if "packing" in str(one.cmdline())]


def test_a_process_that_cannot_train_leaves_one_run(trial: Trial) -> None:
    assert runs_at_once(replace(trial, device="meta"), 8) == 1


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, trial: Trial) -> Callable[..., int]:
    """The choice on a device of 16 cores by what 1, 2, 4 ... processes would bring."""

    class Nothing:
        def kill(self) -> None: ...
        def wait(self) -> None: ...
        def close(self) -> None: ...

    def choose(*rates: float, needs: float = GB, free: float = 80 * GB) -> int:
        found: Iterator[float] = chain(rates, repeat(rates[-1]))
        made = Trainee(Nothing(), Nothing(), needs, free)  # type: ignore[arg-type]
        monkeypatch.setattr(packing, "_start", lambda trial: made)
        monkeypatch.setattr(packing, "_rate", lambda crew: next(found))
        return runs_at_once(trial, 16)

    return choose


def test_processes_are_added_while_they_gain(measured: Callable[..., int]) -> None:
    assert measured(100, 110) == 1
    assert measured(100, 190, 200) == 2
    assert measured(100, 200, 400, 800, 1600) == packing.MOST
    assert measured(100, 200, 400, free=4 * GB) == 2  # four of them would take all of it


def test_a_gpu_is_probed_where_there_is_enough_to_train(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[Trial] = []

    def probe(trial: Trial, cores: int) -> int:
        probed.append(trial)
        return 4

    monkeypatch.setattr(execution, "find_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(execution, "runs_at_once", probe)
    assert crew_of("processes", None, None) == 2
    assert crew_of("processes", None, None, plan) == 2 and not probed  # over in seconds
    monkeypatch.setattr(execution, "PROBED_STEPS", 10)
    assert crew_of("processes", None, None, plan) == 2 * min(4, -(-len(plan.todo) // 2))
    assert probed[0].device == "cuda:0"
    assert crew_of("processes", 3, None, plan) == 3 and crew_of("inline", None, None, plan) == 1
    crew_of("processes", None, "cuda:1", plan)
    assert probed[-1].device == "cuda:1" and len(probed) == 2
