"""The recipes that are shipped: all there, in both forms, trained for an epoch each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from research import design
from research.cli import heading
from research.data.cache import load
from research.data.location import locate
from research.errors import InvalidInput
from research.inspection import count
from research.models import shape_only
from research.planning import read_params
from research.project import Project, shipped_studies
from research.request import Request, find_control, find_study
from research.run import Job, Place, run
from research.single import make_ready
from research.spec import Recipe, value_at
from research.studies import default_study, load_study, read_study, study_names
from research.tracking import Tracked
from research.tracking.memory import MemoryTracker
from research.tracking.recording import Labels
from research.validation import complete, complete_cells
from tests.layouts import LAYOUTS

NAMES = tuple(study_names(Project(Path("/nowhere"))))
WANTED = {
    *("s0_fer2013", "s0_jaffe", "s1_facecnn", "s1_vgg_small", "s1_resnet18_d2l", "s1_plain_cnn"),
    *("s2_resnet18", "s2_resnet20", "s2_resnet34", "s2_resnet50", "s2_densenet121", "s2_vgg19"),
    *("s3_fer_cnn", "s4_transfer", "s4_simple_cnn", "vgg19_crop", "resnet18_crop"),
    *("resnet_family", "published_vs_corrected", "alexnet_pro", "compact", "compact_votes"),
}
FORMS = [
    (name, variant)
    for name in NAMES
    for variant in (None, *load_study(name, Project(Path("/nowhere")))[0].variants)
]
# So small that a run takes a second, whatever the net.
TINY = {
    "data.params.train_limit": 14,
    "data.params.eval_limit": 14,
    "training.batch_size": 7,
    "training.precision": "fp32",
    "training.memory_format": "contiguous",
}
SMALL = {"data.params.train_images": 140, "data.params.val_images": 42}
SMALL |= {"data.params.test_images": 70}
WIDE = ("s4_transfer",)  # whose net has no width
BUILT: set[str] = set()
SIZES = {"s4_transfer": 32, "s4_simple_cnn": 32}
SIZES |= dict.fromkeys(("s0_fer2013", "s0_jaffe", "alexnet_pro"), 64)


def test_every_recipe_is_shipped() -> None:
    assert set(NAMES) == WANTED


def check_it_can_be_built(recipe: Recipe) -> None:
    """Each net of each input once: most recipes share theirs."""
    params = recipe.data.params
    key = json.dumps([recipe.model.model_dump(), params["size"], params["channels"]])
    if key not in BUILT:
        BUILT.add(key)
        shape_only(recipe.model, 7, params["size"], params["channels"])  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "variant"), FORMS)
@pytest.mark.parametrize("profile", ["full", "quick"])
def test_every_form_of_a_recipe_is_complete(name: str, variant: str | None, profile: str) -> None:
    request = Request(data="embedded", profile=profile, variant=variant)  # type: ignore[arg-type]
    study, _, _ = find_study(name, request, Project(Path("/nowhere")))
    cells = complete_cells(study, design.cells(study), "embedded")
    assert len(cells) > 2
    for cell in cells:
        if not cell.recipe.model.params.get("weights"):  # which would be downloaded
            check_it_can_be_built(cell.recipe)
    recipes = [cell.recipe for cell in cells]
    assert all(recipe != recipes[0] for recipe in recipes[1:])


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("s0_fer2013", {"loss.params.alpha": (1.0, 0.25)}),
        ("s0_jaffe", {"data.params.holdout": (None, "images"), "loss.params.alpha": (1.0, 0.25)}),
        ("s1_facecnn", {"training.sampling": ("shuffled", "in_order")}),
        ("s1_plain_cnn", {"data.params.test_fraction": (None, 0.0)}),
        ("s2_resnet18", {"model.params.pooling": ("global", "published")}),
        ("s2_vgg19", {"loss.params.smoothed_over": ("all", "others")}),
        ("s3_fer_cnn", {"training.select_by": ("val/accuracy", "last")}),
        ("s4_transfer", {"model.params.freeze": ("none", "backbone")}),
    ],
)
def test_the_published_form_is_what_was_published(
    name: str, paths: dict[str, tuple[object, object]]
) -> None:
    forms = []
    for variant in ("corrected", "published"):
        request = Request(data="embedded", profile="full", variant=variant)
        study, _, _ = find_study(name, request, Project(Path("/nowhere")))
        forms.append(design.setting(study, {n: f.control for n, f in study.factors.items()}))
        assert study.title.endswith(f"({variant})") and not study.variants
        assert (study.folds is None) == (name != "s0_jaffe" or variant == "published")
    corrected, published = forms
    for path, (right, wrong) in paths.items():
        assert (value_at(corrected, path), value_at(published, path)) == (right, wrong)
    plain, _, _ = find_study(
        name, Request(data="embedded", profile="full"), Project(Path("/nowhere"))
    )
    base: Recipe = design.setting(plain, {n: f.control for n, f in plain.factors.items()})
    assert base == corrected


def trained(recipe: Recipe, project: Project, name: str = "embedded") -> Tracked:
    """A recipe trained and tested, tracked in memory, which is quicker than a database."""
    location = locate(name)
    whole, problems = complete(recipe, location.source)
    assert not problems
    data = load(location, read_params(whole))
    spec = design.seeded(whole, 1)
    tracker = MemoryTracker()
    labels = Labels("test", "test", "control", {}, 1, spec.spec_hash, data.digest, "code")
    place = Place(tracker, {data.digest: data}, torch.device("cpu"), project.runs)
    place = replace(place, draw=lambda work: None)
    running = run(Job(spec, labels), place)
    try:
        while True:
            next(running)
    except StopIteration as stop:
        found = tracker.get(stop.value.run_id)
    assert found is not None and found.status == "FINISHED"
    return found


# The control of resnet_family is that of s2_resnet18.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "resnet_family"])
def test_every_recipe_trains(name: str, project: Project) -> None:
    changes = TINY | SMALL | ({} if name in WIDE else {"model.params.width": 0.05})
    if name in SIZES:
        changes |= {"data.params.size": SIZES[name], "data.params.canvas": None}
    if name.startswith("s2_"):
        changes |= {"data.params.size": 20, "data.params.canvas": 24, "training.batch_size": 14}
    if name == "s2_vgg19":
        changes |= {"data.params.size": 32, "data.params.canvas": 36}
    request = Request(data="embedded", profile="quick", epochs=1, changes=changes)
    study, _, _ = find_study(name, request, project)
    control = design.setting(study, {n: f.control for n, f in study.factors.items()})
    made = trained(control, project)
    assert 0 <= made.metrics["test/accuracy"] <= 1
    assert ("test/accuracy_single_view" in made.metrics) == (study.base.test.views != "single")


@pytest.mark.parametrize(
    ("name", "variant"),
    [(name, "published") for name in ("s0_fer2013", "s1_facecnn", "s3_fer_cnn", "s4_transfer")],
)
def test_a_form_of_a_recipe_can_be_asked_of_train_by_name(
    name: str, variant: str, project: Project
) -> None:
    """What the command line makes of it: the heading is of the form, the spec is what it sets."""
    changes = SMALL | {"training.precision": "fp32", "training.memory_format": "contiguous"}
    if name == "s4_transfer":  # which downloads, as published
        changes |= {"model.params.weights": None, "data.params.size": 32}
    request = Request(data="embedded", profile="quick", variant=variant, changes=changes)
    study, _, profile, spec, _ = find_control(name, 1, request, project)
    ready = make_ready(spec, request, project, MemoryTracker())
    cost = count(ready.spec, len(ready.splits.classes))
    text = "\n".join(heading.of_run(study, profile, variant, ready, cost))
    assert f"variant   {variant}" in text and f"recipe    {name}" in text
    for path, value in load_study(name, project)[0].variants[variant].set.items():
        if path not in changes:
            assert value_at(ready.spec, path) == value


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_recipe_trains_on_every_layout(name: str, tmp_path: Path, project: Project) -> None:
    place = LAYOUTS[name][1](tmp_path / "data")
    changes = {**TINY, "model.params.width": 0.05}
    changes |= {"data.params.train_limit": 28, "data.params.eval_limit": 16}
    if name == "ckplus":  # has no neutral faces
        changes["data.params.only"] = ["angry", "happy", "sad", "surprise"]
    request = Request(data=str(place), epochs=1, changes=changes)
    study, _, location = find_study("s3_fer_cnn", request, project)
    assert location.path == place
    made = trained(study.base, project, str(place))
    assert made.tags["synthetic"] == "false"
    classes = {key.split("/")[2] for key in made.metrics if key.startswith("test/f1/")}
    assert classes == set(study.base.data.params["only"])


def test_a_study_may_extend_another(tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text(
        "name: below\ntitle: Below\nbase:\n  model: vgg11\n  augment: {flip: {}, mixup: {}}\n"
        "factors:\n  flip: {path: augment.flip, levels: {present: {}, absent: null},"
        " control: present}\n"
    )
    above = tmp_path / "above.yaml"
    above.write_text(
        "extends: below\nname: above\nbase:\n  model: {name: vgg13, params: {width: 0.5}}\n"
        "  augment: {mixup: null}\n"
    )
    study, origin = read_study(above)
    assert study.extends is None and study.title == ""
    assert study.base.model.name == "vgg13" and study.base.augment == {"flip": {}}
    assert list(study.factors) == ["flip"]
    assert origin.locate("base.model: x").startswith(f"{above}:4: ")
    assert origin.locate("factors.flip.path: x").startswith(f"{tmp_path / 'below.yaml'}:7: ")


@pytest.mark.parametrize(
    ("extends", "words"),
    [
        ("belwo", "above.yaml:1: extends: no study 'belwo' to extend; did you mean 'below'"),
        ("above", "above.yaml:1: extends: 'above' extends this study in turn"),
        ("below", "below.yaml:1: extends: 'above' extends this study in turn"),
    ],
)
def test_a_study_that_cannot_be_extended_is_told(tmp_path: Path, extends: str, words: str) -> None:
    (tmp_path / "below.yaml").write_text("extends: above\nname: below\nbase: {model: vgg11}\n")
    above = tmp_path / "above.yaml"
    above.write_text(f"extends: {extends}\nname: above\nbase: {{model: vgg11}}\n")
    with pytest.raises(InvalidInput) as error:
        read_study(above)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "factors: {flpi: null}",
            "above.yaml:4: factors.flpi: there is none to take away",
        ),
        ("fixed: {augment.flip: null}", ""),
    ],
)
def test_null_takes_away_what_is_there(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "below.yaml").write_text(
        "name: below\nbase: {model: vgg11, augment: {flip: {}}}\n"
        "factors:\n  flip: {path: augment.flip, levels: {present: {}, absent: null},"
        " control: present}\n"
    )
    above = tmp_path / "above.yaml"
    above.write_text(f"extends: below\nname: above\nbase: {{model: vgg13}}\n{line}\n")
    if words:
        with pytest.raises(InvalidInput) as error:
            read_study(above)
        assert words in str(error.value)
    else:
        assert read_study(above)[0].fixed == {"augment.flip": None}


def test_variants_that_are_none_are_told(tmp_path: Path) -> None:
    project = Project(tmp_path)
    with pytest.raises(InvalidInput, match="s0_fer2013 has no such variant; did you mean 'publi"):
        find_study("s0_fer2013", Request(data="embedded", variant="publishd"), project)
    with pytest.raises(InvalidInput, match="alexnet has no such variant; it has none"):
        find_study("alexnet", Request(data="embedded", variant="published"), project)
    study, _ = default_study("alexnet", project)
    with pytest.raises(InvalidInput, match=r"variants\.x\.levels\.mixpu: no such factor; did you"):
        study.replaced(variants={"x": {"levels": {"mixpu": "absent"}}})
    with pytest.raises(InvalidInput, match=r"no level .none.; choose from absent, alpha_0\.2"):
        study.replaced(variants={"x": {"levels": {"mixup": "none"}}})


def test_shipped_studies_extend_shipped_studies_only() -> None:
    for file in shipped_studies().glob("*.yaml"):
        assert file.stem == "default" or read_study(file)[0].name == file.stem
