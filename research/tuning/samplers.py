"""Samplers, which say what is tried next, and pruners, which say what is given up, by name."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from research.tuning import Options

STARTUP = 10  # settings at random before a model of them is made
MEDIAN_STARTUP = 5  # finished trials before the median of them says anything
REDUCTION = 3  # of a rung a third goes on


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's word on what of it is experimental, and on each trial."""
    logging.getLogger("optuna").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def make_sampler(options: Options, done: int) -> BaseSampler:
    """The sampler for the trial after ``done`` others.

    Those that draw at random are seeded for each trial anew, so that a search that goes on does not
    repeat itself and gives what it would have given in one go.
    """
    drawn = np.random.SeedSequence([options.seed, done]).generate_state(1)[0]
    seed = int(drawn) % 2**31
    with quiet():
        match options.sampler:
            case "tpe":
                return TPESampler(
                    seed=seed,
                    n_startup_trials=STARTUP,
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                )
            case "gp":
                return GPSampler(
                    seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False
                )
            case "cmaes":
                return CmaEsSampler(
                    seed=seed, n_startup_trials=STARTUP, warn_independent_sampling=False
                )
            case "qmc":  # one sequence, of which each trial takes the next point
                return QMCSampler(
                    seed=options.seed,
                    scramble=True,
                    independent_sampler=RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                    warn_asynchronous_seeding=False,
                )
            case _:  # of a grid, every trial is queued
                return RandomSampler(seed=seed)


def make_pruner(name: str, epochs: int) -> BasePruner:
    """A pruner of runs of so many epochs."""
    if name == "hyperband" and epochs >= REDUCTION:
        return HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=REDUCTION)
    if name == "median" and epochs > 1:
        warm = math.ceil(epochs / 10)
        return MedianPruner(n_startup_trials=MEDIAN_STARTUP, n_warmup_steps=warm)
    return NopPruner()
