"""Predictions to scores: labels ``(N,)`` and logits ``(N, K)`` to fractions in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

Labels = NDArray[np.int64]
Logits = NDArray[np.floating]
Floats = NDArray[np.float64]

PRIMARY = ("accuracy", "macro_f1", "balanced_accuracy")
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
    predicted, classes = logits.argmax(1), np.arange(logits.shape[1])
    return float(sk.f1_score(labels, predicted, labels=classes, average="macro", zero_division=0))


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
    predicted = logits.argmax(1)
    present = np.unique(labels)
    recalls = sk.recall_score(labels, predicted, labels=present, average=None, zero_division=0)
    top2 = np.argsort(-logits, 1, kind="stable")[:, :2]
    return {
        "accuracy": accuracy(labels, logits),
        "macro_f1": macro_f1(labels, logits),
        "balanced_accuracy": float(np.mean(recalls)),
        "log_loss": log_loss(labels, logits),
        "ece": calibration_error(labels, logits),
        "top2": float(np.mean((top2 == labels[:, None]).any(1))),
    }


def per_class(labels: Labels, logits: Logits, classes: Sequence[str]) -> dict[str, list[float]]:
    """Precision, recall and F1 of each class, and its images: columns of a table."""
    numbers = np.arange(len(classes))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, logits.argmax(1), labels=numbers, zero_division=0
    )
    columns = {"precision": precision, "recall": recall, "f1": f1, "support": support}
    return {name: [float(value) for value in column] for name, column in columns.items()}


def confusion(labels: Labels, logits: Logits) -> NDArray[np.int64]:
    """Counts ``(K, K)``: rows the labels, columns the classes said."""
    size = logits.shape[1]
    flat = labels * size + logits.argmax(1)
    return np.bincount(flat, minlength=size * size).reshape(size, size)
