"""Small models of Hugging Face architectures, made from configurations, and data to train them on."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn

SIZE = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
OF_T5 = {"vocab_size": 64, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
OF_BART = {
    "vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
}  # fmt: skip
OF_GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "pad_token_id": 0, "bos_token_id": 1}
OF_VIT = {key: SIZE[key] for key in SIZE if key != "vocab_size"} | {"image_size": 16, "patch_size": 8}


def bert(kind: Any = hf.BertForSequenceClassification, **changes: Any) -> nn.Module:
    return kind(hf.BertConfig(**SIZE | {"pad_token_id": 0, "num_labels": 4} | changes))


def gpt2(kind: Any = hf.GPT2LMHeadModel, **changes: Any) -> nn.Module:
    return kind(hf.GPT2Config(**OF_GPT2 | {"eos_token_id": 2} | changes))


def llama(kind: Any = hf.LlamaForSequenceClassification) -> nn.Module:
    return kind(hf.LlamaConfig(**SIZE, pad_token_id=0, num_labels=4))


def t5() -> nn.Module:
    return hf.T5ForConditionalGeneration(hf.T5Config(**OF_T5, decoder_start_token_id=0))


def bart() -> nn.Module:
    return hf.BartForSequenceClassification(hf.BartConfig(**OF_BART))


def vit() -> nn.Module:
    return hf.ViTForImageClassification(hf.ViTConfig(**OF_VIT, num_labels=4))


def swin() -> nn.Module:
    shape = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2]}
    return hf.SwinForImageClassification(hf.SwinConfig(**shape, window_size=4))


def whisper(kind: Any) -> nn.Module:
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    return kind(hf.WhisperConfig(**OF_BART, **special, num_mel_bins=8, max_source_positions=8, num_labels=4))


def clip() -> nn.Module:
    return hf.CLIPModel(hf.CLIPConfig(text_config=SIZE | {"eos_token_id": 2}, vision_config=OF_VIT, projection_dim=16))


LENGTH, SIGNAL = 12, 5


def sentences(n: int, *, seed: int = 0, shuffled: bool = False) -> list[dict[str, Tensor]]:
    """Sequences whose label, one of four, is told by one of their tokens; a third of them is padded."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 64, (n, LENGTH), generator=generator)
    ids[:, 0] = 1
    y = ids[:, SIGNAL] % 4
    mask = torch.ones_like(ids)
    mask[::3, 9:] = 0
    ids[mask == 0] = 0
    if shuffled:
        y = y[torch.randperm(n, generator=generator)]
    return [{"input_ids": a, "attention_mask": m, "labels": b} for a, m, b in zip(ids, mask, y, strict=True)]


def together(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Rows as one batch."""
    return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}


def texts(n: int, *, seed: int = 0) -> list[dict[str, Tensor]]:
    """Sequences in which every token but the first two is the sum of the two before it, modulo eight."""
    ids = torch.randint(8, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    for k in range(2, LENGTH):
        ids[:, k] = (ids[:, k - 1] + ids[:, k - 2]) % 8
    return [{"input_ids": row, "attention_mask": torch.ones_like(row), "labels": row.clone()} for row in ids]
