"""The mapper of the plugin `count-by-type` in Python."""

from collections import Counter

from etl_plugin import Int64, Reject, Schema, Text, line_mapper


@line_mapper(emits=Schema(key={"type": Text}, values={"count": Int64}))
class CountByType:
    separator: str = ","  # configuration, checked by the host
    field: int = 1

    def open(self):
        self.counts = Counter()

    def map(self, line: str, out):
        fields = line.split(self.separator)
        if len(fields) <= self.field:
            raise Reject(f"the line has no field {self.field}")
        self.counts[fields[self.field].strip()] += 1

    def finish(self, out):
        for kind, n in self.counts.items():
            out.emit(kind, n)
