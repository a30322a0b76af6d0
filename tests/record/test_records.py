"""A record keeps its numbers and their limits, on the way to disk and back too."""

import json
import sys
from dataclasses import FrozenInstanceError, fields

import pytest
from record_factory import INF, critic, estimate

from ibprobe.errors import BadInput, MissingExtra, UnknownName
from ibprobe.record.records import Estimate, Event, Records
from ibprobe.record.rundir import plain

RUN = Records(
    (
        estimate(),
        estimate(quantity="I_TY", nats=1.5),
        critic("I_XT", 4.9, headline=False),
        estimate(layer="fc2", step=10),
    ),
    (Event(step=40, kind="not_measured", layer="fc2", quantity="I_TY", why="no targets"),),
    {"rows": 2000},
)


def through_json(e: Estimate) -> Estimate:
    """As the run directory does it: strict JSON, without Infinity and NaN."""
    return Estimate.from_dict(json.loads(json.dumps(plain(e.to_dict()), allow_nan=False)))


@pytest.mark.parametrize(
    "e",
    [
        estimate(),
        estimate(flags=frozenset(), span=(0, 0), headline=False, dropped_rows=0),
        estimate(flags=frozenset({"stochastic", "guard:ty_above_xt"}), bracket_low=None, bracket_low_se=None),
        estimate(bracket_high=INF, bracket_high_se=INF, ci_high=INF, ci_low=-INF),
        estimate(nats=1e-300, std=0.1 + 0.2, seconds=1 / 3),
        estimate(layer="Infinity", view="NaN", ceiling_name="-Infinity"),
        critic("I_TY", -0.25),
    ],
    ids=["bracket", "no flags", "void end", "infinite", "last digits", "names like numbers", "critic"],
)
def test_an_estimate_survives_a_json_line(e):
    assert through_json(e) == e


@pytest.mark.parametrize("name", [f.name for f in fields(Estimate)])
def test_every_field_is_told_apart_after_a_json_line(name):
    other = {int: 7, float: 0.5, bool: False, str: "I_TY", tuple: (1, 2), frozenset: frozenset({"constant"})}
    value = other.get(type(getattr(estimate(), name)), 12.5)  # the rest hold numbers or None
    assert getattr(through_json(estimate(**{name: value})), name) == value


def test_not_a_number_survives_a_json_line():
    back = through_json(estimate(nats=float("nan"))).nats
    assert back != back


def test_a_json_line_carries_the_fields_names():
    assert list(estimate().to_dict()) == [f.name for f in fields(Estimate)]


def test_fields_of_a_newer_version_are_ignored():
    assert Estimate.from_dict({**estimate().to_dict(), "colour": "blue"}) == estimate()
    assert Event.from_dict({"step": 1, "kind": "note", "why": "w", "colour": "blue"}) == Event(
        step=1, kind="note", why="w"
    )


def test_records_cannot_be_changed():
    for record, name in ((estimate(), "nats"), (RUN.events[0], "why"), (RUN, "estimates")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, 0)


def test_equal_estimates_count_once_in_a_set():
    assert len({estimate(), estimate(), estimate(step=41)}) == 2


def test_an_estimate_prints_value_bracket_estimator_and_flags():
    assert str(estimate()) == "fc1 I(X;T̃) = 5.250 nats, bracket [5.100, 5.400], channel (few_rows)"


def test_a_void_lower_end_prints_as_a_dash():
    assert "bracket [–, 5.400]" in str(estimate(bracket_low=None))


def test_a_critic_without_flags_prints_no_bracket():
    assert str(critic("I_TY", 1.5, flags=frozenset(), layer="")) == "I(T̃;Y) = 1.500 nats, mine"


def test_a_quantity_that_this_version_does_not_know_prints_by_its_name():
    newer = estimate()
    object.__setattr__(newer, "quantity", "I_ZZ")
    assert str(newer).startswith("fc1 I_ZZ = 5.250 nats")


def test_an_event_prints_what_where_and_why():
    assert str(RUN.events[0]) == "step 40: fc2 I(T̃;Y) not measured: no targets"
    assert str(Event(step=3, kind="disarmed", why="boom")) == "step 3: disarmed: boom"


def test_records_print_one_line_a_record():
    assert str(RUN).splitlines() == [*map(str, RUN.estimates), *map(str, RUN.events)]
    assert str(Records()) == "no records"


def test_records_are_a_sequence_of_estimates():
    assert (len(RUN), RUN[0], RUN[-1].layer, len(RUN[1:3])) == (4, estimate(), "fc2", 2)
    assert list(RUN) == list(RUN.estimates)


def test_layers_come_in_forward_order_and_steps_ascend():
    assert (RUN.layers, RUN.steps) == (["fc1", "fc2"], [10, 40])


def test_select_keeps_what_matches_every_criterion():
    assert RUN.select(layer="fc1", quantity="I_XT", headline=True).estimates == (estimate(),)
    assert (RUN.select(step=10).events, RUN.select(step=10).meta) == (RUN.events, RUN.meta)


def test_select_by_a_field_that_does_not_exist_names_the_close_one():
    with pytest.raises(UnknownName, match="no field named 'layers'; did you mean: layer"):
        RUN.select(layers="fc1")


def test_one_gives_the_single_match():
    assert RUN.one(estimator="mine").nats == 4.9


@pytest.mark.parametrize(
    ("criteria", "count", "hint"),
    [({"layer": "fc1"}, 3, "they differ in quantity="), ({"layer": "fc9"}, 0, r"there are layer=\['fc1', 'fc2'\]")],
)
def test_one_says_how_many_it_found_and_what_tells_them_apart(criteria, count, hint):
    with pytest.raises(BadInput, match=f"'layer'.* found {count}; {hint}"):
        RUN.one(**criteria)


def test_plus_gives_a_longer_copy():
    event = Event(step=50, kind="skipped", why="budget")
    longer = RUN.plus([estimate(step=50)], [event])
    assert (len(longer), len(RUN), longer.meta) == (5, 4, RUN.meta)
    assert (longer[-1], longer.events[-1]) == (estimate(step=50), event)


def test_a_data_frame_has_a_row_an_estimate_and_a_column_a_field():
    frame = RUN.to_pandas()
    assert list(frame.columns) == [f.name for f in fields(Estimate)]
    assert (list(frame.nats), list(frame.layer)) == ([5.25, 1.5, 4.9, 5.25], ["fc1", "fc1", "fc1", "fc2"])
    assert (frame["flags"][0], frame["span"][0]) == ("few_rows", "38-40")


def test_a_data_frame_keeps_infinities_as_numbers():
    assert Records((estimate(bracket_high=INF),)).to_pandas().bracket_high[0] == INF


def test_a_data_frame_of_no_records_still_has_its_columns():
    assert list(Records().to_pandas().columns) == [f.name for f in fields(Estimate)]


def test_without_pandas_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"to_pandas needs pandas.*pip install 'ibprobe\[report\]'"):
        RUN.to_pandas()
