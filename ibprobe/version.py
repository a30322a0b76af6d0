"""The version, read by the package, its metadata and every run's ``meta.json``."""

__version__ = "0.1.0"
