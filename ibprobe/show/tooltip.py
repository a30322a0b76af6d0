"""What a pointer sees: the whole record of a point, and the advice of its flags, as Vega expressions."""

from __future__ import annotations

_VALUE = "format(datum.{q}_nats, '.3f') + ' nats'"
_BRACKET = (
    "isNumber(datum.{q}_bracket_high) ? '[' + (isNumber(datum.{q}_bracket_low) ? format(datum.{q}_bracket_low, '.3f')"
    " : '–') + ', ' + format(datum.{q}_bracket_high, '.3f') + ']' : 'none'"
)
_ERRORS = (
    "(isNumber(datum.{q}_bracket_low_se) ? format(datum.{q}_bracket_low_se, '.3f') : '–') + ', ' +"
    " (isNumber(datum.{q}_bracket_high_se) ? format(datum.{q}_bracket_high_se, '.3f') : '–')"
)
_INTERVAL = (
    "'[' + format(datum.{q}_ci_low, '.3f') + ', ' + format(datum.{q}_ci_high, '.3f') + '], at least '"
    " + format(datum.{q}_lower_confidence, '.3f')"
)
_FALL = (
    "isNumber(datum.{q}_fall) ? format(datum.{q}_fall, '.3f') + ' [' + (isNumber(datum.{q}_fall_low) ?"
    " format(datum.{q}_fall_low, '.3f') + ', ' + format(datum.{q}_fall_high, '.3f') : '–') + '] since step '"
    " + datum.{q}_peak_step : '–'"
)
_HOW = (
    "datum.{q}_estimator + ', ' + datum.{q}_bound +"
    " (isNumber(datum.{q}_ess) ? ', ess ' + format(datum.{q}_ess, '.0f') : '')"
)
_ROWS = (
    "datum.{q}_rows + ' (' + datum.{q}_distinct_rows + ' distinct, ' + datum.{q}_dropped_rows + ' left out), steps '"
    " + datum.{q}_span + ', ' + datum.{q}_mode + ', ' + datum.{q}_target"
)
_LINES = {
    "": _VALUE,
    " bracket": _BRACKET,
    " errors of its ends": _ERRORS,
    " 95 % interval": _INTERVAL,
    " below its peak": _FALL,
    " ceiling": "datum.{q}_ceiling_name + ' = ' + format(datum.{q}_ceiling, '.3f')",
    " rows": _ROWS,
    " by": _HOW,
    " seconds": "format(datum.{q}_seconds, '.3f')",
}
_CHANNEL = (
    "datum.xt_view + ', ' + datum.xt_dim + ' numbers, ' + datum.xt_noise + ' noise, σ = ' + datum.xt_sigma"
    " + ', std = ' + format(datum.xt_std, '.4g')"
)
_UNITS = (
    "(isNumber(datum.xt_effective_rank) ? format(datum.xt_effective_rank, '.1f') : '–') + ' of ' + datum.xt_dim +"
    " ', ' + (isNumber(datum.xt_dead_share) ? format(datum.xt_dead_share, '.0%') : '–')"
)


def _of(quantity: str, symbol: str) -> list[str]:
    return [f"'{symbol}{name}': {text.format(q=quantity)}" for name, text in _LINES.items()]


def _object(*entries: str) -> str:
    return "{" + ", ".join(entries) + "}"


_HEAD = ("'title': datum.layer + ', step ' + datum.step",)
_TAIL = (
    f"'channel': {_CHANNEL}",
    f"'effective rank, dead units': {_UNITS}",
    "'flags': datum.flags || 'none'",
    "'what they mean': datum.advice || '–'",
)

POINT = _object(*_HEAD, *_of("xt", "I(X;T̃)"), *_of("ty", "I(T̃;Y)"), *_TAIL)
"""Both records of a point of the plane."""


def of_quantity(quantity: str, symbol: str) -> str:
    """One record, for a chart of one coordinate."""
    return _object(*_HEAD, *_of(quantity, symbol), *_TAIL)
