"""Effects against what scipy and statsmodels compute, and against planted truth."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

import research
from research import stats
from research.errors import InvalidInput
from research.resolving import looks_of
from research.stats import dunnett, sequential

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
    # Where nothing varies nothing tells how sure an effect is.
    for one in (same, lower, *stats.many_to_one(scores, method="blocked_dunnett")):
        assert np.isnan([one.p, one.low, one.mde]).all() and one.verdict == "unresolved"
    assert (same.effect, lower.effect) == (0.0, pytest.approx(-0.1))


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


@pytest.mark.parametrize("contrasts", [1, 3, 8])
def test_dunnett_s_p_is_scipy_s_where_both_compute_it(contrasts: int) -> None:
    """scipy's is of unpaired groups: the same distribution, its own t and degrees of freedom."""
    generator = np.random.default_rng(contrasts)
    groups = generator.normal(0, 1, (contrasts + 1, 6))
    groups[1:] += np.linspace(0, 2, contrasts)[:, None]
    theirs = scipy_stats.dunnett(*groups[1:], control=groups[0], random_state=0)
    df = (contrasts + 1) * 5
    mine = [dunnett.adjusted_p(t, contrasts, df) for t in theirs.statistic]
    np.testing.assert_allclose(mine, theirs.pvalue, atol=2e-3)  # theirs is drawn at random
    critical = dunnett.critical_value(contrasts, df, 0.05)
    assert dunnett.adjusted_p(critical, contrasts, df) == pytest.approx(0.05, abs=1e-10)
    if contrasts == 1:  # one contrast: Student's t
        assert critical == pytest.approx(scipy_stats.t.ppf(0.975, df), abs=1e-8)


def test_a_blocked_dunnett_takes_out_what_seeds_share_and_finds_more() -> None:
    generator = np.random.default_rng(0)
    found = {"paired_t_holm": 0, "blocked_dunnett": 0}
    for _ in range(200):
        table = 0.7 + generator.normal(0, 0.006, (9, 5)) + generator.normal(0, 0.02, (1, 5))
        table[1] -= 2 * 0.006 * np.sqrt(2)  # d_z = 2
        for method in found:
            found[method] += stats.many_to_one(table, method=method)[0].verdict == "hurts"
    assert found["paired_t_holm"] < 0.6 * 200 and found["blocked_dunnett"] > 0.85 * 200
    table[:, 0] = np.nan
    assert all(one.n == 4 and not one.complete for one in _dunnett(table))
    assert _dunnett(table[:, :3])[0].n == 2 and np.isnan(_dunnett(table[:, :3])[0].p)
    even = 0.7 + np.zeros((3, 4))
    assert [(one.p_adjusted, one.verdict) for one in _dunnett(even)] == [(1.0, "equivalent")] * 2


def _dunnett(table: Floats) -> list[stats.Effect]:
    return stats.many_to_one(table, method="blocked_dunnett")


def test_a_cell_that_varies_more_is_seen_in_the_ratio_of_spreads() -> None:
    generator = np.random.default_rng(1)
    table = generator.normal(0, 0.006, (6, 8))
    assert stats.spread_ratio(table) < 2.5
    table[2] *= 10
    assert stats.spread_ratio(table) > 3


def test_predictions_widen_a_blocked_dunnett_too() -> None:
    generator = np.random.default_rng(2)
    right = generator.random((3, 5, 400)) < 0.7
    table = right.mean(2)
    table = table.mean(1, keepdims=True) + (table - table.mean(1, keepdims=True)) / 100
    alone = _dunnett(table)
    told = stats.many_to_one(table, correct=right, method="blocked_dunnett")
    for one, other in zip(alone, told, strict=True):
        assert other.high_adjusted - other.low_adjusted >= one.high_adjusted - one.low_adjusted


FULL = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])


def test_factorial_effects_are_those_of_least_squares() -> None:
    generator = np.random.default_rng(3)
    scores = generator.normal(0.7, 0.01, (8, 4)) + generator.normal(0, 0.02, (1, 4))
    scores -= 0.03 * FULL[:, :1] + 0.02 * FULL[:, :1] * FULL[:, 1:2]
    found = stats.factorial(scores, FULL)
    assert [term.factors for term, _ in found] == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    x = 2 * FULL - 1
    columns = [x[:, list(term.factors)].prod(1) for term, _ in found]
    seeds = np.kron(np.ones((8, 1)), np.eye(4))
    design = np.hstack([np.repeat(np.stack(columns, 1), 4, axis=0), seeds])
    fit = OLS(scores.ravel(), design).fit()
    for place, (_, effect) in enumerate(found):
        assert effect.effect == pytest.approx(2 * fit.params[place], abs=1e-10)
        assert effect.p == pytest.approx(fit.pvalues[place], abs=1e-10)
        bounds = 2 * fit.conf_int()[place]
        np.testing.assert_allclose([effect.low, effect.high], bounds, atol=1e-10)
        assert effect.kind == ("main" if place < 3 else "interaction")
    adjusted = multipletests(fit.pvalues[:6], method="holm")[1]
    np.testing.assert_allclose([e.p_adjusted for _, e in found], adjusted, atol=1e-10)


def test_a_factorial_tells_planted_effects() -> None:
    generator = np.random.default_rng(4)
    scores = generator.normal(0.7, 0.004, (8, 5))
    scores -= 0.03 * FULL[:, :1] + 0.02 * FULL[:, 1:2] * FULL[:, 2:]
    verdicts = {term.factors: one.verdict for term, one in stats.factorial(scores, FULL)}
    assert verdicts[0,] == "hurts" and verdicts[1, 2] == "hurts"
    assert verdicts[0, 1] == verdicts[0, 2] == "equivalent"
    scores[3, 1] = np.nan
    found = [one for _, one in stats.factorial(scores, FULL)]
    assert {one.n for one in found} == {4} and not any(one.complete for one in found)
    few = [one for _, one in stats.factorial(scores[:, :2], FULL)]
    assert all(np.isnan(one.p) and one.verdict == "unresolved" for one in few)


def test_a_factor_of_three_levels_has_an_effect_of_each_against_the_control() -> None:
    settings = np.array([[a, b] for a in range(3) for b in range(2)])
    scores = np.array([[0.7, 0.6, 0.5][a] - 0.1 * (a == 2) * b for a, b in settings])
    table = scores[:, None] + np.random.default_rng(5).normal(0, 1e-4, (6, 4))
    found = {(t.factors, t.levels): one.effect for t, one in stats.factorial(table, settings)}
    assert found[(0,), (1,)] == pytest.approx(-0.1, abs=1e-3)
    assert found[(0,), (2,)] == pytest.approx(-0.25, abs=1e-3)
    assert found[(1,), (1,)] == pytest.approx(-0.1 / 3, abs=1e-3)
    assert found[(0, 1), (2, 1)] == pytest.approx(-0.05, abs=1e-3)


def test_what_a_fraction_cannot_tell_apart_is_named() -> None:
    settings = np.array([[a, b, a ^ b ^ 1 ^ 1] for a in (0, 1) for b in (0, 1)])  # c = ab
    found = stats.terms(settings)
    assert [term.factors for term in found] == [(0,), (1,), (2,)]
    assert [term.aliases for term in found] == [((1, 2),), ((0, 2),), ((0, 1),)]
    with pytest.raises(InvalidInput, match="factors 1 and 0 are one"):
        stats.terms([[0, 0], [1, 1]])
    with pytest.raises(InvalidInput, match="no cell has the levels"):
        stats.terms([[0, 0], [1, 0], [0, 1]])


def test_predictions_make_a_factorial_s_intervals_no_narrower() -> None:
    generator = np.random.default_rng(6)
    right = generator.random((4, 4, 300)) < 0.7
    table = right.mean(2)
    settings = FULL[:4, 1:]
    alone, told = stats.factorial(table, settings), stats.factorial(table, settings, correct=right)
    for (_, one), (_, other) in zip(alone, told, strict=True):
        assert other.high - other.low >= one.high - one.low - 1e-12
    together = stats.factorial(table, settings, correct=right, clusters=np.arange(300) // 100)
    assert max(one.high - one.low for _, one in together) > max(
        one.high - one.low for _, one in told
    )


def test_the_share_of_false_findings_is_benjamini_s_and_hochberg_s() -> None:
    p = np.random.default_rng(7).random(20) ** 3
    theirs = multipletests(p, method="fdr_bh")[1]
    np.testing.assert_allclose(stats.benjamini_hochberg(list(p)), theirs, atol=1e-10)
    some = stats.benjamini_hochberg([0.01, float("nan"), 0.04])
    assert some[0] == pytest.approx(0.02) and np.isnan(some[1])
    assert np.isnan(stats.benjamini_hochberg([float("nan")])).all()


def test_two_runs_are_compared_by_mcnemar_s_exact_test() -> None:
    generator = np.random.default_rng(8)
    one = generator.random(500) < 0.7
    other = one ^ (generator.random(500) < 0.1)
    table = [[(one & other).sum(), (one & ~other).sum()], [(~one & other).sum(), 0]]
    assert stats.mcnemar(one, other) == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-12)
    assert stats.mcnemar(one, one) == 1.0
    with pytest.raises(InvalidInput, match="shapes"):
        stats.mcnemar(one, one[:-1])


def test_the_probability_of_improvement_is_mann_s_and_whitney_s() -> None:
    generator = np.random.default_rng(9)
    mine, theirs = generator.normal(1, 1, 7), generator.normal(0, 1, 5)
    u = scipy_stats.mannwhitneyu(mine, theirs).statistic
    assert stats.probability_of_improvement(mine, theirs) == pytest.approx(u / 35)
    assert stats.probability_of_improvement([1.0, np.nan], [1.0]) == 0.5
    assert np.isnan(stats.probability_of_improvement([np.nan], [1.0]))


@pytest.mark.parametrize(("sd", "n"), [(0.006, 5), (0.006, 10), (0.003, 5)])
def test_the_chance_of_equivalent_is_that_of_simulations(sd: float, n: int) -> None:
    generator = np.random.default_rng(10)
    drawn = generator.normal(0, sd, (4000, n))
    half = scipy_stats.t.ppf(0.95, n - 1) * drawn.std(axis=1, ddof=1) / np.sqrt(n)
    ended = (np.abs(drawn.mean(1)) + half < 0.01).mean()
    assert stats.chance_of_equivalent(sd, n) == pytest.approx(ended, abs=0.03)
    assert stats.chance_of_equivalent(0.0, n) == 1.0 and stats.chance_of_equivalent(sd, 1) == 0.0


def test_boundaries_spend_what_they_should_at_every_look() -> None:
    generator = np.random.default_rng(11)
    sums = generator.normal(size=(200_000, 12)).cumsum(axis=1)
    looks, reached = (3, 5, 8, 12), np.zeros(200_000, dtype=bool)
    for sides in (1, 2):
        reached[:] = False
        bounds = sequential.boundaries(looks, 12, 0.05, sides)
        for look, bound in zip(looks, bounds, strict=True):
            z = sums[:, look - 1] / np.sqrt(look)
            reached |= (z if sides == 1 else np.abs(z)) >= bound
            spent = 0.05 / sequential.INFLATION * (look / 12) ** 2
            assert reached.mean() == pytest.approx(spent, abs=0.0015)
    (alone,) = sequential.boundaries((12,), 12, 0.05)
    assert alone == pytest.approx(scipy_stats.norm.ppf(0.975), abs=1e-6)


def test_the_p_of_all_looks_is_uniform_where_there_is_no_effect() -> None:
    generator = np.random.default_rng(12)
    looks, found = (3, 5, 7, 9), []
    for _ in range(100):
        drawn = generator.normal(size=9)
        p = [scipy_stats.ttest_1samp(drawn[:n], 0).pvalue for n in looks]
        found.append(sequential.sequential_p(p, looks, 9))
    for alpha in (0.05, 0.2, 0.5):
        assert np.mean(np.array(found) <= alpha) <= alpha + 2.5 * np.sqrt(alpha / 100)
    assert sequential.sequential_p([0.03], (9,), 9) == pytest.approx(0.03, rel=1e-3)


RULE = stats.Rule((3, 5, 7, 9), 9)


def test_rounds_find_planted_effects_and_keep_their_error() -> None:
    generator = np.random.default_rng(13)
    false = found = 0
    for _ in range(25):
        table = 0.7 + generator.normal(0, 0.006, (5, 9))
        table[1] -= 0.02
        table[3, 5:] = np.nan  # was stopped after five
        effects = stats.in_rounds(table, RULE)
        found += effects[0].verdict == "hurts"
        false += any(one.verdict in ("hurts", "helps") for one in effects[1:])
        assert effects[2].n == 5 and not effects[2].complete
        told = stats.in_rounds(table, RULE, expected=[9, 9, 5, 9])
        assert all(one.complete for one in told)
    assert found > 18 and false <= 4


def test_intervals_of_rounds_are_wider_and_tighten_to_what_one_look_gives() -> None:
    generator = np.random.default_rng(14)
    table = 0.7 + generator.normal(0, 0.006, (3, 9))
    once, rounds = stats.many_to_one(table), stats.in_rounds(table, RULE)
    only = stats.in_rounds(table, stats.Rule((9,), 9))
    for one, other, alone in zip(once, rounds, only, strict=True):
        assert other.high - other.low > one.high - one.low
        np.testing.assert_allclose([alone.low, alone.high], [one.low, one.high], atol=1e-6)
        assert alone.p == pytest.approx(one.p, rel=1e-3)
    right = generator.random((3, 9, 200)) < 0.7
    told = stats.in_rounds(table, RULE, correct=right)
    assert all(a.high - a.low >= b.high - b.low for a, b in zip(told, rounds, strict=True))
    same = stats.in_rounds(0.7 + np.zeros((2, 9)), RULE)
    assert same[0].verdict == "unresolved" and np.isnan(same[0].low)
    table[1, 4] = np.nan  # a hole: what is before it counts, as one look
    holed, whole = stats.in_rounds(table, RULE)
    assert (holed.n, holed.complete, whole.n, whole.complete) == (3, False, 9, True)
    assert holed.effect == pytest.approx((table[1, :3] - table[0, :3]).mean())
    table[1, 0] = np.nan
    none = stats.in_rounds(table, RULE)[0]
    assert np.isnan(none.low) and none.verdict == "unresolved" and not none.complete
    few = stats.in_rounds(table[:, :2], stats.Rule((3,), 9))
    assert np.isnan(few[0].low) and few[0].verdict == "unresolved"


def test_the_chance_to_decide_falls_with_what_is_hopeless() -> None:
    rule = stats.Rule((3, 5), 9)

    def chance(effect: float, error: float = 0.003, fixed: float = 0.0) -> float:
        one = stats.Effect(n=5, effect=effect)
        return stats.chance_to_decide(one, error, fixed, rule, contrasts=3, margin=0.01)

    assert chance(0.03) > 0.99 and chance(0.0, 0.001) > 0.99
    assert chance(0.007, 0.006) < 0.35 and chance(0.03, 0.03, fixed=0.03**2) < 0.05
    assert chance(0.0, 0.0) == 0.0  # every seed alike: more of them tell nothing


@pytest.mark.parametrize("images", [0.0, 0.0025**2])
def test_seeds_to_detect_are_the_fewest_on_new_images(images: float) -> None:
    n = stats.seeds_to_detect(0.012, 0.0071, images, contrasts=4)
    assert n is not None
    for count, enough in ((n - 1, False), (n, True)):
        found = stats.expected(0.0071, count, images)
        assert (stats.detectable(found, alpha=0.05 / 4) <= 0.012) == enough
    if not images:
        assert n == stats.seeds_needed(0.012, 0.0071, contrasts=4)
    assert stats.seeds_to_detect(0.001, 0.0071, 0.0025**2) is None
    assert stats.chance_of_equivalent(0.0071, 5, images=1e-5) < stats.chance_of_equivalent(
        0.0071, 5
    )


def test_terms_of_a_factorial_keep_their_power_where_answers_are_known() -> None:
    generator = np.random.default_rng(21)
    settings = [[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    found = alarms = 0
    for _ in range(60):
        ease = generator.normal(size=1500)
        hits = ease + generator.normal(0, 0.2, (8, 3, 1500)) > -0.6
        null = np.asarray(hits.mean(2) + generator.normal(0, 0.006, (8, 3)))
        effects = stats.factorial(null, settings, correct=hits)
        alarms += any(one.verdict in ("hurts", "helps") for _, one in effects)
        real = null - 0.01 * np.array([row[0] for row in settings])[:, None]
        found += stats.factorial(real, settings, correct=hits)[0][1].verdict == "hurts"
    assert found > 24 and alarms <= 9  # 40 % at least; of 60 with 5 % more than 9 are 1 in 1,000


def test_terms_that_cannot_be_told_apart_have_signs() -> None:
    table = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    for term in stats.terms(table):
        for members, sign in zip(term.aliases, term.signs, strict=True):
            product = np.prod([2 * table[:, one] - 1 for one in members], axis=0)
            own = np.prod([2 * table[:, one] - 1 for one in term.factors], axis=0)
            assert (np.sign(term.weights) == own).all() and (product == sign * own).all()


def test_the_simulated_rule_of_rounds_is_the_program_s() -> None:
    place = Path(__file__).parents[1] / "scripts" / "calibrate_statistics.py"
    spec = importlib.util.spec_from_file_location("calibrate_statistics", place)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    generator, most = np.random.default_rng(31), 9
    looks = looks_of(most)
    for real in (0, 2, 3):
        differences = generator.normal(size=(3, most))
        differences[:real] += 2.0
        rejected, runs = script.one_study(differences, looks, most)
        table = np.vstack([np.zeros(most), differences])
        given, shown = dict.fromkeys(range(3), most), set()
        for number, look in enumerate(looks):
            rule = stats.Rule(looks[: number + 1], most)
            have = [look, *(min(given[row], look) for row in range(3))]
            seen = np.where(np.arange(look) < np.array(have)[:, None], table[:, :look], np.nan)
            found = stats.in_rounds(seen, rule, margin=1e-9, expected=[given[r] for r in range(3)])
            decided = [one.verdict in ("hurts", "helps") for one in found]
            left = 3 - sum(decided)
            for row, one in enumerate(found):
                error = stats.spread(differences[row, :look]).error
                ends = decided[row] or look == most
                if row not in shown and (
                    ends
                    or stats.chance_to_decide(one, error, 0, rule, contrasts=left, margin=1e-9)
                    < stats.FUTILE
                ):
                    given[row] = look
                    shown.add(row)
            last = look
            if len(shown) == 3:
                break
        assert decided == list(rejected)
        assert sum(given.values()) + last == runs
