"""Runs that a W&B server has compare as run directories do, with few requests."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from lens.logged_runs import META, RUNS, log_to, snapshot, told
from wandb_answers import run_node
from wandb_loopback import KEY, LoopbackServer

from ibprobe.errors import BadInput
from ibprobe.lens.compare import compare
from ibprobe.lens.reading import read_runs
from ibprobe.lens.runs import Key, Run
from ibprobe.lens.wandb_runs import project_runs
from ibprobe.record.rundir import RunDir
from ibprobe.show import page
from ibprobe.sinks.wandb import WandbSink
from ibprobe.sinks.wandb_keys import AXIS, LayerKeys, metrics_of, summary_of


@pytest.fixture(scope="module", autouse=True)
def quick_page() -> Iterator[None]:
    """The page takes two seconds to make; here it is about values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "plane_html", lambda records: "<p>plane</p>")
        yield


def node(name: str, seed: int, dropout: float, meta: dict[str, Any] = META, **changes: Any) -> dict[str, Any]:
    """A run as the server has it: what the sink writes, and what W&B makes of headlines."""
    keys, last = LayerKeys(), snapshot(40, seed, dropout)
    row: dict[str, Any] = {AXIS: 40}
    for e in last:
        row |= metrics_of(e, keys[e.layer])
    row = {k: {"last": v, "min": 0, "max": v} if k.startswith("ib_I_") else v for k, v in row.items()}
    config = {"seed": seed, "dropout": dropout, "ibprobe": meta, "_wandb": {"cli_version": "0"}}
    return run_node(name, config, row | summary_of(last, keys, each=True), **changes)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server
        assert (server.kept.errors, server.kept.unknown) == ([], [])


def api(server: LoopbackServer, **options: Any) -> wandb.Api:
    return wandb.Api(overrides={"base_url": server.url}, api_key=KEY, **options)


def fetched(server: LoopbackServer, project: str = "tester/tests") -> tuple[list[Run], list[str]]:
    said: list[str] = []
    return list(project_runs(project, said, api(server))), said


def test_real_online_runs_come_back_from_the_server(server: LoopbackServer, tmp_path: Path) -> None:
    settings = wandb.Settings(
        base_url=server.url, api_key=KEY, init_timeout=30, console="off", save_code=False, x_disable_stats=True,
        x_disable_meta=True, disable_git=True, silent=True,
    )  # fmt: skip
    for seed, dropout in RUNS:
        config = {"seed": seed, "dropout": dropout}
        run = wandb.init(
            project="tests", mode="online", dir=str(tmp_path), reinit="create_new", settings=settings, config=config
        )
        log_to(WandbSink(run), seed, dropout)
        run.finish()
    runs, said = fetched(server)
    log_to(RunDir(tmp_path / "same"), *RUNS[3], META | {"config": {"seed": 1, "dropout": 0.5}})
    assert told(runs)[-1:] == told(read_runs([tmp_path / "same"])[0])
    assert said == []
    (comparison,) = compare(runs, "dropout")
    assert comparison.effects[Key("training", "held_out", "net.1", "I_XT")].mean == pytest.approx(-0.5)
    assert told(read_runs([tmp_path / "wandb"])[0]) == told(runs)  # what they left on this machine


def test_hundreds_of_runs_take_one_request_for_fifty(server: LoopbackServer) -> None:
    nodes = [node(f"r{seed}-{dropout}", seed, dropout) for seed in range(60) for dropout in (0.0, 0.5)]
    server.kept.runs = {n["id"]: n for n in nodes}
    runs, said = fetched(server)
    assert (len(runs), said) == (120, [])
    assert server.kept.operations["Runs"] == 3
    assert sum(server.kept.operations.values()) <= 5  # who asks, and as whom, beside
    (comparison,) = compare(runs, "dropout")
    assert comparison.effects[Key("training", "held_out", "net.1", "I_XT")].seeds == 60


@pytest.mark.slow
def test_the_command_compares_a_project_of_whoever_is_logged_in(server: LoopbackServer) -> None:
    server.kept.runs = {n["id"]: n for n in (node(f"r{seed}-{dropout}", seed, dropout) for seed, dropout in RUNS)}
    program = [sys.executable, "-c", "from ibprobe.cli import main; main()", "lens", "compare", "--factor", "dropout"]
    environment = os.environ | server.environment()
    found = subprocess.run(
        [*program, "--wandb", "tester/tests"], env=environment, capture_output=True, text=True, check=True
    )
    assert "| net.0 | +0.00 [+0.00, +0.00], 0/2 |" in found.stdout
    assert "dropout = 0.5 against 0.0: not decided, for 2 seeds are too few" in found.stdout
    assert "4 runs of 2 seeds; 0 flagged values do not count" in found.stdout
    nobody = subprocess.run(
        [*program, "--wandb", "tester/tests"],
        env=environment | {"WANDB_API_KEY": "", "NETRC": os.devnull, "HOME": os.getcwd()},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert nobody.stderr.splitlines()[-1].startswith("ibprobe: W&B is not logged in: wandb login, or set WANDB_API_KEY")


def test_runs_that_cannot_be_compared_are_left_out_and_said(server: LoopbackServer) -> None:
    cut = node("cut", 0, 0.0)
    values = json.loads(cut["summaryMetrics"])
    cut["summaryMetrics"] = json.dumps({k: v for k, v in values.items() if not k.startswith("ib_final/")})
    deep = run_node("deep", {"ibprobe": META}, {k: v for k, v in values.items() if k in (AXIS, "ib_final/step")})
    others = [run_node("other", {"lr": 1}, {"loss": 2}), node("young", 0, 0.5, state="running")]
    server.kept.runs = {n["id"]: n for n in (cut, deep, *others)}
    runs, said = fetched(server)
    assert [run.name for run in runs] == ["cut (cut)"]
    assert [line.split(": ", 1)[1] for line in said] == [
        "its training did not come to its end; values are those of its last snapshot",
        "its config has no seed; it counts as seed 0",
        "left out: W&B has no values of single layers beyond 16 of them: compare its run directory",
        "left out: it is still running",
        "1 runs were not watched by the probe",
    ]


def test_other_noise_or_size_is_refused(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [node("a", 0, 0.0), node("b", 0, 0.5, META | {"sigma": 0.5})]
    server.kept.runs = {n["id"]: n for n in nodes}
    given = api(server)
    monkeypatch.setattr(wandb, "Api", lambda: given)
    with pytest.raises(BadInput, match=r"'net.0' is measured as \('relative', 0.25, 'flatten', 'population'\) in a"):
        read_runs([], wandb="tester/tests")


def test_flagged_values_do_not_count(server: LoopbackServer) -> None:
    flagged = node("a", 0, 0.0)
    values = json.loads(flagged["summaryMetrics"])
    values["ib_detail/I_XT/channel/train/net/0/flags"] = "at_ceiling,few_rows"
    server.kept.runs = {"a": flagged | {"summaryMetrics": json.dumps(values)}}
    ((run,), _) = fetched(server)
    assert run.flagged == 1
    assert Key("training", "train", "net.0", "I_XT") not in run.values
    assert Key("training", "train", "net.0", "I_TY") in run.values


def test_what_the_server_does_not_give_is_said_with_what_to_do(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = api(server, timeout=1)
    with pytest.raises(BadInput, match=r"gives no runs of tester/none: Could not find project none"):
        fetched(server, "tester/none")
    with pytest.raises(BadInput, match="--wandb is ENTITY/PROJECT; got 'none'"):
        fetched(server, "none")

    def nobody() -> None:
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.setattr(wandb, "Api", nobody)
    with pytest.raises(BadInput, match=r"not logged in: wandb login, or set WANDB_API_KEY; No API key"):
        list(project_runs("tester/tests", []))
    server.faults.status = 500
    with pytest.raises(BadInput, match=r"gives no runs of tester/tests: .* did not respond in time"):
        list(project_runs("tester/tests", [], impatient))
