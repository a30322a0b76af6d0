"""From what critics read to a point value, an interval and a lower bound, which are three different things.

* The lower bound comes from the held-out rows alone, less 1.645 standard errors: no choice of the critic lifts it.
* The point value goes `LEAN` of the way from the held-out to the training reading: a fitted critic reads too little on
  rows that it has not seen by about what it reads too much on rows that it has, and what it failed to learn at all
  comes on top. Where a Gaussian model of all rows tells more, its value is taken.
* The interval: no distribution-free upper limit exists for what a critic failed to see, so its upper end is calibrated
  on reference families (`docs/intervals.md`): sampling error, a share of the gap between training and held-out reading,
  and what critics were seen to miss, which is a share of the dependence that a Gaussian model does not explain, and
  never less than a share of the value.
"""

from __future__ import annotations

import math

from ibprobe.estimate.critic.critics import CriticReading
from ibprobe.estimate.pairs import Reading

LEAN = 0.7
_TWO_SIDED, _ONE_SIDED = 1.96, 1.645
_GAP_SHARE = 0.5
_CURVED_SHARE = 0.2
_MISSED_SHARE, _MISSED_MOST = 0.15, 0.15
_LOW_ESS, _OVER_FITTED, _NEAR = 100, 0.5, 0.5


def reading_of(r: CriticReading) -> Reading:
    """The reading that users see."""
    gap = max(0.0, r.train - r.held.nats)
    critic = r.held.nats + LEAN * gap
    gaussian = r.gaussian.nats if r.gaussian else 0.0
    # From n rows nothing above ln n can be claimed (McAllester & Stratos 2020, arXiv 1811.04251).
    most = math.log(max(r.rows, 2))
    nats = min(most, max(0.0, critic, gaussian))
    straight = r.gaussian is not None and gaussian >= critic
    error = r.gaussian.se if straight and r.gaussian else r.held.se
    curved = 0.0 if straight or not r.gaussian else _CURVED_SHARE * (nats - max(0.0, gaussian))
    missed = max(curved, min(_MISSED_SHARE * nats, _MISSED_MOST))
    ess = r.gaussian.ess if straight and r.gaussian else r.held.ess
    flags = {"low_ess": ess < _LOW_ESS, "over_fitted": gap > _OVER_FITTED, "at_ceiling": nats > most - _NEAR}
    return Reading(
        nats=nats,
        ci_low=max(0.0, nats - _TWO_SIDED * error - _GAP_SHARE * gap),
        ci_high=nats + _TWO_SIDED * error + _GAP_SHARE * gap + missed,
        lower_confidence=max(0.0, r.held.nats - _ONE_SIDED * r.held.se),
        bound="gaussian" if straight and nats > 0 else r.bound,
        ess=ess,
        flags=frozenset(k for k, on in flags.items() if on),
    )
