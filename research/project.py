"""Where a project keeps its things: its root, its studies, its runs, the decoded data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Project:
    """A folder with ``ablations/`` and ``mlruns/``; nothing is made before it is needed."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The nearest folder upwards that has ``ablations/`` or ``mlruns/``, else ``start``."""
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / "ablations").is_dir() or (folder / "mlruns").is_dir():
                return cls(folder)
        return cls(start)

    @property
    def runs(self) -> Path:
        """The tracking database, artifacts, checkpoints, leases and reports."""
        return self.root / "mlruns"

    @property
    def studies(self) -> tuple[Path, ...]:
        """Folders that hold studies: the project's own, then the ones that are shipped."""
        return tuple(dict.fromkeys([self.root / "ablations", shipped_studies()]))


def shipped_studies() -> Path:
    """The studies inside the wheel, or those beside the package in a checkout."""
    inside = PACKAGE / "ablations"
    return inside if inside.is_dir() else PACKAGE.parent / "ablations"


def cache_folder() -> Path:
    """Where decoded data is kept: ``RESEARCH_CACHE``, else the user's cache folder."""
    if chosen := os.environ.get("RESEARCH_CACHE"):
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "research"
