"""How large a report of 50 layers at 200 snapshots is, and how soon its plane stands: goals 5 MB and 3 s.

Run it with ``python tests/benchmarks/report_page.py``; it needs Chromium.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import sync_playwright
from show.scenes import training_run

from ibprobe.show.report import write_report


def main() -> None:
    """Print size and times."""
    records = training_run(layers=50, snapshots=200, splits=("train",), last_step=100_000)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        page = write_report([("big", records)], Path(folder) / "report.html")
        print(f"written in {time.perf_counter() - started:.1f} s, {page.stat().st_size / 1e6:.2f} MB (goal 5)")
        opened = [_seconds_to_the_plane(page) for _ in range(5)]
    print(f"plane drawn after {statistics.median(opened):.2f} s, median of 5, slowest {max(opened):.2f} s (goal 3)")


def _seconds_to_the_plane(page: Path) -> float:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        started = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_function("document.querySelector('figure')?.view")
        took = time.perf_counter() - started
        browser.close()
    return took


if __name__ == "__main__":
    main()
