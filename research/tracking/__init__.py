"""Where runs are recorded: the `Tracker` contract, and `connect` to the store in use.

A tracker is a plain store of runs; what a run of ours records, and when, is in
`research.tracking.recording`, once for every store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
KINDS = ("ablate", "tune", "train")  # an experiment is named <kind>/<study or model>


VIEW = "view"  # the tag of a study with the end of its view's address


@dataclass(frozen=True)
class Tracked:
    """A run as the store has it; times in milliseconds since 1970."""

    run_id: str
    experiment: str
    name: str
    status: Status
    started_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """One value of a metric: ``step`` is the epoch, from 1, or 0 for what has none."""

    name: str
    value: float
    step: int = 0
    at_ms: int = 0


class Tracker(Protocol):
    """A store of runs."""

    @property
    def uri(self) -> str:
        """Where the store is, as a person would type it."""

    def find(self, **tags: str) -> list[Tracked]:
        """Runs of all our experiments with these tags, newest first."""

    def get(self, run_id: str) -> Tracked | None:
        """A run, or None."""

    def running(self) -> list[Tracked]:
        """Runs of all our experiments that are marked RUNNING."""

    def create(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        """A new run, marked RUNNING; gives its id. The experiment is made if it is new."""

    def set_status(self, run_id: str, status: Status) -> None:
        """Marks a run; anything but RUNNING ends it."""

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags; an empty value stands for none."""

    def log(
        self, run_id: str, points: Sequence[Point] = (), params: Mapping[str, str] | None = None
    ) -> None:
        """Records metrics and parameters in one go."""

    def log_data(self, run_id: str, name: str, digest: str, about: Mapping[str, str]) -> None:
        """Records the data set that a run was trained on."""

    def log_model(self, run_id: str, file: Path, about: Mapping[str, str]) -> None:
        """Keeps a file of weights as the run's model."""

    def log_files(self, run_id: str, folder: Path) -> None:
        """Keeps every file of a folder as an artifact."""

    def read_file(self, run_id: str, name: str) -> bytes | None:
        """An artifact's content, or None where there is none."""

    def artifacts(self, run_id: str) -> str:
        """Where a run's artifacts are: a folder of this machine, or the store's address of them."""

    def history(self, run_id: str, metric: str) -> list[Point]:
        """A metric's values by step."""

    def share_view(
        self, run_id: str, mark: str, study: str, metric: str, paths: list[str], by: str = "cell"
    ) -> str:
        """Keeps a view of the runs with the tag ``mark``, grouped by another tag or by none.

        Gives its address's fragment.
        """

    def experiment_url(self, run_id: str) -> str:
        """The fragment of MLflow's address under which a run is shown."""


def mark_of(study_hash: str) -> str:
    """The tag of the runs that belong to a study, whichever study made them."""
    return f"in-{study_hash[:8]}"


def experiment_name(kind: str, subject: str) -> str:
    """``ablate`` and a study to ``ablate/<study>``."""
    return f"{kind}/{subject}"
