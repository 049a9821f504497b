"""What a step is opened with."""

from __future__ import annotations

from dataclasses import dataclass

from . import wire
from .schema import Schema, read_schema


@dataclass(frozen=True)
class Context:
    """The task and the input schema that a step is opened with."""

    run_id: str
    task: int
    """Number of the shard (mappers, combiners) or of the partition (reducers); 0 for a splitter and in `check`."""
    attempt: int
    """Number of this attempt at the task, counted from 1."""
    combines: bool
    """Whether a reducer is opened as combiner, so that what it emits is reduced again."""
    input: Schema
    """Schema of the step's rows. For a splitter, the schema of the source's records."""


def read_context(context: wire.Context) -> Context:
    """Converts a context from the host."""
    return Context(context.run_id, context.task, context.attempt, context.combines, read_schema(context.input))
