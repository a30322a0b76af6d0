"""A real online run, against a server on this machine: everything arrives, and nobody waits for a slow server."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import wandb
import wandb_faults
from record_factory import estimate
from wandb_loopback import KEY, LoopbackServer
from wandb_orders import ORDERS, STEPS, train, values

from ibprobe.record.alerts import Alert
from ibprobe.show import page
from ibprobe.sinks import wandb as module
from ibprobe.sinks.wandb import WandbSink
from ibprobe.sinks.wandb_keys import PLANE_HTML, PLANE_TABLE, RECORDS

PAGE = "<p>plane</p>"


@pytest.fixture(autouse=True)
def quick_page(monkeypatch):
    """The page takes two seconds to make; here it is about the way to the server."""
    monkeypatch.setattr(page, "plane_html", lambda records: PAGE)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server
        assert (server.kept.errors, server.kept.unknown) == ([], [])


@pytest.fixture
def run(server, tmp_path) -> wandb.Run:
    # The server is named here and not in the environment, which W&B reads once a process.
    settings = wandb.Settings(
        base_url=server.url, api_key=KEY, init_timeout=30, console="off", save_code=False, x_disable_stats=True,
        x_disable_meta=True, disable_git=True, silent=True,
    )  # fmt: skip
    return wandb.init(
        project="tests", mode="online", dir=str(tmp_path), reinit="create_new", settings=settings
    )  # a test before may have set WANDB_MODE, which stays


def opened(run: wandb.Run, **options: Any) -> WandbSink:
    sink = WandbSink(run, **options)
    sink.open({"layers": ["fc1"]})
    return sink


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_row_arrives_on_its_axis_while_the_plane_is_redrawn(server, run, monkeypatch, order):
    monkeypatch.setattr(module, "_POLL_SHARE", float("inf"))
    run.define_metric("*", step_metric="train/global_step")
    sink = opened(run, panels_every=0.0)
    logged = train(run, sink, **order)
    sink.close("")
    run.finish()
    kept, n = server.kept, order.get("snapshots", 1)
    assert (kept.column("loss"), kept.column("user/i")) == ([i / 3 for i in logged], logged)
    ours = [row for row in kept.history if "ib_I_XT/fc1" in row]
    assert [row["ib/step"] for row in ours] == list(range(STEPS * n))
    assert [{q: row[f"ib_{q}/fc1"] for q in ("I_XT", "I_TY")} for row in ours] == [
        values(step, n) for step in range(STEPS * n)
    ]
    names = {k for row in kept.history for k in row if k.startswith("ib")} - {"ib/step"}
    assert names >= {PLANE_TABLE, RECORDS, PLANE_HTML}
    assert {name: kept.axis_of(name) for name in names} == dict.fromkeys(names, "ib/step")
    assert len(kept.artifacts) > 2, "the plane was redrawn meanwhile"
    assert len(kept.table(PLANE_TABLE)) == STEPS * n
    assert len(kept.table(RECORDS)) == 2 * STEPS * n


def test_page_chart_summary_and_config_arrive(server, run):
    sink = opened(run)
    sink.write([estimate(step=3, quantity=q, nats=1.5) for q in ("I_XT", "I_TY")], [])
    sink.close("")
    run.finish()
    kept = server.kept
    assert kept.files[kept.column(PLANE_HTML)[-1]["path"]].decode() == PAGE
    assert kept.config["_wandb"]["value"]["visualize"]["ib/plane"]["panel_config"]["panelDefId"] == "wandb/scatter/v0"
    assert kept.config["ibprobe"]["value"] == {"layers": ["fc1"]}
    assert {k: v for k, v in kept.summary.items() if k.startswith("ib_final")} == {
        "ib_final/step": 3, "ib_final/I_XT/fc1": 1.5, "ib_final/I_XT_fall/fc1": 0.75, "ib_final/I_TY/fc1": 1.5,
        "ib_final/I_TY_fall/fc1": 0.75,
    }  # fmt: skip


ALERT = Alert(step=3, layer="fc1", split="train", flag="dead_units", seen="60 % are dead", look_at="Lower the rate.")


@pytest.mark.parametrize("wanted", [True, False])
def test_alerts_are_sent_where_they_were_asked_for(server, run, wanted):
    opened(run, alerts=wanted).alert(ALERT)
    run.finish()
    assert [(a["title"], a["text"], a["severity"]) for a in server.kept.alerts] == [
        ("ibprobe: dead_units fc1 train", str(ALERT), "WARN")
    ] * wanted


@pytest.mark.parametrize("delay", [1.0, pytest.param(5.0, marks=pytest.mark.slow)])
def test_no_step_waits_for_a_slow_server(server, run, delay):
    sink = opened(run, panels_every=0.0, alerts=True, patience=0.1)
    run.log({"loss": 0.0})
    server.faults.delay = delay
    waits = []
    for step in range(60):
        begun = time.perf_counter()
        sink.write([estimate(step=step, quantity=q) for q in ("I_XT", "I_TY")], [])
        sink.tick()
        sink.alert(ALERT)
        waits.append(time.perf_counter() - begun)
        run.log({"loss": step / 3})
        time.sleep(delay / 30)
    assert server.kept.operations["ArtifactType"] >= 1, "the plane was redrawn meanwhile"
    print(f"{delay:g} s: median {1000 * median(waits):.2f} ms, longest {1000 * max(waits):.1f} ms")
    # What is promised is 50 ms; a single step may lose the processor for longer on a busy machine.
    assert median(waits) < 0.05
    assert max(waits) < 1.0
    server.faults.delay = 0.0
    sink.close("")
    run.finish()
    assert server.kept.column("loss") == [0.0, *(step / 3 for step in range(60))]


def test_the_end_gives_a_server_that_hangs_its_time_and_all_arrives_when_it_is_back(server, run, caplog):
    sink = opened(run, patience=0.3)
    sink.write([estimate(step=0, quantity=q) for q in ("I_XT", "I_TY")], [])
    server.faults.hang = True
    run.log({"loss": 1.0})
    begun = time.perf_counter()
    sink.close("")
    assert time.perf_counter() - begun < 5
    assert "has not taken the tables and charts of this run within 0.3 s" in caplog.text
    run.log({"loss": 2.0})
    server.faults.hang = False
    sink._panels._thread.join(20)
    run.finish()
    assert server.kept.column("loss") == [1.0, 2.0]
    assert server.kept.column("ib_I_XT/fc1") == [5.25]
    assert len(server.kept.table(RECORDS)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("fault", wandb_faults.FAULTS)
def test_whatever_the_server_does_training_is_the_same_and_the_run_directory_complete(tmp_path, fault):
    paths = [str(Path(wandb_faults.__file__).parent), str(Path(module.__file__).parents[2])]
    command = [sys.executable, wandb_faults.__file__, fault]
    environment = {"PYTHONPATH": ":".join(paths), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["same_weights"]
    assert told["kept"] == told["measured"] == 120
    assert told["detach_s"] < (60 if fault == "none" else 5)
    assert told["errors"] == []
    if fault == "none":
        assert told["rows"] >= wandb_faults.STEPS
    else:
        assert done.stderr.count("W&B has not taken the tables and charts") == 1
