"""How large the images of a training batch are, as the training goes on."""

from __future__ import annotations

from research.registry import Count, Fraction, augmentations


@augmentations.register(kind="side")
def progressive(
    progress: float, *, start: Fraction = 0.5, until: Fraction = 0.8, stages: Count = 2
) -> float:
    """Small images first, which cost less: their side grows in ``stages`` equal steps.

    From ``start`` of the input's side to all of it, which it has after the share ``until`` of the
    steps (Tan and Le, ICML 2021, section 4). Validation and test see whole images.
    """
    if progress >= until:
        return 1.0
    return start + (1 - start) * int(progress / until * stages) / stages
