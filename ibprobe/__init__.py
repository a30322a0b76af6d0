"""ibprobe: see what each layer of a PyTorch model keeps of its input and of its target, while it trains."""

from ibprobe.arrays import estimate_channel, estimate_mi
from ibprobe.checkpoint import measure
from ibprobe.errors import BadInput, BadRun, MissingExtra, ProbeError, UnknownName
from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.hookspecs import EstimatorPlugin, hookimpl
from ibprobe.probe import IBProbe
from ibprobe.record.alerts import Alert
from ibprobe.record.guards import Violation, check_plane
from ibprobe.record.records import Estimate, Event, Records
from ibprobe.record.rundir import load_run
from ibprobe.sinks.terminal import TerminalSink
from ibprobe.sinks.wandb import WandbSink
from ibprobe.sweep import SigmaChoice, choose_sigma, sigma_sweep
from ibprobe.version import __version__ as __version__

__all__ = [
    "Alert",
    "BadInput",
    "BadRun",
    "Estimate",
    "EstimatorPlugin",
    "Event",
    "IBProbe",
    "MissingExtra",
    "Pair",
    "ProbeError",
    "Reading",
    "Records",
    "SigmaChoice",
    "TerminalSink",
    "UnknownName",
    "Violation",
    "WandbSink",
    "check_plane",
    "choose_sigma",
    "estimate_channel",
    "estimate_mi",
    "hookimpl",
    "load_run",
    "measure",
    "sigma_sweep",
]
