"""Hooks inside compiled graphs: an operator that calls back each time the graph runs.

A compiler runs a hook once, while it traces the model. What a traced hook leaves in the graph is one call of
``ibprobe::see``: tensors and numbers go in as they are, the structure around them as constant text. No graph breaks,
nothing is compiled again when a hook is armed or disarmed, and compilers that insist on one graph are content.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, wraps
from typing import Any, Protocol, TypeVar, cast, no_type_check, runtime_checkable

import torch
from torch import Tensor, nn

from ibprobe.errors import BadInput

_Call = TypeVar("_Call", bound=Callable[..., Any])


@runtime_checkable
class Callback(Protocol):
    """A hook that can be called from within a graph."""

    def listens(self) -> bool:
        """Whether anything should be passed on now."""

    def arrive(self, tree: tuple[Any, ...]) -> None:
        """Take what the traced hook sent; it must not raise, for it would stop the training that runs the graph."""


# Graphs outlive hooks and must not keep them alive; a graph can hold a number, and only a module-level table can lead
# from there to the hook. It is the same kind of table as torch's own of operators.
_callbacks: weakref.WeakValueDictionary[int, Callback] = weakref.WeakValueDictionary()
_numbers = itertools.count()

_reading: Callable[[], object] = torch._C._dynamo.eval_frame.get_eval_frame_callback
"""What reads the code that runs here in order to compile it; None outside of compiled functions."""

_ORDER = torch.zeros(1, device="cpu")
"""Said to be changed by each call: compilers then neither drop a call nor move one before another."""


def register(hook: Callback) -> Tensor:
    """Give a hook a number, as a tensor: an input of the graph, so that equal blocks share one graph.

    A plain integer would be a constant of the graph, and the second of many equal blocks would feed the first one's
    hook.
    """
    number = next(_numbers)
    _callbacks[number] = hook
    with torch.inference_mode(False):
        return torch.tensor(number, device="cpu")


def only_inside_graphs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a compiler trace a hook where it meets one in a model, and compile none by itself.

    A hook on the outermost module of a compiled region is called from code that torch does not compile. Made into a
    small graph of its own, one for each kind of output, it would soon meet the limit of recompilations, which with
    ``fullgraph=True`` is an error. Run as it is, it takes the way that hooks take in models that are not compiled.
    """
    skip_code = getattr(torch._C._dynamo.eval_frame, "skip_code", None)
    if skip_code is not None:
        skip_code(function.__code__)
    return function


def left_alone(function: _Call) -> _Call:
    """Have compilers run a function as it is.

    ``torch.compiler.disable`` does that, but it imports the compiler, which takes longer than all of torch, and each
    call through it costs microseconds: where no compiler is at work there is nothing to disable.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if "disabled" not in vars(call):
            vars(call)["disabled"] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
        if not torch.compiler.is_compiling() and _reading() is None:
            return function(*args, **kwargs)
        return vars(call)["disabled"](*args, **kwargs)

    return cast(_Call, only_inside_graphs(call))


_SCHEMA = "(Tensor(a!) order, Tensor number, Tensor[] tensors, SymInt[] ints, float[] floats, str text) -> ()"
# Defined by hand, which costs a third of what torch.library.custom_op puts around each call.
_library: Any = torch.library.Library("ibprobe", "FRAGMENT")  # type: ignore[no-untyped-call]
_library.define(f"see{_SCHEMA}", tags=torch.Tag.pt2_compliant_tag)


@left_alone
def _see(
    order: Tensor, number: Tensor, tensors: list[Tensor], ints: Sequence[int], floats: Sequence[float], text: str
) -> None:
    hook = _callbacks.get(int(number))
    if hook is not None and hook.listens():
        hook.arrive(_decoded(_parsed(text), iter(tensors), iter(ints), iter(floats)))


def _nothing(*_: Any) -> None:
    """What a compiler's dry run shows."""


def _nothing_in_batches(info: Any, axes: Any, *_: Any) -> tuple[None, None]:
    """Transforms of functions have no rows of their own to show."""
    return None, None


_library.impl("see", _see, "CompositeExplicitAutograd")
torch.library.register_fake("ibprobe::see", _nothing, lib=_library)
torch.library.register_vmap("ibprobe::see", _nothing_in_batches, lib=_library)


# What a compiler reads carries no_type_check: it cannot read the checks that tests put around annotated functions.
@no_type_check
def send(number: Tensor, tree: tuple[Any, ...]) -> None:
    """Leave a call in the graph that is being traced. Compilers read this function: it is plain on purpose."""
    tensors: list[Tensor] = []
    ints: list[int] = []
    floats: list[float] = []
    text = _encode(tree, tensors, ints, floats)
    torch.ops.ibprobe.see(_ORDER, number, tensors, ints, floats, text)


@no_type_check
def _encode(tree: Any, tensors: list[Tensor], ints: list[int], floats: list[float]) -> str:
    """The structure as the text of a Python literal; numbers and tensors are moved to the lists, in order."""
    if type(tree) is Tensor or type(tree) is nn.Parameter:
        tensors.append(tree.detach())
        return "('tensor',)"
    if tree is None or isinstance(tree, bool | str):
        return "('is'," + repr(tree) + ")"
    if isinstance(tree, int):
        ints.append(tree)
        return "('int',)"
    if isinstance(tree, float):
        floats.append(tree)
        return "('float',)"
    if isinstance(tree, dict):
        pairs = [_encode(k, tensors, ints, floats) + "," + _encode(v, tensors, ints, floats) for k, v in tree.items()]
        return "('dict'," + ",".join(pairs) + ")"
    if isinstance(tree, tuple | list) and not isinstance(tree, nn.utils.rnn.PackedSequence):
        kind = "'tuple'," if isinstance(tree, tuple) else "'list',"
        return "(" + kind + ",".join([_encode(item, tensors, ints, floats) for item in tree]) + ")"
    return "('unseen'," + repr(type(tree).__name__) + ")"


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    return literal_eval(text)


def _decoded(node: Any, tensors: Iterator[Tensor], ints: Iterator[int], floats: Iterator[float]) -> Any:
    kind, *parts = node
    if kind in ("tuple", "list", "dict"):
        found = [_decoded(part, tensors, ints, floats) for part in parts]
        if kind == "dict":
            return dict(zip(found[::2], found[1::2], strict=True))
        return tuple(found) if kind == "tuple" else found
    if kind == "is":
        return parts[0]
    if kind == "unseen":
        return Unseen(parts[0])
    return next({"tensor": tensors, "int": ints, "float": floats}[kind])


class Unseen:
    """Stands for an object that no graph can hand on; whoever needs more of it than its type is told so."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"Unseen({self._name})"

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise BadInput(
            f"the model is called with a {self._name}, which a compiled graph cannot hand on: give the compiled model "
            "to the probe, or call the model with tensors, numbers, lists and dictionaries"
        )
