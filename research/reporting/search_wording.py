"""What a search came to, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from research.reporting import wording
from research.reporting.search_tables import best_trial, counts, named, score

Content = Mapping[str, Any]


def told(content: Content) -> list[str]:
    """What the search came to, in sentences."""
    number = counts(content)
    metric = wording.metric_name(content["metric"])
    best = best_trial(content)
    ended = ", ".join(f"{count} {state}" for state, count in number.items() if count)
    many = sum(number.values())
    asked = f"{many} trials" if many >= content["asked"] else f"{many} of {content['asked']} trials"
    lines = [f"{asked}: {ended or 'none has ended'}."]
    if best is None:
        return [*lines, "No trial was trained to its end, so there is nothing to recommend."]
    values = [t["value"] for t in content["trials"] if t["state"] == "finished"]
    if len(values) > 1 and len(set(values)) == 1:
        lines.append(
            f"All {len(values)} that were trained to their end have the same {metric}, "
            f"{score(content, values[0])}: nothing that was sought mattered, or nothing was learnt."
        )
        return [*lines, *_of_confirmation(content)]
    lines.append(
        f"Trial {best['number']} was the best: {metric} {score(content, best['value'])}. The best "
        "of many trials is partly luck, so this is too good to be expected again."
    )
    return [*lines, *_of_confirmation(content)]


def _of_confirmation(content: Content) -> list[str]:
    """What fresh seeds made of the best, against the start."""
    metric = wording.metric_name(content["metric"])
    if not content["confirmed"]:
        if not content["confirm"]:
            return ["Nothing was confirmed with fresh seeds: --confirm 0.", *_of_test(content)]
        why = "no setting but the start was trained to its end, or it was stopped before"
        return [f"Nothing was confirmed with fresh seeds: {why}.", *_of_test(content)]
    if content["winner"] is None:
        return ["No setting has a score with every fresh seed, so none is confirmed."]
    one = next(c for c in content["confirmed"] if c["cell"] == content["winner"])
    n = len(one["scores"])
    bounds = f"{score(content, one['low'])} to {score(content, one['high'])}"
    means = [c["mean"] for c in content["confirmed"]]
    equal = means.count(one["mean"]) > 1
    lines = [
        f"With {n} fresh seeds {named(content['winner'])} is "
        f"{'as good as any' if equal else 'the best'} of the {len(means)} confirmed: {metric} "
        f"{score(content, one['mean'])} (95 % interval of the mean over seeds {bounds}). As the "
        "best of several, on images that the search chose by, this too leans a little high."
    ]
    many = len(content["trials"])
    if content["confirmed_of"] < min(many, content["asked"]):
        lines.append(f"That was after {content['confirmed_of']} trials; there are {many} now.")
    lines += [_against(content, effect) for effect in content["effects"]]
    return [*lines, *_of_test(content)]


def _of_test(content: Content) -> list[str]:
    """What the test split said, where that was asked."""
    if content["data"]["tested_on_val"]:
        return ["The test images are the validation images, which the search chose by."]
    openings = content["tested"]["openings"]
    if not openings:
        return ["All of it is on validation images; the test split was not opened."]
    scores = openings[-1]["scores"]
    metric = wording.metric_name(content["tested"]["metric"])
    lines = []
    for cell, values in scores.items():
        known = [value for value in values if math.isfinite(value)]
        mean = sum(known) / len(known) if known else math.nan
        each = ", ".join(wording.percent(value) for value in values)
        name = named(cell)
        lines.append(
            f"{name[0].upper()}{name[1:]} has {metric} {wording.percent(mean)} % ({each})."
        )
    first = f"What was confirmed after {openings[-1]['trials']} trials was tested, on request."
    if len(openings) > 1:
        first += (
            f" The test split had been opened for this search {len(openings) - 1} times before: "
            "what was chosen since is chosen after the test was seen."
        )
    if content["folds"] is not None:
        lines.append(
            "The study has folds: images of other folds' tests were among those sought on."
        )
    return [first, *lines]


def _against(content: Content, effect: Content) -> str:
    """One confirmed setting against the start."""
    name = named(effect["cell"])
    if content["metric"] == "val/loss":
        change = f"{effect['effect']:+.4f} of loss it falls by"
        bounds = f"{effect['low']:+.4f} to {effect['high']:+.4f}"
    else:
        change = f"{wording.points(effect['effect'])} points"
        bounds = wording.interval(effect["low"], effect["high"])
    if not math.isfinite(effect["p"]):
        return f"{name} against the start: {change}; the same in every seed, so not judged."
    more = f"({change}; 95 % interval {bounds}, adjusted p {wording.p_text(effect['p_adjusted'])})"
    if effect["verdict"] == "helps":
        return f"{name} beats the start {more}."
    if effect["verdict"] == "hurts":
        return f"{name} is worse than the start {more}."
    if effect["verdict"] == "equivalent":
        return f"{name} is as good as the start, within the margin {more}."
    return f"{name} is not shown to differ from the start {more}."
