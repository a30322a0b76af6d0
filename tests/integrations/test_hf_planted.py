"""A signal that is planted in one token: blocks show it once the model reads it, and shuffled labels show nothing."""

from pathlib import Path

import pytest
import transformers as hf
from ibprobe_transformers import IBProbeCallback
from tiny_models import bert, sentences, together

from ibprobe import Records

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning")]

STEPS = 300


def trained(folder: Path, *, shuffled: bool) -> Records:
    """Records on training and held-out rows of a run with true or shuffled labels."""
    hf.set_seed(0)
    train, unseen = sentences(4096, shuffled=shuffled), sentences(1024, seed=1, shuffled=shuffled)
    probe_set = {"train": together(train[:1024]), "held_out": together(unseen)}
    callback = IBProbeCallback(
        probe_set=probe_set, rows=1024, every=STEPS // 3, budget=None, estimator="channel", sinks=[], report=False
    )
    settings = hf.TrainingArguments(
        str(folder), max_steps=STEPS, per_device_train_batch_size=64, learning_rate=2e-3, use_cpu=True, report_to=[],
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    model = bert(hidden_size=64, intermediate_size=128, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    hf.Trainer(model, settings, train_dataset=train, callbacks=[callback]).train()
    assert callback.probe is not None
    return callback.probe.estimates


def test_the_label_is_found_in_the_blocks_after_its_token_is_read(tmp_path: Path) -> None:
    records = trained(tmp_path, shuffled=False)
    for split in ("train", "held_out"):
        for layer in ("bert.encoder.layer.1", "classifier"):
            of = records.select(layer=layer, quantity="I_TY", split=split, estimator="channel")
            start, *_, end = [of.one(step=step) for step in records.steps]
            assert start.nats < 0.05
            assert end.nats > end.ceiling - 0.1  # H(Y) = ln 4 = 1.386


def test_shuffled_labels_are_found_nowhere_in_unseen_rows(tmp_path: Path) -> None:
    records = trained(tmp_path, shuffled=True)
    unseen = records.select(quantity="I_TY", split="held_out", headline=True)
    assert len(unseen) == 3 * 4
    assert max(e.nats for e in unseen) <= 0.05
