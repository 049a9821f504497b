"""The exceptions with which a step ends a record or its task, and the tracebacks of all others."""

from __future__ import annotations

import re
import traceback
from itertools import groupby


class Reject(Exception):
    """Sets the current record aside with a reason, instead of failing the task."""


class StepError(Exception):
    """Ends the task with a message for the operator. Raise one of the subclasses."""


class InvalidConfig(StepError):
    """The configuration is wrong. The run ends; nothing is tried again."""


class InvalidInput(StepError):
    """The input cannot be handled. The task fails and is not tried again."""


class Retryable(StepError):
    """A temporary failure. The task is tried again, as the step's `retry` says."""


class Fatal(StepError):
    """A permanent failure. The task fails and is not tried again."""


FRAMES_MAX = 12
"""Number of places that the description of an exception names."""


NOT_MINE = ("/etl_plugin/", "/wit_world/")
"""Parts of the paths of files in which an author does not look for a mistake."""


def describe(error: BaseException) -> str:
    """Returns what an exception says, and where it was raised: the innermost place first, without those of the SDK."""
    what = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, SystemExit):
        what = f"a step cannot end the process, and it called `sys.exit({error.code!r})`"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and not frames:
        return what
    mine = [frame for frame in frames if not any(part in frame.filename for part in NOT_MINE)]
    places = (f"in {frame.name} ({short(frame.filename)}:{frame.lineno})" for frame in reversed(mine))
    # Recursion repeats one place many times.
    shown = [place for place, _ in groupby(places)]
    if len(shown) > FRAMES_MAX:
        shown = [*shown[: FRAMES_MAX - 1], f"… and {len(shown) - FRAMES_MAX + 1} more"]
    return "\n".join([what, *shown])


def short(path: str) -> str:
    """Returns a file's path without the directory in which a component keeps its modules (`/0/step.py`)."""
    return re.sub(r"^/\d+/", "", path)
