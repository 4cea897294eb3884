"""Where and how a net computes: device, precision, layout, random streams, reproducibility."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import deterministic

from research.errors import InvalidInput

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
STREAMS = ("init", "order", "augment", "dropout")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
NEVER, MOST_BEFORE_2_35 = 1 << 30, 1 << 25  # the library's version
COMPILED = "TORCHINDUCTOR_CACHE_DIR"
_folders_of_compiled: set[str] = set()
MALLOC_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


@dataclass(frozen=True)
class Arithmetic:
    """Where a net computes, in what precision and memory layout."""

    device: torch.device
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    memory_format: Literal["contiguous", "channels_last"] = "contiguous"

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context that a forward pass runs in."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, DTYPES[self.precision])

    def place(self, net: nn.Module) -> nn.Module:
        """A net onto the device, in the layout."""
        return net.to(self.device, memory_format=self._layout)  # type: ignore[call-overload, no-any-return]

    def lay_out(self, images: Tensor) -> Tensor:
        """A batch ``(N, C, H, W)`` in the layout.

        Of one channel both layouts are the same numbers in the same order, and only the strides
        say which it is; convolutions go by these, and so do all that follow.
        """
        laid = images.contiguous(memory_format=self._layout)
        if laid.shape[1] != 1:
            return laid
        area, width = laid[0].numel(), laid.shape[-1]
        last = self.memory_format == "channels_last"
        return laid.as_strided(laid.shape, (area, 1 if last else area, width, 1))

    @property
    def _layout(self) -> torch.memory_format:
        last = self.memory_format == "channels_last"
        return torch.channels_last if last else torch.contiguous_format


def find_device(name: str | None) -> torch.device:
    """A device's name, or None for CUDA if present, else the CPU; raises `InvalidInput`."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidInput(f"--device {name}: choose from cpu, cuda, cuda:0 ...") from None
    if device.type not in ("cpu", "cuda"):
        raise InvalidInput(f"--device {name}: choose from cpu, cuda, cuda:0 ...")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput(f"--device {name}: this machine has {torch.cuda.device_count()} GPUs")
    return device


@functools.cache
def keep_freed_memory() -> bool:
    """Lets this process keep the memory that a step frees for the next one; whether that worked.

    The GNU C library gives every large block back to the system at once, and the same pages are
    cleared and mapped anew at each step, which took 4 to 15 % of a step. Elsewhere, and where the
    user has settings of their own, nothing is changed.
    """
    if sys.platform != "linux" or any(name in os.environ for name in MALLOC_SETTINGS):
        return False
    try:
        change = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    kept = change(M_MMAP_THRESHOLD, NEVER) or change(M_MMAP_THRESHOLD, MOST_BEFORE_2_35)
    return bool(kept and change(M_TRIM_THRESHOLD, NEVER))


def give_freed_memory_back() -> None:
    """Gives the system what this process has freed and kept, where the C library can."""
    if sys.platform == "linux":
        gc.collect()
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def keep_compiled(folder: Path) -> None:
    """What is compiled from now on stays in a folder's ``compiled``, unless the user chose one."""
    chosen = os.environ.get(COMPILED)
    if chosen is None or chosen in _folders_of_compiled:
        os.environ[COMPILED] = str(folder / "compiled")
        _folders_of_compiled.add(os.environ[COMPILED])


def seeds(seed: int) -> dict[str, int]:
    """A run's seed to one seed a stream: initial weights, order, augmentation, dropout."""
    parts = np.random.SeedSequence(seed).generate_state(len(STREAMS), np.uint64)
    return {name: int(part >> np.uint64(1)) for name, part in zip(STREAMS, parts, strict=True)}


@contextlib.contextmanager
def reproducible(device: torch.device, precision: str) -> Iterator[None]:
    """Torch's global generator is given back as it was; in fp32 only exact algorithms are used.

    Exact algorithms would also fill all memory that is about to be overwritten; that is left out.
    """
    exact = torch.are_deterministic_algorithms_enabled()
    fills = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    devices = [device] if device.type == "cuda" else []
    tensor_cores = torch.backends.cudnn.allow_tf32 if devices else False
    with torch.random.fork_rng(devices):
        torch.use_deterministic_algorithms(precision == "fp32", warn_only=True)
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if devices and precision == "fp32":
            torch.backends.cudnn.allow_tf32 = False  # it rounds to 10 bits
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(exact)
            deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]
            if devices:
                torch.backends.cudnn.allow_tf32 = tensor_cores


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Torch works with ``count`` threads inside, None is as many as before.

    Sums are added up in another order by another number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(min(count or before, os.cpu_count() or 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def global_state(device: torch.device) -> Tensor:
    """The state of torch's global generator of a device, which dropout draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_global_state(device: torch.device, state: Tensor) -> None:
    """Puts back what `global_state` gave."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
