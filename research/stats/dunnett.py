"""Dunnett's test with seeds as blocks: more power where all cells vary alike, wrong where not.

Dunnett (1955) compares several means with one control; here the residual is that of cells and seeds
in two ways (Hochberg and Tamhane 1987, section 3.3.2), as seeds are shared.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import optimize, special

from research.stats.effect import Floats
from research.stats.spread import Spread

NODES = 96


def blocked_spread(table: Floats) -> Spread:
    """Complete scores ``(cells, seeds)`` to the error of a difference to the control."""
    cells, n = table.shape
    rest = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    df = (cells - 1) * (n - 1)
    return Spread(math.sqrt(2 * float((rest**2).sum()) / df / n), df)


def spread_ratio(table: Floats) -> float:
    """Complete scores ``(cells, seeds)`` to the largest SD of a cell over their median.

    What seeds share is taken out first.
    """
    rest = (table - table.mean(axis=0)).std(axis=1, ddof=1)
    middle = float(np.median(rest))
    return float(rest.max()) / middle if middle > 0 else math.inf


def adjusted_p(t: float, contrasts: int, df: float) -> float:
    """The chance that the largest of so many |t| with correlation 1/2 reaches ``t``."""
    if not math.isfinite(t):
        return 0.0 if math.isinf(t) else math.nan
    return float(min(1.0, max(0.0, 1 - _below(abs(t), contrasts, df))))


@functools.lru_cache(maxsize=256)
def critical_value(contrasts: int, df: float, alpha: float) -> float:
    """The value that the largest of so many |t| with correlation 1/2 reaches with ``alpha``."""
    most = float(special.stdtrit(df, 1 - alpha / (2 * contrasts))) + 1e-6  # Bonferroni's is larger
    return float(optimize.brentq(lambda c: 1 - _below(c, contrasts, df) - alpha, 1e-6, most + 1))


def _below(c: float, contrasts: int, df: float) -> float:
    """P(max |T_i| <= c): given the control's own error z and the scale s, contrasts are free."""
    z, z_weights = _GRID
    s, s_weights = _scales(df)
    reach = math.sqrt(2) * c * s[None, :]
    inner = special.ndtr(z[:, None] + reach) - special.ndtr(z[:, None] - reach)
    return float(z_weights @ inner**contrasts @ s_weights)


def _normal_grid() -> tuple[Floats, Floats]:
    """Places and weights of a standard normal: the trapezoid rule, exact to 1e-12 here."""
    z = np.linspace(-9, 9, 181)
    weights = np.exp(-(z**2) / 2)
    return z, weights / weights.sum()


_GRID = _normal_grid()


@functools.lru_cache(maxsize=256)
def _scales(df: float) -> tuple[Floats, Floats]:
    """Places and weights of a residual SD over the true one, sqrt(chi-square / df)."""
    low, high = (math.sqrt(2 * special.gammaincinv(df / 2, u) / df) for u in (1e-14, 1 - 1e-14))
    points, weights = np.polynomial.legendre.leggauss(NODES)
    s = low + (high - low) * (points + 1) / 2
    log_density = (df - 1) * np.log(s) - df * s**2 / 2
    density = weights * np.exp(log_density - log_density.max())
    return s, density / density.sum()
