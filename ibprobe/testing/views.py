"""What every view promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ibprobe.capture.views import View, to_rows
from ibprobe.capture.views import check_view as check_name
from ibprobe.testing.built import built
from ibprobe.testing.untouched import untouched

SHAPES = ((12, 6), (12, 5, 6), (12, 4, 3, 3))
"""Of outputs that occur: features, tokens, channels with space."""


def check_view(build: Callable[[], View], *, shapes: Sequence[tuple[int, ...]] = SHAPES) -> dict[tuple[int, ...], str]:
    """Check a view on outputs of every shape that it takes.

    It must take one of the shapes at least; on the others it may raise. Where it gives rows, they are a tensor
    ``(n, d)`` of finite numbers with the d of any other batch of that shape; a row depends on that row of the output
    alone, whatever stands beside it; the output, its gradient and the global random generators are left as they are.

    Args:
        build: makes the view, as a plugin's ``build``.
        shapes: of outputs, rows first, at least 4.

    Returns:
        By shape, what records would call the view, or why it does not take it.

    Raises:
        AssertionError: a promise is broken; the message says what was expected and what came.
    """
    view = built(build)
    assert callable(view) or isinstance(view, str), f"build(): expected a function, got {view!r}"
    check_name(view, ["layer"])
    found: dict[tuple[int, ...], str] = {}
    taken = False
    for shape in shapes:
        output = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        try:
            rows, found[shape] = _rows(view, output)
        except Exception as e:
            found[shape] = f"{type(e).__name__}: {e}"
            continue
        taken = True
        _check_rows(view, output, rows)
    assert taken, f"expected rows of one shape at least; none was taken: {found}"
    return found


def _rows(view: View, output: Tensor) -> tuple[Tensor, str]:
    with torch.no_grad(), untouched("the view", {"the module's output": output}):
        return to_rows(output, n=len(output), view=view)


def _check_rows(view: View, output: Tensor, rows: Tensor) -> None:
    where = f"on an output of shape {tuple(output.shape)}"
    n = len(output)
    bad = int((~rows.isfinite()).sum())
    assert not bad, f"{where}: expected finite rows, got {bad} numbers that are not"
    again = _rows(view, output)[0]
    assert torch.equal(rows, again), f"{where}: expected the same rows for the same output, got others"
    other = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    parts: dict[str, Tensor] = {"the first half": torch.arange(n // 2), "the rows in reverse": torch.arange(n).flip(0)}
    for name, part in parts.items():
        got, own = _rows(view, output[part])[0], rows[part]
        assert got.shape == own.shape, f"{where}, {name}: expected {tuple(own.shape)}, got {tuple(got.shape)}"
        assert torch.allclose(got, own, atol=1e-5), (
            f"{where}, {name}: expected each row to depend on that row of the output alone; beside other rows it is "
            "another one"
        )
    assert not torch.equal(_rows(view, other)[0], rows), f"{where}: expected other rows of another output, got the same"
