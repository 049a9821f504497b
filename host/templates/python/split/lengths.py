"""A map step to try the splitter with: emits each line and its length. Replace it with one of your own."""

from etl_plugin import Int64, Schema, Text, line_mapper


@line_mapper(emits=Schema(values={"line": Text, "length": Int64}))
class Lengths:
    def map(self, line: str, out):
        out.emit(line, len(line))
