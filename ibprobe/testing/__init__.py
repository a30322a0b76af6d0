"""What an estimator, a sink, a view or a report section promises, as checks for the tests of those who write one.

Each check takes the ``build`` of a plugin, the function without arguments that makes the thing, and raises an
``AssertionError`` that says what was expected and what came. None of them needs pytest, or the plugin to be installed.
"""

from ibprobe.testing.estimators import check_estimator
from ibprobe.testing.sections import check_section
from ibprobe.testing.sinks import check_sink
from ibprobe.testing.views import check_view

__all__ = ["check_estimator", "check_section", "check_sink", "check_view"]
