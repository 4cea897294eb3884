"""Numbers to words: what a report, a note and the terminal say of an effect, in the same terms."""

from __future__ import annotations

import math

from research.reporting.frame import Frame
from research.stats import MIN_SEEDS, Effect

TESTED_ON_VAL = (
    "The test images are the validation images, as this protocol was published: the scores are of "
    "images that chose the epoch, and are too high."
)


def percent(value: float, digits: int = 1) -> str:
    """A fraction as percent, or a dash."""
    return f"{100 * value:.{digits}f}" if math.isfinite(value) else "–"


def points(value: float) -> str:
    """A difference of fractions as signed percentage points, or a dash."""
    if not math.isfinite(value):
        return "–"
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def interval(low: float, high: float) -> str:
    """Two bounds as percentage points."""
    return f"{points(low)} to {points(high)}" if math.isfinite(low) else "–"


def p_text(p: float) -> str:
    """A p-value with three decimals."""
    if not math.isfinite(p):
        return "–"
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def amount(value: float) -> str:
    """A count with thousands, millions or billions."""
    if not math.isfinite(value):
        return "–"
    for scale, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= scale:
            return f"{value / scale:.2f}{unit}".replace("-", "−")
    return f"{value:.0f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def metric_name(metric: str) -> str:
    """``test/macro_f1`` to ``test macro F1``."""
    return metric.replace("/", " ").replace("_", " ").replace("f1", "F1")


def term_name(effect: Effect) -> str:
    """What a comparison is called in a table or picture."""
    return effect.cell if effect.kind == "contrast" else " x ".join(effect.cell.split("__"))


def named(effect: Effect) -> str:
    """What a comparison is called in a sentence."""
    factors, levels = effect.factor.split(), effect.level.split()
    parts = [f"{name} {level}" for name, level in zip(factors, levels, strict=True)]
    if effect.kind == "main":
        return f"{parts[0]} (on average over the other factors)"
    return f"{' with '.join(parts)} (interaction)" if effect.kind == "interaction" else effect.cell


def _together(effect: Effect, frame: Frame) -> str:
    """What an interaction came to: how much more or less two changes do than each by itself."""
    metric = metric_name(frame.study.metric)
    bounds = (
        f"95 % interval {interval(effect.low, effect.high)}, adjusted p {p_text(effect.p_adjusted)}"
    )
    if effect.n < MIN_SEEDS:
        return f"{named(effect)}: {points(effect.effect)} points of {metric}; no verdict yet."
    if effect.verdict in ("hurts", "helps"):
        how = "less" if effect.effect < 0 else "more"
        return (
            f"{named(effect)}: the two together give {metric} {how} than the sum of each alone, by "
            f"{points(2 * effect.effect)} points; as an effect {points(effect.effect)} ({bounds})."
        )
    if effect.verdict == "equivalent":
        margin = percent(frame.study.margin)
        return f"{named(effect)}: none beyond ±{margin} points ({bounds})."
    return (
        f"{named(effect)} is not decided: {points(effect.effect)} points ({bounds}); one of "
        f"{percent(effect.mde)} points would be found in 4 of 5 studies."
    )


def sentence(effect: Effect, frame: Frame) -> str:
    """What one comparison came to, in a sentence."""
    if effect.kind == "interaction" and effect.n:
        return _together(effect, frame)
    what = f"{metric_name(frame.study.metric)} by {points(effect.effect)} points"
    bounds = (
        f"95 % interval {interval(effect.low, effect.high)}, adjusted p {p_text(effect.p_adjusted)}"
    )
    if effect.n == 0:
        return f"{named(effect)}: no finished pair of runs yet."
    if effect.n < MIN_SEEDS:
        seeds = f"{effect.n} seed{'s' if effect.n > 1 else ''}"
        return f"{named(effect)}: changes {what}; no verdict under {MIN_SEEDS} seeds ({seeds})."
    if effect.verdict in ("hurts", "helps"):
        small = ", but within the margin: negligible" if effect.negligible else ""
        return f"{named(effect)} {effect.verdict}: it changes {what} ({bounds}){small}."
    margin = percent(frame.study.margin)
    if effect.verdict == "equivalent":
        return f"{named(effect)} makes no difference beyond ±{margin} points ({bounds})."
    return (
        f"{named(effect)} is not decided: {points(effect.effect)} points ({bounds}); with these "
        f"runs an effect of {percent(effect.mde)} points would be found in 4 of 5 studies."
    )
