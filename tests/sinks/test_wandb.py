"""Every value arrives in a real (offline) W&B run, on its own axis, and no row of the user's is lost."""

import math
import re
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import wandb
from record_factory import INF, critic, estimate
from wandb_offline import finish_and_read, offline_run
from wandb_orders import ORDERS, STEPS, train, values

from ibprobe.errors import BadInput
from ibprobe.record.records import Estimate
from ibprobe.show import page
from ibprobe.sinks import wandb as module
from ibprobe.sinks.wandb import MAX_LAYERS, WandbSink
from ibprobe.sinks.wandb_keys import layer_key, metrics_of

NUMBERS = (
    "nats", "ci_low", "ci_high", "lower_confidence", "bracket_low", "bracket_low_se", "bracket_high",
    "bracket_high_se", "ceiling", "rows", "distinct_rows", "dropped_rows", "std", "ess", "effective_rank",
    "dead_share", "peak_step", "fall", "fall_low", "fall_high", "seconds",
)  # fmt: skip
PANELS = ("ib/plane_table", "ib/plane_html", "ib/records")


def snapshot(step: int) -> list[Estimate]:
    """Two layers, both coordinates, with the values that are hard to keep."""
    return [
        estimate(step=step, layer="net.0", nats=0.1 + step / 3, flags=frozenset({"few_rows", "at_ceiling"})),
        estimate(step=step, layer="net.0", quantity="I_TY", nats=1 / 7, flags=frozenset()),
        estimate(step=step, layer="net.0#2", bracket_high=INF, ci_high=INF, bracket_low=None, bracket_low_se=None),
        estimate(step=step, layer="net.0#2", quantity="I_TY", bracket_high=1e300, nats=1e-12, split="held_out"),
        estimate(step=step, layer="net.0#2", quantity="I_XT_given_Y", nats=-0.0),
    ]


RECORDS = [snapshot(step) for step in (0, 5, 5000)] + [[critic("I_XT", 4.0, step=5000, layer="net.0", headline=False)]]


@pytest.fixture(scope="module", autouse=True)
def quick_page():
    """The page takes two seconds to make; here it is about rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "plane_html", lambda records: "<p>plane</p>")
        yield


@pytest.fixture
def fast(monkeypatch):
    """Ask W&B for its step at every call, so that the order of calls decides and not the clock."""
    monkeypatch.setattr(module, "_POLL_SHARE", math.inf)


@pytest.fixture(scope="module")
def written(tmp_path_factory, quick_page):
    """What a run holds whose user has claimed the axis of everything."""
    run = offline_run(tmp_path_factory.mktemp("wandb"))
    run.define_metric("*", step_metric="train/global_step")
    sink = WandbSink(run)
    sink.open({"layers": ["net.0", "net.0#2"], "config": {"data": Path("x"), "loss": max, "limit": INF}})
    for i, estimates in enumerate(RECORDS):
        run.log({"loss": 1.0 / (i + 1), "train/global_step": 10 * i})
        sink.write(estimates, [])
        sink.tick()
    sink.close("done")
    return finish_and_read(run)


def test_every_value_of_every_record_is_in_the_run(written):
    rows = iter(written.ours())
    for estimates, row in zip(RECORDS, rows, strict=True):
        assert row["ib/step"] == estimates[0].step
        for e in estimates:
            key = f"ib_detail/{e.quantity}/{e.estimator}/{e.split}/{layer_key(e.layer)}"
            assert {n: row.get(f"{key}/{n}") for n in NUMBERS} == {n: getattr(e, n) for n in NUMBERS}
            assert row[f"{key}/flags"] == ",".join(sorted(e.flags))


def test_nothing_else_is_in_our_rows(written):
    expected = [{"ib/step"}.union(*(metrics_of(e, layer_key(e.layer)) for e in s)) for s in RECORDS]
    assert [set(row) for row in written.ours()] == expected


def test_headlines_have_panels_by_quantity_and_layer(written):
    assert written.column("ib_I_XT/net/0") == [s[0].nats for s in RECORDS[:3]]
    assert written.column("ib_I_TY_held_out/net/0/call2") == [1e-12] * 3
    visible = {k for row in written.rows for k in row if re.match(r"ib_I_", k)}
    assert visible == {"ib_I_XT/net/0", "ib_I_TY/net/0", "ib_I_XT/net/0/call2", "ib_I_TY_held_out/net/0/call2"}


def test_each_metric_is_defined_by_its_exact_name_on_our_axis(written):
    names = {k for row in written.ours() for k in row} - {"ib/step"} | set(PANELS)
    assert {n: written.metrics[n]["step_metric"] for n in names} == dict.fromkeys(names, "ib/step")
    assert all(written.metrics[n]["options"]["step_sync"] for n in names)


def test_details_and_the_axis_are_hidden_and_headlines_are_not(written):
    hidden = {name for name, metric in written.metrics.items() if metric["options"].get("hidden")}
    assert hidden == {n for n in written.metrics if n.startswith("ib_detail/") or n == "ib/step"}


def test_headlines_get_a_minimum_and_a_maximum(written):
    summarised = {n for n, metric in written.metrics.items() if metric.get("summary")}
    assert summarised == {n for n in written.metrics if n.startswith("ib_I_")}


def test_names_hold_only_what_wandb_can_sort_and_filter(written):
    assert all(re.fullmatch(r"[A-Za-z0-9_/]+", name) for name in written.metrics)


def test_the_config_says_how_the_numbers_were_made(written):
    assert written.config["ibprobe"]["layers"] == ["net.0", "net.0#2"]
    assert written.config["ibprobe"]["config"]["limit"] == "Infinity"


def test_the_users_rows_stand_as_they_were_logged(written):
    assert written.column("loss") == [1.0, 0.5, 1 / 3, 0.25]
    assert [row["train/global_step"] for row in written.rows if "loss" in row] == [0, 10, 20, 30]


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_no_row_of_the_user_or_of_the_probe_is_lost(tmp_path, order):
    run = offline_run(tmp_path)
    sink = WandbSink(run)
    sink.open({"layers": ["fc1"]})
    logged = train(run, sink, **order)
    sink.close("")
    back, n = finish_and_read(run), order.get("snapshots", 1)
    assert (back.column("loss"), back.column("user/i")) == ([i / 3 for i in logged], logged)
    ours = [row for row in back.rows if "ib_I_XT/fc1" in row]
    assert [row["ib/step"] for row in ours] == list(range(STEPS * n))
    assert [{q: row[f"ib_{q}/fc1"] for q in ("I_XT", "I_TY")} for row in ours] == [
        values(step, n) for step in range(STEPS * n)
    ]


def test_with_more_layers_than_panels_can_show_no_layer_has_a_scalar(tmp_path):
    run, layers = offline_run(tmp_path), [f"blocks.{i}" for i in range(MAX_LAYERS + 1)]
    sink = WandbSink(run)
    sink.open({"layers": layers})
    both = [estimate(layer=name, step=1, quantity=q, nats=2.0) for name in layers for q in ("I_XT", "I_TY")]
    sink.write(both, [])
    sink.close("")
    back = finish_and_read(run)
    assert back.ours() == [{"ib/step": 1}]
    assert (len(back.table("ib/plane_table")), len(back.table("ib/records"))) == (len(layers), len(both))
    assert {k: v for k, v in back.summary.items() if k.startswith(("ib_", "blocks"))} == {
        "ib_final/step": 1, "ib_mean/I_XT": 2, "ib_mean/I_XT_fall": 0.75, "ib_mean/I_TY": 2, "ib_mean/I_TY_fall": 0.75,
    }  # fmt: skip


@pytest.mark.usefixtures("fast")
def test_a_snapshot_with_many_new_metrics_is_spread_over_training_steps(tmp_path):
    run = offline_run(tmp_path)
    sink = WandbSink(run)
    sink.open({"layers": ["many"]})
    sink.write([estimate(step=0, layer=f"l{i}") for i in range(16)], [])
    waits = 0
    while sink._queue:
        assert waits < 10
        sink.tick()
        waits += 1
    sink.close("")
    [row] = finish_and_read(run).ours()
    # A little over twenty metrics a layer, a hundred of them a step, the first hundred at once.
    assert len(row) > 300
    assert waits == len(row) // 100


def test_layers_whose_names_wandb_cannot_tell_apart_get_keys_of_their_own(tmp_path):
    run, layers = offline_run(tmp_path), ["conv-1", "conv_1", "conv+1", "слой", "блок", "", "model"]
    sink = WandbSink(run)
    sink.open({"layers": layers})
    for step in (0, 1):
        sink.write([estimate(layer=name, step=step, nats=float(i)) for i, name in enumerate(layers)], [])
    sink.close("")
    for row in finish_and_read(run).ours():
        assert sorted(v for k, v in row.items() if k.startswith("ib_I_XT/")) == list(range(len(layers)))


def test_without_an_active_run_the_error_says_what_to_call():
    assert wandb.run is None
    with pytest.raises(BadInput, match=r"no W&B run is active: call wandb\.init\(\) before, or pass"):
        WandbSink().open({})


def test_a_run_that_the_user_has_finished_is_reported_at_once(tmp_path):
    run = offline_run(tmp_path)
    sink = WandbSink(run)
    sink.open({})
    for step in (0, 1):
        sink.write([estimate(step=step)], [])
    run.finish()
    started = time.perf_counter()
    with pytest.raises(BadInput, match="finished before the probe; 1 snapshots are not in it"):
        sink.close("")
    assert time.perf_counter() - started < 5, "W&B answers the question for a finished run's step after 30 s"


def test_a_disabled_run_takes_everything_and_ends():
    run = wandb.init(mode="disabled", reinit="create_new")
    sink = WandbSink(run)
    sink.open({"layers": ["fc1"]})
    for step in range(3):
        sink.write([estimate(step=step)], [])
    sink.close("")
    assert run.step == 0
    run.finish()  # it is the active run of the process until then


def test_a_run_that_was_finished_with_nothing_left_but_the_panels_is_reported(tmp_path):
    run = offline_run(tmp_path)
    sink = WandbSink(run)
    sink.open({})
    sink.write([estimate()], [])
    run.finish()
    with pytest.raises(BadInput, match="finished before the probe; tables and charts are not in it"):
        sink.close("")


def test_a_probe_that_measured_nothing_draws_nothing(tmp_path):
    run = offline_run(tmp_path)
    sink = WandbSink(run)
    sink.open({"layers": ["fc1"]})
    sink.close("")
    back = finish_and_read(run)
    assert (back.rows, back.config["ibprobe"]) == ([], {"layers": ["fc1"]})


def test_polling_wandb_for_its_step_takes_at_most_its_share_of_the_time():
    class Slow(Mock):
        _is_finished = False
        asked = 0

        @property
        def step(self) -> int:
            self.asked += 1
            time.sleep(0.002)
            return 0

    sink = WandbSink(run := Slow())
    sink.open({})
    sink.write([estimate(step=0), estimate(step=1)], [])
    end = time.perf_counter() + 0.5
    while time.perf_counter() < end:
        sink.tick()
    assert 2 <= run.asked <= 5
