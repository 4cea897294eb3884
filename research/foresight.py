"""What a study can find, before it is run: the seeds that each contrast needs for an effect."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from research.data import SPLITS
from research.data.folds import used
from research.designs import is_crossed
from research.errors import InvalidInput
from research.planning import Plan
from research.reporting.effects import differences_of
from research.reporting.frame import Frame, read_frame
from research.stats import MIN_SEEDS, chance_of_equivalent, seeds_to_detect
from research.study import Study
from research.tracking import Tracker

# What is assumed of accuracy where nothing was run yet: the SD of a seed, how alike two cells of
# one seed turn out, and the share of images that one cell gets right and another one not.
SEED_SD, PAIRING, DISAGREEMENT = 0.006, 0.3, 0.04
FEW = 3  # paired seeds from which a contrast's own SD is taken; under it that of all together


@dataclass(frozen=True)
class Foresight:
    """Of one contrast: the SD of its paired differences, what new images add to their variance.

    ``seeds`` is None where no number of seeds is enough, as the test images are too few;
    ``equivalent`` is the chance of that verdict, with the study's seeds, where nothing differs.
    """

    cell: str
    sd: float
    images: float
    source: str
    seeds: int | None
    equivalent: float


def check_detect(study: Study, effect: float) -> None:
    """Refuses what cannot be foreseen, before anything is measured."""
    if not 0 < effect < 1:
        raise InvalidInput(f"--detect {effect}: give a fraction, such as 0.01 for one point")
    if is_crossed(study):
        raise InvalidInput(
            "--detect: is about contrasts with a control, and this is a factorial, whose every run "
            "counts for every factor; ask it of the design one_at_a_time, which needs more seeds, "
            "or run a few seeds and see what the report could have detected"
        )


def foresee(plan: Plan, effect: float, tracker: Tracker) -> list[Foresight]:
    """A plan to what each contrast needs to find ``effect`` with 80 % power.

    Variances are of tracked runs of this very study where there are some, else assumed.
    """
    study = plan.study
    check_detect(study, effect)
    names = [cell.name for cell in plan.cells if cell.role == "contrast"]
    splits = plan.control_data
    count = len(used(splits, plan.cells[0].recipe.data.params).test)
    if study.folds is not None:  # each image is tested once
        count = sum(len(getattr(splits, part)) for part in SPLITS)
    assumed = _assumed(count, images=study.metric == "test/accuracy")
    known = _tracked(plan, names, tracker, assumed[1])
    found = []
    for name in names:
        sd, images, source = known.get(name) or assumed
        found.append(
            Foresight(
                cell=name,
                sd=sd,
                images=images,
                source=source,
                seeds=seeds_to_detect(effect, sd, images, contrasts=len(names), alpha=study.alpha),
                equivalent=chance_of_equivalent(
                    sd, len(study.seeds), margin=study.margin, alpha=study.alpha, images=images
                ),
            )
        )
    return found


def _assumed(count: int, *, images: bool) -> tuple[float, float, str]:
    """Other metrics than accuracy are judged about new seeds alone."""
    sd = SEED_SD * math.sqrt(2 * (1 - PAIRING))
    return sd, DISAGREEMENT / count if images else 0.0, "assumed"


def _tracked(
    plan: Plan, names: list[str], tracker: Tracker, assumed_images: float
) -> dict[str, tuple[float, float, str]]:
    """Of contrasts with runs: SD, what images add, and of how many seeds that is told."""
    parents = tracker.find(kind="study", study_hash=plan.study_hash)
    if not parents:
        return {}
    frame: Frame = read_frame(parents[0], tracker)
    runs = {name: differences_of(frame, name) for name in names if name in _cells(frame)}
    runs = {name: one for name, one in runs.items() if len(one[0]) >= 2}
    if not runs:
        return {}
    pooled = math.sqrt(
        sum(float(d.var(ddof=1)) * (len(d) - 1) for d, _ in runs.values())
        / sum(len(d) - 1 for d, _ in runs.values())
    )
    found = {}
    for name, (differences, images) in runs.items():
        enough = len(differences) >= FEW
        sd = float(np.std(differences, ddof=1)) if enough else pooled
        source = f"{len(differences)} seeds{'' if enough else ', pooled'}"
        found[name] = (sd, images if enough else assumed_images, source)
    return found


def _cells(frame: Frame) -> set[str]:
    return {cell["name"] for cell in frame.plan["cells"]}


def told(effect: float, found: list[Foresight]) -> str:
    """One line of what is assumed or known."""
    sources = sorted({one.source for one in found})
    text = ", ".join(sources)
    if "assumed" in sources:
        text += (
            f" (SD of a seed {100 * SEED_SD:.1f} points, two cells of one seed correlated by "
            f"{PAIRING}, {100 * DISAGREEMENT:.0f} % of images answered differently)"
        )
    return (
        f"to find {100 * effect:.1f} points in 4 of 5 studies, with at least {MIN_SEEDS} seeds; "
        f"variances: {text}. What new images add does not shrink with more seeds"
    )
