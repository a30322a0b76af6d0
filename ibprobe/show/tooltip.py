"""What a pointer sees: the whole record of a point, and the advice of its flags, as Vega expressions."""

from __future__ import annotations

_ENDS = (
    "(isNumber(datum.{q}_bracket_high) ? ' in [' +"
    " (isNumber(datum.{q}_bracket_low) ? format(datum.{q}_bracket_low, '.3f') : '–') +"
    " ', ' + format(datum.{q}_bracket_high, '.3f') + '], errors ' +"
    " (isNumber(datum.{q}_bracket_low_se) ? format(datum.{q}_bracket_low_se, '.3f') : '–') + ', ' +"
    " (isNumber(datum.{q}_bracket_high_se) ? format(datum.{q}_bracket_high_se, '.3f') : '–') : '')"
)
_VALUE = "format(datum.{q}_nats, '.3f') + ' nats' + " + _ENDS
_INTERVAL = (
    "'[' + format(datum.{q}_ci_low, '.3f') + ', ' + format(datum.{q}_ci_high, '.3f') + '], at least '"
    " + format(datum.{q}_lower_confidence, '.3f')"
)
_FALL = (
    "isNumber(datum.{q}_fall) ? format(datum.{q}_fall, '.3f') + (isNumber(datum.{q}_fall_low) ?"
    " ' [' + format(datum.{q}_fall_low, '.3f') + ', ' + format(datum.{q}_fall_high, '.3f') + ']' : '')"
    " + ' since step ' + datum.{q}_peak_step : '–'"
)
_HOW = (
    "datum.{q}_ceiling_name + ' = ' + format(datum.{q}_ceiling, '.3f') + '; ' + datum.{q}_estimator + ', '"
    " + datum.{q}_bound + (isNumber(datum.{q}_ess) ? ', ess ' + format(datum.{q}_ess, '.0f') : '')"
    " + ', ' + format(datum.{q}_seconds, '.2f') + ' s'"
)
_LINES = {"": _VALUE, " 95 %": _INTERVAL, " below peak": _FALL, " ceiling, by": _HOW}
_ROWS = (
    "datum.xt_rows + ' (' + datum.xt_distinct_rows + ' distinct, ' + datum.xt_dropped_rows + ' left out), steps '"
    " + datum.xt_span + ', ' + datum.xt_mode + ', ' + datum.xt_target"
    " + (isNumber(datum.ty_rows) && datum.ty_rows != datum.xt_rows ? '; labelled ' + datum.ty_rows : '')"
)
_CHANNEL = (
    "datum.xt_view + ', ' + datum.xt_dim + ' numbers, ' + datum.xt_noise + ' σ = ' + datum.xt_sigma"
    " + ', std = ' + format(datum.xt_std, '.4g')"
)
_UNITS = (
    "(isNumber(datum.xt_effective_rank) ? format(datum.xt_effective_rank, '.1f') : '–') + ' of ' + datum.xt_dim +"
    " ', ' + (isNumber(datum.xt_dead_share) ? format(datum.xt_dead_share, '.0%') : '–')"
)
_HEAD = ("'title': datum.layer + ', step ' + datum.step", "'flags': datum.flags ? datum.advice : 'none'")
_TAIL = (f"'rows': {_ROWS}", f"'channel': {_CHANNEL}", f"'effective rank, dead units': {_UNITS}")


def _of(quantity: str, symbol: str) -> list[str]:
    return [f"'{symbol}{name}': {text.format(q=quantity)}" for name, text in _LINES.items()]


def of_quantities(*quantities: str) -> str:
    """The records of a point, for a chart of the coordinates ``xt``, ``ty`` or both."""
    symbols = {"xt": "I(X;T̃)", "ty": "I(T̃;Y)"}
    lines = [line for q in quantities for line in _of(q, symbols[q])]
    return "{" + ", ".join([*_HEAD, *lines, *_TAIL]) + "}"
