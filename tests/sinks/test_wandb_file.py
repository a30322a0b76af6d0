"""Our reader of W&B's files agrees with W&B's own, and reads torn ones as far as they go."""

from pathlib import Path

import pytest
from record_factory import INF, estimate
from wandb_offline import Written, finish_and_read, offline_run

from ibprobe.errors import BadRun
from ibprobe.show import page
from ibprobe.sinks.wandb import WandbSink
from ibprobe.sinks.wandb_file import read_wandb_file

LAYERS = [f"blocks.{i}" for i in range(16)]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    """A file of many blocks, with messages that do not fit into one, and what W&B's own reader says of it."""
    run = offline_run(tmp_path_factory.mktemp("wandb"), config={"seed": 3, "model": {"dropout": 0.5}})
    run.config.update({"late": [1, None]})
    sink, path = WandbSink(run), Path(run.settings.sync_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "plane_html", lambda records: "<p>plane</p>")
        sink.open({"layers": LAYERS})
        for step in (0, 5, 9):
            run.log({"loss": step / 3})
            sink.write([estimate(step=step, layer=name, nats=step + 0.5, bracket_high=INF) for name in LAYERS], [])
        sink.close("")
    written = finish_and_read(run)
    return path, written


def test_config_and_the_last_snapshot_are_what_wandbs_own_reader_says(both: tuple[Path, Written]) -> None:
    path, written = both
    file = read_wandb_file(path)
    assert path.stat().st_size > 4 * 32_768
    assert {k: v for k, v in file.config.items() if k != "_wandb"} == {
        k: v for k, v in written.config.items() if not k.startswith("_wandb")
    }
    assert file.config["model"] == {"dropout": 0.5}
    row = {k: v for k, v in file.values.items() if not k.startswith("ib_final/")}
    assert {k: float(v) if v == "Infinity" else v for k, v in row.items()} == written.ours()[-1]
    assert {k: v for k, v in file.values.items() if k.startswith("ib_final/")} == {
        k: v for k, v in written.summary.items() if k.startswith("ib_final/")
    }
    assert (file.step, file.torn) == (9, "")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_torn_file_is_read_to_where_it_ends(both: tuple[Path, Written], tmp_path: Path, share: float) -> None:
    whole = both[0].read_bytes()
    (tmp_path / "torn.wandb").write_bytes(whole[: int(share * len(whole))])
    file = read_wandb_file(tmp_path / "torn.wandb")
    assert file.torn.startswith("torn.wandb is torn: ")
    assert file.config["seed"] == 3
    steps = [row["ib/step"] for row in both[1].ours() if "ib/step" in row]
    assert file.step in [-1, *steps]
    assert file.values.get("ib_I_XT/blocks/15", 0.5) == max(file.step, 0) + 0.5


def test_a_damaged_message_ends_the_reading(both: tuple[Path, Written], tmp_path: Path) -> None:
    damaged = bytearray(both[0].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.wandb").write_bytes(damaged)
    assert "is damaged or ends early" in read_wandb_file(tmp_path / "damaged.wandb").torn


@pytest.mark.parametrize("content", [b"", b"something else", b":W&B\xe1\xbe\x00"])
def test_what_holds_no_run_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run-x.wandb").write_bytes(content)
    with pytest.raises(BadRun, match=r"run-x\.wandb"):
        read_wandb_file(tmp_path / "run-x.wandb")
    with pytest.raises(BadRun, match="cannot be read"):
        read_wandb_file(tmp_path / "none.wandb")
