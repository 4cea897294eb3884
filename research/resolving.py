"""An ablation whose seeds are added in rounds, to the cells that are not decided yet.

The control is in every round. After each round every open cell is looked at: what is found or
equivalent stops, and so does what has little chance to be decided by the last round.
"""

from __future__ import annotations

from dataclasses import replace

from research.ablation import DEFAULT_EXECUTOR, Carried, Observer, carry_out
from research.designs import is_crossed
from research.errors import InvalidInput
from research.project import Project
from research.reporting.effects import effects, error_of
from research.reporting.frame import read_frame
from research.request import MAX_SEEDS, Request, Rounds, find_study
from research.stats import FUTILE, MIN_SEEDS, Rule, chance_to_decide
from research.study import Study
from research.tracking.database import connect

STEP = 2  # seeds that a round adds
MOST_SEEDS = 100


def looks_of(most: int) -> tuple[int, ...]:
    """Seeds at each look: three, then two more each, the most at last."""
    return (*range(MIN_SEEDS, most, STEP), most)


def seeds_for(study: Study, most: int) -> list[int]:
    """The study's seeds and then the next free numbers, so many in all."""
    more = (seed for seed in range(1, most + len(study.seeds) + 1) if seed not in study.seeds)
    return [*study.seeds, *more][:most]


def resolve(
    name: str | Study,
    request: Request,
    project: Project,
    *,
    max_seeds: int = MAX_SEEDS,
    executor: str = DEFAULT_EXECUTOR,
    workers: int | None = None,
    observe: Observer = lambda event: None,
) -> Carried:
    """A study to its finished runs, with seeds until every contrast is decided, or hopeless.

    Rounds that are finished already are gone through again from their runs alone, so it may be
    stopped and asked again. Raises `InvalidInput` for what has no contrasts to resolve.
    """
    study, _, _ = find_study(name, request, project)
    if not MIN_SEEDS < max_seeds <= MOST_SEEDS:
        raise InvalidInput(f"--max-seeds {max_seeds}: give {MIN_SEEDS + 1} to {MOST_SEEDS}")
    if request.fresh:
        raise InvalidInput("--fresh and --until-resolved: every round would train all anew")
    if request.seeds is not None:
        raise InvalidInput("--seeds and --until-resolved: the rounds decide how many; give one")
    if is_crossed(study) or study.method != "paired_t_holm":
        raise InvalidInput(
            "--until-resolved: is for contrasts by paired t tests with Holm's correction, not for "
            f"{study.design.replace('_', ' ')} with {study.method.replace('_', ' ')}"
        )
    seeds, schedule = seeds_for(study, max_seeds), looks_of(max_seeds)
    rounds = Rounds((), max_seeds)
    for look in schedule:
        rounds = replace(rounds, looks=(*rounds.looks, look))
        asked = replace(request, seeds=seeds[:look], rounds=rounds)
        done = carry_out(name, asked, project, executor=executor, workers=workers, observe=observe)
        if done.failed:
            return done
        rounds = _looked_at(done, rounds, project)
        if len(rounds.stopped) == len([c for c in done.plan.cells if c.role == "contrast"]):
            break
    asked = replace(request, seeds=seeds[: rounds.looks[-1]], rounds=rounds)
    return carry_out(name, asked, project, executor=executor, workers=workers)


def _looked_at(done: Carried, rounds: Rounds, project: Project) -> Rounds:
    """Rounds with the cells that stop after this look."""
    tracker = connect(project)
    parent = tracker.get(done.parent)
    assert parent is not None
    frame = read_frame(parent, tracker)
    rule = Rule(rounds.looks, rounds.most)
    stopped = dict(rounds.stopped)
    found = effects(frame)
    left = sum(effect.verdict not in ("hurts", "helps") for effect in found)
    for effect in found:
        if effect.cell in stopped:
            continue
        why: str = effect.verdict if effect.verdict != "unresolved" else ""
        if not why and rounds.looks[-1] == rounds.most:
            why = "the most seeds"
        elif not why:
            error, fixed = error_of(frame, effect.cell)
            chance = chance_to_decide(
                effect,
                error,
                fixed,
                rule,
                contrasts=left,  # what is found leaves its alpha to the others (Holm)
                margin=frame.study.margin,
                alpha=frame.study.alpha,
            )
            why = "little chance to be decided" if chance < FUTILE else ""
        if why:
            stopped[effect.cell] = (effect.n, why)
    return replace(rounds, stopped=stopped)
