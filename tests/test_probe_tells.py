"""What the probe tells while a run goes on, and what a user tells it."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import MemorySink, quiet_probe, unchecked
from torch import nn

from ibprobe import Alert, IBProbe, load_run
from ibprobe.capture.gathering import Gathering

HEAD = nn.Linear(8, 2)
X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


class Listening(MemorySink):
    """A sink that wants alerts."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: list[Alert] = []

    def alert(self, alert: Alert) -> None:
        self.alerts.append(alert)


def dying_net() -> nn.Sequential:
    """Its hidden layer gives nothing at all."""
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    nn.init.constant_(net[0].bias, -1e3)
    return net


def measured(net: nn.Module, **options: Any) -> Any:
    with quiet_probe(net, probe_set=(X, torch.arange(64) % 2), **options) as probe:
        probe.step()
    return probe


def test_a_callback_hears_of_a_dead_layer_once() -> None:
    heard: list[Alert] = []
    measured(dying_net(), on_flag=heard.append)
    assert [(a.layer, a.flag) for a in heard if a.flag == "constant"].count(("1", "constant")) == 1


def test_sinks_that_want_alerts_get_them_and_the_run_directory_keeps_them(caplog: pytest.LogCaptureFixture) -> None:
    sink = Listening()
    probe = measured(dying_net(), sinks=[sink, MemorySink()])
    kept = [e for e in load_run(probe.run_dir).events if e.kind == "alert"]
    assert kept
    assert [a.event for a in sink.alerts] == kept
    assert len([m for m in caplog.messages if "constant" in m]) == len([e for e in kept if "constant" in e.why])


def test_a_callback_that_fails_is_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    def fail(alert: Alert) -> None:
        raise ValueError(alert.flag)

    probe = measured(dying_net(), on_flag=fail)
    assert len([m for m in caplog.messages if "on_flag failed" in m]) == 1
    assert probe.estimates


def test_a_disarmed_probe_is_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Alert] = []
    with quiet_probe(HEAD, probe_set=(X, None), on_flag=heard.append) as probe:
        monkeypatch.setattr(Gathering, "take", lambda *_: 1 / 0)
        probe.step()
    assert [a.flag for a in heard if a.flag == "disarmed"] == ["disarmed"]


def test_curves_of_the_users_own_stand_beside_ours() -> None:
    with quiet_probe(HEAD, probe_set=(X, None)) as probe:
        probe.log(0, loss=0.5, error=torch.tensor(0.25))
        probe.step()
        probe.log(loss=0.25)
    back = load_run(probe.run_dir).logged
    assert back == probe.estimates.logged
    assert [(entry.step, dict(entry.values)) for entry in back] == [
        (0, {"loss": 0.5, "error": 0.25}),
        (1, {"loss": 0.25}),
    ]


def test_what_is_no_number_is_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with quiet_probe(HEAD, probe_set=(X, None)) as probe, caplog.at_level(logging.WARNING):
        for step in range(3):
            probe.log(step, loss="low", error=1.0)
    assert len([m for m in caplog.messages if "log(loss=…) is left out: expected a number, got 'low'" in m]) == 1
    assert [dict(entry.values) for entry in probe.estimates.logged] == [{"error": 1.0}] * 3


@pytest.mark.parametrize(
    "value",
    [torch.zeros(2), torch.zeros((), device="meta"), torch.tensor(1j), 10**400, None, [1.0], "0.5"],
    ids=["two", "no data", "complex", "too large", "none", "list", "text"],
)
def test_a_value_of_any_other_kind_stops_nothing(value: Any) -> None:
    with quiet_probe(HEAD, probe_set=(X, None)) as probe:
        probe.log(0, odd=value, fine=True)
    assert [dict(entry.values) for entry in probe.estimates.logged] == [{"fine": 1.0}]


def test_a_loss_may_be_logged_as_it_is() -> None:
    weight = torch.ones(1, requires_grad=True)
    with quiet_probe(HEAD, probe_set=(X, None)) as probe:
        unchecked(IBProbe.log)(probe, torch.tensor(3), loss=(2 * weight).sum(), diverged=float("nan"))
    (entry,) = load_run(probe.run_dir).logged
    assert (entry.step, entry.values["loss"], str(entry.values["diverged"])) == (3, 2.0, "nan")


def test_a_step_that_is_no_number_is_left_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with quiet_probe(HEAD, probe_set=(X, None)) as probe:
        for step in ("first", "second"):
            unchecked(IBProbe.log)(probe, step, loss=1.0)
    assert len([m for m in caplog.messages if "log(step=…) is left out" in m]) == 1
    assert probe.estimates.logged == ()


HUNDRED_THOUSAND_STEPS = """
import time, torch, ibprobe
model = torch.nn.Linear(8, 2)
with ibprobe.IBProbe(model, probe_set=torch.randn(64, 8), estimator="channel", sinks=[]) as probe:
    started = time.process_time()
    for step in range(100_000):
        probe.log(step, loss=0.5)
    print(time.process_time() - started)
"""


@pytest.mark.slow
def test_a_hundred_thousand_steps_are_logged_in_seconds() -> None:
    # In a process of its own, for the checks of types that tests add take longer than the work.
    done = subprocess.run([sys.executable, "-c", HUNDRED_THOUSAND_STEPS], capture_output=True, text=True, check=True)
    # 2 s on one core; a list that is copied at every step takes minutes.
    assert float(done.stdout) < 20


def test_the_cost_is_kept_each_time_that_the_run_ends() -> None:
    net = nn.Linear(8, 2)
    probe = quiet_probe(net, probe_set=(X, None))
    for _ in range(2):
        with probe:
            probe.step()
    costs = [e.why for e in load_run(probe.run_dir).events if e.kind == "cost"]
    assert len(costs) == 2
    assert costs[-1].startswith("measured 2 of 2 due steps") or costs[-1].startswith("measured 3 of 3 due steps")


def test_a_probe_that_is_attached_again_remembers_the_peaks() -> None:
    net = nn.Linear(8, 2)
    probe = quiet_probe(net, probe_set=(X, None), noise="absolute", sigma=1.0)
    with probe:
        probe.step()
    with torch.no_grad():
        net.weight *= 0.1
    with probe:
        probe.step()
    assert [e.peak_step for e in probe.estimates] == [0, 0, 0]
    assert (probe.estimates[-1].fall or 0) > 0.1


def test_an_inert_probe_takes_curves_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBPROBE", "off")
    with quiet_probe(HEAD, probe_set=(X, None)) as probe:
        probe.log(0, loss=0.5)
    assert probe.estimates.logged == ()


def test_a_report_can_be_written_while_the_run_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    with quiet_probe(HEAD, probe_set=(X, torch.arange(64) % 2)) as probe:
        probe.step()
        page = probe.report(tmp_path / "page.html")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
