"""An error says what was expected, what came, which names exist, and what to type next."""

import pytest

from ibprobe import errors
from ibprobe.errors import BadInput, BadRun, MissingExtra, NoRows, ProbeError, UnknownName


def test_an_unknown_name_shows_close_matches_only():
    error = UnknownName("layer", "fc11", ["fc1", "fc2", "conv"])
    assert str(error) == "no layer named 'fc11'; did you mean: fc1, fc2"


def test_an_unknown_name_without_close_matches_shows_what_there_is():
    assert str(UnknownName("sink", "tensorboard", ["wandb", "auto"])) == (
        "no sink named 'tensorboard'; there are: auto, wandb"
    )


def test_a_long_list_is_cut_after_twelve_names():
    text = str(UnknownName("layer", "head", [f"n{i:02}" for i in range(13)]))
    assert text.endswith("n10, n11, …")


def test_exactly_twelve_names_are_shown_without_a_cut():
    assert str(UnknownName("layer", "head", [f"n{i:02}" for i in range(12)])).endswith("n10, n11")


def test_an_unknown_name_among_none_says_none():
    assert str(UnknownName("layer", "fc1", [])) == "no layer named 'fc1'; there are: none"


def test_a_hint_follows_the_names():
    assert str(UnknownName("layer", "fc1", ["fc"], hint="Call doctor()")).endswith("did you mean: fc. Call doctor()")


def test_a_missing_extra_names_the_command():
    error = MissingExtra("plot", "altair", "report")
    assert str(error) == "plot needs altair, which is not installed: pip install 'ibprobe[report]'"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [(BadInput, ValueError), (NoRows, BadInput), (UnknownName, LookupError), (MissingExtra, ImportError)],
)
def test_an_error_is_also_the_builtin_that_a_caller_would_expect(kind, builtin):
    assert issubclass(kind, ProbeError)
    assert issubclass(kind, builtin)


def test_every_error_is_a_probe_error_and_says_in_one_line_what_it_is():
    kinds = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, Exception)]
    assert set(kinds) >= {BadInput, BadRun, MissingExtra, NoRows, UnknownName}
    assert all(issubclass(k, ProbeError) and k.__doc__ for k in kinds)
