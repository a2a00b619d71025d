"""Whether two numbers point the same way, and how often noise lets them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.stats.agreement.pairs import Pairs


@dataclass(frozen=True)
class SignAgreement:
    """`agree` of `n` pairs have the same sign on both axes; `zeros` have none and take no part.

    `low`, `high`: Wilson's interval of the share (1927); `p`: exact binomial against one half. `ceiling`: the agreement to
    expect of two perfect axes with this much noise; `weighted`: agreement with the pairs weighted by how sure their signs are.
    """

    agree: int
    n: int
    zeros: int
    low: float | None
    high: float | None
    p: float | None
    ceiling: float | None
    weighted: float | None


def sign_agreement(pairs: Pairs, confidence: float) -> SignAgreement:
    """Share of pairs whose signs agree.

    With p_i = Phi(x_i / s_i) and q_i likewise for y: ceiling = mean(p q + (1 - p)(1 - q)), weights |2p - 1| |2q - 1|.

    >>> found = sign_agreement(Pairs.of([1.0] * 9 + [1.0] * 3, [1.0] * 9 + [-1.0] * 3, 1.0, 1.0), 0.95)
    >>> found.agree, found.n, round(found.low, 4), round(found.high, 4), round(found.p, 4)
    (9, 12, 0.4677, 0.9111, 0.146)
    """
    from scipy.stats import binomtest

    signed = (pairs.x != 0) & (pairs.y != 0)
    agree, n = int((np.sign(pairs.x) == np.sign(pairs.y))[signed].sum()), int(signed.sum())
    if n == 0:
        return SignAgreement(0, 0, pairs.n, None, None, None, None, None)
    tested = binomtest(agree, n)
    bounds = tested.proportion_ci(confidence, method="wilson")
    ceiling, weighted = _under_noise(pairs.take(signed))
    return SignAgreement(
        agree, n, pairs.n - n, float(bounds.low), float(bounds.high), float(tested.pvalue), ceiling, weighted
    )


def _under_noise(pairs: Pairs) -> tuple[float | None, float | None]:
    from scipy.special import ndtr

    if not (pairs.errors_known and (pairs.error_x > 0).all() and (pairs.error_y > 0).all()):
        return None, None
    p, q = ndtr(pairs.x / pairs.error_x), ndtr(pairs.y / pairs.error_y)
    weight = np.abs(2 * p - 1) * np.abs(2 * q - 1)
    same = np.sign(pairs.x) == np.sign(pairs.y)
    total = float(weight.sum())
    return float((p * q + (1 - p) * (1 - q)).mean()), float((weight * same).sum()) / total if total > 0 else None
