"""A tiny vision transformer on handwritten digits: what its blocks keep of image and class, on rows it never saw."""

import argparse

import torch
import transformers as hf
from ibprobe_transformers import IBProbeCallback
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=400)
parser.add_argument("--out", default="vit-run")
args = parser.parse_args()

hf.set_seed(0)
digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
y = torch.tensor(digits.target)
order = torch.randperm(len(y))
train, held_out = order[:1200], order[1200:]

shape = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
config = hf.ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, **shape)
settings = hf.TrainingArguments(
    args.out, max_steps=args.steps, per_device_train_batch_size=32, learning_rate=2e-3, use_cpu=True, report_to=[],
    save_strategy="no", disable_tqdm=True, logging_steps=max(args.steps // 4, 1),
)  # fmt: skip
splits = {name: {"pixel_values": x[of], "labels": y[of]} for name, of in (("train", train), ("held_out", held_out))}
callback = IBProbeCallback(probe_set=splits, estimator="channel", budget=None, every=max(args.steps // 8, 1))
data = [{"pixel_values": image, "labels": label} for image, label in zip(x[train], y[train], strict=True)]
hf.Trainer(hf.ViTForImageClassification(config), settings, train_dataset=data, callbacks=[callback]).train()

found = callback.probe.estimates
head = found.one(step=found.steps[-1], layer="classifier", quantity="I_TY", split="held_out", headline=True)
print(f"the head tells {head.nats:.2f} of {head.ceiling:.2f} nats of unseen digits; {callback.probe.run_dir}")
