"""A study's effects as a LaTeX table (booktabs), ready to be put into a paper."""

from __future__ import annotations

from collections.abc import Sequence

from research.designs import generators, is_crossed
from research.reporting import wording
from research.reporting.frame import Frame
from research.reporting.tables import verdict_text
from research.stats import Effect, mean_and_sd

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL |= {"<": "$<$", ">": "$>$"} | {mark: f"\\{mark}" for mark in "&%$#_{}"}


def table(frame: Frame, effects: Sequence[Effect]) -> str:
    """Effects to a whole ``table`` environment; needs the package booktabs."""
    metric = wording.metric_name(frame.study.metric)
    control, _, n = _control(frame)
    lines = [
        "% \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{escaped(_caption(frame, metric, control, n))}}}",
        f"  \\label{{tab:{frame.study.name}}}",
        r"  \begin{tabular}{lrrrrl}",
        r"    \toprule",
        r"    & effect & 95\,\% interval & $p$ (adj.) & detectable & verdict \\",
        r"    \midrule",
    ]
    lines += [f"    {_row(effect)} \\\\" for effect in effects]
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text without what LaTeX would take for a command."""
    made = "".join(SPECIAL.get(mark, mark) for mark in text)
    return made.replace("−", "$-$").replace("±", r"$\pm$").replace("–", "--")


def _row(effect: Effect) -> str:
    mark = "" if effect.complete else " (incomplete)"
    mark += f" [or {effect.alias}]" if effect.alias else ""
    columns = [
        wording.term_name(effect) + mark,
        wording.points(effect.effect),
        wording.interval(effect.low, effect.high),
        wording.p_text(effect.p_adjusted),
        wording.percent(effect.mde),
        verdict_text(effect),
    ]
    return " & ".join(escaped(column) for column in columns)


def _control(frame: Frame) -> tuple[float, float, int]:
    scores = frame.table(["control"], frame.study.metric)[0]
    mean, sd = mean_and_sd(scores)
    return mean, sd, int((scores == scores).sum())


def _caption(frame: Frame, metric: str, control: float, n: int) -> str:
    warning = "SYNTHETIC data. " if frame.synthetic else ""
    data = frame.plan["data"]
    if is_crossed(frame.study):
        part = frame.study.design == "fractional_factorial"
        named = ", ".join(generators(frame.study)) if part else ""
        of = f"a fraction of it ({named})" if named else "every combination"
        return (
            f"{warning}{frame.study.title or frame.study.name}: main effects and interactions on "
            f"{metric}, percentage points, of a two-level factorial, {of}; {len(frame.seeds)} "
            f"seeds. {data['images']['test']} test images; margin "
            f"±{wording.percent(frame.study.margin)} points; detectable with 80 % power."
        )
    return (
        f"{warning}{frame.study.title or frame.study.name}: change in {metric}, percentage points, "
        f"against the control ({wording.percent(control)} %, {n} seeds). "
        f"{data['images']['test']} test images; margin ±{wording.percent(frame.study.margin)} "
        f"points; detectable with 80 % power."
    )
