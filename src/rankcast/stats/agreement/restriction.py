"""What a correlation would be over all that was tried, when only a part of it was launched."""

from __future__ import annotations

from math import sqrt


def unrestricted(r: float, spread_all: float, spread_launched: float) -> float:
    """r_c = r u / sqrt(1 + r^2 (u^2 - 1)), u = spread of all / spread of the launched (Thorndike, 1949, case 2).

    It assumes one straight line and one residual spread over the whole range, and that selection was by x alone.

    >>> round(unrestricted(0.4545, 1.9269, 1.0), 4)
    0.7011
    """
    u = spread_all / spread_launched
    return r * u / sqrt(1.0 + r * r * (u * u - 1.0))
