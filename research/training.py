"""Training as a generator of epoch records, and prediction. Torch only: no tracking, no files.

`State` holds all that a run needs to go on; `fit` advances it, an epoch at a time, and whoever
iterates may save it between two epochs. The loop never waits for the device inside an epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from research.arithmetic import Arithmetic, global_state, set_global_state
from research.augment import Mixed, View
from research.metrics import accuracy, macro_f1
from research.records import Epoch, Step
from research.spec import TestViews, Training

EVALUATION_BATCH = 256
STEP_EVERY_S = 0.5


@dataclass(frozen=True)
class Resident:
    """A split on the device: images ``(N, C, H, W)`` uint8, labels ``(N,)`` int64."""

    images: Tensor
    labels: Tensor

    @classmethod
    def put(
        cls, images: NDArray[np.uint8], labels: NDArray[np.int64], device: torch.device
    ) -> Resident:
        """Host arrays, images ``(N, H, W, C)``, to the device; on a CPU nothing is copied."""
        placed = torch.from_numpy(images).permute(0, 3, 1, 2).to(device)
        return cls(placed, torch.from_numpy(np.ascontiguousarray(labels)).to(device))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class State:
    """Everything that a training is at the end of an epoch."""

    net: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Callable[[int], float]
    view: View
    arithmetic: Arithmetic
    training: Training
    order: torch.Generator
    augment: torch.Generator
    history: list[Epoch] = field(default_factory=list)
    best: int = 0  # the selected epoch, from 1; 0 where there is none yet
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    diverged: bool = False

    def __post_init__(self) -> None:
        self.base_lr = float(self.optimizer.param_groups[0]["lr"])
        self.scaler = torch.amp.GradScaler(
            self.arithmetic.device.type, enabled=self.arithmetic.precision == "fp16"
        )

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


def fit(state: State, train: Resident, val: Resident) -> Iterator[Epoch | Step]:
    """Advances ``state`` to its last epoch; yields a record after each, and steps between.

    Stops early where the study says so. A loss that is not finite ends it with
    ``state.diverged``; that epoch has no record. The dropout stream is torch's global generator.
    """
    while len(state.history) < state.training.epochs and not _patience_is_over(state):
        number = len(state.history) + 1
        lr = state.base_lr * state.schedule(number - 1)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        started = time.perf_counter()
        loss, right = yield from _train(state, train, number)
        trained_s = time.perf_counter() - started
        logits = predict(state.net, state.view, val.images, state.arithmetic)
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
            lr=lr,
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
    views: list[Callable[[Tensor], Tensor]] = [lambda seen: seen]
    if test is not None and test.views == "flip":
        views.append(lambda seen: seen.flip(-1))
    net.eval()
    made = []
    with torch.inference_mode(), arithmetic.autocast():
        for chunk in torch.split(images, EVALUATION_BATCH):
            seen = view.plain(chunk)
            outs = [net(arithmetic.lay_out(change(seen))).float() for change in views]
            made.append(_averaged(torch.stack(outs), test))
    return torch.cat(made)


def train_step(state: State, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """One optimiser step on a batch of uint8 images; returns (mean loss, number right)."""
    seen, targets = state.view.augmented(images, labels, state.augment)
    state.optimizer.zero_grad(set_to_none=True)
    with state.arithmetic.autocast():
        logits = state.net(state.arithmetic.lay_out(seen))
    loss = _loss(state.loss, logits.float(), targets)
    torch.autograd.backward(state.scaler.scale(loss))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return loss.detach(), (logits.argmax(1) == labels).sum()


def _train(
    state: State, train: Resident, number: int
) -> Generator[Step, None, tuple[float, float | None]]:
    """One pass over the training images; yields steps, returns (mean loss, accuracy or None)."""
    net, size, total = state.net.train(), state.training.batch_size, len(train)
    order = torch.randperm(total, generator=state.order).to(train.labels.device)
    loss = torch.zeros((), device=train.labels.device, dtype=torch.float64)
    right = torch.zeros((), device=train.labels.device, dtype=torch.int64)
    seen = 0
    shown = time.perf_counter()
    for rows in torch.split(order, size):
        if len(rows) < 2:  # batch norm has no variance of one image
            continue
        batch_loss, batch_right = train_step(state, train.images[rows], train.labels[rows])
        loss += batch_loss * len(rows)
        right += batch_right
        seen += len(rows)
        if time.perf_counter() - shown > STEP_EVERY_S:
            shown = time.perf_counter()
            yield Step(number, seen, total)
    net.eval()
    accuracy_or_none = None if state.view.mixes else int(right) / seen
    return float(loss) / seen, accuracy_or_none


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
    """Keeps a copy of the weights when the last epoch is the best so far on validation."""
    if state.best and not _better(state.history[-1], state.history[state.best - 1], state.training):
        return
    state.best = len(state.history)
    state.best_weights = {
        name: value.detach().to("cpu", copy=True) for name, value in state.net.state_dict().items()
    }


def _better(new: Epoch, old: Epoch, training: Training) -> bool:
    one, other = new.metrics()[training.select_by], old.metrics()[training.select_by]
    return one < other if training.select_by == "val/loss" else one > other


def _patience_is_over(state: State) -> bool:
    patience = state.training.early_stopping
    return patience is not None and len(state.history) - state.best >= patience
