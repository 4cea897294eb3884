"""What the tests share: a project folder with a real MLflow database, a tiny study, small data."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from research.cli import main
from research.project import Project
from research.studies import read_study
from research.study import Study
from research.tracking import Tracker
from research.tracking.database import connect
from research.tracking.memory import MemoryTracker

# Each of pytest's processes keeps to a core of its own, and so do the programs that it starts:
# more threads than cores slow small nets down many times.
_place = os.environ.get("PYTEST_XDIST_WORKER", "")
if _place and hasattr(os, "sched_setaffinity"):
    _cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores[int(_place.removeprefix("gw")) % len(_cores)]})
torch.set_num_threads(1)
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for name in ("MLFLOW_TRACKING_URI", "RESEARCH_DATA", "NO_COLOR"):
    os.environ.pop(name, None)

Call = Callable[..., tuple[int, str, str]]
SHARED = Path(__file__).parents[2] / "shared" / "data"

# Small enough to be trained in a second, and yet every part of the real thing.
TINY = """\
name: tiny
base:
  data:
    name: embedded
    params: {size: 63, channels: 1, train_images: 140, val_images: 42, test_images: 70}
  model: {name: alexnet_pro, params: {width: 0.05, head: pool_linear, dropout: 0.0}}
  optim: {name: adam, params: {lr: 3e-3}}
  preprocess: {normalize: {}}
  augment: {flip: {}, mixup: {alpha: 0.2}}
  training: {epochs: 2, batch_size: 32, precision: fp32, memory_format: contiguous}
factors:
  batch_norm:
    path: model.params.batch_norm
    levels: {present: true, absent: false}
    control: present
  smoothing:
    path: loss.params.label_smoothing
    levels: {e_0.1: 0.1, absent: 0.0}
    control: e_0.1
seeds: 3
"""


SLOWEST = ("test_faults", "test_ablation", "test_run", "test_server", "test_cli", "test_models")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files come first, so that two processes end at about the same time."""
    places = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache of decoded data for the whole session, all of its processes included."""
    base = tmp_path_factory.getbasetemp()  # of each process its own, in one of the session
    folder = (base.parent if _place else base) / "research-cache"
    os.environ["RESEARCH_CACHE"] = str(folder)
    os.environ["RESEARCH_CHECKPOINT_S"] = "0"  # after each epoch: runs of tests are over at once
    yield folder


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database: it takes seconds to make, so it is made once and copied."""
    project = Project(tmp_path_factory.mktemp("database"))
    connect(project)
    return project.runs / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project that is the current folder, with a database and the tiny study."""
    root = tmp_path / "project"
    (root / "mlruns").mkdir(parents=True)
    (root / "ablations").mkdir()
    (root / "ablations" / "tiny.yaml").write_text(TINY)
    shutil.copy(database, root / "mlruns" / "mlflow.db")
    monkeypatch.chdir(root)
    return Project(root)


@pytest.fixture
def tiny(tmp_path: Path) -> Study:
    """The tiny study."""
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return read_study(file)[0]


@pytest.fixture(params=["memory", "mlflow"])
def tracker(request: pytest.FixtureRequest) -> Tracker:
    """Every tracker there is."""
    if request.param == "memory":
        return MemoryTracker()
    return connect(request.getfixturevalue("project"))


@pytest.fixture
def faces() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A few synthetic faces ``(28, 48, 48)`` and their labels."""
    from research.data.embedded import embedded

    made = embedded(None, train_images=28, val_images=7, test_images=7, wrong_labels=0.0)
    return made.train.images[..., 0], made.train.labels


@pytest.fixture
def write_csv(
    tmp_path: Path, faces: tuple[NDArray[np.uint8], NDArray[np.int64]]
) -> Callable[..., Path]:
    """Writes a table of faces as FER2013 has it: four of each split's classes in turn."""
    images, labels = faces

    def write(
        name: str = "fer2013.csv",
        header: str = "emotion,pixels,Usage",
        usage: Callable[[int], str] | None = lambda row: (
            "Training",
            "Training",
            "PublicTest",
            "PrivateTest",
        )[row % 4],
        change: Callable[[int, list[str]], list[str]] = lambda row, fields: fields,
    ) -> Path:
        columns = [column.strip() for column in header.split(",")]
        lines = [header]
        for row in range(4 * len(images)):
            image, label = images[row // 4], labels[row // 4]
            values = {"emotion": str(label), "pixels": " ".join(map(str, image.ravel()))}
            if usage is not None:
                values["Usage"] = usage(row)
            lines.append(",".join(change(row, [values[column] for column in columns])))
        file = tmp_path / name
        file.write_text("\n".join(lines) + "\n")
        return file

    return write


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real FER2013; the test is skipped where there is none."""
    if not (SHARED / "fer2013.npz").is_file():
        pytest.skip(f"no FER2013 in {SHARED}")
    return SHARED


@pytest.fixture
def call(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Runs a command in this process: (exit code, stdout, stderr)."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["research", *words])
        monkeypatch.setattr(signal, "signal", lambda *args: None)
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        captured = capsys.readouterr()
        return int(code or 0), captured.out, captured.err

    return call
