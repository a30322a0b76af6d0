"""One line in Lightning: ``Trainer(callbacks=[IBProbeCallback()])``."""
