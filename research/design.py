"""A study to its cells, cells times seeds to run specs. Pure: no torch, MLflow, disk, clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from research.designs import excluded, existing, settings
from research.errors import InvalidInput, findings, suggest
from research.spec import REFERENCES, Recipe, RunSpec
from research.study import Factor, Levels, Study, Where

MAX_NAME = 200  # MLflow keeps 250 characters of a metric's name, and ours carry a prefix

DATA = "data.name"
DATA_IS_ONE = "all cells are run on the same data; say where it is by --data, or in base.data.name"
R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True)
class Cell:
    """One setting of the factors: its slug, its level of every factor, and the recipe they make."""

    name: str
    role: Literal["control", "contrast", "context"]
    levels: Levels
    recipe: Recipe


def cells(study: Study) -> tuple[Cell, ...]:
    """A study to its distinct settings: control first, contrasts, then context cells."""
    control, *others = settings(study)
    base = setting(study, control)
    _check_nothing_lost(study, control, base)
    made = [Cell("control", "control", control, base)]
    for levels in others:
        name = cell_name(study, control, levels)
        made.append(Cell(name, "contrast", levels, setting(study, levels)))
    if study.design == "add_one_in":
        full = existing(study, {name: factor.control for name, factor in study.factors.items()})
        if excluded(study, full):
            raise InvalidInput(
                "exclude: the full system, which add_one_in shows beside the others, is excluded; "
                "leave a factor out (--factors a,b), or use the design explicit"
            )
        made.append(Cell("full", "context", full, setting(study, full)))
    for name, changes in study.context.items():
        for path in changes:
            if path in ("data", DATA):
                raise InvalidInput(f"context.{name}: {path}: {DATA_IS_ONE}")
        made.append(Cell(name, "context", {}, _labelled(f"context.{name}", base, changes)))
    _check_names(made)
    _check_folds(study, made)
    return tuple(made)


def plan(study: Study, tuned: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[RunSpec, ...]:
    """A study to its run specs, as it states them; ``tuned`` as in `tuned_cells`."""
    made = tuned_cells(cells(study), tuned or {})
    _check_tuned(study, tuned or {})
    folds = study.folds
    if isinstance(folds, str):
        raise InvalidInput(f"folds: {folds}: only the data tells how many these are")
    if folds is not None:
        study, made = with_folds(study, made, folds)
    return replicate(made, study.seeds, folds)


def tuned_cells(made: Sequence[Cell], tuned: Mapping[str, Mapping[str, Any]]) -> tuple[Cell, ...]:
    """Cells with what was found for each alone: a cell's name to dotted paths and values."""
    names = [cell.name for cell in made]
    unknown = [name for name in tuned if name not in names]
    if unknown:
        raise InvalidInput(*(f"tuned: no cell '{name}'{suggest(name, names)}" for name in unknown))
    return tuple(
        replace(
            cell,
            recipe=_labelled(f"tuned.{cell.name}", cell.recipe, tuned.get(cell.name, {})),
        )
        for cell in made
    )


def to_be_tuned(study: Study, tuned: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The cells of a study with nuisance values for which none were found yet."""
    if study.nuisance is None:
        return []
    wanted = set(study.nuisance.paths)
    return [cell.name for cell in cells(study) if wanted - set(tuned.get(cell.name, {}))]


def _check_tuned(study: Study, tuned: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses values for some cells only: then cells would differ in more than their factor."""
    open_cells = to_be_tuned(study, tuned)
    if tuned and open_cells:
        raise InvalidInput(
            f"tuned: nothing for {', '.join(open_cells)}; give "
            f"{', '.join(study.nuisance.paths if study.nuisance else ())} for every cell, or none"
        )


def replicate(
    made: Sequence[Cell], seeds: Sequence[int], folds: int | None = None
) -> tuple[RunSpec, ...]:
    """Cells times folds times seeds, identical specs once, in the order of `replicates`."""
    specs = [seeded(cell.recipe, seed, fold) for seed, fold, cell in replicates(made, seeds, folds)]
    return tuple({spec.spec_hash: spec for spec in specs}.values())


def replicates(
    made: Sequence[Cell], seeds: Sequence[int], folds: int | None
) -> Iterator[tuple[int, int | None, Cell]]:
    """(seed, fold, cell), all cells and folds of the first seed before the second's.

    An interrupted study has whole replicates because they come in this order.
    """
    numbers = [None] if folds is None else range(1, folds + 1)
    return itertools.product(seeds, numbers, made)


def with_folds(study: Study, made: Sequence[Cell], folds: int) -> tuple[Study, tuple[Cell, ...]]:
    """A study and its complete cells, to be run on so many folds."""

    def folded(recipe: Recipe) -> Recipe:
        params = recipe.data.params | {"folds": folds}
        data = recipe.data.model_copy(update={"params": params})
        return recipe.model_copy(update={"data": data})

    cells = tuple(replace(cell, recipe=folded(cell.recipe)) for cell in made)
    return study.model_copy(update={"folds": folds, "base": folded(study.base)}), cells


def seeded(recipe: Recipe, seed: int, fold: int | None = None) -> RunSpec:
    """A recipe, a seed and, of a study with folds, a fold to a run spec."""
    content = recipe.model_dump() | {"seed": seed}
    if fold is not None:
        content["data"]["params"] = recipe.data.params | {"fold": fold}
    try:
        return RunSpec.model_validate(content)
    except ValidationError as error:
        problems = findings(error, RunSpec)
    raise InvalidInput(*(f"{place}: {text}" for place, text in problems))


def select(study: Study, names: Sequence[str]) -> Study:
    """The same study with only the named factors; the others stay at their control level.

    Context cells are left out: nothing but what is named is run beside the control.
    A factor under one that is left out stays where that one's control is the level it is under.
    """
    unknown = [name for name in names if name not in study.factors]
    if unknown:
        raise InvalidInput(
            *(
                f"factor '{name}': {study.name} has no such factor{suggest(name, study.factors)}"
                for name in unknown
            )
        )
    fixed = dict(study.fixed)
    for name, factor in study.factors.items():
        if name not in names:
            fixed |= factor.assignments(factor.control)
    kept = {name: _alone(study, name, names) for name in names}
    rules = _rules_of(study, names)
    return study.model_copy(
        update={"fixed": fixed, "factors": kept, "exclude": rules, "context": {}}
    )


def _rules_of(study: Study, names: Sequence[str]) -> tuple[Where, ...]:
    """Exclusions as they are where the other factors stay at their control level.

    A rule of the others' control levels goes on for the named ones; one of other levels of theirs
    is never met.
    """
    rules: list[Where] = []
    for rule in study.exclude:
        others = [name for name in rule if name not in names]
        if all(study.factors[name].control in rule[name] for name in others):
            rules.append({name: levels for name, levels in rule.items() if name in names})
    if any(not rule for rule in rules):
        raise InvalidInput("exclude: the control itself is excluded; it is what all are held to")
    return tuple(rules)


def _alone(study: Study, name: str, names: Sequence[str]) -> Factor:
    """A factor without what it is under, where that is no longer varied."""
    factor = study.factors[name]
    for parent, allowed in factor.under.items():
        if parent not in names and study.factors[parent].control not in allowed:
            raise InvalidInput(
                f"factor '{name}': is there only where {parent} is {' or '.join(allowed)}; name "
                f"that factor too (--factors {name},{parent})"
            )
    under = {parent: allowed for parent, allowed in factor.under.items() if parent in names}
    return factor.model_copy(update={"under": under})


def with_variant(study: Study, name: str | None) -> Study:
    """The same study with one of its variants as the control, none of them left to choose."""
    if name is None:
        return study.model_copy(update={"variants": {}})
    if name not in study.variants:
        choices = suggest(name, study.variants) or "; it has none"
        raise InvalidInput(f"variant '{name}': {study.name} has no such variant{choices}")
    form = study.variants[name]
    factors = dict(study.factors)
    for factor, level in form.levels.items():
        before = factors[factor]
        other = before.control if before.removed == level else before.removed
        factors[factor] = before.model_copy(update={"control": level, "removed": other})
    title = f"{study.title} ({name})" if study.title else name
    changed = study.model_copy(update={"factors": factors, "title": title, "variants": {}})
    if form.folds is not None:
        folds = None if form.folds == "none" else form.folds
        changed = changed.model_copy(update={"folds": folds})
    return with_base(changed, form.set, f"variants.{name}.set:")


def with_base(study: Study, changes: Mapping[str, Any], origin: str = "--set") -> Study:
    """The same study with ``changes`` to its base; a path that a factor decides is refused."""
    problems = [f"{origin} {path}: {DATA_IS_ONE}" for path in changes if path in ("data", DATA)]
    problems += [
        f"{origin} {path}: the factor '{name}' decides {inner}, so this would change nothing; "
        f"leave that factor out (--factors) or change its levels in the study"
        for path in changes
        for name, factor in study.factors.items()
        for inner in sorted(factor.paths)
        if _touch(path, inner)
    ]
    above = {p: v for p, v in changes.items() if any(_touch(p, one) for one in study.fixed)}
    changed = study.model_copy(update={"fixed": study.fixed | above})
    try:
        base = study.base.override({p: v for p, v in changes.items() if p not in above})
        changed = changed.model_copy(update={"base": base})
        setting(changed, {})
    except InvalidInput as error:
        problems = [f"{origin} {problem}" for problem in error.problems] + problems
    if problems:
        raise InvalidInput(*problems)
    return changed


def _touch(one: str, other: str) -> bool:
    """Whether of two paths one is, or holds, the other."""
    return one == other or one.startswith(other + ".") or other.startswith(one + ".")


def setting(study: Study, levels: Levels) -> Recipe:
    """Factors' levels to a recipe: whole references apply before paths inside them."""
    changes: dict[str, Any] = dict(study.fixed)
    owner: dict[str, str] = {}
    for name, level in levels.items():
        for path, value in study.factors[name].assignments(level).items():
            if path in ("data", DATA):
                raise InvalidInput(f"factors.{name}.levels.{level}: {path}: {DATA_IS_ONE}")
            if path in owner:
                raise InvalidInput(
                    f"factors.{name}.levels.{level}: {path} is set by the factor '{owner[path]}' "
                    "too; let one factor decide it"
                )
            changes[path], owner[path] = value, name
    try:
        return study.base.override(changes)
    except InvalidInput as error:
        where = {path: f"factors.{name}.levels.{levels[name]}" for path, name in owner.items()}
        raise InvalidInput(*(_placed(problem, where) for problem in error.problems)) from None


def changes(study: Study, control: Levels, levels: Levels) -> list[str]:
    """The factors whose level is not the control's; a factor that is gone is no change of its own.

    One that the control has not, as it is under another level, is compared with its own control.
    """
    before = {name: control.get(name, study.factors[name].control) for name in levels}
    return [name for name in levels if levels[name] != before[name]]


def cell_name(study: Study, control: Levels, levels: Levels) -> str:
    """A cell's slug: ``no-<factor>`` where a part is left out, else ``<factor>-<level>`` joined.

    Where the control is without a part, the cell is called after what it gets.
    """
    changed = changes(study, control, levels)
    if study.design == "leave_one_out" and len(changed) == 1:
        factor = study.factors[changed[0]]
        if levels[changed[0]] == factor.absent and not factor.adds:
            return f"no-{changed[0]}"
    return "__".join(f"{name}-{levels[name]}" for name in changed)


def _labelled(where: str, recipe: R, changes: Mapping[str, Any]) -> R:
    try:
        return recipe.override(changes)
    except InvalidInput as error:
        raise InvalidInput(*(f"{where}: {problem}" for problem in error.problems)) from None


def _placed(problem: str, where: Mapping[str, str]) -> str:
    """A problem at a path, with the place in the study that set that path."""
    for path in sorted(where, key=len, reverse=True):
        if problem.startswith(path):
            return f"{where[path]}: {problem}"
    return problem


def _check_nothing_lost(study: Study, control: Levels, made: Recipe) -> None:
    """Refuses a control level whose whole reference drops parameters that the base states."""
    problems = []
    for name, level in control.items():
        for path in study.factors[name].assignments(level):
            if path not in REFERENCES:
                continue
            before, after = getattr(study.base, path), getattr(made, path)
            lost = sorted(set(before.params) - set(after.params))
            if lost and before.name == after.name:
                problems.append(
                    f"factors.{name}.levels.{level}: it replaces base.{path}, whose "
                    f"{', '.join(lost)} would be lost; say {'it' if len(lost) == 1 else 'them'} "
                    "in the level too, or nowhere"
                )
    if problems:
        raise InvalidInput(*problems)


def _check_folds(study: Study, made: Sequence[Cell]) -> None:
    """Refuses cells that choose a fold themselves where the study goes through all of them."""
    problems = [
        f"{'base' if cell.role == 'control' else cell.name}: data.params.{name}: the study's folds "
        "decide it; leave it out, or leave out the study's folds"
        for cell in made
        for name in ("folds", "fold")
        if study.folds is not None and cell.recipe.data.params.get(name) is not None
    ]
    if problems:
        raise InvalidInput(*problems)


def _check_names(made: Sequence[Cell]) -> None:
    names = [cell.name for cell in made]
    problems = [
        f"cell '{n}': the name is used twice" for n in sorted({*names}) if names.count(n) > 1
    ]
    problems += [
        f"cell '{name[:40]}...': the name has {len(name)} characters, at most {MAX_NAME}; "
        "use shorter names for factors and levels, or fewer factors"
        for name in names
        if len(name) > MAX_NAME
    ]
    if problems:
        raise InvalidInput(*problems)
