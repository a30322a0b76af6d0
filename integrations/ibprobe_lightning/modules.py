"""Which part of a LightningModule is the network whose layers are measured."""

from __future__ import annotations

from lightning.pytorch import LightningModule
from torch import nn
from torchmetrics import Metric, MetricCollection

from ibprobe import BadInput, UnknownName

_NO_NETWORKS = (nn.modules.loss._Loss, Metric, MetricCollection, nn.ModuleList, nn.ModuleDict)
"""Losses and metrics, which may have weights of their own, and containers, which nobody calls."""


def probed_module(pl_module: LightningModule, name: str | None) -> nn.Module:
    """The module that ``training_step`` calls.

    Args:
        pl_module: what is trained.
        name: of one of its submodules; None for the LightningModule itself where it defines ``forward``, else for its
            only child that is a network.

    Raises:
        UnknownName: there is no submodule of that name.
        BadInput: no child is a network, or several are.
    """
    if name is not None:
        return _named(pl_module, name)
    if type(pl_module).forward is not LightningModule.forward:
        return pl_module
    networks = {child: module for child, module in pl_module.named_children() if _is_network(module)}
    if len(networks) == 1:
        return next(iter(networks.values()))
    kind = type(pl_module).__name__
    if not networks:
        raise BadInput(
            f"{kind} defines no forward() and none of its children is a network: name the module that training_step "
            'calls, as IBProbeCallback(module="name")'
        )
    choices = " or ".join(f'IBProbeCallback(module="{child}")' for child in networks)
    raise BadInput(f"{kind} defines no forward() and several of its children are networks: choose, by {choices}")


def _named(pl_module: LightningModule, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = {known: module for known, module in pl_module.named_modules() if known}
    if name not in modules:
        raise UnknownName(f"module of {type(pl_module).__name__}", name, modules)
    return modules[name]


def _is_network(module: nn.Module) -> bool:
    return not isinstance(module, _NO_NETWORKS) and any(True for _ in module.parameters())
