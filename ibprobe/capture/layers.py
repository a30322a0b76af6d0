"""Which modules are layers: what a person would pick, or what the user names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from ibprobe.errors import BadInput, UnknownName

LayerSpec = str | type[nn.Module] | Sequence[str | type[nn.Module]]

_ACTIVATIONS = tuple(
    getattr(nn, name)
    for name in (
        "ReLU", "ReLU6", "LeakyReLU", "PReLU", "RReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Tanh",
        "Sigmoid", "Softplus", "Softsign", "Hardtanh", "Hardswish", "Hardsigmoid", "LogSigmoid", "Tanhshrink", "GLU",
    )
)  # fmt: skip
_NEVER_CALLED = nn.modules.linear.NonDynamicallyQuantizableLinear  # attention uses its weights only
_WHOLE = "model"
"""The name of a model that is one module."""
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
_PARALLEL = (nn.parallel.DistributedDataParallel, nn.DataParallel)
_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What compilers, sharding and checkpointing call the module that they wrap; no user's name."""
_WEIGHTED = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.RNNBase)


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own module under compile and data-parallel wrappers."""
    while True:
        if isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod  # type: ignore[assignment]
        elif isinstance(model, _PARALLEL):
            model = model.module
        else:
            return model


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Every module under the user's own name: a part that was compiled or wrapped has the name that it had before."""
    found: dict[str, nn.Module] = {}
    parallel = {name for name, module in model.named_modules() if isinstance(module, _PARALLEL)}
    for name, module in model.named_modules():
        found.setdefault(_own_name(name.split("."), parallel), module)
    return found


def _own_name(parts: Sequence[str], parallel: Collection[str]) -> str:
    wrapped = (part == "module" and ".".join(parts[:i]) in parallel for i, part in enumerate(parts))
    return ".".join(part for part, inner in zip(parts, wrapped, strict=True) if not inner and part not in _WRAPPED)


def _children(module: nn.Module) -> list[nn.Module]:
    return list(unwrap(module).children())


def select_layers(model: nn.Module, spec: LayerSpec = "auto") -> dict[str, nn.Module]:
    """Resolve a layer specification to named modules.

    Args:
        model: an unwrapped model.
        spec: ``"auto"``; or names, glob patterns (``*`` stays within one dot-separated part) and module classes,
            alone or in a list.

    Raises:
        UnknownName: a name or pattern that matches no module; close matches are named.
        BadInput: nothing to measure, or a specification of another type.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise BadInput("the model is a scripted module, which takes no hooks: pass the module that was scripted")
    if isinstance(spec, str) and spec == "auto":
        return _auto(model)
    found: dict[str, nn.Module] = {}
    if not isinstance(spec, str | type | Iterable):
        raise BadInput(f'layers= is "auto", a name, a pattern, a module class or a list of them; got {spec!r}')
    wanted = [spec] if isinstance(spec, str | type) else list(spec)
    if not wanted:
        raise BadInput('layers= is empty; pass "auto", names, patterns or module classes')
    for item in wanted:
        found |= _matching(model, item)
    scripted = [name for name, module in found.items() if isinstance(module, torch.jit.ScriptModule)]
    if scripted:
        raise BadInput(f"layer {scripted[0]!r} is a scripted module, which takes no hooks; name others")
    # Forward order is only known when the model runs; definition order is the better guess until then.
    return {name: module for name, module in _named(model).items() if name in found}


def _matching(model: nn.Module, item: object) -> dict[str, nn.Module]:
    modules = _named(model)
    if isinstance(item, type) and issubclass(item, nn.Module):
        found = {name: m for name, m in modules.items() if isinstance(unwrap(m), item)}
        if not found:
            raise UnknownName("module of class", item.__name__, {type(unwrap(m)).__name__ for m in modules.values()})
        return found
    if not isinstance(item, str):
        raise BadInput(f"a layer is a name, a pattern or a module class; got {item!r}")
    # A name may hold what is special in a pattern, such as blocks[0].
    found = {name: m for name, m in modules.items() if name == item or (item not in modules and _fits(name, item))}
    if not found:
        raise UnknownName("layer", item, modules, hint="model.named_modules() lists them")
    return found


def _named(model: nn.Module) -> dict[str, nn.Module]:
    """What a specification can name: the parts of a model, or itself where it has none."""
    return {name: module for name, module in named_modules(model).items() if name} or {_WHOLE: model}


def _fits(name: str, pattern: str) -> bool:
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _auto(model: nn.Module) -> dict[str, nn.Module]:
    """Repeated blocks if there are any, else activations, else weighted layers; and always the head."""
    takes_hooks = {n: m for n, m in named_modules(model).items() if not isinstance(m, torch.jit.ScriptModule)}
    leaves = {n: m for n, m in takes_hooks.items() if not _children(m)}
    kinds = {n: unwrap(m) for n, m in leaves.items()}
    weighted = {n: leaves[n] for n, m in kinds.items() if isinstance(m, _WEIGHTED) and not isinstance(m, _NEVER_CALLED)}
    body = _blocks(model) or {n: leaves[n] for n, m in kinds.items() if isinstance(m, _ACTIVATIONS)} or weighted
    if not body:
        raise BadInput('layers="auto" found no block, activation or weighted layer; name the modules to measure')
    head = {n: m for n, m in list(weighted.items())[-1:] if not _inside(n, body)}
    found = {n or _WHOLE: m for n, m in (body | head).items()}
    return {n: m for n, m in found.items() if not isinstance(m, torch.jit.ScriptModule)}


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    """Members of containers that hold composite modules of one class: two or more, or a list of blocks with one."""
    found: dict[str, nn.Module] = {}
    for name, module in named_modules(model).items():
        module = unwrap(module)
        if not isinstance(module, nn.ModuleList | nn.Sequential) or _inside(name, found):
            continue
        composite = {c: m for c, m in module.named_children() if _children(m)}
        enough = 1 if isinstance(module, nn.ModuleList) else 2
        if len(composite) >= enough and len({type(unwrap(m)) for m in composite.values()}) == 1:
            if all(isinstance(unwrap(m), nn.Sequential) for m in composite.values()) and _has_blocks(
                map(unwrap, composite.values())
            ):
                continue
            found |= {f"{name}.{c}" if name else c: m for c, m in composite.items()}
    return found


def _has_blocks(modules: Iterable[nn.Module]) -> bool:
    """Stages of blocks, as in residual nets, are opened; their blocks are the layers."""
    return any(_blocks(m) for m in modules)


def _inside(name: str, names: Iterable[str]) -> bool:
    return any(name == n or name.startswith(f"{n}.") for n in names)


def why_not_run(module: nn.Module) -> str:
    """The likely reason that a layer's forward did not run."""
    if isinstance(module, _CONTAINERS):
        return f"a {type(module).__name__} is never called itself, its members are: name those, as name.*"
    if isinstance(module, _NEVER_CALLED):
        return "attention uses its weights without calling it: name the attention module"
    return "the model does not call it for these inputs, or uses its weights without calling it"
