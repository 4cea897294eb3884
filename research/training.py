"""Training as a generator of epoch records, and prediction. Torch only: no tracking, no files.

`State` holds all that a run needs to go on; `fit` advances it, an epoch at a time, and whoever
iterates may save it between two epochs. The loop never waits for the device inside an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from research.arithmetic import Arithmetic, global_state, set_global_state
from research.augment.mixing import Mixed
from research.augment.view import View
from research.averaging import MovingAverage
from research.metrics import accuracy, macro_f1
from research.optim import Schedule
from research.records import Epoch, Step
from research.spec import TestViews, Training

EVALUATION_BATCH = 256
STEP_EVERY_S = 0.5


@dataclass(frozen=True)
class Resident:
    """A split on the device: images ``(N, C, H, W)`` uint8, labels ``(N,)`` int64.

    ``soft_labels`` ``(N, K)`` float32 are probabilities, or None.
    """

    images: Tensor
    labels: Tensor
    soft_labels: Tensor | None = None

    @classmethod
    def put(
        cls,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        device: torch.device,
        soft_labels: NDArray[np.float32] | None = None,
    ) -> Resident:
        """Host arrays, images ``(N, H, W, C)``, to the device; on a CPU nothing is copied."""
        placed = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
        soft = None if soft_labels is None else torch.from_numpy(soft_labels).to(device)
        return cls(placed, torch.from_numpy(np.ascontiguousarray(labels)).to(device), soft)

    def targets(self, labels_share: float = 0.0, rows: Tensor | None = None) -> Tensor:
        """What training compares with: labels, or probabilities ``(n, K)`` where there are some.

        The labels have a share in these. They stay probabilities where it is 1: some losses weigh
        a batch of the one kind otherwise than one of the other.
        """
        labels = self.labels if rows is None else self.labels[rows]
        if self.soft_labels is None:
            return labels
        soft = self.soft_labels if rows is None else self.soft_labels[rows]
        if not labels_share:
            return soft
        sure = functional.one_hot(labels, soft.shape[1])
        return torch.lerp(soft, sure.to(soft.dtype), labels_share)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class State:
    """Everything that a training is at the end of an epoch."""

    net: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    view: View
    arithmetic: Arithmetic
    training: Training
    order: torch.Generator
    augment: torch.Generator
    history: list[Epoch] = field(default_factory=list)
    best: int = 0  # the selected epoch, from 1; 0 where there is none yet
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    diverged: bool = False
    average: MovingAverage | None = None
    compiled: Callable[[Tensor], Tensor] | None = None  # the net, for whole batches

    def __post_init__(self) -> None:
        first = self.optimizer.param_groups[0]
        self.base_lr = float(first["lr"]) / first.get("scale", 1.0)
        self.scaler = torch.amp.GradScaler(
            self.arithmetic.device.type, enabled=self.arithmetic.precision == "fp16"
        )

    @property
    def judged(self) -> nn.Module:
        """The net that is validated and tested: the averaged one where there is one."""
        return self.net if self.average is None else self.average.net

    @property
    def scores(self) -> list[float]:
        """The validation scores of the epochs so far that select, larger being better."""
        return [_score(epoch, self.training.select_by) for epoch in self.history]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from, but for the best weights."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "order": self.order.get_state(),
            "augment": self.augment.get_state(),
            "dropout": global_state(self.arithmetic.device),
            "history": [asdict(epoch) for epoch in self.history],
            "best": self.best,
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.net.load_state_dict(saved["net"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.order.set_state(saved["order"])
        self.augment.set_state(saved["augment"])
        set_global_state(self.arithmetic.device, saved["dropout"])
        self.history = [Epoch(**record) for record in saved["history"]]
        self.best = saved["best"]
        if self.average is not None:
            self.average.load_state_dict(saved["average"])


def fit(state: State, train: Resident, val: Resident) -> Iterator[Epoch | Step]:
    """Advances ``state`` to its last epoch; yields a record after each, and steps between.

    Stops early where the study says so. A loss that is not finite ends it with
    ``state.diverged``; that epoch has no record. The dropout stream is torch's global generator.
    """
    while len(state.history) < state.training.epochs and not _patience_is_over(state):
        number = len(state.history) + 1
        started = time.perf_counter()
        loss, right = yield from _train(state, train, number)
        trained_s = time.perf_counter() - started
        logits = predict(state.judged, state.view, val.images, state.arithmetic)
        val_loss = float(state.loss(logits, val.labels))
        if not (np.isfinite(loss) and np.isfinite(val_loss)):
            state.diverged = True
            return
        labels, scores = val.labels.cpu().numpy(), logits.cpu().numpy()
        record = Epoch(
            number=number,
            train_loss=loss,
            train_accuracy=right,
            val_loss=val_loss,
            val_accuracy=accuracy(labels, scores),
            val_macro_f1=macro_f1(labels, scores),
            lr=float(state.optimizer.param_groups[0]["lr"]),
            epoch_s=time.perf_counter() - started,
            images_per_s=len(train) / trained_s,
            ended_ms=int(time.time() * 1000),
        )
        state.history.append(record)
        _select(state)
        yield record


def predict(
    net: nn.Module,
    view: View,
    images: Tensor,
    arithmetic: Arithmetic,
    test: TestViews | None = None,
) -> Tensor:
    """Images ``(N, C, H, W)`` uint8 to logits ``(N, K)`` float32, averaged over the test's views.

    Where probabilities are averaged, the logits are their logarithms.
    """
    kind = "single" if test is None else test.views
    net.eval()
    made = []
    with torch.inference_mode(), arithmetic.autocast():
        for chunk in torch.split(images, EVALUATION_BATCH):
            seen = view.views(chunk, kind)
            outs = [net(arithmetic.lay_out(one)).float() for one in seen]
            made.append(_averaged(torch.stack(outs), test))
    return torch.cat(made)


def train_step(
    state: State,
    images: Tensor,
    labels: Tensor,
    targets: Tensor | None = None,
    progress: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """One optimiser step on a batch of uint8 images; returns (mean loss, number right).

    ``targets`` are what the loss compares with, the labels by default; ``progress`` is the share of
    the training that is done.
    """
    seen = state.view.changed(images, state.augment)
    return step(state, seen, labels, labels if targets is None else targets, progress)


def step(
    state: State, seen: Tensor, labels: Tensor, targets: Tensor, progress: float
) -> tuple[Tensor, Tensor]:
    """`train_step` on images that are changed already."""
    seen, mixed = state.view.batch(seen, targets, state.augment, progress)
    state.optimizer.zero_grad(set_to_none=True)
    whole = len(seen) == state.training.batch_size * len(state.view.places)
    net = state.compiled if state.compiled is not None and whole else state.net
    losses, outs = [], []
    for part, part_targets in _parts(seen, mixed, state.training.accumulate):
        with state.arithmetic.autocast():
            logits = net(state.arithmetic.lay_out(part))
        part_loss = _loss(state.loss, logits.float(), part_targets) * (len(part) / len(seen))
        torch.autograd.backward(state.scaler.scale(part_loss))
        losses.append(part_loss.detach())
        outs.append(logits.detach())
    loss, logits = torch.stack(losses).sum(), torch.cat(outs)
    if state.training.clip_norm is not None:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.net.parameters(), state.training.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.average is not None:
        state.average.follow(state.net)
    return loss, (logits.argmax(1) == labels.repeat(len(logits) // len(labels))).sum()


def _parts(
    images: Tensor, targets: Tensor | Mixed, count: int
) -> Iterator[tuple[Tensor, Tensor | Mixed]]:
    """A batch, or its parts in order, none of a single image: batch norm has no variance of one."""
    count = min(count, len(images) // 2)
    if count <= 1:
        yield images, targets
        return
    if isinstance(targets, Mixed):
        pairs = zip(
            targets.first.tensor_split(count), targets.second.tensor_split(count), strict=True
        )
        parts: list[Tensor | Mixed] = [Mixed(one, two, targets.lam) for one, two in pairs]
    else:
        parts = list(targets.tensor_split(count))
    yield from zip(images.tensor_split(count), parts, strict=True)


def _train(
    state: State, train: Resident, number: int
) -> Generator[Step, None, tuple[float, float | None]]:
    """One pass over the training images; yields steps, returns (mean loss, accuracy or None)."""
    net, size, total = state.net.train(), state.training.batch_size, len(train)
    order, scores = _order(state, train), state.scores
    loss = torch.zeros((), device=train.labels.device, dtype=torch.float64)
    right = torch.zeros((), device=train.labels.device, dtype=torch.int64)
    seen = 0
    shown = time.perf_counter()
    for rows, images in state.view.batches(train.images, order, size, state.augment):
        if len(rows) < 2:  # batch norm has no variance of one image
            continue
        time_now = number - 1 + seen / total
        _set_lr(state, state.base_lr * state.schedule(time_now, scores), time_now)
        progress = time_now / state.training.epochs
        targets = train.targets(_labels_share(state.training, progress), rows)
        batch_loss, batch_right = step(state, images, train.labels[rows], targets, progress)
        loss += batch_loss * len(rows)
        right += batch_right
        seen += len(rows)
        if time.perf_counter() - shown > STEP_EVERY_S:
            shown = time.perf_counter()
            yield Step(number, seen, total)
    net.eval()
    views = len(state.view.places)
    accuracy_or_none = None if state.view.mixes else int(right) / (seen * views)
    return float(loss) / seen, accuracy_or_none


def _labels_share(training: Training, progress: float) -> float:
    """How much of the targets is the labels, where there are soft labels beside these."""
    if training.labels_from is None:
        return 0.0
    return min(1.0, progress / training.labels_from) if training.labels_from else 1.0


def _order(state: State, train: Resident) -> Tensor:
    """Rows of the training images in the order of one epoch."""
    total, device = len(train), train.labels.device
    if state.training.sampling == "in_order":
        return torch.arange(total, device=device)
    if state.training.sampling == "balanced":
        labels = train.labels.cpu()
        chance = 1.0 / torch.bincount(labels).double()
        drawn = torch.multinomial(chance[labels], total, replacement=True, generator=state.order)
        return drawn.to(device)
    return torch.randperm(total, generator=state.order).to(device)


def _set_lr(state: State, lr: float, time_now: float) -> None:
    """Sets the learning rate, which rises step by step over the first epochs if it shall."""
    if time_now < state.training.warmup_epochs:
        lr *= time_now / state.training.warmup_epochs
    for group in state.optimizer.param_groups:
        group["lr"] = lr * group.get("scale", 1.0)


def _loss(loss: nn.Module, logits: Tensor, targets: Tensor | Mixed) -> Tensor:
    """The loss; of blended images lam L(., first) + (1 - lam) L(., second) (Zhang et al. 2018)."""
    if isinstance(targets, Mixed):
        first, second = loss(logits, targets.first), loss(logits, targets.second)
        return targets.lam * first + (1 - targets.lam) * second  # type: ignore[no-any-return]
    return loss(logits, targets)  # type: ignore[no-any-return]


def _averaged(logits: Tensor, test: TestViews | None) -> Tensor:
    """Logits ``(views, N, K)`` to ``(N, K)``."""
    if len(logits) == 1:
        return logits[0]
    if test is not None and test.average == "probabilities":
        return logits.softmax(-1).mean(0).clamp_min(1e-12).log()
    return logits.mean(0)


def _select(state: State) -> None:
    """Keeps a copy of the weights when the last epoch is the one to be tested so far."""
    if state.training.select_by != "last" and state.best:
        *_, new = scores = state.scores
        if new <= scores[state.best - 1]:
            return
    state.best = len(state.history)
    weights = state.judged.state_dict()
    state.best_weights = {
        name: value.detach().to("cpu", copy=True) for name, value in weights.items()
    }


def _score(epoch: Epoch, select_by: str) -> float:
    """An epoch's score on validation, larger being better."""
    name = "val/accuracy" if select_by == "last" else select_by
    value = epoch.metrics()[name]
    return -value if name == "val/loss" else value


def _patience_is_over(state: State) -> bool:
    patience = state.training.early_stopping
    if patience is None:
        return False
    if state.training.stop_by == "loss_and_accuracy":
        return _bad_in_a_row(state.history) >= patience
    scores = state.scores
    best = scores.index(max(scores)) if scores else -1
    return len(scores) - 1 - best >= patience


def _bad_in_a_row(history: Sequence[Epoch]) -> int:
    """Epochs since the last good one, where a good one overwrites both marks, as published."""
    loss, right, bad = math.inf, -math.inf, 0
    for epoch in history:
        if epoch.val_loss > loss or epoch.val_accuracy < right:
            bad += 1
        else:
            loss, right, bad = epoch.val_loss, epoch.val_accuracy, 0
    return bad
