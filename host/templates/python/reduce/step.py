"""Reduce step: adds up the pieces of each city. Also serves as combiner, since it emits rows of its input's schema."""

from etl_plugin import Int64, reducer


@reducer(reads={"pieces": Int64})
class SumPieces:
    # Keys with fewer pieces than this are left out. Do not set it together with `combine = true`, because a combiner
    # sees only some rows of a key.
    at_least: int | None = None

    def start(self, key):
        self.sum = 0

    def add(self, rows):
        self.sum += sum(rows["pieces"])

    def end(self, key, out):
        if self.at_least is None or self.sum >= self.at_least:
            out.emit(*key, self.sum)
