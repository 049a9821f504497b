"""Log messages and counters, which tell the operator something and change no result."""

from __future__ import annotations

from . import host

_counters: dict[str, int] = {}


def count(counter: str, delta: int = 1) -> None:
    """Adds to a counter. Counters of all tasks are summed and shown when the run ends.

    Only the sums go to the host, once a batch, so that a call for every record is cheap. A step may have 256 counters,
    with names of up to 128 bytes.
    """
    _counters[counter] = _counters.get(counter, 0) + delta


def flush_counters() -> None:
    """Hands the sums to the host and starts again from 0."""
    for counter, delta in _counters.items():
        host.functions.count(counter, delta)
    _counters.clear()


class log:
    """Messages for the operator, which become events of the run. `print` makes messages, too."""

    @staticmethod
    def debug(message: object) -> None:
        """Logs details for the plugin's author."""
        host.functions.log("debug", str(message))

    @staticmethod
    def info(message: object) -> None:
        """Logs information for the operator."""
        host.functions.log("info", str(message))

    @staticmethod
    def warn(message: object) -> None:
        """Logs that something unexpected happened, and that the step continues."""
        host.functions.log("warn", str(message))

    @staticmethod
    def error(message: object) -> None:
        """Logs that something failed. The message alone does not fail the task."""
        host.functions.log("error", str(message))
