"""How many runs one device takes side by side."""

from __future__ import annotations

import multiprocessing
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from multiprocessing.connection import Connection

import psutil
import pytest
import torch

from research import execution, packing
from research.execution import crew_of
from research.packing import Process, Sample, runs_at_once
from research.planning import Plan, prepare
from research.project import Project
from research.request import Request
from research.spec import Ref
from research.tracking.database import connect

GB = 1e9


@pytest.fixture
def plan(project: Project) -> Plan:
    return prepare("tiny", Request(), project, connect(project))


@pytest.fixture
def sample(plan: Plan) -> Sample:
    return Sample(plan.cells[0].recipe, plan.location, "cpu", seconds=0.2)


def test_processes_train_side_by_side_and_are_gone_afterwards(
    sample: Sample, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "research"):
        chosen = runs_at_once(sample, 2)
    one, two = [float(rate) for rate in re.findall(r"on cpu: ([\d.]+) images/s", caplog.text)]
    assert one > 0 and two > 0
    if abs(two / one - packing.GAIN) > 0.01:  # else rounding decides
        assert chosen == (2 if two > packing.GAIN * one else 1)
    assert not [one for one in psutil.Process().children() if "packing" in str(one.cmdline())]


def test_a_process_that_cannot_train_says_why(
    sample: Sample, caplog: pytest.LogCaptureFixture
) -> None:
    bare = sample.recipe.model_copy(update={"loss": Ref(name="no_such_loss")})
    assert runs_at_once(replace(sample, recipe=bare), 8) == 1
    assert "1 runs at once on cpu were not measured" in caplog.text
    assert "no_such_loss" in caplog.text


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_what_fails_leaves_as_many_as_were_measured(
    how: str, sample: Sample, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    commands = {"dies": "exit 1", "hangs": "sleep 60"}
    made: list[Process] = []

    def start(sample: Sample) -> Process:
        ours, theirs = multiprocessing.Pipe()
        if not made:
            theirs.send((GB, 80 * GB))
            theirs.send((100.0, 0.0))
            theirs.send((100.0, 0.0))
            kept.append(theirs)
        process = subprocess.Popen(["sh", "-c", "sleep 60" if not made else commands[how]])
        if made and how == "hangs":
            kept.append(theirs)
        elif made:
            theirs.close()
        made.append(Process(process, ours))
        return made[-1]

    kept: list[Connection] = []
    monkeypatch.setattr(packing, "_start", start)
    monkeypatch.setattr(packing, "START_S", 0.5)
    assert runs_at_once(sample, 2) == 1
    assert "2 runs at once on cpu were not measured" in caplog.text
    assert [one.process.poll() is not None for one in made] == [True, True]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, sample: Sample) -> Callable[..., int]:
    """The choice on a device by what 1, 2, 4 ... processes would bring."""

    class Nothing:
        def kill(self) -> None: ...
        def wait(self) -> None: ...
        def close(self) -> None: ...

    def choose(*rates: float, free: float = 80 * GB, most: int = 8) -> int:
        found: Iterator[float] = chain(rates, repeat(rates[-1]))
        made = Process(Nothing(), Nothing(), GB, free)  # type: ignore[arg-type]
        monkeypatch.setattr(packing, "_start", lambda sample: made)
        monkeypatch.setattr(packing, "_rate", lambda crew, seconds: next(found))
        return runs_at_once(sample, most)

    return choose


def test_processes_are_added_while_they_gain(measured: Callable[..., int]) -> None:
    assert measured(100, 110) == 1
    assert measured(100, 190, 200) == 2
    assert measured(100, 200, 400, 800, 1600) == 8
    assert measured(100, 200, 400, most=3) == 2
    assert measured(100, 200, 400, free=4 * GB) == 2  # four of them would take all of it


def test_a_gpu_is_probed_where_there_is_enough_to_train(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[Sample] = []

    def probe(sample: Sample, most: int) -> int:
        probed.append(sample)
        return 4

    monkeypatch.setattr(execution, "find_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(execution, "runs_at_once", probe)
    assert crew_of("processes", None, None) == 2
    assert crew_of("processes", None, None, plan) == 2 and not probed  # over in seconds
    monkeypatch.setattr(execution, "PROBED_STEPS", 10)
    monkeypatch.setattr(execution, "hardware", lambda: {"cores": 16})
    assert crew_of("processes", None, None, plan) == 8
    assert probed[0].device == "cuda:0"
    assert crew_of("processes", 3, None, plan) == 3 and crew_of("inline", None, None, plan) == 1
    crew_of("processes", None, "cuda:1", plan)
    assert probed[-1].device == "cuda:1" and len(probed) == 2
