"""Map step: takes the city and the number of pieces from each order."""

from etl_plugin import Int64, Reject, Schema, Text, line_mapper


@line_mapper(emits=Schema(key={"city": Text}, values={"pieces": Int64}))
class PiecesByCity:
    separator: str = ","  # the text between the fields of a line

    def map(self, line: str, out):
        fields = line.split(self.separator)
        if len(fields) < 3:
            raise Reject("the line lacks a city or a number of pieces")
        _order, city, pieces = fields[:3]
        if not pieces.isdecimal():
            raise Reject(f"`{pieces}` is not a number of pieces")
        out.emit(city, int(pieces))
