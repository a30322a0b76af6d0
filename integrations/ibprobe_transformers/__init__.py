"""The information plane of a model that the Hugging Face Trainer trains: one callback.

``Trainer(model, args, train_dataset=…, callbacks=[IBProbeCallback()])``
"""

from importlib.util import find_spec

from ibprobe import MissingExtra

if find_spec("transformers") is None or find_spec("accelerate") is None:
    raise MissingExtra("ibprobe_transformers", "transformers with accelerate", "transformers")

from ibprobe_transformers.callback import IBProbeCallback

__all__ = ["IBProbeCallback"]
