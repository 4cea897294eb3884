from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from research import metrics


@pytest.fixture
def predictions() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 500)
    logits = generator.normal(size=(500, 7)).astype(np.float16)
    logits[np.arange(500), labels] += 1
    return labels, logits


def test_scores_are_scikit_learn_s(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = predictions
    found = metrics.summary(labels, logits)
    p = metrics.probabilities(logits)
    said = logits.argmax(1)
    assert found["accuracy"] == sk.accuracy_score(labels, said)
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, said))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(labels, said, average="macro"))
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, p))
    assert found["top2"] == pytest.approx(sk.top_k_accuracy_score(labels, p, k=2))
    table = metrics.per_class(labels, logits)
    expected = sk.precision_recall_fscore_support(labels, said)
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(table[name], column)
    np.testing.assert_array_equal(
        metrics.confusion(labels, logits), sk.confusion_matrix(labels, said)
    )


def test_a_class_that_is_never_seen_nor_said_counts_in_macro_f1() -> None:
    labels = np.array([0, 1])
    logits = np.array([[9.0, 0, 0], [0, 9.0, 0]])
    assert metrics.macro_f1(labels, logits) == pytest.approx(2 / 3)
    assert metrics.summary(labels, logits)["balanced_accuracy"] == 1.0


def test_calibration_error_of_known_confidence() -> None:
    logits = np.log(np.tile([[0.8, 0.2]], (10, 1)))
    labels = np.array([0] * 6 + [1] * 4)
    assert metrics.calibration_error(labels, logits) == pytest.approx(0.2)
    assert metrics.calibration_error(np.array([0] * 8 + [1] * 2), logits) == pytest.approx(0)


def test_a_perfect_model_scores_one_in_every_class() -> None:
    labels = np.arange(14) % 7
    table = metrics.per_class(labels, np.eye(7)[labels])
    assert all(value == 1 for name in ("precision", "recall", "f1") for value in table[name])
    assert table["support"] == [2] * 7
