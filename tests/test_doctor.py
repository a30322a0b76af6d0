import pytest
import torch
from helpers import Setup, batches, quiet_probe, small_net, train
from torch import Tensor, nn

from ibprobe import IBProbe

X, Y = batches(64, 64)[0]


class Parts(nn.Module):
    """One layer is called twice, one not at all, and attention uses its projection without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(self.fc(x)).unsqueeze(1)
        return self.attention(h, h, h)[0].mean(1)


MODEL = Parts()


def parts(**options: object) -> IBProbe:
    return quiet_probe(MODEL, ["fc", "unused", "attention", "attention.out_proj"], probe_set=(X, Y), **options)


def test_each_call_of_a_layer_has_a_line_with_what_was_seen() -> None:
    lines = {s.layer: s for s in parts().doctor().layers}
    fc = lines["fc"]
    assert (fc.calls, fc.shape, fc.dtype, fc.view, fc.rows, fc.masked) == (
        2,
        (64, 4),
        "float32",
        "as is",
        64,
        False,
    )
    assert {"fc", "fc#2", "attention"} <= lines.keys()
    assert lines["attention"].view == "mean over tokens"


def test_layers_that_gave_no_rows_are_named_with_the_likely_reason() -> None:
    silent = parts().doctor().silent
    assert set(silent) == {"unused", "attention.out_proj"}
    assert "attention" in silent["attention.out_proj"]
    assert "did not run" in silent["unused"]


def test_it_is_a_table_of_text_within_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    with parts() as probe:
        print(probe.doctor())
    text = capsys.readouterr().out
    assert text.startswith("ibprobe: armed\n")
    assert max(map(len, text.splitlines())) <= 120
    for words in ("layer", "fc#2", "64×4", "float32", "mean over tokens", "256 MiB", "512 MiB", "measured 1 of 1"):
        assert words in text


def test_before_anything_was_seen_it_says_so() -> None:
    text = str(quiet_probe(small_net()).doctor())
    assert "not attached" in text
    assert "nothing was seen of any layer yet" in text


def test_a_run_that_is_over_is_told_from_one_that_never_began() -> None:
    run = Setup()
    with (probe := run.probe()):
        run.train()
    assert str(probe.doctor()).startswith("ibprobe: detached at step 4\n")
    with probe:
        run.train()
        probe._disarm(ValueError("on purpose"))
    assert str(probe.doctor()).startswith("ibprobe: disarmed: ValueError: on purpose\n")
    with probe:
        run.train()
    assert str(probe.doctor()).startswith("ibprobe: detached at step 12\n")


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_it_speaks_of_what_training_showed(mode: str) -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with quiet_probe(model, mode=mode, loss=loss, optimizer=optimizer, every=1) as probe:
        train(model, batches(), loss, optimizer)
        found = probe.doctor()
    assert [(s.layer, s.rows, s.calls) for s in found.layers] == [("1", 64, 1), ("2", 64, 1)]


def test_a_probe_that_the_environment_switched_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBPROBE", "off")
    assert (
        str(quiet_probe(small_net()).doctor())
        == "ibprobe: switched off by IBPROBE=off\nnothing was seen of any layer yet"
    )


def test_kinds_of_rows_have_a_column_where_there_are_several() -> None:
    several = quiet_probe(MODEL, ["fc"], probe_set={"train": (X, Y), "held_out": (X + 1, Y)})
    diagnosis = several.doctor()
    assert {s.split for s in diagnosis.layers} == {"train", "held_out"}
    assert ("split" in str(diagnosis), "split" in str(parts().doctor())) == (True, False)
