"""One run: what it records, that it is repeatable, and that a stopped one goes on as if never."""

from __future__ import annotations

import copy
import gc
import io
import itertools
import json
import math
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import research
from research.arithmetic import Arithmetic, seeds, threads
from research.artist import Artist, artist
from research.assembly import assemble
from research.averaging import MovingAverage
from research.checkpoint import Checkpoint
from research.data import Splits
from research.data.location import locate
from research.design import cells, seeded, with_base
from research.errors import InvalidInput
from research.inspection import choose_compile, steps_of
from research.planning import resolve
from research.probing import quickest
from research.project import Project
from research.records import Epoch
from research.registry import code_digest
from research.request import Request
from research.run import Done, Job, Place, run
from research.runner import Runner
from research.spec import Recipe, RunSpec, fingerprint
from research.study import Study
from research.tracking import Tracker, lease
from research.tracking.database import connect
from research.tracking.memory import MemoryTracker
from research.tracking.recording import Labels, Recording
from research.training import Resident, State, _bad_in_a_row, _order, fit, predict
from research.validation import complete_cells

SMALL = {"train_images": 140, "val_images": 42, "test_images": 70}
CPU = torch.device("cpu")


@pytest.fixture
def data() -> Splits:
    return research.load_data("embedded", **SMALL)


Change = Callable[..., RunSpec]


@pytest.fixture
def change(tiny: Study) -> Change:
    """Paths and values to the complete spec of the tiny study's control with them."""

    def change(changes: dict[str, Any], seed: int = 1) -> RunSpec:
        study = with_base(tiny, changes)
        return seeded(complete_cells(study, cells(study)[:1], "embedded")[0].recipe, seed)

    return change


@pytest.fixture
def spec(change: Change) -> RunSpec:
    return change({})


def job_of(spec: RunSpec, data: Splits, **more: Any) -> Job:
    labels = Labels(
        experiment="ablate/tiny",
        study="tiny",
        cell="control",
        factors={"batch_norm": "present"},
        seed=spec.seed,
        fingerprint=fingerprint(spec, data.digest),
        data_digest=data.digest,
        code_digest=code_digest(spec),
    )
    return Job(spec, labels, **more)


Conduct = Callable[..., Done]


@pytest.fixture
def conduct(tmp_path: Path, data: Splits) -> Conduct:
    """Runs a spec to its end, or to the end of so many epochs."""

    def conduct(
        spec: RunSpec,
        tracker: Tracker,
        stop_after: int | None = None,
        place: str = "one",
        draw: Callable[..., object] = lambda work: None,
        **more: Any,
    ) -> Done:
        where = Place(tracker, {data.digest: data}, CPU, tmp_path / place, draw=draw)
        running = run(job_of(spec, data, **more), where)
        try:
            while True:
                record = next(running)
                if isinstance(record, Epoch) and record.number == stop_after:
                    running.close()
                    return Done("", "finished")
        except StopIteration as stop:
            done: Done = stop.value
            return done

    return conduct


def values(tracker: Tracker, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Every metric of a run but those of time."""
    run = tracker.get(run_id)
    assert run is not None
    timed = {"epoch_s", "images_per_s"}
    return {
        name: [(point.step, point.value) for point in tracker.history(run_id, name)]
        for name in run.metrics
        if name not in timed
    }


def predictions(tracker: Tracker, run_id: str) -> dict[str, np.ndarray]:
    content = tracker.read_file(run_id, "predictions.npz")
    assert content is not None
    with np.load(io.BytesIO(content)) as arrays:
        return dict(arrays)


def test_a_run_records_what_the_interface_promises(
    tracker: Tracker, conduct: Conduct, spec: RunSpec, data: Splits
) -> None:
    done = conduct(spec, tracker, draw=lambda work: work())
    found = tracker.get(done.run_id)
    assert found is not None and found.status == "FINISHED" and found.name == "control/s1"
    assert {
        *("kind", "study", "cell", "factors", "seed", "fingerprint", "data_digest"),
        *("code_digest", "git_commit", "git_dirty", "device", "versions"),
    } <= set(found.tags)
    assert found.params["optim.params.lr"] == "0.003"
    assert found.params["training.precision"] == "fp32"
    classes = data.classes
    once = {
        *("test/accuracy", "test/macro_f1", "test/balanced_accuracy", "test/log_loss"),
        *("test/ece", "test/top2", "test/accuracy_no_leak", "best_epoch"),
        *("model/parameters", "model/macs"),
        *(f"test/{kind}/{name}" for kind in ("precision", "recall", "f1") for name in classes),
    }
    epochs = {
        *("train/loss", "val/loss", "val/accuracy", "val/macro_f1"),
        *("lr", "epoch_s", "images_per_s"),
    }
    assert once | epochs <= set(found.metrics)
    assert "train/accuracy" not in found.metrics  # its labels are blended
    assert "test/accuracy_single_view" not in found.metrics
    for name in epochs:
        assert [point.step for point in tracker.history(done.run_id, name)] == [1, 2]
    for name in ("confusion_matrix.png", "curves.png", "environment.json", "per_class.json"):
        assert tracker.read_file(done.run_id, name)
    kept = RunSpec.model_validate_json(tracker.read_file(done.run_id, "spec.json") or b"")
    assert kept.spec_hash == spec.spec_hash


def test_scores_come_from_the_stored_predictions(
    tracker: Tracker, conduct: Conduct, spec: RunSpec, data: Splits
) -> None:
    done = conduct(spec, tracker)
    arrays = predictions(tracker, done.run_id)
    assert arrays["logits"].dtype == np.float16
    test = arrays["split"] == "test"
    assert set(arrays["split"]) == {"val", "test"}
    np.testing.assert_array_equal(arrays["label"][test], data.test.labels)
    np.testing.assert_array_equal(arrays["index"][test], np.arange(len(data.test)))
    right = arrays["logits"][test].argmax(1) == arrays["label"][test]
    found = tracker.get(done.run_id)
    assert found is not None and found.metrics["test/accuracy"] == right.mean()


def test_the_test_split_is_opened_once_and_that_is_recorded(
    conduct: Conduct, spec: RunSpec
) -> None:
    tracker = MemoryTracker()
    conduct(spec, tracker, stop_after=2)
    (stopped,) = tracker.find()
    assert "test_accesses" not in stopped.tags
    done = conduct(spec, tracker)
    assert len(json.loads(tracker.runs[done.run_id].tags["test_accesses"])) == 1


def test_the_same_spec_gives_the_same_numbers_to_the_last_bit(
    conduct: Conduct, spec: RunSpec, change: Change
) -> None:
    one, other = MemoryTracker(), MemoryTracker()
    first, second = conduct(spec, one), conduct(spec, other, place="two")
    assert values(one, first.run_id) == values(other, second.run_id)
    a, b = predictions(one, first.run_id), predictions(other, second.run_id)
    np.testing.assert_array_equal(a["logits"], b["logits"])
    third = conduct(change({}, seed=2), other, place="two")
    assert values(other, third.run_id)["train/loss"] != values(one, first.run_id)["train/loss"]


def test_torch_s_own_generator_is_left_as_it_was(conduct: Conduct, spec: RunSpec) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    conduct(spec, MemoryTracker())
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


EVERYTHING: dict[str, Any] = {
    "training.average": 0.9,
    "training.warmup_epochs": 1.5,
    "training.clip_norm": 1.0,
    "training.sampling": "balanced",
    "schedule": {"name": "plateau", "params": {"patience": 1}},
    "data.params.canvas": 70,
    "test.views": "ten_crop",
    "augment": {
        "resized_crop": {},
        "flip": {},
        "jitter": {},
        "erasing": {},
        "five_crop": {},
        "mixup": {},
        "cutmix": {},
    },
}


def test_a_stopped_run_of_everything_goes_on_as_if_never_stopped(
    conduct: Conduct, change: Change
) -> None:
    check_resuming(MemoryTracker(), conduct, change, 2, EVERYTHING)


def test_a_stopped_run_goes_on_in_the_same_run_as_if_never_stopped(
    tracker: Tracker, conduct: Conduct, change: Change
) -> None:
    check_resuming(tracker, conduct, change, 1, {})


def check_resuming(
    tracker: Tracker, conduct: Conduct, change: Change, stop_after: int, more: dict[str, Any]
) -> None:
    spec = change(
        {
            "training.epochs": 3,
            "model.params.dropout": 0.3,
            "model.params.head": "pool_mlp",
            **more,
        }
    )
    whole = MemoryTracker()
    expected = conduct(spec, whole, place="two")
    conduct(spec, tracker, stop_after=stop_after)
    (stopped,) = tracker.find(kind="run")
    assert stopped.status == "KILLED"
    done = conduct(spec, tracker)
    assert (done.run_id, done.how) == (stopped.run_id, "finished")
    assert values(tracker, done.run_id) == values(whole, expected.run_id)
    a, b = predictions(tracker, done.run_id), predictions(whole, expected.run_id)
    np.testing.assert_array_equal(a["logits"], b["logits"])


def test_a_stopped_run_goes_on_with_as_many_threads_as_it_had(
    conduct: Conduct, spec: RunSpec
) -> None:
    tracker = MemoryTracker()
    conduct(spec, tracker, stop_after=1)
    (stopped,) = tracker.find(kind="run")
    tracker.set_tags(stopped.run_id, {"threads": "2"})  # a test has one
    with threads(1):
        done = conduct(spec, tracker)
        assert torch.get_num_threads() == 1
    resumed = tracker.get(done.run_id)
    assert resumed is not None and resumed.tags["threads"] == "2"


def test_epochs_that_were_saved_but_not_recorded_are_recorded_once(
    conduct: Conduct, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = MemoryTracker()
    monkeypatch.setattr("research.run.Recording.epoch", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # after the checkpoint, before the record
        conduct(spec, tracker)
    monkeypatch.undo()
    done = conduct(spec, tracker)
    assert [point.step for point in tracker.history(done.run_id, "val/loss")] == [1, 2]


def test_a_finished_run_is_found_not_trained(conduct: Conduct, spec: RunSpec) -> None:
    tracker = MemoryTracker()
    first = conduct(spec, tracker)
    again = conduct(spec, tracker)
    assert (again.run_id, again.how) == (first.run_id, "reused")
    fresh = conduct(spec, tracker, fresh=True)
    assert fresh.how == "finished" and fresh.run_id != first.run_id


def test_code_that_changed_makes_a_run_stale(
    conduct: Conduct, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = MemoryTracker()
    old = conduct(spec, tracker)
    tracker.set_tags(old.run_id, {"code_digest": "other"})
    assert conduct(spec, tracker, accept_code=True).run_id == old.run_id
    assert conduct(spec, tracker).run_id != old.run_id


def test_code_that_changed_since_the_plan_is_not_run(
    tmp_path: Path, data: Splits, spec: RunSpec
) -> None:
    job = job_of(spec, data)
    planned = replace(job, labels=replace(job.labels, code_digest="before"))
    runner = Runner(Project(tmp_path), locate("embedded"), (SMALL,))
    with pytest.raises(InvalidInput, match="the code was changed since"):
        next(runner(planned))


def test_a_checkpoint_of_other_code_or_cut_off_is_not_gone_on_with(
    conduct: Conduct, spec: RunSpec, data: Splits, tmp_path: Path
) -> None:
    expected = MemoryTracker()
    whole = conduct(spec, expected, place="two")
    for spoil in (
        lambda file: file.write_bytes(file.read_bytes()[:1000]),
        lambda file: file.write_bytes(b""),
        lambda file: torch.save(torch.load(file) | {"code_digest": "other"}, file),
        lambda file: next(file.parent.glob("best-*")).unlink(),
    ):
        tracker = MemoryTracker()
        conduct(spec, tracker, stop_after=1)
        folder = tmp_path / "one" / "checkpoints" / fingerprint(spec, data.digest)
        spoil(folder / "last.pt")
        done = conduct(spec, tracker)
        assert (
            values(tracker, done.run_id)["val/loss"] == values(expected, whole.run_id)["val/loss"]
        )


def test_a_run_that_another_process_holds_is_left_to_it(
    conduct: Conduct, spec: RunSpec, data: Splits, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    with (
        lease.hold(tmp_path / "one" / "leases", fingerprint(spec, data.digest)),
        pytest.raises(lease.Taken),
    ):
        conduct(spec, tracker)
    assert not tracker.runs
    assert conduct(spec, tracker).how == "finished"


def test_a_failing_run_is_failed_and_says_why(
    tracker: Tracker, conduct: Conduct, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("out of memory\nmore")

    monkeypatch.setattr("research.run.predict_split", fail)
    with pytest.raises(RuntimeError):
        conduct(spec, tracker)
    (failed,) = tracker.find(kind="run")
    assert failed.status == "FAILED" and failed.tags["error"] == "RuntimeError: out of memory"
    monkeypatch.undo()
    done = conduct(spec, tracker)
    ended = tracker.get(done.run_id)
    assert ended is not None and ended.run_id == failed.run_id
    assert (ended.status, ended.tags["error"]) == ("FINISHED", "")


def test_a_run_that_diverges_is_finished_marked_and_scored(
    conduct: Conduct, change: Change, data: Splits
) -> None:
    tracker = MemoryTracker()
    done = conduct(change({"optim": {"name": "sgd", "params": {"lr": 1e18}}}), tracker)
    found = tracker.runs[done.run_id]
    assert done.diverged and found.tags["diverged"] == "true" and found.status == "FINISHED"
    assert found.metrics["best_epoch"] == 0
    chance = float(np.mean(data.test.labels == 0))
    assert found.metrics["test/accuracy"] == pytest.approx(chance)
    assert found.metrics["test/log_loss"] == pytest.approx(np.log(7))


def test_the_selected_epoch_is_what_is_tested(
    conduct: Conduct, change: Change, data: Splits, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    spec = change({"training.epochs": 4, "training.select_by": "val/loss"})
    done = conduct(spec, tracker)
    metrics = tracker.runs[done.run_id].metrics
    losses = [point.value for point in tracker.history(done.run_id, "val/loss")]
    best = int(metrics["best_epoch"])
    assert losses[best - 1] == min(losses) == metrics["selected/val_loss"]
    folder = tmp_path / "one" / "checkpoints" / fingerprint(spec, data.digest)
    weights = load_file(folder / f"best-{best}.safetensors")
    state = assemble(spec, data, Arithmetic(CPU))
    state.net.load_state_dict(weights)
    assert not (folder / "last.pt").exists()


def test_early_stopping_ends_a_run_that_gets_no_better(conduct: Conduct, change: Change) -> None:
    tracker = MemoryTracker()
    still = {"optim.params.lr": 1e-30, "training.epochs": 9, "training.early_stopping": 2}
    # Without batch norm, whose running means would move.
    done = conduct(change(still).override({"model.params.batch_norm": False}), tracker)
    assert len(tracker.history(done.run_id, "val/loss")) == 3
    assert tracker.runs[done.run_id].metrics["best_epoch"] == 1


def test_flipped_views_are_averaged_and_the_single_view_is_told(
    conduct: Conduct, change: Change
) -> None:
    for average in ("logits", "probabilities"):
        tracker = MemoryTracker()
        done = conduct(change({"test.views": "flip", "test.average": average}), tracker)
        assert "test/accuracy_single_view" in tracker.runs[done.run_id].metrics


def test_the_share_of_images_with_eyes_is_recorded(conduct: Conduct, change: Change) -> None:
    tracker = MemoryTracker()
    few = {"data.params.train_limit": 14, "data.params.eval_limit": 21, "training.batch_size": 7}
    steps = {"preprocess.align_eyes": {}, "training.epochs": 1}
    done = conduct(change(few | steps), tracker)
    metrics = tracker.runs[done.run_id].metrics
    assert 0.4 < metrics["preprocess/align_eyes"] < 1


def test_training_accuracy_is_told_where_labels_are_not_blended(
    conduct: Conduct, change: Change
) -> None:
    tracker = MemoryTracker()
    done = conduct(change({"augment.mixup": None}), tracker)
    assert 0 < tracker.runs[done.run_id].metrics["train/accuracy"] < 1


def test_a_net_learns(conduct: Conduct, change: Change) -> None:
    tracker = MemoryTracker()
    spec = change({"training.epochs": 12, "augment": {}, "model.params.width": 0.1})
    done = conduct(spec, tracker)
    shares = [point.value for point in tracker.history(done.run_id, "train/accuracy")]
    assert shares[-1] > 0.5 > shares[0]


@pytest.mark.parametrize("precision", ["bf16"])
def test_half_precision_trains_too(conduct: Conduct, change: Change, precision: str) -> None:
    tracker = MemoryTracker()
    few = {"training.precision": precision, "training.memory_format": "channels_last"}
    done = conduct(change({**few, "training.epochs": 1}), tracker)
    assert np.isfinite(tracker.runs[done.run_id].metrics["train/loss"])


def test_the_streams_of_a_seed_differ_and_those_of_seeds_too() -> None:
    streams = [tuple(seeds(seed).values()) for seed in range(50)]
    assert len(set(itertools.chain(*streams))) == 50 * 4


def test_a_checkpoint_drops_weights_of_epochs_that_are_no_longer_the_best(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    for name in ("best-1.safetensors", "best-3.safetensors"):
        (tmp_path / name).write_bytes(b"")
    checkpoint.clear()
    assert not tmp_path.exists()


def state_of(spec: RunSpec, data: Splits) -> State:
    return assemble(spec, data, Arithmetic(CPU))


def test_whole_batches_are_compiled_and_train_the_same(
    change: Change, data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("research.assembly.BACKEND", "eager")  # traced, without a compiler's minute
    train, val = (Resident.put(s.images, s.labels, CPU) for s in (data.train, data.val))
    rest = len(train) % change({}).training.batch_size
    assert rest > 1
    ended = []
    spec = change({"training.compile": "on", "training.epochs": 1})
    assert [*fit(state_of(spec, data), train, val)]  # as it is, without what notes the sizes below
    for compiled in ("off", "on"):
        state = state_of(change({"training.compile": compiled, "training.epochs": 1}), data)
        sizes: list[int] = []
        if state.compiled is not None:
            inner = state.compiled

            def note(images: torch.Tensor, inner: Any = inner, sizes: Any = sizes) -> torch.Tensor:
                sizes.append(len(images))
                return inner(images)  # type: ignore[no-any-return]

            state.compiled = note
        assert [*fit(state, train, val)]
        ended.append(state.net.state_dict())
        assert set(sizes) == ({state.training.batch_size} if compiled == "on" else set())
    for name, value in ended[0].items():
        torch.testing.assert_close(value, ended[1][name], rtol=1e-5, atol=1e-6)


def test_it_is_measured_whether_compiling_pays(
    change: Change, data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"off": 1.0, "on": 0.9}

    class Timed:
        def __init__(self, recipe: Recipe, *given: Any, whole: bool) -> None:
            if seconds["on"] == 0:
                raise RuntimeError("no compiler")
            self.few, self.step_s = [0], lambda: seconds[recipe.training.compile]

    monkeypatch.setattr("research.probing.Probe", Timed)
    spec = change({})

    def chosen(key: str) -> str:
        return choose_compile(key, spec, data, CPU)

    assert steps_of(spec, data) == spec.training.epochs * math.ceil(140 / spec.training.batch_size)
    assert chosen("many") == "on"
    seconds["on"] = 0.99
    assert chosen("many") == "on"  # remembered
    assert chosen("slow") == "off"
    seconds["on"] = 0
    assert chosen("broken") == "off"
    seconds["on"] = 0.5
    assert chosen("broken") == "on"  # what failed is not remembered


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ((1.0, 0.9, 1.2, 0.8), 3),
        ((1.0, 0.9, 0.8, 0.85), 2),
        ((1.0, 0.97, 0.98, 1.4), 0),  # too little to leave plain fp32 for
        ((1.0, 0.94, 0.93, 1.0), 2),
        ((3.0, 2.0), 1),
        ((1.0,), 0),
    ],
)
def test_the_quickest_way_is_found_by_steps_in_turns_two_nets_in_memory(
    change: Change, data: Splits, monkeypatch: pytest.MonkeyPatch, seconds: Any, best: int
) -> None:
    """Steps that another program holds up, one in two of each, count for nothing."""
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    held_up = itertools.cycle((7.0, 1.0, 1.0, 7.0))

    class Timed:
        def __init__(self, recipe: Recipe, way: Any, *given: Any, whole: bool) -> None:
            alive.add(self)
            assert len(alive) <= 2
            self.few, self.way = [0], way

        def step_s(self) -> float:
            return seconds[self.way] * next(held_up)  # type: ignore[no-any-return]

    monkeypatch.setattr("research.probing.Probe", Timed)
    ways: Any = [(change({}), number) for number in range(len(seconds))]
    assert quickest(ways, data, gain=1.05) == best
    assert not alive


def test_arithmetic_of_another_machine_is_measured_anew_or_told(
    change: Change,
    data: Splits,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    able: list[str] = ["fp32", "bf16"]
    monkeypatch.setattr("research.inspection.precisions", lambda device: tuple(able))
    spec = change({"training.precision": "auto", "training.memory_format": "auto"})
    answers = iter(("bf16", "fp32"))

    def measured(*given: Any) -> dict[str, str]:
        return {"precision": next(answers), "memory_format": "contiguous"}

    monkeypatch.setattr("research.inspection.choose_arithmetic", measured)
    tracker, project = MemoryTracker(), Project(tmp_path)

    def resolved() -> str:
        return resolve(spec, data, "known", Request(), tracker, project)["precision"]

    assert (resolved(), resolved()) == ("bf16", "bf16")  # remembered
    able.remove("bf16")
    assert resolved() == "fp32" and not caplog.text
    before = [{"precision": "bf16", "memory_format": "contiguous", "compile": "off"}]
    monkeypatch.setattr("research.planning.resolved_before", lambda *given: before)
    assert resolved() == "bf16"  # what is begun is not mixed
    assert "runs of the same are in bf16, slow on this device" in caplog.text


def test_compiled_runs_have_a_name_of_their_own_and_others_that_of_before(change: Change) -> None:
    specs = [change({"training.compile": value}) for value in ("auto", "off", "on")]
    assert specs[0].spec_hash == specs[1].spec_hash != specs[2].spec_hash
    assert "compile" not in specs[1].canonical()["training"]


def test_balanced_sampling_draws_every_class_equally_often(change: Change, data: Splits) -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    train = Resident(torch.zeros(100, 1, 8, 8, dtype=torch.uint8), labels)
    state = state_of(change({"training.sampling": "balanced"}), data)
    share = torch.cat([labels[_order(state, train)] for _ in range(50)]).float().mean()
    assert 0.47 < share < 0.53
    state = state_of(change({"training.sampling": "in_order"}), data)
    assert torch.equal(_order(state, train), torch.arange(100))


def test_the_rate_rises_over_the_warm_up_and_gradients_are_clipped(
    change: Change, data: Splits
) -> None:
    spec = change({"training.warmup_epochs": 2.0, "training.clip_norm": 1e-3})
    state = state_of(spec, data)
    train, val = (Resident.put(s.images, s.labels, CPU) for s in (data.train, data.val))
    rates = [epoch.lr for epoch in fit(state, train, val) if isinstance(epoch, Epoch)]
    assert 0 < rates[0] < rates[1] < state.base_lr
    norms = [p.grad.norm() for p in state.net.parameters() if p.grad is not None]
    assert torch.stack(norms).norm() <= 1e-3 * 1.001


def test_the_averaged_weights_are_what_is_validated_and_kept(change: Change, data: Splits) -> None:
    state = state_of(change({"training.average": 0.999, "training.select_by": "last"}), data)
    train, val = (Resident.put(s.images, s.labels, CPU) for s in (data.train, data.val))
    assert [*fit(state, train, val)] and state.best == 2
    assert state.average is not None
    for name, value in state.average.net.state_dict().items():
        assert torch.equal(value, state.best_weights[name])
    assert any(
        not torch.equal(value, state.best_weights[name])
        for name, value in state.net.state_dict().items()
    )


def test_the_average_is_that_of_the_library_and_goes_on_where_it_was() -> None:
    """PyTorch's own, which waits for a GPU at each step, is what it is compared with."""
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    mine, again = MovingAverage(net, 0.8), MovingAverage(net, 0.8)
    theirs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)  # type: ignore[no-untyped-call]
    for number in range(4):
        net.train()(torch.randn(4, 1, 5, 5))
        with torch.no_grad():
            net[0].weight.normal_()
        theirs.update_parameters(net)  # type: ignore[no-untyped-call]
        mine.follow(net)
        if number == 1:
            again.load_state_dict(copy.deepcopy(mine.state_dict()))
        elif number > 1:
            again.follow(net)
    counted = "1.num_batches_tracked"
    assert int(mine.net.state_dict()[counted]) == 4
    for name, value in theirs.module.state_dict().items():
        if name != counted:
            torch.testing.assert_close(mine.net.state_dict()[name], value)
        assert torch.equal(again.net.state_dict()[name], mine.net.state_dict()[name])


def epoch_of(loss: float, right: float) -> Epoch:
    return Epoch(1, 0.0, None, loss, right, right, 0.1, 1.0, 1.0, 0)


@pytest.mark.parametrize(
    ("curve", "bad"),
    [
        ([(2, 0.2), (1, 0.3)], 0),
        ([(1, 0.3), (1.1, 0.4), (0.9, 0.2)], 2),
        ([(1, 0.3), (1.1, 0.4), (1.0, 0.3)], 0),  # as good as the mark is good
        ([(1, 0.3), (0.9, 0.3), (1.1, 0.1), (1.2, 0.1), (1.3, 0.1)], 3),
    ],
)
def test_the_published_stopping_counts_bad_epochs_in_a_row(
    curve: list[tuple[float, float]], bad: int
) -> None:
    assert _bad_in_a_row([epoch_of(*one) for one in curve]) == bad


def test_soft_labels_are_what_is_learnt(change: Change, data: Splits) -> None:
    soft = np.full((len(data.train), 7), 1 / 7, dtype=np.float32)
    train = Resident.put(data.train.images, data.train.labels, CPU, soft)
    val = Resident.put(data.val.images, data.val.labels, CPU)
    spec = change({"augment": {}, "training.epochs": 1})
    state = state_of(spec, data)
    (epoch,) = [one for one in fit(state, train, val) if isinstance(one, Epoch)]
    assert epoch.train_loss > np.log(7) * 0.95  # the entropy of what is to be said


def test_targets_go_over_from_soft_labels_to_labels(change: Change, data: Splits) -> None:
    soft = np.full((len(data.train), 7), 1 / 7, dtype=np.float32)
    train = Resident.put(data.train.images, data.train.labels, CPU, soft)
    rows = torch.tensor([3, 0])
    half = train.targets(0.5, rows)
    assert half.shape == (2, 7) and torch.equal(half.argmax(1), train.labels[rows])
    torch.testing.assert_close(half.max(1).values, torch.full((2,), 0.5 + 0.5 / 7))
    torch.testing.assert_close(half.sum(1), torch.ones(2))
    sure = torch.eye(7)[train.labels[rows]]
    torch.testing.assert_close(train.targets(1.0, rows), sure)
    hard = Resident.put(data.train.images, data.train.labels, CPU)

    def losses(labels_from: float | None, given: Resident) -> list[tuple[float, float]]:
        changes = {"augment": {}, "training.epochs": 2, "training.labels_from": labels_from}
        state = state_of(change(changes), data)
        found = [one for one in fit(state, given, given) if isinstance(one, Epoch)]
        return [(one.train_loss, one.val_loss) for one in found]

    labels, votes = losses(0.0, train), losses(None, train)
    for one in (losses(None, hard), losses(0.5, hard)):
        np.testing.assert_allclose(one, labels, rtol=1e-4)
    (first, _), (second, _) = losses(0.5, train)  # half a mixture, then labels
    assert first not in (labels[0][0], votes[0][0]) and second != votes[1][0]
    assert votes[1][0] > np.log(7) * 0.95


def test_soft_targets_that_are_mixed_and_in_parts_go_on_where_they_were(
    change: Change, data: Splits
) -> None:
    votes = np.random.default_rng(0).dirichlet(np.ones(7), len(data.train)).astype(np.float32)
    train = Resident.put(data.train.images, data.train.labels, CPU, votes)
    val = Resident.put(data.val.images, data.val.labels, CPU)
    base = {
        "augment": {"flip": {}, "mixup": {}},
        "training.epochs": 3,
        "training.labels_from": 0.8,  # in the midst of the last epoch
        "model.params.dropout": 0.0,
    }
    plain = change(base).override({"model.params.batch_norm": False})

    def trained(parts: int, stop: bool) -> list[tuple[float, float]]:
        spec = plain.override({"training.accumulate": parts})
        state = state_of(spec, data)
        epochs = (one for one in fit(state, train, val) if isinstance(one, Epoch))
        if stop:
            next(epochs)
            saved = copy.deepcopy(state.state_dict())
            state = state_of(spec.override({"seed": 9}), data)
            state.load_state_dict(saved)
            epochs = (one for one in fit(state, train, val) if isinstance(one, Epoch))
        assert len([*epochs]) == (2 if stop else 3)
        return [(one.train_loss, one.val_loss) for one in state.history]

    whole = trained(1, stop=False)
    assert trained(2, stop=True) == trained(2, stop=False)
    np.testing.assert_allclose(trained(3, stop=False), whole, rtol=1e-3)


def test_validation_is_by_labels_whatever_is_learnt(change: Change, data: Splits) -> None:
    soft = np.full((len(data.train), 7), 1 / 7, dtype=np.float32)
    train = Resident.put(data.train.images, data.train.labels, CPU, soft)
    state = state_of(change({"augment": {}, "training.epochs": 1}), data)
    (epoch,) = [one for one in fit(state, train, train) if isinstance(one, Epoch)]
    logits = predict(state.net, state.view, train.images, state.arithmetic)
    assert epoch.val_loss == pytest.approx(float(state.loss(logits, train.labels)))


def test_a_run_that_is_killed_between_checkpoints_ends_as_one_that_was_not(
    conduct: Conduct, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = change({"training.epochs": 5})
    whole, tracker = MemoryTracker(), MemoryTracker()
    first = conduct(spec, whole)
    real, kept = Recording.epoch, Checkpoint.keep

    def keep(self: Checkpoint, state: State, code_digest: str) -> None:
        monkeypatch.setenv("RESEARCH_CHECKPOINT_S", "0" if len(state.history) == 2 else "1e9")
        kept(self, state, code_digest)

    def die(self: Recording, number: int, *given: Any) -> None:
        real(self, number, *given)
        if number == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "keep", keep)
    monkeypatch.setattr(Recording, "epoch", die)
    with pytest.raises(KeyboardInterrupt):
        conduct(spec, tracker)
    monkeypatch.setattr(Recording, "epoch", real)
    seen = []
    monkeypatch.setattr(
        Recording, "epoch", lambda self, n, *given: (seen.append(n), real(self, n, *given))
    )
    done = conduct(spec, tracker)
    assert seen == [1, 2, 3, 4, 5]
    ways = ((whole, first.run_id), (tracker, done.run_id))
    curves = [[(p.step, p.value) for p in t.history(run, "val/loss")] for t, run in ways]
    assert curves[0] == curves[1] and [step for step, _ in curves[0]] == [1, 2, 3, 4, 5]
    one, other = (t.files[run]["predictions.npz"] for t, run in ways)
    assert one == other


def test_what_cannot_be_written_fails_the_run_and_leaves_no_hole(
    conduct: Conduct, change: Change
) -> None:
    class Broken(MemoryTracker):
        def log(self, run_id: str, points: Any = (), params: Any = None) -> None:
            if any(point.step == 2 for point in points):
                raise OSError("database is locked")
            super().log(run_id, points, params)

    tracker = Broken()
    with pytest.raises(OSError, match="locked"):
        conduct(change({"training.epochs": 4}), tracker)
    (run,) = tracker.runs.values()
    assert run.status == "FAILED" and "locked" in run.tags["error"]
    assert [point.step for point in tracker.history(run.run_id, "val/loss")] == [1]
    assert not run.tags.get("test_accesses")


def test_pictures_are_drawn_in_another_process_that_is_replaced_when_it_dies(
    tmp_path: Path,
) -> None:
    one = Artist()
    counts = np.arange(9).reshape(3, 3)
    history = [{"train/loss": 1.0, "val/loss": 1.1, "val/accuracy": 0.5}]
    work = (tmp_path, counts, ("a", "b", "c"), history, 1)
    one.draw(*work)
    assert {file.name for file in tmp_path.iterdir()} == {"confusion_matrix.png", "curves.png"}
    with pytest.raises(RuntimeError, match=r"ValueError|IndexError"):
        one.draw(tmp_path, counts[:0], (), history, 1)
    assert one._process is not None
    one._process.kill()
    with pytest.raises(RuntimeError, match="died"):
        one.draw(*work)
    (tmp_path / "curves.png").unlink()
    one.draw(*work)
    assert (tmp_path / "curves.png").is_file()
    process = one._process
    one.close()
    assert process is not None and process.returncode is not None


def test_pictures_that_wait_hold_no_net(
    conduct: Conduct, spec: RunSpec, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run has a net and an optimiser of its own by then."""
    made: list[weakref.ref[State]] = []

    def noted(*given: Any) -> State:
        state = assemble(*given)
        made.append(weakref.ref(state))
        return state

    monkeypatch.setattr("research.run.assemble", noted)
    waiting: list[Callable[[], object]] = []
    conduct(spec, tracker, draw=waiting.append)
    gc.collect()
    assert len(waiting) == len(made) == 1 and made[0]() is None


def test_one_process_draws_for_all_runs_of_another(spec: RunSpec, tmp_path: Path) -> None:
    first, second = (
        research.train(spec.override({"seed": seed}), root=tmp_path) for seed in (1, 2)
    )
    drawn = artist()._process
    tracker = connect(Project(tmp_path))
    assert drawn is not None and drawn.poll() is None
    assert all(tracker.read_file(one, "curves.png") for one in (first, second))
    third = research.train(spec.override({"seed": 3}), root=tmp_path)
    assert artist()._process is drawn and tracker.read_file(third, "curves.png")
