"""Which code a result came from: results of other code are neither shown nor reused."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from pathlib import Path

import ibprobe

PACKAGE = Path(ibprobe.__file__).parent
HERE = Path(__file__).parent
FRAME = ("arrays", "estimate.readings")
"""What every estimate of ours passes through."""
ROOTS = {
    "mine": "estimate.critic.mine",
    "classifier": "estimate.classifier",
    "channel": "estimate.brackets",
}
"""First word of an estimator of ours: the module, or the package, that it is made of with all its imports."""


@cache
def fingerprint(estimator: str, samples: str) -> str:
    """Twelve letters that change with the code of the estimator or of its samples, but not with a comment.

    Args:
        estimator: its name; a peer's code is that of `textbook` and of the scripts.
        samples: module of this package that draws the samples.
    """
    root = ROOTS.get(estimator.partition(",")[0])
    files = [HERE / f"{samples}.py", *(_ours(root) if root else _peers(estimator))]
    return blake2b("".join(_meaning(path) for path in files).encode(), digest_size=6).hexdigest()


def _ours(root: str) -> list[Path]:
    reached: set[Path] = set()
    _reach(_files(root), reached)
    return sorted(reached | {file for name in FRAME for file in _files(name)} | {HERE / "ours.py"})


def _peers(estimator: str) -> list[Path]:
    environment = any(estimator.startswith(name) for name in ("bmi-", "torch-mist-"))
    return sorted((HERE / "peer_scripts").glob("*_peer.py")) if environment else [HERE / "textbook.py"]


def _reach(files: Iterable[Path], reached: set[Path]) -> None:
    """Add the files and all of the package's estimate folder that they import."""
    for path in files:
        if path not in reached:
            reached.add(path)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
            for name in names:
                if name.startswith("ibprobe.estimate."):
                    _reach(_files(name.removeprefix("ibprobe.")), reached)


def _files(module: str) -> list[Path]:
    path = PACKAGE.joinpath(*module.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _meaning(path: Path) -> str:
    """The syntax tree without docstrings; nothing for a file that is not there."""
    if not path.is_file():
        return ""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return ast.dump(tree)
