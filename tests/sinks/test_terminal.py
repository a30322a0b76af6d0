"""What a log holds of a run: a line a snapshot, what is new in it, and the table at the end."""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from record_factory import critic
from screen_factory import both, console, missing, point, written

from ibprobe.record.alerts import Alert
from ibprobe.record.records import Event
from ibprobe.sinks.terminal import TerminalSink

LAST = " (I(X;T̃)/I(T̃;Y) nats, train)"
WIDE = frozenset({"wide_bracket"})


class Log:
    """A sink, and the lines that it has printed so far."""

    def __init__(self, **options):
        self.console = console(**options)
        self.sink = TerminalSink(console=self.console)
        self.sink.open({})

    def snapshot(self, *estimates, events=()):
        self.sink.write(estimates, events)
        self.sink.tick()
        return self

    @property
    def lines(self):
        return written(self.console).splitlines()


def ended(*estimates, events=(), summary=""):
    log = Log().snapshot(*estimates, events=events)
    log.sink.close(summary)
    return written(log.console)


def test_a_snapshot_is_one_line_with_both_coordinates():
    log = Log().snapshot(*point("fc1", 3.63, 1.8), *point("logits", 2.43, 1.7))
    assert log.lines == [f"ibprobe: step 40: fc1 3.63/1.80 · logits 2.43/1.70{LAST}"]


def test_a_snapshot_in_several_parts_is_one_line():
    log = Log()
    for part in (both("fc1"), both("fc1", split="held_out"), [critic("I_XT", 4.9, headline=False, flags=frozenset())]):
        log.sink.write(part, [])
    assert log.lines == []
    log.sink.tick()
    log.sink.tick()
    assert log.lines == [f"ibprobe: step 40: fc1 5.25/1.75{LAST}"]


@pytest.mark.parametrize("ends", ["tick", "next", "close"])
def test_the_line_comes_when_the_snapshot_is_whole(ends):
    log = Log()
    log.sink.write(both("fc1"), [])
    if ends == "tick":
        log.sink.tick()
    elif ends == "next":
        log.sink.write(both("fc1", step=50), [])
    else:
        log.sink.close("")
    assert sum(line.startswith("ibprobe: step 40") for line in log.lines) == 1


def test_what_is_measured_again_at_a_step_is_not_told_again():
    log = Log().snapshot(*both("fc1")).snapshot(*both("fc1")).snapshot(*both("fc1", step=50))
    assert [line.split(":")[1] for line in log.lines] == [" step 40", " step 50"]


def test_the_first_kind_of_rows_is_the_one_in_the_line():
    log = Log().snapshot(*point("fc1", 4, 1, split="held_out"), *point("fc1", 5, 2, split="train"))
    assert log.lines == ["ibprobe: step 40: fc1 4.00/1.00 (I(X;T̃)/I(T̃;Y) nats, held_out)"]


def test_a_value_that_is_missing_or_old_says_so():
    log = Log().snapshot(*both("fc1")[:1], *both("fc2")).snapshot(*both("fc1", step=50)[:1])
    assert log.lines[1] == f"ibprobe: step 50: fc1 5.25/– · fc2 5.25 @40/1.75 @40{LAST}"


def test_a_flag_is_told_where_it_appears_and_once():
    log = Log().snapshot(*both("fc1"), *both("fc2"))
    for step in (50, 60):
        log.snapshot(*both("fc1", step=step, flags=WIDE), *both("fc2", step=step))
    log.snapshot(*both("fc1", step=70), *both("fc2", step=70, flags=WIDE))
    assert [line.partition(";\x20new: ")[2] for line in log.lines] == [
        "",
        "wide_bracket in fc1",
        "",
        "wide_bracket in fc2",
    ]


def test_a_flag_of_many_layers_is_short():
    log = Log().snapshot(*(e for i in range(9) for e in both(f"fc{i}", flags=WIDE if i else frozenset())))
    assert log.lines[0].endswith("; new: wide_bracket in fc1, fc2 and 6 more")


def test_what_cannot_be_measured_is_told_once_however_its_reason_counts():
    log = Log().snapshot(*both("fc1")[:1], events=[missing(why="3 of 9 rows hold NaN")])
    log.snapshot(*both("fc1", step=50)[:1], events=[missing(step=50, why="4 of 9 rows hold NaN")])
    assert log.lines[0].endswith("; new: I(T̃;Y) not measured in all layers: 3 of 9 rows hold NaN")
    assert log.lines[1].endswith("train)")


def test_nothing_measured_is_told_with_its_reason_and_not_again():
    log = Log()
    for step in (40, 50):
        log.snapshot(events=[missing("", "no layer ran", quantity="", step=step)])
    assert log.lines == ["ibprobe: step 40: nothing measured; new: not measured: no layer ran"]


def test_only_what_is_about_a_snapshot_makes_a_line():
    assert Log().snapshot(events=[Event(step=40, kind="skipped", why="over budget")]).lines == []


def test_of_fifty_layers_the_same_few_are_in_every_line():
    log = Log()
    for step in (1, 1000):
        log.snapshot(*(e for i in range(50) for e in point(f"model.layers.{i}", i + step / 100, 1, step=step)))
    names = [[part.split()[-2] for part in line.split("(")[0].split(" · ")] for line in log.lines]
    assert names[0] == names[1] == ["model.layers.0", "model.layers.24", "model.layers.49"]
    assert all(line.endswith("nats, train, 3 of 50 layers)") and len(line) < 160 for line in log.lines)


def test_long_names_keep_their_ends():
    name = "transformer.encoder.layers.11.attention.output.dense.projection"
    [line] = Log().snapshot(*both(name)).lines
    assert line == f"ibprobe: step 40: …{name[-31:]} 5.25/1.75{LAST}"


def test_no_line_is_endless():
    flags = [frozenset({f"a_flag_with_a_long_name_number_{i}"}) for i in range(20)]
    [line] = Log().snapshot(*(e for i, f in enumerate(flags) for e in both(f"fc{i}", flags=f))).lines
    assert line.endswith("…")
    assert len(line) <= 260


def test_an_alert_is_left_to_the_log():
    log = Log().snapshot(*both("fc1"))
    log.sink.alert(Alert(40, "fc1", "train", "collapsed", "I(X;T̃) = 0.01", "Lower the weight decay."))
    assert len(log.lines) == 1
    log.sink.close("")
    assert "alert at step 40: collapsed in all layers" in written(log.console)


def test_the_table_is_printed_at_the_end():
    text = ended(*both("fc1"), summary="measured 1 of 1")
    assert text.index("ibprobe: step 40") < text.index("nats at step 40") < text.index("ibprobe: measured 1 of 1")


def test_when_nothing_at_all_could_be_measured_the_reason_is_there():
    assert ended(events=[missing("", "no layer ran", quantity="")]).count("not measured: no layer ran") == 2


def test_the_summary_is_one_line_however_long_and_no_markup():
    summary = "measured 3 of 3; records in /tmp/a[b]0" + "/a-long-folder" * 10
    assert ended(*both("fc1"), summary=summary).splitlines()[-1] == f"ibprobe: {summary}"


def test_a_run_without_records_prints_the_summary_only():
    assert ended(summary="measured 0 of 1") == "ibprobe: measured 0 of 1\n"
    assert ended() == ""


def test_a_terminal_gets_lines_too_unless_live_is_asked_for():
    assert Log(is_terminal=True).snapshot(*both("fc1")).lines == [f"ibprobe: step 40: fc1 5.25/1.75{LAST}"]


def test_where_nothing_can_be_redrawn_live_means_lines():
    for options in ({}, {"is_terminal": True, "_environ": {"TERM": "dumb"}}):
        out = console(**options)
        sink = TerminalSink(console=out, live=True)
        sink.open({})
        sink.write(both("fc1"), [])
        sink.tick()
        assert written(out) == f"ibprobe: step 40: fc1 5.25/1.75{LAST}\n"


def test_bars_of_tqdm_step_aside_for_a_line(monkeypatch):
    log, done = Log(is_terminal=True), []

    @contextmanager
    def external_write_mode(file):
        done.append((file is log.console.file, list(log.lines)))
        yield
        done.append((True, list(log.lines)))

    monkeypatch.setitem(
        sys.modules, "tqdm", SimpleNamespace(tqdm=SimpleNamespace(external_write_mode=external_write_mode))
    )
    log.snapshot(*both("fc1"))
    assert done == [(True, []), (True, [f"ibprobe: step 40: fc1 5.25/1.75{LAST}"])]
    log.sink.close("")
    assert len(done[2][1]) == 1
    assert "nats at step 40" in done[3][1][1]
