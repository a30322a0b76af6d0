"""A model that is run aside from its training: eval mode, nothing compiled, and no trace of it afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from ibprobe.capture.sharded import left_sharded


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients or compilation; flags, attributes and buffers are left as they were found.

    An attribute that a forward pass binds anew, such as a kept hidden state, comes back. A list or dictionary that it
    changes in place does not.
    """
    modules = [(m, dict(vars(m)), dict(m._buffers)) for m in model.modules()]
    written = [(t, t.detach().clone()) for t in _written_in_place(model)]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        for module in model.modules():  # not eval(): models that merge adapters there would write to their weights
            module.training = False
            if isinstance(module, nn.parallel.DistributedDataParallel):  # it would send buffers to other processes
                vars(module)["forward"] = module.module.__call__
        torch.backends.mha.set_fastpath_enabled(False)  # it bypasses modules and hands nested tensors on
        for module in model.modules():
            if module._compiled_call_impl is not None:  # hooks added after compiling would not run
                module._compiled_call_impl = None
        with torch.no_grad(), _uncompiled(), left_sharded(model):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module, attributes, buffers in modules:
            now = vars(module)
            for name in now.keys() - attributes.keys():
                del now[name]
            now.update(attributes)
            module._buffers.update(buffers)
        for tensor, before in written:
            if not torch.equal(tensor, before):
                with torch.no_grad():
                    tensor.copy_(before)


def _uncompiled() -> AbstractContextManager[object]:
    """Compiled parts run eagerly, and training's graphs neither see our hooks nor our batch sizes.

    Where nothing was compiled, the compiler is not imported for this: that takes more than a second.
    """
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _written_in_place(model: nn.Module) -> list[Tensor]:
    """What a forward pass may write to, even in eval mode: buffers, and embeddings that keep a largest norm."""
    limited = (m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag) and m.max_norm is not None)
    return [*model.buffers(), *(m.weight for m in limited)]
