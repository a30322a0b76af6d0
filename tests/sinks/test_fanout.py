"""A sink that fails is left out with one line; the others, and the training, go on."""

import inspect
import logging
from functools import partial

import pytest
import wandb
from record_factory import estimate
from wandb_offline import finish_and_read, offline_run

from ibprobe.errors import BadInput, UnknownName
from ibprobe.plugins import Plugins
from ibprobe.record.records import Event
from ibprobe.record.rundir import RunDir, load_run
from ibprobe.sinks import fanout
from ibprobe.sinks.fanout import Fanout
from ibprobe.sinks.terminal import TerminalSink
from ibprobe.sinks.wandb import WandbSink

# Annotations are enforced under test only; outside, a user's mistake gets past them.
make_sinks = Plugins([]).sinks
make_any = partial(inspect.unwrap(fanout.make_sinks), named=lambda name: None)
EVENT = Event(step=1, kind="note", why="w")
CALLS = ["open", "write", "tick", "close"]


class ListSink:
    """Keeps the names of the calls, and fails at one of them."""

    def __init__(self, fails_at: str = "") -> None:
        self.calls: list[str] = []
        self._fails_at = fails_at

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self._fails_at:
            raise OSError(f"cannot {name}")

    def open(self, meta):
        self._call("open")

    def write(self, estimates, events):
        assert (list(estimates), list(events)) == ([estimate()], [EVENT])
        self._call("write")

    def tick(self):
        self._call("tick")

    def close(self, summary):
        self._call("close")


class BrokenSink(ListSink):
    """A second name, to be told apart in the log."""


def live_through(fanout: Fanout) -> None:
    """A whole run."""
    fanout.open({"layers": ["fc1"]})
    fanout.write([estimate()], [EVENT])
    fanout.tick()
    fanout.close("done")


def test_every_sink_hears_everything_in_order(tmp_path):
    sinks = [ListSink(), ListSink()]
    live_through(Fanout(RunDir(tmp_path), sinks))
    assert [s.calls for s in sinks] == [CALLS, CALLS]


def test_the_run_directory_is_always_written(tmp_path):
    live_through(Fanout(RunDir(tmp_path), []))
    assert (load_run(tmp_path).estimates, load_run(tmp_path).events) == ((estimate(),), (EVENT,))


@pytest.mark.parametrize("fails_at", CALLS)
def test_a_sink_that_fails_is_left_out_with_one_line_and_the_others_go_on(tmp_path, caplog, fails_at):
    before, broken, after = ListSink(), BrokenSink(fails_at), ListSink()
    live_through(Fanout(RunDir(tmp_path), [before, broken, after]))
    assert (before.calls, after.calls) == (CALLS, CALLS)
    assert len(load_run(tmp_path)) == 1
    lines = [r.getMessage() for r in caplog.records]
    assert lines == [f"ibprobe: BrokenSink failed and is left out from here: cannot {fails_at}"]


@pytest.mark.parametrize("fails_at", CALLS)
def test_a_sink_that_fails_is_closed_and_not_called_again(tmp_path, fails_at):
    broken = BrokenSink(fails_at)
    live_through(Fanout(RunDir(tmp_path), [broken]))
    assert broken.calls == [*CALLS[: CALLS.index(fails_at) + 1], *["close"] * (fails_at != "close")]


def test_a_sink_that_cannot_even_be_closed_is_reported_once(tmp_path, caplog):
    broken = BrokenSink("write")
    broken.close = None
    live_through(Fanout(RunDir(tmp_path), [broken]))
    assert len(caplog.records) == 1


def test_a_directory_that_cannot_be_written_does_not_stop_the_run(tmp_path, caplog):
    (tmp_path / "file").touch()
    other = ListSink()
    live_through(Fanout(RunDir(tmp_path / "file" / "run"), [other]))
    assert other.calls == CALLS
    assert caplog.records[0].getMessage().startswith("ibprobe: RunDir failed and is left out from here: ")
    assert str(tmp_path) in caplog.text


def test_an_interrupt_is_not_swallowed(tmp_path):
    class Interrupted(ListSink):
        def tick(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Fanout(RunDir(tmp_path), [Interrupted()]).tick()


def test_a_second_close_does_nothing(tmp_path):
    fanout = Fanout(RunDir(tmp_path), [sink := ListSink()])
    live_through(fanout)
    fanout.close("again")
    assert sink.calls == CALLS


def test_a_wandb_run_that_ends_first_is_left_out_and_the_records_go_on(tmp_path, caplog):
    run = offline_run(tmp_path)
    fanout = Fanout(RunDir(tmp_path / "run"), [WandbSink(run)])
    fanout.open({})
    fanout.write([estimate(step=0)], [])
    run.finish()
    for step in (1, 2):
        fanout.write([estimate(step=step)], [])
    fanout.close("")
    assert load_run(tmp_path / "run").steps == [0, 1, 2]
    assert [r.levelno for r in caplog.records if r.name == "ibprobe"] == [logging.WARNING]
    assert "WandbSink failed and is left out from here: " in caplog.text


def test_sinks_are_found_by_name_alone_or_in_a_list_beside_objects():
    own = ListSink()
    assert [type(s) for s in make_sinks("wandb")] == [WandbSink]
    assert [type(s) for s in make_sinks(["terminal", own])] == [TerminalSink, ListSink]
    assert make_sinks(own) == make_sinks((own,)) == [own]
    assert make_sinks([]) == []


def test_auto_is_the_terminal_alone_without_a_wandb_run():
    assert wandb.run is None
    assert [type(s) for s in make_sinks("auto")] == [TerminalSink]
    assert [type(s) for s in make_sinks(["auto", ListSink()])] == [TerminalSink, ListSink]


def test_auto_finds_the_active_wandb_run(tmp_path):
    run = offline_run(tmp_path, reinit="finish_previous")
    try:
        terminal, sink = make_sinks("auto")
        sink.open({"layers": ["fc1"]})
        sink.write([estimate()], [])
        sink.close("")
        assert isinstance(terminal, TerminalSink)
    finally:
        written = finish_and_read(run)
    assert written.column("ib_I_XT/fc1") == [5.25]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("wandbb", r"no sink named 'wandbb'; did you mean: wandb"),
        (["terminal", "qqq"], r"no sink named 'qqq'; there are: auto, terminal, wandb"),
    ],
)
def test_an_unknown_name_says_which_there_are(spec, message):
    with pytest.raises(UnknownName, match=message):
        make_sinks(spec)


@pytest.mark.parametrize("spec", [ListSink, [ListSink]], ids=["alone", "in a list"])
def test_a_class_where_an_instance_belongs_gets_its_own_message(spec):
    with pytest.raises(BadInput, match=r"sinks= takes instances: pass ListSink\(\), not the class"):
        make_any(spec)


def test_an_object_that_is_no_sink_hears_what_it_lacks():
    class Half:
        def open(self, meta): ...

        def write(self, estimates, events): ...

    with pytest.raises(BadInput, match="is no sink: it lacks the methods tick, close"):
        make_any([Half()])


def test_none_is_told_how_to_ask_for_no_sinks():
    with pytest.raises(BadInput, match=r"for none, pass sinks=\[\]"):
        make_any(None)


def test_a_function_is_given_headline_values_by_step() -> None:
    given: list[tuple[dict[str, float], int]] = []
    sinks = make_sinks(["terminal", lambda values, step: given.append((values, step))])
    sink = sinks[1]
    sink.open({})
    found = [
        estimate(layer="layers.0", nats=3.0, headline=True),
        estimate(layer="layers.0", quantity="I_TY", nats=0.5, headline=True, split="held_out"),
        estimate(layer="layers.0", nats=9.0, headline=False),
        estimate(layer="layers-0", nats=2.0, headline=True, step=7),
    ]
    sink.write(found, [])
    sink.tick()
    sink.close("")
    first = found[0].step
    assert given == [
        ({"ib_I_XT/layers/0": 3.0, "ib_I_TY_held_out/layers/0": 0.5}, first),
        ({"ib_I_XT/layers_0": 2.0}, 7),
    ]
