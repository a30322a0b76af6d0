"""One line in the HF Trainer: ``Trainer(callbacks=[IBProbeCallback()])``."""
