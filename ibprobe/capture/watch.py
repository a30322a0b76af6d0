"""What a training loop shows by itself: inputs, labels, optimizer steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, no_type_check
from weakref import WeakMethod, ref

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ibprobe.capture.compiled import left_alone
from ibprobe.capture.taps import PreTap, Switch, remove
from ibprobe.errors import BadInput


class Watch:
    """Hooks on the root module, the criterion and the optimizer; they look and change nothing.

    All three are held weakly, and so is nothing else: while it is attached, the hook on the model alone keeps alive
    what it reports to, and both go with the model.

    Args:
        model: the module that the training loop calls.
        loss: a criterion module, called as ``loss(prediction, target)``, or None.
        optimizer: the optimizer whose steps count, or None.
    """

    def __init__(self, model: nn.Module, loss: object, optimizer: object) -> None:
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
        if not hasattr(optimizer, "_optimizer_step_post_hooks"):  # a wrapper such as Accelerate's takes no hooks itself
            optimizer = getattr(optimizer, "optimizer", optimizer)
        for what, module in (("model=", model), ("loss=", loss)):
            if isinstance(module, torch.jit.ScriptModule):
                raise BadInput(f"{what} is a scripted module, which takes no hooks: pass the module that was scripted")
        self.counts_steps = optimizer is not None
        """Whether the optimizer shows its steps."""
        self._model = ref(model)
        self._loss = None if loss is None else ref(loss)
        self._optimizer = None if optimizer is None else ref(optimizer)
        self._handles: list[RemovableHandle] = []
        self._switch, self._labels = Switch(), Switch()
        self._looks = self._wants_labels = True
        self._paused = False

    @property
    def paused(self) -> bool:
        """Whether what happens now is our own doing and no part of training."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused = paused
        self._set()

    @property
    def looks(self) -> bool:
        """Whether forward passes are of use; where not, hooks cost next to nothing."""
        return self._looks

    @looks.setter
    def looks(self, looks: bool) -> None:
        self._looks = looks
        self._set()

    @property
    def wants_labels(self) -> bool:
        """Whether targets of the forward passes that are looked at are of use."""
        return self._wants_labels

    @wants_labels.setter
    def wants_labels(self, wanted: bool) -> None:
        self._wants_labels = wanted
        self._set()

    def _set(self) -> None:
        self._switch.on = self._looks and not self._paused
        self._labels.on = self._switch.on and self._wants_labels

    def start(
        self,
        *,
        on_inputs: Callable[[tuple[Any, ...], dict[str, Any]], None],
        on_labels: Callable[[Tensor], None],
        on_step: Callable[[], None],
    ) -> None:
        """Register the hooks; all or none.

        Args:
            on_inputs: called with the arguments of each forward pass in training mode.
            on_labels: called with the targets that belong to the last forward pass.
            on_step: called after each optimizer step.
        """
        model = self._model()
        loss = None if self._loss is None else self._loss()
        optimizer = None if self._optimizer is None else self._optimizer()
        if model is None:
            raise BadInput("the model that the probe was made for is gone: keep a reference to it while it is probed")
        eyes = _Eyes(model, self._labels, on_inputs, on_labels, on_step)
        try:
            see = PreTap(eyes.inputs, self._switch)
            self._handles.append(model.register_forward_pre_hook(see, with_kwargs=True))
            if loss is not None:
                targets = PreTap(_Weak(eyes.targets), self._labels, only=_target)
                self._handles.append(loss.register_forward_pre_hook(targets, with_kwargs=True))
            if optimizer is not None:
                self._handles.append(optimizer.register_step_post_hook(_Weak(eyes.stepped)))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Remove the hooks."""
        remove(self._handles)


class _Eyes:
    """What the hooks call. The one on the model owns it, the others reach it weakly."""

    def __init__(
        self,
        model: nn.Module,
        labels: Switch,
        on_inputs: Callable[[tuple[Any, ...], dict[str, Any]], None],
        on_labels: Callable[[Tensor], None],
        on_step: Callable[[], None],
    ) -> None:
        self._model, self._labels = ref(model), labels
        self._on_inputs, self._on_labels, self._on_step = on_inputs, on_labels, on_step

    def inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._training():
            self._on_inputs(args, kwargs)
            if self._labels.on and isinstance(kwargs.get("labels"), Tensor):
                self._on_labels(kwargs["labels"])

    def targets(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._training() and isinstance(args[0], Tensor):
            self._on_labels(args[0])

    def stepped(self, *_: Any) -> None:
        self._on_step()

    def _training(self) -> bool:
        model = self._model()
        return model is not None and model.training


class _Weak:
    """Calls a method as long as its object lives. Compilers leave it alone, for an optimizer's step may be compiled."""

    def __init__(self, method: Callable[..., None]) -> None:
        self._method = WeakMethod(method)

    @left_alone
    def __call__(self, *args: Any) -> None:
        method = self._method()
        if method is not None:
            method(*args)


@no_type_check  # compilers read it
def _target(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The second argument of a criterion; the prediction may be large and is of no interest."""
    return (args[1] if len(args) > 1 else kwargs.get("target"),), {}
