"""A map step to try the reducer with: emits the city and the pieces of each order. Replace it with one of your own."""

from etl_plugin import Int64, Reject, Schema, Text, line_mapper


@line_mapper(emits=Schema(key={"city": Text}, values={"pieces": Int64}))
class Orders:
    def map(self, line: str, out):
        fields = line.split(",")
        if len(fields) < 3 or not fields[2].isdecimal():
            raise Reject("the line lacks a city or a number of pieces")
        out.emit(fields[1], int(fields[2]))
