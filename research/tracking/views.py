"""A saved view of MLflow's on a study's runs: grouped by cell, with the charts that compare them.

MLflow keeps one as a tag of an experiment, in a form that it does not document: where a version
reads it otherwise, its pages open as they are without it.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Sequence
from typing import Any

TAG = "mlflow.sharedViewState."
SECTION = "study"
CURVE = {
    "lineSmoothness": 0,
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "xAxisKey": "step",
    "selectedXAxisMetricKey": "",
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "ignoreOutliers": False,
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}


def fragment(experiment_id: str, key: str) -> str:
    """The part of MLflow's address that opens a view."""
    query = f"viewStateShareKey={key}&compareRunsMode=CHART&workflowType=machine_learning"
    return f"#/experiments/{experiment_id}/runs?{query}"


def content(
    name: str, study: str, mark: str, metric: str, params: Sequence[str], by: str = "cell"
) -> str:
    """The value of the tag: runs marked ``mark``, by a tag or none, a metric and ``params``."""
    packed = zlib.compress(json.dumps(_state(study, mark, metric, params, by)).encode())
    now = int(time.time() * 1000)
    body = {"name": name, "createdAt": now, "updatedAt": now}
    return json.dumps({**body, "state": f"deflate;{base64.b64encode(packed).decode()}"})


def _state(study: str, mark: str, metric: str, params: Sequence[str], by: str) -> dict[str, Any]:
    charts = [
        _chart("BAR", f"{metric} by {by or 'run'}", metricKey=metric),
        _curve("val/accuracy"),
        _curve("val/loss"),
        _chart(
            "PARALLEL",
            f"factors and {metric}",
            selectedParams=list(params),
            selectedMetrics=[metric],
            showAllRuns=True,
        ),
        _chart(
            "SCATTER",
            f"parameters and {metric}",
            xaxis={"key": "model/parameters", "type": "METRIC"},
            yaxis={"key": metric, "type": "METRIC"},
        ),
        _chart(
            "DIFFERENCE",
            "what differs",
            compareGroups=["Model Metrics", "Parameters"],
            chartName="what differs",
            showChangeFromBaseline=True,
            showDifferencesOnly=True,
            baselineColumnUuid="",
        ),
    ]
    keys = [{"mode": "tag", "groupByData": by}]
    group = {"aggregateFunction": "average", "groupByKeys": keys}
    section = {"uuid": SECTION, "name": study, "display": True, "isReordered": False}
    section |= {"deleted": False, "isGenerated": False}
    columns = [f"metrics.`{metric}`", "tags.`cell`", "tags.`seed`", "tags.`fold`"]
    return {
        "searchFilter": f"tags.`{mark}` = 'true'",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": [],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOWALL",
        "compareRunCharts": charts,
        "compareRunSections": [section],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": group if by else None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {
            "xAxisKey": "step",
            "lineSmoothness": 0,
            "selectedXAxisMetricKey": "",
        },
    }


def _chart(kind: str, title: str, **more: Any) -> dict[str, Any]:
    return {
        "uuid": f"{kind.lower()}-{title}",
        "type": kind,
        "displayName": title,
        "runsCountToCompare": 100,
        "metricSectionId": SECTION,
        "deleted": False,
        "isGenerated": False,
        **more,
    }


def _curve(metric: str) -> dict[str, Any]:
    return _chart("LINE", metric, metricKey=metric, selectedMetricKeys=[metric], **CURVE)
