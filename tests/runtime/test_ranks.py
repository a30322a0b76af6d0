import pytest
from torch import nn

from ibprobe import UnknownName
from ibprobe.runtime.ranks import Ranks
from ibprobe.runtime.team import Team


@pytest.mark.parametrize(
    ("rank", "size", "found"),
    [("1", "2", Ranks(1, 2)), ("0", "1", Ranks()), ("", "", Ranks()), ("1", "", Ranks()), ("none", "2", Ranks())],
)
def test_before_there_is_a_group_the_launcher_says_which_process_this_is(
    rank: str, size: str, found: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    assert Ranks.here() == found


def test_without_a_launcher_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Ranks.here().alone


def test_a_way_to_distribute_that_there_is_not_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean: layers"):
        Team(nn.Linear(2, 2), "layer", "replay")
