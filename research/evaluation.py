"""A trained state to predictions, and predictions to the scores that are reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research import metrics
from research.data import Splits
from research.spec import TestViews
from research.training import Resident, State, predict

EVALUATED = ("val", "test")


@dataclass(frozen=True)
class Predictions:
    """Logits ``(N, K)`` float16 of one split's images, their labels and persons ``(N,)``."""

    labels: NDArray[np.int64]
    logits: NDArray[np.float16]
    groups: NDArray[np.int64] | None = None

    def correct(self) -> NDArray[np.bool_]:
        """Whether each image's class has the largest logit, ``(N,)``."""
        right: NDArray[np.bool_] = self.logits.argmax(1) == self.labels
        return right


def predict_split(
    state: State, resident: Resident, views: TestViews | None, classes: int
) -> Predictions:
    """A split to its predictions; a state without a selected epoch says the same of every image."""
    labels = resident.labels.cpu().numpy()
    if not state.best:
        return Predictions(labels, np.zeros((len(labels), classes), dtype=np.float16))
    logits = predict(state.net, state.view, resident.images, state.arithmetic, views)
    limit = float(np.finfo(np.float16).max)
    return Predictions(labels, logits.clamp(-limit, limit).cpu().numpy().astype(np.float16))


def select_best(state: State) -> None:
    """Puts the selected epoch's weights back into the net."""
    if state.best:
        state.net.load_state_dict(state.best_weights)


def scores(test: Predictions, single: Predictions | None, splits: Splits) -> dict[str, float]:
    """Test predictions to every tracked score; ``single`` are those of one view, if others."""
    values = metrics.summary(test.labels, test.logits)
    leaked = splits.test.leaked
    clean = np.ones(len(test.labels), bool) if leaked is None else ~np.asarray(leaked)
    if clean.any():
        values["accuracy_no_leak"] = metrics.accuracy(test.labels[clean], test.logits[clean])
    if single is not None:
        values["accuracy_single_view"] = metrics.accuracy(single.labels, single.logits)
    named = {f"test/{name}": value for name, value in values.items()}
    table = metrics.per_class(test.labels, test.logits)
    for name in ("precision", "recall", "f1"):
        for label, value in zip(splits.classes, table[name], strict=True):
            named[f"test/{name}/{label}"] = value
    return named


def pack(predictions: Mapping[str, Predictions]) -> dict[str, NDArray[Any]]:
    """Predictions of several splits to the arrays of ``predictions.npz``."""
    parts = list(predictions.items())
    groups = [p.groups for _, p in parts if p.groups is not None]
    persons = {"group": np.concatenate(groups)} if len(groups) == len(parts) else {}
    return persons | {
        "split": np.concatenate([np.full(len(p.labels), name) for name, p in parts]),
        "index": np.concatenate([np.arange(len(p.labels), dtype=np.int32) for _, p in parts]),
        "label": np.concatenate([p.labels for _, p in parts]),
        "logits": np.concatenate([p.logits for _, p in parts]),
    }


def unpack(arrays: Mapping[str, NDArray[Any]], split: str) -> Predictions:
    """The arrays of ``predictions.npz`` to the predictions of one split."""
    rows = arrays["split"] == split
    return Predictions(arrays["label"][rows], arrays["logits"][rows])
