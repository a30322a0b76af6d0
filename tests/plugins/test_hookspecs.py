"""The example in each hookspec is a complete plugin, and does what it says."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Setup, small_net
from plugins.made import entry_of
from torch import nn

from ibprobe import BadInput, IBProbe, estimate_mi, hookspecs, load_run, measure
from ibprobe.hookspecs import KINDS
from ibprobe.plugins import loading


def example(hook: str) -> str:
    """The program of a hookspec's docstring."""
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    return textwrap.dedent(text.split("A complete plugin::")[1].split("\nThen ``")[0])


@pytest.fixture
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of a hook, as if its package were installed."""
    found = entry_of(example(request.param), monkeypatch)
    monkeypatch.setattr(loading, "entry_points", lambda group: [found])


def of(hook: str) -> Any:
    return pytest.mark.parametrize("installed", [hook], indirect=True, ids=[""])


@of("ibprobe_estimators")
def test_the_estimator_reads_arrays_and_layers(installed: None) -> None:
    x = [i / 100 for i in range(100)]
    reading = estimate_mi(x, [(37 * i) % 100 / 100 for i in range(100)], estimator="pearson")
    assert (reading.estimator, reading.bound) == ("pearson", "bivariate Gaussian")
    with pytest.raises(BadInput, match="one column against one column"):
        estimate_mi([[v, v] for v in x], x, estimator="pearson")


@of("ibprobe_sinks")
def test_the_sink_has_every_number(installed: None, tmp_path: Path) -> None:
    run = Setup()
    with run.probe(every=2, run_dir=tmp_path / "run", sinks=["csv"]):
        run.train()
    head, *lines = Path("ib.csv").read_text().splitlines()
    assert head == "step,layer,quantity,nats"
    assert lines == [f"{e.step},{e.layer},{e.quantity},{e.nats}" for e in load_run(tmp_path / "run")]


@of("ibprobe_views")
def test_the_view_gives_the_rows(installed: None) -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten(), nn.Linear(12, 2))
    x = torch.randn(600, 1, 3, 3)
    e = measure(model, x, layers=["0"], view={"0": "loudest"}, estimator="channel").one(quantity="I_XT")
    assert (e.view, e.dim) == ("loudest", 3)
    probe = IBProbe(model, ["0"], view="loudest", sinks=[])
    with probe:
        model(x)
        assert {e.view for e in probe.measure()} == {"loudest"}
    assert probe.estimates.meta["view"] == "loudest"


@of("ibprobe_report_sections")
def test_the_section_is_on_the_page(installed: None) -> None:
    model = small_net()
    probe = IBProbe(model, ["0"], sinks=[], estimator="channel")
    with probe:
        model(torch.randn(600, 4))
    page = probe.report(sections=["auto", "seconds"]).read_text()
    assert page.index("How it was measured") < page.index("<h2>What layers cost</h2>") < page.index("</main>")
    seconds = probe.estimates.one(quantity="I_XT").seconds
    assert f'title="{seconds!r}"' in page


def test_every_kind_of_plugin_has_an_example_here() -> None:
    source = Path(__file__).read_text()
    assert all(f'@of("{kind.hook}")' in source for kind in KINDS)
