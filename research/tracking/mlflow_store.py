"""Runs in MLflow; the one file that knows it."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import (
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException

from research.errors import InvalidInput
from research.tracking import KINDS, Point, Status, Tracked, views

PAGE = 1000  # what one search gives at most
MODEL_NAME = re.compile(r"[/:.%\"']")  # what MLflow refuses in one
MAX_PARAM, MAX_TAG = 6000, 8000  # longer values are cut by MLflow


class MlflowTracker:
    """Runs in an MLflow store, by the `research.tracking.Tracker` contract.

    ``artifacts`` is the folder for artifacts of a database on this machine; a server has its own.
    """

    def __init__(self, uri: str, artifacts: Path | None) -> None:
        self._uri, self._artifacts = uri, artifacts
        with _explained(uri), _impatient():
            self._client = MlflowClient(uri)
            self._client.search_experiments(max_results=1)
        self._experiments: dict[str, str] = {}  # name to id
        self._places: dict[str, str] = {}  # run to the address of its artifacts

    @property
    def uri(self) -> str:
        return self._uri

    def find(self, **tags: str) -> list[Tracked]:
        if any("'" in value for value in tags.values()):
            return []  # MLflow's filters have no way to say it, and no tag of ours holds one
        return self._search(" and ".join(f"tags.`{k}` = '{v}'" for k, v in tags.items()))

    def running(self) -> list[Tracked]:
        return self._search("attributes.status = 'RUNNING'")

    def get(self, run_id: str) -> Tracked | None:
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return self._tracked(run) if run.info.lifecycle_stage == "active" else None

    def create(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        created = self._client.create_run(
            self._experiment(experiment), run_name=name, tags=dict(tags)
        )
        return str(created.info.run_id)

    def set_status(self, run_id: str, status: Status) -> None:
        if status == "RUNNING":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self._client.log_batch(
            run_id, tags=[RunTag(name, value[:MAX_TAG]) for name, value in tags.items()]
        )

    def log(
        self, run_id: str, points: Sequence[Point] = (), params: Mapping[str, str] | None = None
    ) -> None:
        self._client.log_batch(
            run_id,
            metrics=[Metric(p.name, p.value, p.at_ms, p.step) for p in points],
            params=[Param(k, v[:MAX_PARAM]) for k, v in (params or {}).items()],
        )

    def log_data(self, run_id: str, name: str, digest: str, about: Mapping[str, str]) -> None:
        source = CodeDatasetSource(tags=dict(about))
        data = MetaDataset(source, name=name, digest=digest)._to_mlflow_entity()
        context = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(run_id, [DatasetInput(data, context)])

    def log_model(self, run_id: str, file: Path, about: Mapping[str, str]) -> None:
        run = self._client.get_run(run_id)
        model = self._client.create_logged_model(
            run.info.experiment_id,
            name=MODEL_NAME.sub("-", run.info.run_name),
            source_run_id=run_id,
            params=dict(about),
            model_type="classifier",
        )
        with tempfile.TemporaryDirectory() as folder:
            shutil.copyfile(file, Path(folder) / "model.safetensors")
            self._client.log_model_artifacts(model.model_id, folder)
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        self.set_tags(run_id, {"model_id": model.model_id})

    def log_files(self, run_id: str, folder: Path) -> None:
        place = self._local(run_id)
        if place is None:
            self._client.log_artifacts(run_id, str(folder))
        else:
            place.mkdir(parents=True, exist_ok=True)
            for file in folder.iterdir():
                # Whole or not at all, whoever else writes or reads it.
                beside = place / f".{file.name}.{os.getpid()}"
                shutil.copyfile(file, beside)
                beside.replace(place / file.name)

    def read_file(self, run_id: str, name: str) -> bytes | None:
        place = self._local(run_id)
        if place is not None:
            file = place / name
            return file.read_bytes() if file.is_file() else None
        try:
            with tempfile.TemporaryDirectory() as folder:
                return Path(self._client.download_artifacts(run_id, name, folder)).read_bytes()
        except (MlflowException, OSError):
            return None

    def artifacts(self, run_id: str) -> str:
        return str(self._local(run_id) or self._places[run_id])

    def history(self, run_id: str, metric: str) -> list[Point]:
        found = self._client.get_metric_history(run_id, metric)
        points = (Point(m.key, m.value, m.step, m.timestamp) for m in found)
        return sorted(points, key=lambda point: point.step)

    def share_view(
        self, run_id: str, mark: str, study: str, metric: str, paths: list[str], by: str = "cell"
    ) -> str:
        experiment = self._client.get_run(run_id).info.experiment_id
        key = f"research-{mark}"
        tag = f"{views.TAG}{key}"
        if tag not in self._client.get_experiment(experiment).tags:
            content = views.content(f"{study} by {by or 'run'}", study, mark, metric, paths, by)
            self._client.set_experiment_tag(experiment, tag, content)
        return views.fragment(experiment, key)

    def experiment_url(self, run_id: str) -> str:
        run = self._client.get_run(run_id)
        return f"#/experiments/{run.info.experiment_id}/runs/{run_id}"

    def _local(self, run_id: str) -> Path | None:
        """Where a run's artifacts are on this machine, or None.

        MLflow keeps whole paths; a project that was moved or copied has its files where it is now.
        """
        if run_id not in self._places:
            self._places[run_id] = self._client.get_run(run_id).info.artifact_uri
        uri = self._places[run_id]
        if not uri.startswith(("file://", "/")):
            return None
        place = Path(uri.removeprefix("file://"))
        _, ours, inner = str(place).rpartition("/mlruns/artifacts/")
        return self._artifacts / inner if ours and self._artifacts else place

    def _experiment(self, name: str) -> str:
        """An experiment's id; it is made if it is new."""
        if name in self._experiments:
            return self._experiments[name]
        found = self._client.get_experiment_by_name(name)
        if found is None:
            slug = name.replace("/", "-")
            place = f"file://{self._artifacts / slug}" if self._artifacts else None
            try:
                self._client.create_experiment(name, artifact_location=place)
            except MlflowException as error:  # another process was quicker
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self._client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise InvalidInput(
                f"the MLflow experiment '{name}' is deleted; restore it with 'mlflow experiments "
                f"restore --experiment-id {found.experiment_id}', or remove it for good"
            )
        self._experiments[name] = str(found.experiment_id)
        return self._experiments[name]

    def _ours(self) -> dict[str, str]:
        """Ids and names of the experiments that this program makes."""
        ours: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_experiments(max_results=PAGE, page_token=token)
            ours |= {
                str(one.experiment_id): one.name
                for one in page
                if one.name.startswith(tuple(f"{kind}/" for kind in KINDS))
            }
            token = page.token
            if not token:
                return ours

    def _search(self, condition: str) -> list[Tracked]:
        ours = self._ours()
        found: list[Tracked] = []
        token = None
        while ours:
            with _no_collection():
                page = self._client.search_runs(
                    list(ours),
                    condition,
                    ViewType.ACTIVE_ONLY,
                    PAGE,
                    ["attributes.start_time DESC"],
                    token,
                )
                found += [self._tracked(run, ours) for run in page]
            token = page.token
            if not token:
                break
        return found

    def _tracked(self, run: Run, names: Mapping[str, str] | None = None) -> Tracked:
        experiment_id = str(run.info.experiment_id)
        if names is None:
            names = {experiment_id: self._client.get_experiment(experiment_id).name}
        self._places[run.info.run_id] = run.info.artifact_uri
        return Tracked(
            run_id=str(run.info.run_id),
            experiment=names[experiment_id],
            name=str(run.info.run_name),
            status=run.info.status,
            started_ms=int(run.info.start_time or 0),
            tags=dict(run.data.tags),
            params=dict(run.data.params),
            metrics=dict(run.data.metrics),
        )


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    """MLflow's refusals of a store as ours, with the cure."""
    try:
        yield
    except MlflowException as error:
        text = str(error).strip().splitlines()[0]
        cure = ""
        if "out-of-date" in str(error) or "upgrade" in str(error):
            cure = f"; run 'mlflow db upgrade {uri}' with this version of MLflow, or move it away"
        raise InvalidInput(f"tracking store {uri}: {text}{cure}") from None
    except Exception as error:
        raise InvalidInput(f"tracking store {uri}: {error}") from None


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """No search for garbage: of a thousand runs 100,000 objects are made, and all are used.

    Reading a thousand runs took 4.3 s with it, and takes 2.7 s.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Few and short tries for the first call, so that a dead server is told in seconds."""
    hurry = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    before = {name: os.environ.get(name) for name in hurry}
    os.environ.update({name: value for name, value in hurry.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
