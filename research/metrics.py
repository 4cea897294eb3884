"""Predictions to scores: labels ``(N,)`` and logits ``(N, K)`` to fractions in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Logits = NDArray[np.floating]
Floats = NDArray[np.float64]

ECE_BINS = 15


def probabilities(logits: Logits) -> Floats:
    """Logits ``(N, K)`` to the softmax ``(N, K)``."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    shares: Floats = exponentials / exponentials.sum(1, keepdims=True)
    return shares


def accuracy(labels: Labels, logits: Logits) -> float:
    """The share of images whose class has the largest logit."""
    return float(np.mean(logits.argmax(1) == labels))


def macro_f1(labels: Labels, logits: Logits) -> float:
    """F1 of each class, averaged over all K classes; a class never seen nor said counts 0."""
    return float(_by_class(labels, logits)["f1"].mean())


def log_loss(labels: Labels, logits: Logits) -> float:
    """Mean negative log-probability of the label, in nats."""
    chosen = probabilities(logits)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def calibration_error(labels: Labels, logits: Logits) -> float:
    """Expected calibration error over 15 bins of confidence of equal width (Guo et al. 2017)."""
    p = probabilities(logits)
    confidence, right = p.max(1), p.argmax(1) == labels
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gap = np.bincount(bins, confidence - right, ECE_BINS)
    return float(np.abs(gap).sum() / len(labels))


def summary(labels: Labels, logits: Logits) -> dict[str, float]:
    """Every score of a whole split."""
    table = _by_class(labels, logits)
    top2 = np.argsort(-logits, 1, kind="stable")[:, :2]
    return {
        "accuracy": accuracy(labels, logits),
        "macro_f1": float(table["f1"].mean()),
        "balanced_accuracy": float(table["recall"][table["support"] > 0].mean()),
        "log_loss": log_loss(labels, logits),
        "ece": calibration_error(labels, logits),
        "top2": float(np.mean((top2 == labels[:, None]).any(1))),
    }


def per_class(labels: Labels, logits: Logits) -> dict[str, list[float]]:
    """Precision, recall and F1 of each class, and its images: columns of a table."""
    return {name: column.tolist() for name, column in _by_class(labels, logits).items()}


def confusion(labels: Labels, logits: Logits) -> NDArray[np.int64]:
    """Counts ``(K, K)``: rows the labels, columns the classes said."""
    size = logits.shape[1]
    flat = labels * size + logits.argmax(1)
    return np.bincount(flat, minlength=size * size).reshape(size, size)


def pooled(counts: NDArray[np.int64], classes: Sequence[str]) -> dict[str, float]:
    """Counts ``(K, K)`` of several test sets, added up, to the scores that rest on counts.

    F1 of the sums, not the mean of the sets' F1 (Forman and Scholz 2010).
    """
    table = _of_counts(counts)
    scores = {
        "accuracy": float(np.trace(counts) / counts.sum()),
        "macro_f1": float(table["f1"].mean()),
        "balanced_accuracy": float(table["recall"][table["support"] > 0].mean()),
    }
    for name in ("precision", "recall", "f1"):
        scores |= {f"{name}/{c}": float(v) for c, v in zip(classes, table[name], strict=True)}
    return scores


def _by_class(labels: Labels, logits: Logits) -> dict[str, Floats]:
    return _of_counts(confusion(labels, logits))


def _of_counts(whole: NDArray[np.int64]) -> dict[str, Floats]:
    """Precision, recall, F1 and support ``(K,)``; 0 where nothing is to be divided by."""
    counts = whole.astype(np.float64)
    right, said, support = np.diag(counts), counts.sum(0), counts.sum(1)
    return {
        "precision": right / np.maximum(said, 1),
        "recall": right / np.maximum(support, 1),
        "f1": 2 * right / np.maximum(said + support, 1),
        "support": support,
    }
