"""Plugins are found, told apart, left out when broken, and asked by name; ours come through the same hooks."""

from ibprobe.plugins.installed import Plugins

__all__ = ["Plugins"]
