"""How layers order the axes of their outputs, as far as modules tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from ibprobe.capture.layers import unwrap

_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)
_SEQUENCE = (
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.Transformer,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a layer orders the axes of a three-dimensional output, as far as modules tell."""

    channels_first: bool = False
    """``(n, channels, positions)``; otherwise ``(n, tokens, features)``."""
    rows_second: bool = False
    """``(tokens, n, features)``: torch's own sequence modules with ``batch_first=False``."""


def layouts(model: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, Layout]:
    """The layout of each layer: its own modules tell, or the last ones defined before it."""
    order = list(model.modules())
    found = {}
    for name, layer in layers.items():
        before = order[: next(i for i, m in enumerate(order) if m is layer)]
        telling = (m for m in reversed([*before, *layer.modules()]) if isinstance(m, _CHANNELS_FIRST + _CHANNELS_LAST))
        sequence_first = isinstance(unwrap(layer), _SEQUENCE) and any(
            getattr(m, "batch_first", True) is False for m in layer.modules()
        )
        found[name] = Layout(isinstance(next(telling, None), _CHANNELS_FIRST), sequence_first)
    return found
