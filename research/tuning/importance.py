"""Which dimensions decided how well the finished trials did."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import FrozenTrial, TrialState

from research.space import Space
from research.tuning import Goal
from research.tuning.samplers import quiet

FEW = 8  # under so many finished trials nothing is said
EVALUATORS = ("ped_anova", "fanova")


def importances(
    trials: Iterable[FrozenTrial], space: Space, goal: Goal, evaluators: Iterable[str] = EVALUATORS
) -> dict[str, dict[str, float]]:
    """Finished trials to the share of each dimension, in [0, 1], by evaluator.

    PED-ANOVA (Watanabe et al. 2023) asks what sets the best trials apart, fANOVA (Hutter et al.
    2014) what the values vary with. A dimension under a condition is judged among the trials that
    have it. Empty where there are too few trials.
    """
    done = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE and "duplicate_of" not in trial.user_attrs
    ]
    if len(done) < FEW or len({trial.value for trial in done}) < 2:
        return {}
    with quiet():
        study = optuna.create_study(direction=goal)
        study.add_trials(done)
        return {name: _shares(study, done, space, name) for name in evaluators}


def _shares(
    study: optuna.Study, done: list[FrozenTrial], space: Space, evaluator: str
) -> dict[str, float]:
    always = [name for name in space.dimensions if all(name in trial.params for trial in done)]
    found = _computed(study, evaluator, always)
    for name in space.dimensions:
        having = sum(name in trial.params for trial in done)
        if name not in always and having >= FEW:
            beside = [*always, name]
            found[name] = _computed(study, evaluator, beside).get(name, 0.0)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def _computed(study: optuna.Study, evaluator: str, params: list[str]) -> dict[str, float]:
    made: BaseImportanceEvaluator = (
        PedAnovaImportanceEvaluator()
        if evaluator == "ped_anova"
        else FanovaImportanceEvaluator(seed=0)
    )
    with warnings.catch_warnings():  # of dimensions that have one value only
        warnings.simplefilter("ignore")
        shares = get_param_importances(study, evaluator=made, params=params)
    return {name: float(value) for name, value in shares.items()}
