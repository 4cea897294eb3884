"""What stands above a run or a study: what it is, at which size, on which data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from research.data import SPLITS, Splits
from research.data.location import Location
from research.designs import fraction_of, generators
from research.planning import Plan
from research.reporting import wording
from research.spec import Recipe
from research.stats import MIN_SEEDS
from research.study import Study

if TYPE_CHECKING:  # these import torch, which a finished study spares
    from research.inspection import Cost
    from research.single import Ready
    from research.tuning.cost import SearchCost
    from research.tuning.plan import SearchPlan

SYNTHETIC = "          SYNTHETIC faces: for trying the program out, no result about people"
ROMAN = {3: "III", 4: "IV", 5: "V", 6: "VI", 7: "VII", 8: "VIII"}
STATES = {
    "finished": "is finished: its scores are shown again (--fresh trains it anew)",
    "begun": "was begun and stopped: goes on where it was",
    "taken": "is being trained by another process",
    "stale": "was made by other code: is trained again",
    "new": "is new",
}


def of_plan(plan: Plan) -> list[str]:
    """Of a study that is to run."""
    study = plan.study
    folds = "" if study.folds is None else f" x {study.folds} folds"
    recipe = plan.cells[0].recipe
    lines = [
        _titled("study", study),
        f"profile   {plan.profile}{_nothing(study, plan.profile)}: {len(plan.cells)} cells x "
        f"{len(study.seeds)} seeds{folds}, {_epochs(recipe)}, {study.design.replace('_', ' ')}",
        *_data(plan.location, plan.control_data, recipe, folds=study.folds is not None),
        *_input(recipe),
    ]
    if study.folds is None and getattr(study.profiles, plan.profile).folds == "none":
        lines.append(f"folds     none in the {plan.profile} profile: one split for all runs")
    if study.design == "fractional_factorial":
        resolution = fraction_of(study).resolution
        told = f"resolution {ROMAN.get(resolution or 0, resolution)}" if resolution else "all cells"
        lines.append(f"fraction  {told}: {', '.join(generators(study)) or 'nothing is left out'}")
    if study.nuisance is not None:
        how = "to be tuned" if plan.waits else "tuned"
        lines.append(
            f"nuisance  {', '.join(study.nuisance.paths)}: {how} for each cell, "
            f"{study.nuisance.trials} trials each"
        )
        lines += [
            f"          {cell}: {', '.join(f'{path} {value}' for path, value in values.items())}"
            for cell, values in plan.tuned.items()
        ]
    if len(study.seeds) < MIN_SEEDS and plan.rounds is None:
        lines.append(f"verdicts  none: under {MIN_SEEDS} seeds there is only the difference")
    stale = [run for run in plan.runs if run.state == "stale"]
    if stale:
        lines.append(f"stale     {len(stale)} runs were made by other code; they are run again")
    return lines


def of_round(plan: Plan) -> list[str]:
    """Of a further round of seeds."""
    assert plan.rounds is not None
    stopped = plan.rounds.stopped
    open_cells = [c.name for c in plan.cells if c.role == "contrast" and c.name not in stopped]
    lines = [f"stopped   {name} after {n} seeds: {why}" for name, (n, why) in stopped.items()]
    cells = ", ".join(open_cells) or "no cell"
    return [*lines, f"round     {len(plan.study.seeds)} seeds for the control and {cells}"]


def of_run(study: Study, profile: str, variant: str, ready: Ready, cost: Cost) -> list[str]:
    """Of a single run: the control of a study; ``variant`` is its form, with what is told of it."""
    spec = ready.spec
    lines = [
        _titled("recipe", study),
        f"profile   {profile}{_nothing(study, profile)}: {_epochs(spec)}, seed {spec.seed}",
        *_data(ready.location, ready.splits, spec, folds=False),
        *_input(spec),
        f"net       {spec.model.name}: {wording.amount(cost.parameters)} parameters, "
        f"{wording.amount(cost.macs)} MACs an image",
        f"run       {STATES[ready.state]}",
    ]
    if variant:
        lines.insert(1, f"variant   {variant}")
    if study.folds is not None:
        lines.append("folds     of the study are left out: this is one run, of one split")
    return lines


def of_search(plan: SearchPlan) -> list[str]:
    """Of a search."""
    options = plan.options
    lines = [
        _titled("search", plan.study),
        f"profile   {plan.profile}{_nothing(plan.study, plan.profile)}: {options.trials} trials of "
        f"{_epochs(plan.start)}, {options.metric}; sampler {options.sampler}, pruner "
        f"{options.pruner}",
        *_data(plan.location, plan.splits, plan.start, folds=False),
        *_input(plan.start),
    ]
    if plan.study.folds is not None:
        lines.append("folds     of the study are left out: trials are judged on one split")
    if plan.own is None:
        from research.tuning.plan import settle

        beyond = plan.space.outside(plan.start, settle(plan.location))
        which = f" ({beyond})" if beyond else ""
        lines.append(
            f"start     lies outside the space{which}: it is no trial, but is confirmed with them"
        )
    return lines


def cost_of_search(plan: SearchPlan, cost: SearchCost, workers: int) -> str:
    """What a search costs, in a line."""
    return (
        f"{plan.options.trials} trials and {cost.confirmations} confirmations of about "
        f"{wording.duration(cost.run_s)}: {wording.duration(cost.total_s)} at most with {workers} "
        "at a time; what is given up half-way costs less"
    )


def _epochs(recipe: Recipe) -> str:
    count = recipe.training.epochs
    return f"{count} epoch{'s' if count != 1 else ''}"


def _nothing(study: Study, profile: str) -> str:
    """That a study does not say what this size of it is."""
    own = getattr(study.profiles, profile)
    silent = own == type(own)() and profile == "quick"
    return " (of which the study says nothing)" if silent else ""


def _titled(what: str, study: Study) -> str:
    return f"{what:10}{study.name}" + (f": {study.title}" if study.title else "")


def _data(location: Location, splits: Splits, recipe: Recipe, *, folds: bool) -> list[str]:
    counts = {part: len(getattr(splits, part)) for part in SPLITS}
    sizes = ", ".join(f"{count:,} {part}" for part, count in counts.items()) + " images"
    if folds:
        persons = f" of {len(splits.persons)} persons" if splits.persons else ""
        aside = "; splits of its own are set aside" if len(splits.own) > 1 else ""
        sizes = f"{sum(counts.values()):,} images{persons}{aside}"
    params: dict[str, Any] = dict(recipe.data.params)
    if params["train_limit"] and params["train_limit"] < counts["train"]:
        sizes += f", at most {params['train_limit']:,} for training"
    if params["eval_limit"]:
        sizes += f", {params['eval_limit']:,} for each of validation and test"
    lines = [f"data      {location.name} ({location.why}): {sizes}"]
    return [*lines, SYNTHETIC] if location.synthetic else lines


def _input(recipe: Recipe) -> list[str]:
    """What the net is given, and how it is trained."""
    params, training = recipe.data.params, recipe.training
    channels = f"{params['channels']} channel{'s' if params['channels'] != 1 else ''}"
    layout = training.memory_format.replace("_", " ")
    steps = {**recipe.preprocess, **recipe.augment}
    named = [_named(name, given) for name, given in steps.items() if given is not None]
    return [
        f"input     {params['size']} x {params['size']} pixels, {channels}; "
        f"{training.precision}, {layout}{', compiled' if training.compile == 'on' else ''}",
        f"steps     {', '.join(named) or 'none: images as they are'}",
        f"training  {_named(recipe.optim.name, recipe.optim.params)}, {recipe.schedule.name}, "
        f"batches of {training.batch_size}; {_named(recipe.loss.name, recipe.loss.params)}",
    ]


def _named(name: str, params: Mapping[str, Any]) -> str:
    """A component and its parameters, those aside that are not set."""
    given = [f"{key} {value}" for key, value in params.items() if value is not None]
    return f"{name} ({', '.join(given)})" if given else name
