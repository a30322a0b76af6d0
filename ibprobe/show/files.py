"""Files that people asked for by name."""

from __future__ import annotations

from pathlib import Path

from ibprobe.errors import BadInput


def write_file(path: str | Path, content: str | bytes) -> Path:
    """Write a file, and the folders it is in.

    Raises:
        BadInput: it cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as e:
        raise BadInput(f"cannot write {target}: {e}") from e
    return target
