"""A training on disk, so that a killed run goes on from its last finished epoch.

``last.pt`` holds the state; the selected weights stand beside it in a file of their own that is
written only when they change, named for their epoch so that the two can never disagree.
"""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from research.training import State

CHECKPOINT_S = 5.0


class Checkpoint:
    """The folder of one run, named by its fingerprint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept = time.monotonic()
        self._own: set[Path] = set()  # weights that this state has written or begun from

    def keep(self, state: State, code_digest: str) -> None:
        """Writes the state after an epoch, unless that was done moments ago.

        Writing takes as long as a tenth of a second of training; what is lost with a process that
        is killed is a few seconds. Where arithmetic is not exact every epoch is kept: what was
        recorded of it could not be trained again.
        """
        if (
            state.arithmetic.precision != "fp32"
            or time.monotonic() - self._kept >= seconds_between()
        ):
            self.save(state, code_digest)
            self._kept = time.monotonic()

    def save(self, state: State, code_digest: str) -> None:
        """Writes the state after an epoch; the file is replaced whole."""
        best = self._save_weights(state)
        content = {"made_by": _maker(state, code_digest), **state.state_dict()}
        _replace(self.folder / "last.pt", lambda file: torch.save(content, file))
        self._drop_all_weights_but(best)

    def _drop_all_weights_but(self, best: Path) -> None:
        for other in self.folder.glob("best-*.safetensors"):
            if other != best:
                other.unlink()

    def _save_weights(self, state: State) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        best = self.weights_file(state.best)
        if best not in self._own:  # one of an attempt that died may be another's
            _replace(best, lambda file: save_file(_contiguous(state), file))
            self._own.add(best)
        return best

    def load(self, state: State, code_digest: str) -> bool:
        """Puts a saved state into ``state``.

        False where there is none that today's code, device and version of torch made: another's
        would not end as if it had never been stopped.
        """
        file = self.folder / "last.pt"
        if not file.is_file():
            return False
        try:
            saved = torch.load(file, map_location="cpu", weights_only=True)
            if saved.pop("made_by") != _maker(state, code_digest):
                return False
            weights = load_file(self.weights_file(saved["best"]))
        except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError):
            return False  # cut off by a full disk or a crash of the machine: train anew
        state.load_state_dict(saved)
        state.best_weights = weights
        self._own.add(self.weights_file(saved["best"]))
        return True

    def weights_file(self, epoch: int) -> Path:
        """Where the weights of the selected epoch stand."""
        return self.folder / f"best-{epoch}.safetensors"

    def keep_only_weights(self, state: State) -> None:
        """Keeps the selected weights alone, once a run is finished."""
        best = self._save_weights(state) if state.best else None
        (self.folder / "last.pt").unlink(missing_ok=True)
        if best:
            self._drop_all_weights_but(best)

    def clear(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def seconds_between() -> float:
    """Seconds of training between two checkpoints at least; ``RESEARCH_CHECKPOINT_S``."""
    given = os.environ.get("RESEARCH_CHECKPOINT_S", str(CHECKPOINT_S))
    try:
        return float(given)
    except ValueError:
        raise ValueError(f"RESEARCH_CHECKPOINT_S: '{given}' is no number of seconds") from None


def _maker(state: State, code_digest: str) -> str:
    """What a state can be gone on with by."""
    return f"{code_digest}, {state.arithmetic.device.type}, torch {torch.__version__}"


def _contiguous(state: State) -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in state.best_weights.items()}


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    beside = file.with_name(file.name + ".part")
    write(beside)
    beside.replace(file)
