"""The command line as a user meets it: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from research.project import Project
from research.provenance import hardware
from research.registry import models
from research.tracking.database import connect
from research.tracking.lease import Taken
from tests.conftest import TINY, Call

INLINE = ("--executor", "inline")


def test_a_study_from_the_first_command_to_the_last(call: Call, project: Project) -> None:
    code, out, err = call("ablate", "tiny", *INLINE)
    assert code == 0
    assert "SYNTHETIC" in out and "no-batch_norm" in out and "report.html" in out
    assert ": 3 cells x 3 seeds" in err and "[9/9]" in err
    assert "\x1b[" not in out + err

    code, out, err = call("ablate", "tiny", *INLINE, "--json")
    content = json.loads(out)
    assert code == 0 and content["complete"]
    assert set(content) == {
        *("study", "parent_run_id", "complete", "runs", "effects", "failed", "report")
    }
    assert len(content["runs"]) == 9 and content["failed"] == []
    assert set(content["runs"][0]) == {"cell", "fold", "seed", "run_id", "status", "fingerprint"}
    assert [row["cell"] for row in content["effects"]] == ["no-batch_norm", "no-smoothing"]
    assert Path(content["report"]).is_file()

    code, out, _ = call("report", "tiny", "--json")
    assert code == 0 and json.loads(out)["effects"] == content["effects"]
    code, out, _ = call("report", content["parent_run_id"])
    assert code == 0 and "no-smoothing" in out

    code, out, _ = call("ablate", "tiny", "--dry-run", "--json")
    planned = json.loads(out)
    assert code == 0 and (planned["runs"], planned["finished"]) == (9, 9)
    assert planned["estimated_s"] == 0


def test_a_dry_run_tells_everything_and_tracks_nothing(call: Call, project: Project) -> None:
    (project.runs / "mlflow.db").unlink()
    code, out, _ = call("ablate", "tiny", "--dry-run")
    assert code == 0 and not list(project.runs.iterdir())
    for words in ("no-batch_norm", "batch_norm: present → absent", "1· 2· 3·", "9 runs", "disk"):
        assert words in out
    code, out, _ = call("ablate", "tiny", "--dry-run", "--json")
    plan = json.loads(out)
    assert {"cells", "runs", "finished", "estimated_s"} <= set(plan)
    assert plan["estimated_s"] > 0 and plan["disk_bytes"] > 0
    assert all(cell["parameters"] > 0 and cell["macs"] > 0 for cell in plan["cells"])
    assert [run["state"] for run in plan["cells"][0]["runs"]] == ["new"] * 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ablate", "tinny"), "'tinny' is neither a study nor a model; did you mean 'tiny'?"),
        (("ablate", "tiny", "--seeds", "0"), "seeds: 0 seeds; give 1 to 1000"),
        (("ablate", "tiny", "--seeds", "a"), "--seeds a: give a number of seeds"),
        (("ablate", "tiny", "--seeds", "3,3"), "a seed stands twice"),
        (("ablate", "tiny", "--epochs", "0"), "greater than or equal to 1, not 0"),
        (("ablate", "tiny", "--factors", "smothing"), "did you mean 'smoothing'?"),
        (("ablate", "tiny", "--factors", ","), "nothing is named"),
        (("ablate", "tiny", "--design", "leave_one_uot"), "'leave_one_out'"),
        (("ablate", "tiny", "--set", "training.epoch=3"), "did you mean 'epochs'?"),
        (("ablate", "tiny", "--set", "epochs"), "is not path=value"),
        (("ablate", "tiny", "--set", "training.epochs=few"), 'valid integer, not "few"'),
        (("ablate", "tiny", "--set", "loss.params.label_smoothing=0.2"), "'smoothing' decides"),
        (("ablate", "tiny", "--set", "loss.params.gama=2"), "has no parameter 'gama'"),
        (("ablate", "tiny", "--set", "optim.params.lr=-1"), "greater than 0, not -1"),
        (("ablate", "tiny", "--set", "data.params.size=20"), "cannot take images of 20 x 20"),
        (("ablate", "tiny", "--data", "nowhere.csv"), "no such file or folder"),
        (("ablate", "tiny", "--device", "tpu"), "--device tpu"),
        (("ablate", "tiny", "--executor", "clster"), "executor 'clster' is not known"),
        (("ablate", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("ablate", "tiny", "--set", "optim=5"), "optim: 5; give a name, or {name, params}"),
        (("ablate", "tiny", "--set", "model=null"), "model: null; give a name"),
        (("ablate", "tiny", "--set", "optim.params.beta1=1"), "Invalid beta parameter"),
        (("ablate", "tiny", "--set", "data=embedded"), "all cells are run on the same data"),
        (("ablate", "tiny", "--set", "data.name=x.csv"), "all cells are run on the same data"),
        (("ablate", "tiny", "--set", "loss=focal"), "'smoothing' decides"),
        (("ablate", "tiny", "--set", "test.views=ten_crop"), "needs data.params.canvas, larger"),
        (("ablate", "tiny", "--set", "augment.crop={}"), "larger than the size of 63, or padding"),
        (("ablate", "tiny", "--set", "data.params.canvas=40"), "40 is less than the size of 63"),
        (("ablate", "tiny", "--set", "model.param.width=1"), "did you mean 'model.params.width'?"),
        (("ablate", "tiny", "--set", "training.epochs=" + "9" * 5000), "--set training.epochs"),
        (("report", "x'y"), "no such study was run"),
        (("train", "tiny", "--seed", "-1"), "--seed: input should be greater than or equal to 0"),
        (("report", "tiny"), "no such study was run"),
        (("train", "alexnt"), "did you mean 'alexnet'?"),
        (("ui", "--port", "0"), "give 1 to 65535"),
    ],
)
def test_wrong_input_is_told_and_nothing_is_started(
    call: Call, project: Project, words: tuple[str, ...], told: str
) -> None:
    code, out, err = call(*words)
    assert code == 2 and out == ""
    assert told in err and "Traceback" not in err
    assert not connect(project).find()


def test_all_errors_are_told_at_once(call: Call) -> None:
    code, _, err = call(
        *("ablate", "tiny", "--set", "training.epoch=3", "--set", "optm.params.lr=1"),
        *("--set", "training.batch_size=x"),
    )
    assert code == 2 and err.count("error: ") == 3
    code, _, err = call(
        *("ablate", "tiny", "--set", "training.epoch=3", "--design", "foo", "--factors", "mixp"),
        *("--epochs", "0", "--seeds", "0", "--data", "nowhere.csv"),
    )
    assert code == 2 and err.count("error: ") == 6


def test_errors_of_a_study_name_file_and_line(call: Call, project: Project) -> None:
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(TINY.replace("control: e_0.1", "control: e_0.2"))
    code, _, err = call("ablate", "tiny")
    assert code == 2
    line = file.read_text().splitlines().index("  smoothing:") + 1
    assert f"error: {file}:{line}: factors.smoothing: control: 'e_0.2' is not one of" in err
    file.write_text(TINY.replace("{lr: 3e-3}", "{lr: fast}"))
    code, _, err = call("ablate", "tiny")
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "fast" in text)
    assert code == 2 and f"{file}:{line}: base.optim.params.lr" in err


def test_a_run_that_fails_makes_the_exit_code_1(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("research.run.predict_split", fail)
    code, out, err = call("ablate", "tiny", "--seeds", "1", "--factors", "smoothing", *INLINE)
    assert code == 1
    assert "MemoryError: no room" in err and "2 of 2 runs failed" in out


def test_one_run_is_trained_and_found_again(call: Call, project: Project) -> None:
    code, out, _ = call("train", "tiny", "--epochs", "1", "--json")
    first = json.loads(out)
    assert code == 0 and first["status"] == "finished"
    assert 0 <= first["metrics"]["test/accuracy"] <= 1
    code, out, _ = call("train", "tiny", "--epochs", "1")
    assert code == 0 and f"{first['run_id']} (finished before)" in out
    assert connect(project).find()[0].experiment == "train/alexnet_pro"


def test_a_dry_run_of_one_run_says_what_it_is_and_tracks_nothing(
    call: Call, project: Project
) -> None:
    asked = ("train", "tiny", "--epochs", "1", "--set", "loss.params.label_smoothing=0.2")
    code, out, _ = call(*asked, "--dry-run")
    assert code == 0 and not connect(project).find()
    for words in ("recipe    tiny", ": 1 epoch, seed 1", "is new", "about"):
        assert words in out
    plan = json.loads(call(*asked, "--dry-run", "--json")[1])
    assert plan["spec"]["loss"]["params"]["label_smoothing"] == 0.2  # though a factor's
    assert plan["state"] == "new" and plan["estimated_s"] > 0
    code, out, err = call(*asked)
    (run,) = connect(project).find()
    assert run.tags["fingerprint"] == plan["fingerprint"] and "is new" in err
    assert f"files     {connect(project).artifacts(run.run_id)}" in out
    assert "is finished" in call(*asked, "--dry-run")[1]


@pytest.mark.parametrize("command", ["train", "ablate"])
def test_a_mistake_is_blamed_on_whoever_made_it(call: Call, project: Project, command: str) -> None:
    _, _, err = call(command, "tiny", "--set", "model.params.widht=1")
    assert "error: --set model.params.widht: the model" in err and "yaml" not in err
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(TINY.replace("{width: 0.05,", "{widht: 0.05,"))
    _, _, err = call(command, "tiny")
    assert "tiny.yaml:6: " in err and "model.params.widht: the model" in err
    empty = project.root / "faces" / "happy" / "a.png"
    empty.parent.mkdir(parents=True)
    empty.write_bytes(b"")
    own = "size: 63, channels: 1, train_images: 140, val_images: 42, test_images: 70"
    file.write_text(TINY.replace(own, "size: 63, channels: 1"))
    _, _, err = call(command, "tiny", "--data", str(project.root / "faces"))
    assert f"error: {empty}: is not a readable image: is empty" in err
    normal = ("--set", "preprocess.normalize.mean=[0.5, 0.5]")
    file.write_text(TINY)
    _, _, err = call(command, "tiny", *normal)
    assert "preprocess.normalize.mean: 2 numbers for 1 channel; give one" in err
    profile = "profiles:\n  quick:\n    set:\n      model.params.widht: 1\n"
    file.write_text(TINY + profile)
    _, _, err = call(command, "tiny")
    assert f"tiny.yaml:{len(TINY.splitlines()) + 4}: " in err


def test_a_file_of_a_name_near_the_one_asked_for_is_named(call: Call, project: Project) -> None:
    (project.root / "fer2013.csv").write_text("emotion,pixels\n")
    assert "did you mean 'fer2013.csv' in" in call("train", "tiny", "--data", "fer213.csv")[2]


def test_a_finished_study_is_shown_without_torch() -> None:
    code = "import research.cli.ablation, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_auto_was_taken_for_is_kept_for_the_next_time(
    call: Call, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("train", "tiny", "--epochs", "1", "--set", "training.memory_format=auto", "--json")
    first = json.loads(call(*asked)[1])
    monkeypatch.setattr("research.inspection.remembered_arithmetic", lambda *args: 1 / 0)
    again = json.loads(call(*asked)[1])
    assert (again["run_id"], again["status"]) == (first["run_id"], "reused")


def test_a_trained_run_keeps_its_weights_as_a_model(call: Call, project: Project) -> None:
    code, out, _ = call("train", "tiny", "--epochs", "1", "--json")
    run = connect(project).get(json.loads(out)["run_id"])
    assert code == 0 and run is not None and run.tags["model_id"]
    assert not any((project.runs / "checkpoints").glob("*"))


def test_a_run_that_another_command_trains_is_left_to_it(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(*args: object) -> None:
        raise Taken("process 12 on host")

    monkeypatch.setattr("research.run.lease.hold", hold)
    code, out, err = call("train", "tiny", "--epochs", "1")
    assert (code, out) == (1, "") and "process 12 on host trains this very run" in err


def test_a_broken_study_does_not_hide_the_others(call: Call, project: Project) -> None:
    (project.root / "ablations" / "broken.yaml").write_text("name: [")
    (project.root / "ablations" / "other.yaml").write_text(TINY)
    code, out, err = call("studies")
    assert code == 2 and "tiny" in out
    assert "broken.yaml" in err and "name: 'tiny' stands in other.yaml" in err


def test_studies_and_models_are_listed(call: Call) -> None:
    code, out, _ = call("studies")
    assert code == 0 and "alexnet_pro" in out and "tiny" in out
    code, out, _ = call("studies", "--json")
    assert {"alexnet_pro", "tiny"} <= {row["name"] for row in json.loads(out)}
    code, out, _ = call("studies", "--schema")
    assert json.loads(out)["title"] == "Study"


def test_models_are_listed_and_one_is_shown_by_layer(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RESEARCH_CACHE", str(tmp_path))
    some = ("alexnet_pro", "facecnn", "torchvision/resnet18")
    monkeypatch.setattr(models, "names", lambda: some)
    for _ in range(2):  # counted, then remembered
        code, out, err = call("models")
        assert code == 0 and "8.92 M" in out and "and 1 of torchvision" in err
    monkeypatch.setattr("research.inspection._count", lambda *args: 1 / 0)
    code, out, _ = call("models", "--json")
    assert [row["parameters"] for row in json.loads(out)] == [8_915_015, 42_582_919]
    monkeypatch.undo()
    code, out, _ = call("models", "facecnn", "--json")
    assert json.loads(out)["layers"][0]["kind"] == "Conv2d"
    code, out, _ = call("models", "resnet18_d2l")
    assert code == 0 and "11,176,839 parameters" in out
    code, out, _ = call("models", "torchvision")
    assert code == 0 and "torchvision/vit_b_16" in out
    assert call("models", "alexnt")[0] == 2


def test_help_is_there_for_every_command(call: Call) -> None:
    for words in ((), ("ablate",), ("train",), ("report",), ("studies",), ("models",), ("ui",)):
        code, out, _ = call(*words, "--help")
        assert code == 0 and "Usage" in out


def test_a_dry_run_tells_the_seeds_that_an_effect_needs(call: Call, project: Project) -> None:
    code, out, _ = call("ablate", "tiny", "--dry-run", "--detect", "0.05", "--until-resolved")
    assert code == 0 and "to find 5.0 points in 4 of 5 studies" in out and "assumed" in out
    assert "rounds    looks at 3, 5, 7, 9, 11, 13, 15, 17, 19, 20 seeds" in out
    assert call("ablate", "tiny", *INLINE)[0] == 0
    code, out, _ = call("ablate", "tiny", "--dry-run", "--detect", "0.05", "--json")
    contrasts = json.loads(out)["detect"]["contrasts"]
    assert [one["source"] for one in contrasts] == ["3 seeds"] * 2
    assert call("ablate", "tiny", "--detect", "0.05")[0] == 2
    assert call("ablate", "tiny", "--dry-run", "--detect", "5")[0] == 2
    assert call("ablate", "tiny", "--dry-run", "--max-seeds", "5")[0] == 2


def test_the_doctor_says_what_is_wrong_and_changes_nothing(
    call: Call, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [9.0]
    cores = int(hardware()["cores"])
    monkeypatch.setattr("os.getloadavg", lambda: (jobs[0] * cores, 0.0, 0.0))
    code, out, _ = call("doctor")
    assert code == 0 and "busy (9.0 jobs a core)" in out, out
    jobs[0] = 0.0
    code, out, _ = call("doctor")
    assert code == 0 and "busy" not in out, out
    (project.runs / "mlflow.db").unlink()
    before = sorted(project.root.rglob("*"))
    code, out, _ = call("doctor")
    assert code == 0 and "✓ tracking" in out and "· data" in out
    assert sorted(project.root.rglob("*")) == before
    monkeypatch.setenv("RESEARCH_DATA", "nowhere.csv")
    code, out, _ = call("doctor", "--json")
    found = {one["name"]: one["verdict"] for one in json.loads(out)}
    assert code == 1 and found["data"] == "wrong" and found["versions"] == "ok"
