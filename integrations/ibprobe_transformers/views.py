"""Which tokens stand for a sequence, by what the model is trained for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.auto import modeling_auto as tasks

log = logging.getLogger("ibprobe")

TOKENS = 8
"""Of the sequence that shows what a head reads; the second one has three of padding."""
_BY_TOKEN = (tasks.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES, tasks.MODEL_FOR_MASKED_LM_MAPPING_NAMES)


def proposed_view(model: nn.Module) -> str | dict[str, str]:
    """The view that fits a model's task.

    A causal language model: one token a sequence, with the next one as target. Token classification and masked language
    models: one token that has a label, with it. Encoder and decoder: one token of the decoder, with its label; the
    encoder's are averaged. Classification: what the head reads, the first token, the last one, or the mean.

    Returns:
        A view, or one for patterns of names where encoder and decoder differ.
    """
    can_generate = getattr(model, "can_generate", None)
    generates = can_generate is not None and can_generate()
    both = getattr(getattr(model, "config", None), "is_encoder_decoder", False)  # said of encoders alone, too
    decoding = both and any("decoder" in name for name, _ in model.named_modules())
    if generates and decoding:
        return {"*decoder*": "token"}
    if any(_is_for(model, names) for names in _BY_TOKEN):
        return "token"
    if generates and not _is_for(model, tasks.MODEL_FOR_CTC_MAPPING_NAMES):
        return "next_token"
    read = tokens_read(model)
    return {"*decoder*": read} if decoding else read


def proposed_layers(model: nn.Module) -> Any:
    """All blocks and the head; without the output layer where it is as wide as the vocabulary."""
    blocks = dict.fromkeys(type(m) for m in model.modules() if isinstance(m, GradientCheckpointingLayer))
    output = getattr(model, "get_output_embeddings", None)  # adapters' wrappers hand it on
    if not blocks or output is None:
        return "auto"
    if output() is not None:
        return list(blocks)
    linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    of_trunk = [name.startswith(f"{getattr(model, 'base_model_prefix', '')}.") for name in linear]
    if of_trunk[-1:] == [True] and not all(of_trunk):  # a head that is defined ahead of what it reads
        return [*blocks, [name for name, inside in zip(linear, of_trunk, strict=True) if not inside][-1]]
    return "auto"


def _is_for(model: nn.Module, names: Any) -> bool:
    bases = {c.__name__ for c in type(model).__mro__}
    return any(not bases.isdisjoint([name] if isinstance(name, str) else name) for name in names.values())


def tokens_read(model: nn.Module) -> str:
    """What the head reads of the last block: ``first``, ``last`` (unmasked), or else ``auto``, the mean.

    Two made-up sequences are run through the model in eval mode; the gradient of its output says which tokens matter.
    The model's gradients, training flags and random states are left as they are.
    """
    block = next((m for m in reversed(list(model.modules())) if isinstance(m, GradientCheckpointingLayer)), None)
    try:
        inputs = _made_up(model)
        if block is None or inputs is None:
            return "auto"
        matters = _matters(model, block, inputs)
        first, last = (torch.zeros_like(matters) for _ in range(2))
        first[:, 0] = True
        last[0, -1] = last[1, (TOKENS - 4 if "attention_mask" in inputs else -1)] = True
    except Exception as e:
        log.info("ibprobe: what the head reads is not known (%s: %s): tokens are averaged", type(e).__name__, e)
        return "auto"
    return next((name for name, only in (("first", first), ("last", last)) if torch.equal(matters, only)), "auto")


def _made_up(model: nn.Module) -> dict[str, Tensor] | None:
    """Two sequences of tokens or two images, or None for models that take something else."""
    config, kind = getattr(model, "config", None), getattr(model, "main_input_name", None)
    parameter = next(model.parameters(), None)
    if config is None or parameter is None:
        return None
    generator = torch.Generator().manual_seed(0)
    if kind == "input_ids":
        special = {getattr(config, f"{name}_token_id", None) for name in ("pad", "eos", "bos")}
        usual = torch.tensor([i for i in range(min(config.vocab_size, 100)) if i not in special])
        ids = usual[torch.randint(len(usual), (2, TOKENS), generator=generator)]
        mask = torch.ones_like(ids)
        mask[1, -3:] = 0
        for row, length in enumerate(mask.sum(1)):
            ids[row, length:] = getattr(config, "pad_token_id", None) or 0
            if isinstance(eos := getattr(config, "eos_token_id", None), int) and eos < config.vocab_size:
                ids[row, length - 1] = eos
        return {"input_ids": ids.to(parameter.device), "attention_mask": mask.to(parameter.device)}
    size = getattr(config, "image_size", None)
    if kind == "pixel_values" and isinstance(size, int):
        shape = (2, getattr(config, "num_channels", 3), size, size)
        return {"pixel_values": torch.randn(shape, generator=generator).to(parameter)}
    return None


def _matters(model: nn.Module, block: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """Where ``(2, tokens)`` the last block's output changes the model's."""
    seen: list[Tensor] = []

    def leaf(module: nn.Module, args: Any, output: Any) -> Any:
        whole = output if isinstance(output, tuple) else (output,)
        seen[:] = [whole[0].detach().requires_grad_()]
        return (seen[0], *whole[1:]) if isinstance(output, tuple) else seen[0]

    with _evaluating(model), torch.enable_grad():
        handle = block.register_forward_hook(leaf)
        try:
            logits = model(**inputs).logits
        finally:
            handle.remove()
        (gradient,) = torch.autograd.grad(logits.float().square().sum(), seen)
    return gradient.abs().amax(2) > 0


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode; training flags and torch's random states are afterwards as they were."""
    flags = [(m, m.training) for m in model.modules()]
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices):
        try:
            model.eval()
            yield
        finally:
            for module, training in flags:
                module.training = training
