"""The view of a model's rows follows from what it is trained for, and from what its head reads."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from ibprobe_transformers.views import proposed_layers, proposed_view, tokens_read
from tiny_models import SIZE, bart, bert, clip, gpt2, llama, swin, t5, vit, whisper
from torch import nn

from ibprobe.capture.layers import select_layers


class Forwarding(nn.Module):
    """A wrapper in the way of adapters': what it lacks is the model's."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.base_model = model

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base_model"), name)

    def forward(self, **inputs: Any) -> Any:
        return self.base_model(**inputs)


@pytest.mark.parametrize(
    ("make", "view"),
    [
        (bert, "first"),
        (lambda: gpt2(hf.GPT2ForSequenceClassification), "last"),
        (llama, "last"),
        (bart, {"*decoder*": "last"}),
        (vit, "first"),
        (swin, "auto"),
        (gpt2, "next_token"),
        (lambda: llama(hf.LlamaForCausalLM), "next_token"),
        (t5, {"*decoder*": "token"}),
        (lambda: bert(hf.BertForTokenClassification), "token"),
        (lambda: bert(hf.BertForMaskedLM), "token"),
        (lambda: whisper(hf.WhisperForConditionalGeneration), {"*decoder*": "token"}),
        (lambda: whisper(hf.WhisperForAudioClassification), "auto"),  # an encoder with the configuration of both
        (clip, "auto"),
        (lambda: Forwarding(gpt2()), "next_token"),
        (lambda: bert(hf.BertForQuestionAnswering), "auto"),
        (lambda: nn.Linear(2, 2), "auto"),
    ],
)
def test_each_task_has_its_view_and_looking_for_it_leaves_no_trace(make: Callable[[], nn.Module], view: Any) -> None:
    model = make()
    model.train()
    next(model.children(), model).eval()
    flags, random = [m.training for m in model.modules()], torch.get_rng_state()
    hooks = [len(m._forward_hooks) for m in model.modules()]
    assert proposed_view(model) == view
    assert [m.training for m in model.modules()] == flags
    assert torch.equal(torch.get_rng_state(), random)
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    assert all(p.grad is None for p in model.parameters())


def test_what_a_head_reads_is_seen_of_a_frozen_model_too() -> None:
    assert tokens_read(bert().requires_grad_(False)) == "first"


class MeanHead(hf.BertForSequenceClassification):
    """A head that averages the tokens."""

    def forward(self, input_ids: Any, attention_mask: Any = None, **_: Any) -> Any:
        hidden = self.bert(input_ids, attention_mask).last_hidden_state.mean(1)
        return hf.modeling_outputs.SequenceClassifierOutput(logits=self.classifier(hidden))


def test_a_subclass_is_judged_by_its_own_head() -> None:
    assert tokens_read(bert()) == "first"
    assert tokens_read(bert(MeanHead)) == "auto"


def test_an_output_layer_as_wide_as_the_vocabulary_is_no_layer() -> None:
    for model in (gpt2(), Forwarding(gpt2())):
        assert [kind.__name__ for kind in proposed_layers(model)] == ["GPT2Block"]
    assert proposed_layers(bert()) == "auto"
    assert proposed_layers(nn.Linear(2, 2)) == "auto"


def test_a_head_that_is_defined_ahead_of_the_blocks_is_a_layer() -> None:
    model = hf.XLMRobertaForSequenceClassification(hf.XLMRobertaConfig(**SIZE))
    assert list(select_layers(model, proposed_layers(model))) == [
        "classifier.out_proj", "roberta.encoder.layer.0", "roberta.encoder.layer.1"
    ]  # fmt: skip
