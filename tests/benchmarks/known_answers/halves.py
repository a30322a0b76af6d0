"""The two halves of a set of tasks: one to choose by, one to report."""

from hashlib import sha256


def is_development(task: str) -> bool:
    """Whether choices may be made on a task. Fixed before the first choice, and never to be changed."""
    return sha256(task.encode()).digest()[0] % 2 == 0
