"""A live table stays at the foot of the terminal: nothing of what others write is lost, nothing stays behind."""

import logging
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress
from screen_factory import both, console, seen, written

from ibprobe.record.alerts import Alert
from ibprobe.sinks.terminal import TerminalSink, screens


@pytest.fixture
def out() -> Console:
    return console(is_terminal=True, height=30)


@contextmanager
def started(out: Console, **options):
    """A live sink; no fixture, because pytest has other streams while it sets a test up."""
    sink = TerminalSink(live=True, console=out, **options)
    sink.open({})
    try:
        yield sink
    finally:
        sink.close("done")


@pytest.fixture
def live(out):
    """A live sink with a header."""
    with started(out, header="0 % of 10 epochs") as sink:
        yield sink


@pytest.fixture
def at_once(monkeypatch):
    """Redraw whenever there is a reason."""
    monkeypatch.setattr(screens, "_REDRAW_AFTER", -1.0)


def test_the_table_is_redrawn_in_place_under_its_header(live, out):
    for step, nats in ((40, 5.25), (50, 2.5)):
        live.write(both("fc1", step=step, nats=nats), [])
    lines = seen(out)
    assert lines[:2] == ["0 % of 10 epochs", "nats at step 50"]
    assert sum("nats at step" in line for line in lines) == 1


def test_before_the_first_snapshot_it_says_so(live, out):
    assert seen(out)[:2] == ["0 % of 10 epochs", "ibprobe: no snapshot so far"]


def test_it_is_not_redrawn_at_every_step(live, out, monkeypatch):
    before = len(written(out))
    monkeypatch.setattr(screens, "_REDRAW_AFTER", 3600.0)
    for _ in range(100):
        live.tick()
    assert len(written(out)) == before
    monkeypatch.setattr(screens, "_REDRAW_AFTER", -1.0)
    live.tick()
    assert len(written(out)) > before


def test_without_a_header_a_step_costs_nothing(out, at_once):
    with started(out) as sink:
        sink.write(both("fc1"), [])
        before = len(written(out))
        sink.tick()
        assert len(written(out)) == before


def test_a_window_of_another_size_gets_another_table(live, out, at_once):
    for step in (1, 2):
        live.write(both("fc1", step=step), [])
    assert any("▇" in line or "█" in line for line in seen(out))
    out.width = 60
    live.tick()
    assert not any("▇" in line or "█" in line for line in seen(out)[-12:])


def test_many_layers_fit_the_screen_and_are_whole_at_the_end(live, out):
    live.write([e for i in range(60) for e in both(f"layer{i}")], [])
    assert len(seen(out)) <= 30
    assert "the 21 of 60 layers that changed most" in "\n".join(seen(out))
    live.close("done")
    last = "\n".join(seen(out)).rpartition("nats at step")[2]
    assert all(f"layer{i} " in last for i in range(60))
    assert last.strip().endswith("ibprobe: done")


def test_no_lines_are_printed_beside_the_table(live, out):
    live.write(both("fc1"), [])
    live.tick()
    assert "ibprobe: step" not in written(out)


def test_an_alert_stands_under_the_table(live, out):
    live.write([*both("fc1"), *both("fc2")], [])
    live.alert(Alert(40, "fc2", "train", "collapsed", "seen", "look"))
    assert " alert at step 40: collapsed in fc2" in seen(out)


def test_prints_and_warnings_scroll_by_above(out):
    with started(out) as sink:
        sink.write(both("fc1"), [])
        print("epoch 1\nloss 0.5")
        print("careful", file=sys.stderr)
        sink.write(both("fc1", step=50), [])
        assert seen(out)[:4] == ["epoch 1", "loss 0.5", "careful", "nats at step 50"]


def test_a_bar_stands_below_and_its_last_state_scrolls_by(out, at_once):
    with started(out):
        for done in (10, 50, 100):
            sys.stderr.write(f"\r{done:3} %|#####|")
            sys.stderr.flush()
            assert seen(out) == ["ibprobe: no snapshot so far", f"{done:3} %|#####|"]
        sys.stderr.write("\n")
        assert seen(out) == ["100 %|#####|", "ibprobe: no snapshot so far", ""]


def test_a_carriage_return_at_the_end_of_a_line_overwrites_it_later(out, at_once):
    with started(out):
        for text in ("one\r", "two\r", "three\n"):
            print(text, end="", flush=True)
        assert seen(out) == ["three", "ibprobe: no snapshot so far", ""]


def test_progress_of_rich_stands_below(live, out):
    live.write(both("fc1"), [])
    with Progress(console=out, auto_refresh=False) as bar:
        bar.add_task("training", total=2, completed=1)
        bar.refresh()
        assert seen(out)[0] == "0 % of 10 epochs"
        assert seen(out)[-1].startswith("training")


def test_handlers_from_before_log_above_the_table(out, capsys):
    handler, logger = logging.StreamHandler(sys.stderr), logging.getLogger("somebody.else")
    logger.addHandler(handler)
    try:
        with started(out):
            logger.warning("a wide bracket [3, 9]")
        logger.warning("after the run")
    finally:
        logger.removeHandler(handler)
    assert seen(out)[0] == "a wide bracket [3, 9]"
    assert capsys.readouterr().err == "after the run\n"


def test_the_end_leaves_everything_as_it_was(out, capsys):
    before = sys.stdout, sys.stderr
    sink = TerminalSink(live=True, console=out)
    sink.open({})
    during = sys.stdout
    assert during is not before[0]
    print("no end of line", end="")
    sink.close("")
    sink.close("")
    assert (sys.stdout, sys.stderr) == before
    assert written(out).endswith("\x1b[?25h"), "the cursor is shown again"
    assert seen(out) == ["no end of line", "ibprobe: no snapshot so far", ""]
    during.write("held on to\n")
    assert capsys.readouterr().out == "held on to\n"


def test_what_others_put_in_place_of_the_streams_is_left_alone(out, monkeypatch):
    sink = TerminalSink(live=True, console=out)
    sink.open({})
    theirs = SimpleNamespace(write=print, flush=print)
    monkeypatch.setattr(sys, "stdout", theirs)
    sink.close("")
    assert sys.stdout is theirs


UNCLOSED = """
import sys
from rich.console import Console
from ibprobe import TerminalSink
TerminalSink(live=True, console=Console(force_terminal=True, _environ={"TERM": "xterm"})).open({})
raise KeyboardInterrupt if "interrupt" in sys.argv else ValueError
"""


@pytest.mark.parametrize("how", ["error", "interrupt"])
def test_a_process_that_ends_without_closing_shows_the_cursor_again(how):
    ended = subprocess.run([sys.executable, "-c", UNCLOSED, how], capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "Traceback" in ended.stdout, "it scrolled by above the table"
    assert ended.stdout.endswith("\x1b[?25h")


class Cell:
    """Stands in for IPython: what a cell shows, and how often it was sent."""

    def __init__(self):
        self.shown, self.sent, self.new = {}, 0, 0

    def display(self, data, *, raw, display_id):
        assert raw
        assert display_id
        self.new += 1
        self.update(data, raw=raw)
        return self

    def update(self, data, *, raw):
        self.shown, self.sent = data, self.sent + 1


@pytest.fixture
def cell(monkeypatch) -> Cell:
    found = Cell()
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=found.display))
    return found


def notebook() -> Console:
    return console(force_jupyter=True)


def test_a_notebook_is_live_by_default_in_one_output(cell):
    sink = TerminalSink(console=notebook())
    sink.open({})
    for step in (40, 50):
        sink.write(both("blocks<1>", step=step), [])
        sink.tick()
    assert (cell.new, cell.sent) == (1, 3)
    assert "nats at step 50" in cell.shown["text/plain"]
    assert "blocks&lt;1&gt;" in cell.shown["text/html"]


def test_a_notebook_redraws_a_header_now_and_then(cell, monkeypatch):
    sink = TerminalSink(console=notebook(), header="0 % of 10 epochs")
    sink.open({})
    sink.tick()
    assert cell.sent == 1
    monkeypatch.setattr(screens, "_RESEND_AFTER", -1.0)
    sink.tick()
    assert cell.sent == 2
    assert cell.shown["text/plain"].startswith("0 % of 10 epochs\nibprobe: no snapshot so far")
