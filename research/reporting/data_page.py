"""A data set's audit to one self-contained page: counts, copies, leaks, and what images look like.

The page holds images of the set: it is as private as the set itself.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from research import figures
from research.data import Splits
from research.data.audit import Audit

SAMPLES = 12  # images of a class
SHOWN = 24  # pairs or groups
IMBALANCED = 5.0  # from so many images of one class for each of another on it is worth a word
SEED = 2013


def data_page(audit: Audit) -> str:
    """An audit as HTML."""
    environment = Environment(
        loader=PackageLoader("research.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("data.html.j2").render(
        name=Path(audit.splits.source).name,
        found=audit.as_json(),
        warnings=warnings(audit),
        sheets=[(title, note, _png(figure)) for title, note, figure in _sheets(audit)],
    )


def warnings(audit: Audit) -> list[str]:
    """What a user should know before training on a set, in sentences."""
    found = []
    leaks = {where: count for where, count in audit.leaks().items() if count}
    if leaks:
        parts = ", ".join(f"{count:,} of {where}" for where, count in leaks.items())
        found.append(f"Pixel for pixel, images stand in two splits: {parts}.")
    near = {where: count for where, count in audit.near_leaks().items() if count}
    if near:
        parts = ", ".join(f"{count:,} of {where}" for where, count in near.items())
        found.append(f"Nearly so, perhaps one photograph: {parts}.")
    if audit.conflicting:
        found.append(
            f"{len(audit.conflicting):,} groups of equal images carry more than one label: no "
            "model can get all of them right."
        )
    if len(audit.blank):
        found.append(f"{len(audit.blank):,} images show nothing: all their pixels are alike.")
    shared = {where: who for where, who in audit.shared_persons().items() if who}
    for where, who in shared.items():
        names = ", ".join(who[:8]) + (" ..." if len(who) > 8 else "")
        found.append(
            f"{len(who)} persons of {where}: {names}. A net may know the person, not the look."
        )
    if suspected := audit.suspected_persons():
        names = ", ".join(f"{a} and {b}" for a, b in suspected[:8])
        found.append(f"Perhaps one person under two names: {names}.")
    if audit.imbalance() >= IMBALANCED:
        found.append(
            f"The commonest class has {audit.imbalance():.1f} training images for each of the "
            "rarest: look at macro F1 beside accuracy."
        )
    return found


def samples(
    splits: Splits, split: str, count: int, classes: tuple[str, ...] | None = None
) -> dict[str, list[NDArray[np.uint8]]]:
    """Classes to ``count`` images each of a split, chosen by a seed of their own."""
    part = getattr(splits, split)
    generator = np.random.default_rng(SEED)
    chosen = {}
    for label, name in enumerate(splits.classes):
        rows = generator.permutation(np.flatnonzero(part.labels == label))[:count]
        if classes is None or name in classes:
            chosen[name] = [part.images[row] for row in rows]
    return chosen


def _sheets(audit: Audit) -> list[tuple[str, str, Figure]]:
    """Titles, captions and pictures of images."""
    whole = audit.whole
    shown = samples(audit.splits, "train", SAMPLES)
    made = [("Samples", "Training images, chosen at random.", figures.sheet(shown))]
    conflicts = audit.conflicting[:SHOWN]
    if conflicts:
        rows = {
            f"{_labels(audit, group)} #{number}": [whole.images[row] for row in group[:SAMPLES]]
            for number, group in enumerate(conflicts, 1)
        }
        note = f"The first {len(rows)} of {len(audit.conflicting)} groups of equal pixels."
        made.append(("Equal images with different labels", note, figures.sheet(rows)))
    pairs = audit.near_conflicts()
    if len(pairs):
        step = max(1, len(pairs) // SHOWN)
        rows = {
            f"{_labels(audit, pair)} #{number}": [whole.images[row] for row in pair]
            for number, pair in enumerate(pairs[::step][:SHOWN], 1)
        }
        note = f"{len(rows)} of {len(pairs)} pairs."
        made.append(("Near-duplicates with different labels", note, figures.sheet(rows)))
    return made


def _labels(audit: Audit, rows: NDArray[np.int64]) -> str:
    names = [audit.splits.classes[label] for label in audit.whole.labels[rows]]
    return " / ".join(dict.fromkeys(names))


def _png(figure: Figure) -> Markup:
    """A figure of photographs to an element that holds it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    content = base64.b64encode(buffer.getvalue()).decode()
    return Markup(f'<img alt="" style="max-width: 100%" src="data:image/png;base64,{content}">')  # noqa: S704
