"""Tables, the plane and the page hold every record; drawing them waits for nobody for ever."""

import logging
import threading
import time
from dataclasses import fields

import pytest
from record_factory import INF, critic, estimate
from wandb_offline import finish_and_read, offline_run

from ibprobe.errors import MissingExtra
from ibprobe.record.records import Estimate, Event, Records
from ibprobe.show import page
from ibprobe.sinks import wandb_panels as module
from ibprobe.sinks.wandb import WandbSink
from ibprobe.sinks.wandb_panels import MAX_ROWS, Panels, plane_rows, thinned
from ibprobe.sinks.wandb_run import WandbRun

FLAG = {"I_XT": "few_rows", "I_TY": "at_ceiling"}
RECORDS = [
    *(
        estimate(step=step, layer=layer, quantity=q, split=split, nats=step + 1 / 3, flags=frozenset({FLAG[q]}))
        for step in (0, 5)
        for layer in ("a", "b")
        for split in ("train", "held_out")
        for q in ("I_XT", "I_TY")
    ),
    estimate(step=5, layer="c", bracket_high=INF, bracket_low=None, bracket_low_se=None, fall=None),
    critic("I_XT", 4.0, step=5, layer="a", headline=False),
]

EVENTS = [Event(step=5, kind="not_measured", why="no labels", layer="c", quantity="I_TY")]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    run = offline_run(tmp_path_factory.mktemp("wandb"))
    sink = WandbSink(run)
    sink.open({"layers": ["a", "b", "c"]})
    sink.write(RECORDS, EVENTS)
    sink.close("")
    return finish_and_read(run)


def test_the_table_holds_every_field_of_every_record(written):
    texts = [{"flags": ",".join(sorted(e.flags)), "span": f"{e.span[0]}-{e.span[1]}"} for e in RECORDS]
    expected = [
        {f.name: t.get(f.name, getattr(e, f.name)) for f in fields(Estimate)}
        for e, t in zip(RECORDS, texts, strict=True)
    ]
    assert written.table("ib/records") == expected


def test_the_plane_has_a_point_for_each_layer_split_and_step_with_both_values(written):
    points = [(p["layer"], p["split"], p["step"], p["I_XT"], p["I_TY"]) for p in written.table("ib/plane_table")]
    assert points == [
        (layer, split, step, step + 1 / 3, step + 1 / 3)
        for step in (0, 5)
        for layer in ("a", "b")
        for split in ("train", "held_out")
    ]
    assert {p["flags"] for p in written.table("ib/plane_table")} == {"at_ceiling,few_rows"}


def test_the_plane_is_drawn_by_a_preset_that_every_server_has(written):
    panel = written.config["_wandb.visualize.ib/plane"]["panel_config"]
    assert panel["panelDefId"] == "wandb/scatter/v0"
    assert panel["fieldSettings"] == {"x": "I_XT", "y": "I_TY"}
    assert "ib/plane_table" in str(panel["userQuery"])


def test_the_page_is_kept_as_it_was_made(written):
    made = page.plane_html(Records(tuple(RECORDS), tuple(EVENTS), {"layers": ["a", "b", "c"]}))
    assert written.media("ib/plane_html") == made


def test_the_summary_holds_last_values_falls_and_their_means(written):
    ours = {k: v for k, v in written.summary.items() if k.startswith(("ib_final", "ib_mean"))}
    assert ours["ib_final/step"] == 5
    assert (ours["ib_final/I_XT/a"], ours["ib_final/I_TY_held_out/b"]) == (5 + 1 / 3, 5 + 1 / 3)
    assert ours["ib_final/I_XT_fall/a"] == 0.75
    assert "ib_final/I_XT_fall/c" not in ours
    assert ours["ib_mean/I_XT"] == pytest.approx((2 * (5 + 1 / 3) + 5.25) / 3)
    assert ours["ib_mean/I_TY_held_out_fall"] == 0.75


def test_of_too_many_rows_whole_snapshots_go_and_the_last_stays():
    rows = [[step, layer] for step in range(201) for layer in range(100)]
    kept = thinned(rows, 0)
    assert len(kept) <= MAX_ROWS
    assert {row[0] for row in kept} == set(range(200, -1, -3))
    assert all(sum(row[0] == step for row in kept) == 100 for step in (200, 2))


def test_few_rows_all_stay():
    assert thinned(rows := [[1, 2]] * 10, 0) is rows


def test_without_labels_there_is_no_point():
    assert plane_rows([estimate(step=step) for step in (0, 1)]) == []


class Drawn(WandbRun):
    """A run that keeps what was drawn, and holds up who draws until it is let go."""

    def __init__(self, fails: bool = False) -> None:
        self.planes: list[int] = []
        self.others: list[str] = []
        self.threads: set[str] = set()
        self.go = threading.Event()
        self.go.set()
        self._fails = fails

    def log_plane(self, columns, rows):
        self.threads.add(threading.current_thread().name)
        self.go.wait(10)
        if self._fails:
            raise OSError("cannot draw")
        self.planes.append(len(rows))

    def log_records(self, columns, rows):
        self.others.append("records")

    def log_html(self, html):
        self.others.append(html)


@pytest.fixture
def quick_page(monkeypatch):
    monkeypatch.setattr(page, "plane_html", lambda records: "<p>plane</p>")


def panels(run: Drawn, every: float = 0.0, patience: float = 5.0) -> Panels:
    return Panels(run, every, patience)


@pytest.mark.usefixtures("quick_page")
def test_the_end_draws_everything_on_another_thread():
    drawn = Drawn()
    panels(drawn).finish(Records(tuple(RECORDS)))
    assert (drawn.planes, drawn.others) == ([8], ["<p>plane</p>", "records"])
    assert drawn.threads == {"ibprobe-wandb"}


@pytest.mark.usefixtures("quick_page")
def test_the_end_waits_no_longer_than_patience_and_says_so(caplog):
    drawn = Drawn()
    drawn.go.clear()
    started = time.monotonic()
    panels(drawn, patience=0.2).finish(Records(tuple(RECORDS)))
    assert time.monotonic() - started < 2
    assert "has not taken the tables and charts of this run within 0.2 s" in caplog.text
    drawn.go.set()


@pytest.mark.usefixtures("quick_page")
def test_one_drawing_waits_for_the_other_and_none_is_due_meanwhile():
    drawn = Drawn()
    drawn.go.clear()
    made = panels(drawn)
    made.redraw(Records(tuple(RECORDS[:2])))
    assert not made.due
    threading.Timer(0.2, drawn.go.set).start()
    made.finish(Records(tuple(RECORDS)))
    assert drawn.planes == [1, 8]


def test_redraws_become_rare_as_the_run_grows_long(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    drawn, seconds = Drawn(), []
    made = panels(drawn, every=120.0)
    for second in range(0, 36_000, 10):
        now[0] = 1000.0 + second
        if made.due:
            made.redraw(Records(tuple(RECORDS)))
            made._thread.join()
            seconds.append(second)
    assert seconds[:5] == [120, 240, 360, 480, 600]
    assert 15 < len(seconds) < 30


@pytest.mark.usefixtures("quick_page")
def test_a_drawing_that_fails_is_told_once_and_not_tried_again(caplog):
    drawn = Drawn(fails=True)
    made = panels(drawn)
    made.redraw(Records(tuple(RECORDS)))
    made._thread.join()
    assert not made.due
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == [
        "ibprobe: a table or chart of this run is not in W&B: OSError: cannot draw"
    ]


def test_without_the_report_extra_only_the_page_is_left_out(monkeypatch, caplog):
    def missing(records):
        raise MissingExtra("the report", "jinja2", "report")

    monkeypatch.setattr(page, "plane_html", missing)
    drawn = Drawn()
    panels(drawn).finish(Records(tuple(RECORDS)))
    assert (drawn.planes, drawn.others) == ([8], ["records"])
    assert "of this run is not in W&B: MissingExtra: the report needs jinja2" in caplog.text
