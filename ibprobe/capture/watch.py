"""What a training loop shows by itself: inputs, labels, optimizer steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ibprobe.capture.taps import PreTap, remove
from ibprobe.errors import BadInput


class Watch:
    """Hooks on the root module, the criterion and the optimizer; they look and change nothing.

    Args:
        model: the module that the training loop calls.
        loss: a criterion module, called as ``loss(prediction, target)``, or None.
        optimizer: the optimizer whose steps count, or None.
        on_inputs: called with the arguments of each forward pass in training mode.
        on_labels: called with the targets that belong to the last forward pass.
        on_step: called after each optimizer step.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: object,
        optimizer: object,
    ) -> None:
        if loss is not None and not isinstance(loss, nn.Module):
            if isinstance(loss, type):
                raise BadInput(f"loss= takes a module, got the class {loss.__name__}: pass {loss.__name__}()")
            name = getattr(loss, "__name__", type(loss).__name__)
            raise BadInput(
                f"loss= takes a module such as nn.CrossEntropyLoss(), got {name}; or call probe.observe(y=…)"
            )
        if optimizer is not None and not isinstance(optimizer, Optimizer):
            name = getattr(optimizer, "__name__", type(optimizer).__name__)
            raise BadInput(f"optimizer= takes a torch.optim.Optimizer, got {name}")
        self._model, self._loss, self._optimizer = model, loss, optimizer
        self._handles: list[RemovableHandle] = []
        self.paused = False

    @property
    def counts_steps(self) -> bool:
        """Whether the optimizer shows its steps."""
        return self._optimizer is not None

    def start(
        self,
        *,
        on_inputs: Callable[[tuple[Any, ...], dict[str, Any]], None],
        on_labels: Callable[[Tensor], None],
        on_step: Callable[[], None],
    ) -> None:
        """Register the hooks; all or none."""
        self._on_inputs, self._on_labels, self._on_step = on_inputs, on_labels, on_step
        try:
            see = PreTap(self._see_inputs)
            self._handles.append(self._model.register_forward_pre_hook(see, with_kwargs=True))
            if self._loss is not None:
                self._handles.append(self._loss.register_forward_pre_hook(PreTap(self._see_loss), with_kwargs=True))
            if self._optimizer is not None:
                self._handles.append(self._optimizer.register_step_post_hook(lambda *_: self._on_step()))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Remove the hooks."""
        remove(self._handles)

    def _see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.paused or not self._model.training:
            return
        self._on_inputs(args, kwargs)
        if isinstance(kwargs.get("labels"), Tensor):
            self._on_labels(kwargs["labels"])

    def _see_loss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        target = args[1] if len(args) > 1 else kwargs.get("target")
        if not self.paused and self._model.training and isinstance(target, Tensor):
            self._on_labels(target)
