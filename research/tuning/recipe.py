"""The winner of a search as a recipe: a study file that ``train`` and ``ablate`` take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from research import design
from research.errors import InvalidInput
from research.spec import Recipe, RunSpec, value_at
from research.study import Factor, Study
from research.tuning.plan import SearchPlan
from research.validation import complete

MARK = "# Written by research tune; a further search of the same name writes it anew."
TUNED = "tuned"


def recipe_study(plan: SearchPlan, spec: RunSpec, about: str) -> Study:
    """A complete spec to a study of it: the factors of the study that was searched, around it."""
    base = _portable(plan, spec)
    study = plan.study
    factors = {name: _around(plan, spec, factor) for name, factor in study.factors.items()}
    made = study.replaced(
        name=f"{study.name}_{TUNED}",
        title=f"{study.name}, tuned",
        about=about,
        base=base.model_dump(mode="json"),
        factors={name: factor.model_dump(mode="json") for name, factor in factors.items()},
        fixed={},
        context={},
        search={},
        profiles={},
        variants={},
        nuisance=None,
    )
    return _whole(made)


def write_recipe(study: Study, folder: Path, key: str) -> Path:
    """A recipe to its file; one that a person, or another search, wrote is left alone."""
    file = folder / f"{study.name}.yaml"
    mark = f"{MARK}\n# Search {key}.\n"
    if file.exists() and not file.read_text(encoding="utf-8", errors="replace").startswith(mark):
        study = study.replaced(name=f"{study.name}_{key}")
        file = folder / f"{study.name}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".part")
    beside.write_text(mark + recipe_text(study), encoding="utf-8")
    beside.replace(file)
    return file


def recipe_text(study: Study) -> str:
    """A recipe as a file's text: what is not said there is the default."""
    content = study.model_dump(mode="json", exclude_defaults=True)
    order = ("name", "title", "about", "base", "factors")
    content = {name: content[name] for name in order if name in content} | content
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _portable(plan: SearchPlan, spec: RunSpec) -> Recipe:
    """A spec without what is of this machine: where the data is, the arithmetic that was chosen."""
    declared = plan.declared
    names = ("precision", "memory_format", "compile")
    training = spec.training.model_copy(update={name: getattr(declared, name) for name in names})
    data = spec.data.model_copy(update={"name": plan.study.base.data.name})
    content = spec.model_copy(update={"training": training, "data": data}).model_dump()
    content.pop("seed")
    return Recipe.model_validate(content)


def _around(plan: SearchPlan, spec: RunSpec, factor: Factor) -> Factor:
    """A factor whose control is what was found: one of its levels, or one more of them."""
    for level in factor.levels:
        done, wrong = complete(spec.override(factor.assignments(level)), plan.location.source)
        if not wrong and done.spec_hash == spec.spec_hash:
            return _with_control(factor, level)
    own: dict[str, Any] = {path: value_at(spec, path) for path in sorted(factor.paths)}
    value = own if factor.path is None else own[factor.path]
    levels = {**factor.levels, TUNED: value}
    removed = factor.control if factor.adds else factor.absent
    if not factor.adds:  # the strength that was guessed gives way to the one that was found
        levels.pop(factor.control)
    return factor.model_copy(update={"levels": levels, "control": TUNED, "removed": removed})


def _with_control(factor: Factor, level: str) -> Factor:
    """A factor with another level as its control."""
    if level == factor.control:
        return factor
    removed = factor.control if level == factor.absent else factor.absent
    return factor.model_copy(update={"control": level, "removed": removed})


def _whole(study: Study) -> Study:
    """A study without the factors that cannot be varied around what was found."""
    kept = dict(study.factors)
    while True:
        tried = study.model_copy(update={"factors": kept})
        try:
            design.cells(tried)
            return tried
        except InvalidInput as error:
            named = [name for name in kept if f"factors.{name}." in str(error)]
            if not named:
                return study.model_copy(update={"factors": {}, "design": "leave_one_out"})
            kept.pop(named[0])
