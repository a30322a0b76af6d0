"""A tiny classifier and a tiny language model in the Hugging Face Trainer, on the text of Python's own manual."""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import torch
import transformers as hf
from ibprobe_transformers import IBProbeCallback
from torch import Tensor

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--out", default="hf-runs")
args = parser.parse_args()

CHAPTERS, WORDS, LENGTH = ("specialnames", "compound", "types", "typesseq"), 1000, 16
CLS, PAD, RARE = 0, 1, 2
split = {name: re.findall(r"\w+|[^\w\s]", text) for name, text in topics.items()}
common = Counter(word for words in split.values() for word in words).most_common(WORDS - 3)
number = {word: k for k, (word, _) in enumerate(common, start=3)}


def windows(words: list[str]) -> Tensor:
    """Sixteen words each, none twice: rows that are independent of each other."""
    ids = torch.tensor([number.get(word, RARE) for word in words])
    return ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)


def train(model: hf.PreTrainedModel, name: str, data: list[dict[str, Tensor]]) -> IBProbeCallback:
    """A plain Trainer script, plus one line."""
    settings = hf.TrainingArguments(
        f"{args.out}/{name}", max_steps=args.steps, per_device_train_batch_size=32, learning_rate=1e-3, use_cpu=True,
        report_to=[], save_strategy="no", disable_tqdm=True, logging_steps=max(args.steps // 3, 1),
    )  # fmt: skip
    probed = IBProbeCallback(rows=1024, estimator="channel", budget=None)  # all 60 snapshots, for the run is short
    hf.Trainer(model, settings, train_dataset=data, callbacks=[probed]).train()
    return probed


hf.set_seed(0)
shape = {"num_labels": len(CHAPTERS), "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
bert = hf.BertConfig(vocab_size=WORDS, intermediate_size=128, pad_token_id=PAD, **shape)
rows = [(ids, k) for k, chapter in enumerate(CHAPTERS) for ids in windows(split[chapter])]
snippets = [{"input_ids": torch.cat([torch.tensor([CLS]), ids]), "labels": torch.tensor(k)} for ids, k in rows]
classifier = train(hf.BertForSequenceClassification(bert), "classifier", snippets)

gpt2 = hf.GPT2Config(vocab_size=WORDS, n_positions=LENGTH, n_embd=64, n_layer=3, n_head=4, bos_token_id=CLS)
everything = windows([word for words in split.values() for word in words])
language = train(hf.GPT2LMHeadModel(gpt2), "language", [{"input_ids": ids, "labels": ids} for ids in everything])

for name, callback in (("classifier", classifier), ("language", language)):
    found = callback.probe.estimates
    block = found.one(step=found.steps[-1], layer=found.layers[2], quantity="I_TY", headline=True)
    print(f"{name}: its last block tells {block.nats:.2f} of {block.ceiling:.2f} nats; {callback.probe.run_dir}")
