"""Numbers to words: what a report, a note and the terminal say of an effect, in the same terms."""

from __future__ import annotations

import math

from research.reporting.frame import Frame
from research.stats import MIN_SEEDS, Effect

TESTED_ON_VAL = (
    "The test images are the validation images, as this protocol was published: the scores are of "
    "images that chose the epoch, and are too high."
)


NOTHING_VARIES = "no verdict: it is the same in every seed, so nothing tells how sure it is"
HOPELESS = 0.3  # an effect that is found only when it is so large is no effect of a part


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
    if effect.kind == "contrast":
        return effect.cell
    alias = f"; not told apart from {effect.alias}" if effect.alias else ""
    if effect.kind == "main":
        return f"{parts[0]} (on average over the other factors{alias})"
    return f"{' with '.join(parts)} (interaction{alias})"


def _together(effect: Effect, frame: Frame) -> str:
    """What an interaction came to: how much more or less two changes do than each by itself."""
    metric = metric_name(frame.study.metric)
    bounds = (
        f"95 % interval {interval(effect.low, effect.high)}, adjusted p {p_text(effect.p_adjusted)}"
    )
    if effect.n < MIN_SEEDS:
        return f"{named(effect)}: {points(effect.effect)} points of {metric}; {_too_few(effect)}."
    if not math.isfinite(effect.p):
        return f"{named(effect)}: {points(effect.effect)} points of {metric}; {NOTHING_VARIES}."
    if effect.verdict in ("hurts", "helps"):
        how = "less" if effect.effect < 0 else "more"
        return (
            f"{named(effect)}: the two together give {metric} {how} than the sum of each alone, by "
            f"{points(2 * effect.effect)} points; as an effect, which is half of that, "
            f"{points(effect.effect)} ({bounds})."
        )
    if effect.verdict == "equivalent":
        double = percent(2 * frame.study.margin)
        return (
            f"{named(effect)}: the two together are within ±{double} points of the sum of each "
            f"alone; as an effect, which is half of that, {points(effect.effect)} ({bounds})."
        )
    return (
        f"{named(effect)} is not decided: {points(effect.effect)} points ({bounds}); "
        f"{_detectable(effect)}."
    )


def _too_few(effect: Effect) -> str:
    """Why there is no verdict of so few seeds."""
    seeds = f"{effect.n} seed{'s' if effect.n > 1 else ''}"
    return f"no verdict under {MIN_SEEDS} seeds ({seeds})"


def _detectable(effect: Effect) -> str:
    """How large an effect these runs could have found."""
    if effect.mde > HOPELESS:
        return "these runs could hardly have found any effect: more seeds, or more test images"
    return f"an effect of {percent(effect.mde)} points would be found in 4 of 5 such studies"


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
        return f"{named(effect)}: changes {what}; {_too_few(effect)}."
    but = f" But it {effect.caution}." if effect.caution.startswith(("has", "answers")) else ""
    but = f" But {effect.caution}." if effect.caution and not but else but
    if not math.isfinite(effect.p):
        return f"{named(effect)}: changes {what}; {NOTHING_VARIES}.{but}"
    if effect.verdict in ("hurts", "helps"):
        small = ", but within the margin: negligible" if effect.negligible else ""
        return f"{named(effect)} {effect.verdict}: it changes {what} ({bounds}){small}.{but}"
    margin = percent(frame.study.margin)
    if effect.verdict == "equivalent":
        return f"{named(effect)} makes no difference beyond ±{margin} points ({bounds}).{but}"
    return (
        f"{named(effect)} is not decided: {points(effect.effect)} points ({bounds}); "
        f"{_detectable(effect)}.{but}"
    )
