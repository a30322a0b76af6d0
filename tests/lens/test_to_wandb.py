"""What runs show arrives in W&B: read back from the file of an offline run."""

from pathlib import Path

import numpy as np
import pytest
from lens.planted import design, key
from lens.planted import run as planted_run
from wandb_offline import finish_and_read, offline_run

from ibprobe.errors import BadInput
from ibprobe.lens import findings
from ibprobe.lens.runs import SHIFTED, kept_as
from ibprobe.lens.to_wandb import log_findings


def test_tables_page_chart_and_verdicts_are_in_the_run(tmp_path: Path) -> None:
    runs = design(np.random.default_rng(1), effect=-0.4)
    for number, planted in enumerate(runs):
        planted.values[SHIFTED] = 0.01 * number
    found = findings(runs)
    run = offline_run(tmp_path)
    log_findings(found, run)
    written = finish_and_read(run)
    effects = [e for e in written.table("lens/effects") if e["factor"] == "dropout" and e["layer"] == "late"]
    known = {str(c.level): c.effects[key("late")] for c in found.comparisons["dropout"]}
    assert {e["level"]: e["mean"] for e in effects} == pytest.approx({level: e.mean for level, e in known.items()})
    table = written.table("lens/runs")
    assert len(table) == len(runs)
    assert table[0]["I_XT late"] == pytest.approx(runs[0].values[key("late")])
    assert {c["said"] for c in written.table("lens/claims")} == {c.said for c in found.claims}
    assert "less of X in early, middle, late" in written.media("lens/page")
    assert written.summary["lens/dropout=0.5/verdict"].endswith("less of X in early, middle, late")
    assert written.summary["lens/dropout=0.5/late/I_XT"] == pytest.approx(known["0.5"].mean)


def test_values_that_training_functions_kept_are_columns(tmp_path: Path) -> None:
    runs = [planted_run(s, {"beta": b}, {kept_as("cost"): b + s / 10}) for s in range(3) for b in (1.0, 4.0)]
    run = offline_run(tmp_path)
    log_findings(findings(runs), run)
    written = finish_and_read(run)
    assert [row["cost"] for row in written.table("lens/runs")] == pytest.approx([1.0, 4.0, 1.1, 4.1, 1.2, 4.2])
    assert written.summary["lens/beta=4.0/verdict"].endswith("3 seeds are too few (8 are asked for)")


def test_without_a_run_it_says_what_to_do() -> None:
    with pytest.raises(BadInput, match=r"call wandb.init\(\) before"):
        log_findings(findings(design(np.random.default_rng(1))))
