"""The ways to get rows while a model trains, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ibprobe.capture.company import Company
from ibprobe.capture.layers import unwrap
from ibprobe.capture.passes import Draws
from ibprobe.capture.sources import ReplaySource, Source
from ibprobe.capture.stream import StreamSource
from ibprobe.capture.tokens import token_view
from ibprobe.capture.views import Views
from ibprobe.errors import BadInput


def make_source(
    mode: str,
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    rows: int,
    view: Views,
    probe_set: Any,
    *,
    all_there_is: bool,
    draws: Draws,
    company: Company | None = None,
) -> Source:
    """Where the rows of a run come from.

    Args:
        mode: ``replay`` or ``stream``.
        model: what the training loop calls, wrapped or not.
        layers: modules to measure, by name.
        rows: distinct inputs.
        view: how outputs become rows.
        probe_set: rows to measure instead of training inputs, or None.
        all_there_is: these are all inputs that there are.
        draws: what layers that draw random numbers do.
        company: who runs a replay; by default this process alone.

    Raises:
        BadInput: settings that do not go together, or a probe set that is no data.
    """
    if mode == "stream" and token_view(view) is not None:
        raise BadInput(
            f'view={token_view(view)!r} belongs to mode="replay": labels say which tokens count, and '
            'mode="stream" copies rows before it sees them'
        )
    if mode == "stream" and probe_set is not None:
        raise BadInput('probe_set= belongs to mode="replay"; mode="stream" copies rows out of training forwards')
    if mode == "stream" and (draws.passes > 1 or draws.train_mode):
        raise BadInput('passes= and train_mode= belong to mode="replay"; mode="stream" sees forwards as they are')
    if all_there_is and probe_set is None:
        raise BadInput('target="probe_set" needs probe_set=, all inputs that there are; training inputs are a sample')
    if mode == "stream":
        return StreamSource(unwrap(model), layers, rows=rows, view=view, called=model)
    return ReplaySource(
        unwrap(model), layers, rows=rows, view=view, probe_set=probe_set, all_there_is=all_there_is, draws=draws,
        company=company,
    )  # fmt: skip
