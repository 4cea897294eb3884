"""A contract over every loss, and the definitions that are easily got wrong."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

import research
from research import registry
from research.augment.mixing import Mixed
from research.errors import InvalidInput
from research.training import _loss

LOSSES = registry.losses.names()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(64, 7, generator=generator)
    return logits, torch.randint(0, 7, (64,), generator=generator)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_a_scalar_of_labels_or_probabilities(
    name: str, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    logits, labels = batch
    loss = research.build_loss(name, label_smoothing=0.1)
    hard = loss(logits, labels)
    soft = loss(logits, functional.one_hot(labels, 7).float())
    assert hard.shape == () and torch.isfinite(hard) and hard > 0
    torch.testing.assert_close(soft, hard)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_a_loss_and_its_gradient_stay_finite(name: str, scale: float) -> None:
    logits = (scale * torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])).requires_grad_()
    research.build_loss(name)(logits, torch.tensor([0, 1])).backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_loss_of_mixed_labels_is_its_two_terms(
    name: str, smoothing: float, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    logits, first = batch
    second, lam = first.flip(0), 0.3
    loss = research.build_loss(name, label_smoothing=smoothing)
    two_terms = _loss(loss, logits, Mixed(first, second, lam))
    one_hot = [functional.one_hot(labels, 7).float() for labels in (first, second)]
    blended = loss(logits, lam * one_hot[0] + (1 - lam) * one_hot[1])
    torch.testing.assert_close(two_terms, blended)


@pytest.mark.parametrize("alpha", [None, 1.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_without_focus_is_cross_entropy(
    alpha: float | None, smoothing: float, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    focal = research.build_loss("focal", gamma=0.0, alpha=alpha, label_smoothing=smoothing)
    plain = functional.cross_entropy(*batch, label_smoothing=smoothing)
    assert torch.equal(focal(*batch), plain)


def test_focal_is_its_definition(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    alpha = [0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    p = logits.softmax(1)[torch.arange(64), labels]
    expected = (-torch.tensor(alpha)[labels] * (1 - p) ** 2 * p.log()).mean()
    torch.testing.assert_close(research.build_loss("focal", gamma=2, alpha=alpha)(*batch), expected)


def test_a_scalar_alpha_only_scales(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    one, quarter = (research.build_loss("focal", alpha=alpha)(*batch) for alpha in (1.0, 0.25))
    torch.testing.assert_close(quarter, one / 4)


def test_weighted_cross_entropy_divides_by_the_sum_of_weights(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, labels = batch
    weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    each = functional.cross_entropy(logits, labels, reduction="none")
    weights = torch.tensor(weight)[labels]
    loss = research.build_loss("cross_entropy", weight=weight)
    torch.testing.assert_close(loss(logits, labels), (weights * each).sum() / weights.sum())


def test_balanced_weights_average_to_one_over_the_training_images() -> None:
    counts = [3995, 436, 4097, 7215, 4830, 3171, 4965]
    loss = research.build_loss("cross_entropy", weight="balanced", class_counts=counts)
    weights = loss.weight
    average = (weights * torch.tensor(counts)).sum() / sum(counts)
    assert math.isclose(float(average), 1.0, rel_tol=1e-6)
    assert math.isclose(float(weights[1] / weights[3]), 7215 / 436, rel_tol=1e-5)
    with pytest.raises(InvalidInput, match="class counts"):
        research.build_loss("cross_entropy", weight="balanced")


@pytest.mark.parametrize(("name", "what"), [("cross_entropy", "weight"), ("focal", "alpha")])
def test_weights_of_another_length_never_broadcast(name: str, what: str) -> None:
    loss = research.build_loss(name, **{what: [1.0, 2.0, 3.0]})
    with pytest.raises(InvalidInput, match="3 values for 7 classes"):
        loss(torch.zeros(3, 7), torch.tensor([0, 1, 2]))


def test_unknown_losses_and_wrong_values_are_told() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'focal'"):
        research.build_loss("fcal")
    with pytest.raises(InvalidInput, match="greater than or equal to 0"):
        research.build_loss("focal", gamma=-1.0)


@pytest.mark.parametrize("name", LOSSES)
def test_smoothing_may_be_shared_by_the_other_classes_alone(
    name: str, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    logits, labels = batch
    classes = logits.shape[1]
    wanted = torch.full_like(logits, 0.1 / (classes - 1)).scatter_(1, labels[:, None], 0.9)
    others = research.build_loss(name, label_smoothing=0.1, smoothed_over="others")(logits, labels)
    torch.testing.assert_close(others, research.build_loss(name)(logits, wanted))
    usual = research.build_loss(name, label_smoothing=0.1 * classes / (classes - 1))(logits, labels)
    torch.testing.assert_close(others, usual)
    with pytest.raises(InvalidInput, match="would get less than they"):
        research.build_loss(name, label_smoothing=0.95, smoothed_over="others")(logits, labels)
