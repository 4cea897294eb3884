"""Effects against what scipy and statsmodels compute, and against planted truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

import research
from research import stats
from research.errors import InvalidInput

Floats = NDArray[np.float64]


def table(cells: int = 9, seeds: int = 5, sd: float = 0.006) -> Floats:
    return np.random.default_rng(0).normal(0.7, sd, (cells, seeds))


def test_p_values_and_intervals_are_those_of_paired_t_tests() -> None:
    scores = table()
    for row, effect in enumerate(research.stats.many_to_one(scores), start=1):
        expected = scipy_stats.ttest_rel(scores[row], scores[0])
        low, high = expected.confidence_interval(0.95)
        assert effect.p == pytest.approx(expected.pvalue, abs=1e-10)
        assert (effect.low, effect.high) == pytest.approx((low, high), abs=1e-10)
        wide = expected.confidence_interval(1 - 0.05 / 8)
        assert (effect.low_adjusted, effect.high_adjusted) == pytest.approx(tuple(wide), abs=1e-10)
        assert effect.mean == pytest.approx(scores[row].mean())
        assert effect.sd == pytest.approx(scores[row].std(ddof=1))


def test_the_correction_is_holm_s() -> None:
    effects = stats.many_to_one(table())
    _, expected, _, _ = multipletests([effect.p for effect in effects], method="holm")
    np.testing.assert_allclose([effect.p_adjusted for effect in effects], expected, atol=1e-10)
    assert stats.holm([]) == []


@pytest.mark.parametrize(("contrasts", "n"), [(1, 5), (8, 5), (8, 10)])
def test_the_detectable_effect_is_found_with_its_power(contrasts: int, n: int) -> None:
    found = stats.detectable(stats.Spread(1 / np.sqrt(n), n - 1), alpha=0.05 / contrasts)
    power = TTestPower().power(found, n, 0.05 / contrasts, alternative="two-sided")
    assert power == pytest.approx(0.8, abs=2e-3)


@pytest.mark.parametrize(("effect", "contrasts"), [(2.0, 1), (1.0, 1), (1.0, 8), (0.3, 8)])
def test_the_seeds_needed_are_the_fewest(effect: float, contrasts: int) -> None:
    n = research.stats.seeds_needed(effect, 1.0, contrasts=contrasts)
    power = TTestPower().power
    assert power(effect, n, 0.05 / contrasts) >= 0.8 - 2e-3
    if n > 60:
        n -= n // 50  # where many are needed they are counted in steps
    if n > 3:
        assert power(effect, n - 1, 0.05 / contrasts) < 0.8
    with pytest.raises(InvalidInput):
        stats.seeds_needed(0.0, 1.0)


def test_planted_effects_get_their_verdicts() -> None:
    scores = table(seeds=10, sd=0.003)
    scores[1] -= 0.05
    scores[2] += 0.05
    scores[3] = scores[0] - 0.004 + np.random.default_rng(1).normal(0, 1e-4, 10)
    effects = stats.many_to_one(scores, margin=0.01)
    assert [effect.verdict for effect in effects[:3]] == ["hurts", "helps", "hurts"]
    assert [effect.negligible for effect in effects[:3]] == [False, False, True]
    assert {effect.verdict for effect in effects[3:]} <= {"equivalent", "unresolved"}
    assert "equivalent" in {effect.verdict for effect in effects[3:]}


@pytest.mark.parametrize("seeds", [1, 2])
def test_under_three_seeds_there_is_only_the_difference(seeds: int) -> None:
    scores = np.array([[0.7] * seeds, [0.5] * seeds])
    (effect,) = stats.many_to_one(scores)
    assert effect.effect == pytest.approx(-0.2) and effect.verdict == "unresolved"
    assert np.isnan([effect.p, effect.low, effect.high, effect.mde]).all()


def test_missing_seeds_are_left_out_in_pairs_and_told() -> None:
    scores = table(cells=3, seeds=6)
    scores[1, 4:] = np.nan
    scores[2] = np.nan
    one, none = stats.many_to_one(scores)
    assert (one.n, one.complete, none.n) == (4, False, 0)
    expected = scipy_stats.ttest_rel(scores[1, :4], scores[0, :4])
    assert one.p == pytest.approx(expected.pvalue)
    assert one.p_adjusted == pytest.approx(min(1, 2 * expected.pvalue))  # two declared
    assert np.isnan(none.effect)


def test_equal_runs_and_a_constant_difference_are_no_division_by_zero() -> None:
    scores = np.array([[0.5, 0.6, 0.7], [0.5, 0.6, 0.7], [0.4, 0.5, 0.6]])
    same, lower = stats.many_to_one(scores)
    assert (same.p, same.verdict, same.mde) == (1.0, "equivalent", 0.0)
    assert lower.verdict == "hurts"


def crossed(
    generator: np.random.Generator, seeds: int, images: int, sd: tuple[float, float, float]
) -> Floats:
    """Differences with random seeds, images and rest."""
    normal = generator.normal
    return (
        normal(0, sd[0], (seeds, 1))
        + normal(0, sd[1], (1, images))
        + normal(0, sd[2], (seeds, images))
    )


@pytest.mark.parametrize("sd", [(0.0, 0.22, 0.3), (0.006, 0.22, 0.3), (0.02, 0.0, 0.3)])
def test_intervals_over_seeds_and_images_cover(sd: tuple[float, float, float]) -> None:
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(1000):
        hits = crossed(generator, 5, 800, sd)
        found = stats.spread(hits.mean(1), hits)
        covered += abs(hits.mean()) < found.error * stats.t_quantile(0.975, found.df)
    assert 0.93 < covered / 1000 < 0.975


def test_the_variance_of_seeds_alone_alarms_too_often_where_images_differ() -> None:
    """Why the test images belong to the error: they are a sample too."""
    generator = np.random.default_rng(5)
    alarms = {"seeds": 0, "both": 0}
    for _ in range(400):
        hits = crossed(generator, 10, 800, (0.0, 0.3, 0.2))
        for name, given in (("seeds", None), ("both", hits)):
            found = stats.spread(hits.mean(1), given)
            alarms[name] += abs(hits.mean()) > found.error * stats.t_quantile(0.975, found.df)
    assert alarms["seeds"] / 400 > 0.2
    assert alarms["both"] / 400 < 0.08


def test_predictions_widen_the_interval_they_are_given_to() -> None:
    generator = np.random.default_rng(6)
    likely = generator.uniform(0.2, 1, size=(3, 1, 500))  # cells find other images easy
    correct = generator.uniform(size=(3, 8, 500)) < likely
    scores = correct.mean(2)
    alone = stats.many_to_one(scores)
    both = stats.many_to_one(scores, correct=correct)
    for one, other in zip(alone, both, strict=True):
        assert one.effect == pytest.approx(other.effect)
        assert other.high - other.low > one.high - one.low


@pytest.mark.parametrize(
    ("scores", "more"),
    [
        (np.zeros(5), {}),
        (np.zeros((2, 5)), {"correct": np.zeros((2, 4, 10), bool)}),
        (np.zeros((2, 5)), {"method": "dunnet"}),
    ],
)
def test_what_is_no_table_is_refused(scores: Floats, more: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        stats.many_to_one(scores, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_family_wise_error_holds_with_few_seeds(seeds: int) -> None:
    """Eight contrasts whose runs differ by luck alone: seeds, images and both."""
    generator = np.random.default_rng(5)
    studies, wrong, outside = 200, 0, 0
    for _ in range(studies):
        chance = np.clip(
            0.6 + generator.normal(0, 0.25, 400) + generator.normal(0, 0.011, (9, seeds, 1)), 0, 1
        )
        correct = generator.random((9, seeds, 400)) < chance
        found = stats.many_to_one(correct.mean(2), correct=correct)
        wrong += any(one.verdict in ("hurts", "helps") for one in found)
        outside += sum(not one.low <= 0 <= one.high for one in found)
    assert wrong / studies < 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
    assert outside / (8 * studies) < 0.065
