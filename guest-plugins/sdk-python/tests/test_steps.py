"""Steps of each kind, run natively."""

import unittest
from collections import Counter

from etl_plugin import (
    Binary,
    Context,
    Decimal,
    Fatal,
    Int64,
    InvalidInput,
    Output,
    Reject,
    Rows,
    Schema,
    Shards,
    Slice,
    Source,
    Text,
    count,
    line_mapper,
    log,
    mapper,
    reducer,
    row_mapper,
    splitter,
)
from etl_plugin.testing import combine_rows, map_lines, map_rows, reduce_rows, split

ORDERS = Schema(key={"city": Text}, values={"pieces": Int64})


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


@line_mapper(emits=Schema(values={"line": Text}))
class Echo:
    def map(self, line: str, out: Output):
        count("lines")
        for _ in range(2):
            out.emit(line)


@line_mapper
class Bytes:
    def map(self, line: bytes, out: Output):
        out.emit(line[::-1])


@row_mapper(reads={"pieces": Int64})
class Many:
    least: int

    def map(self, row, out: Output):
        if row.pieces < 0:
            raise Reject("fewer than none")
        if row.pieces >= self.least:
            out.emit(*row)


@mapper(emits=Schema(values={"pieces": Int64, "city": Text, "double": Int64}))
class Reorder:
    def map(self, rows: Rows, out: Output):
        doubled = [2 * pieces for pieces in rows["pieces"].buffer]
        out.emit_columns(rows["pieces"], rows["city"], doubled, origins=range(len(rows)))


@reducer(reads={"pieces": Int64})
class SumPieces:
    def open(self, context: Context):
        self.combines = context.combines

    def start(self, key):
        self.sum = 0

    def add(self, rows: Rows):
        self.sum += sum(rows["pieces"])

    def end(self, key, out: Output):
        out.emit(*key, self.sum)

    def finish(self, out: Output):
        log.info(f"combines: {self.combines}")


@splitter
class EvenSlices:
    slices: int = 2

    def split(self, source: Source, shards: Shards):
        for of in source.objects():
            parts = self.slices if of.splittable else 1
            cuts = [of.size * part // parts for part in range(parts + 1)]
            for start, end in zip(cuts, cuts[1:]):
                shards.add(Slice(of.name, start, end - start))
        shards.add_records([(b"".join(source.chunks(of)),) for of in source.objects() if of.name == "a"])


class Mapping(unittest.TestCase):
    def test_the_state_of_a_step_is_its_own(self):
        for _ in range(2):
            outcome = map_lines(CountByType, ["1, get", "2, put", "3", "4, get"])
            self.assertEqual(outcome.rows, [("get", 2), ("put", 1)])
            self.assertEqual(outcome.rejects, [(2, "the line has no field 1")])

    def test_configuration_takes_the_place_of_defaults(self):
        self.assertEqual(map_lines(CountByType, ["a;b;c"], separator=";", field=2).rows, [("c", 1)])

    def test_a_row_is_made_of_the_line_for_which_it_was_emitted(self):
        lines = [f"line {i} é" for i in range(20_000)]
        outcome = map_lines(Echo, lines)
        self.assertEqual(outcome.rows, [(line,) for line in lines for _ in range(2)])
        self.assertEqual(outcome.origins, [i for i in range(20_000) for _ in range(2)])
        self.assertEqual(outcome.counters, {"lines": 20_000})

    def test_a_line_that_is_not_utf8_is_rejected_unless_the_step_takes_bytes(self):
        self.assertEqual(map_lines(Echo, [b"\xff", "b"]).rejects, [(0, "the line is not UTF-8")])
        self.assertEqual(map_lines(Bytes, [b"a\xff"]).rows, [(b"\xffa",)])

    def test_rows_come_as_named_tuples(self):
        rows = [("Chur", 34), ("Bern", 3), ("Genf", -1)]
        outcome = map_rows(Many, ORDERS, rows, least=10)
        self.assertEqual((outcome.rows, outcome.origins), ([("Chur", 34)], [0]))
        self.assertEqual(outcome.rejects, [(2, "fewer than none")])

    def test_a_row_that_lacks_a_value_is_rejected(self):
        nullable = Schema(key={"city": Text | None}, values={"pieces": Int64 | None})
        outcome = map_rows(Many, nullable, [("Chur", None), (None, 12)], least=10)
        self.assertEqual((outcome.rows, outcome.rejects), ([(None, 12)], [(0, "column `pieces` is null")]))

    def test_columns_are_passed_on_or_made_anew(self):
        outcome = map_rows(Reorder, ORDERS, [("Chur", 34), ("Bern", 3)])
        self.assertEqual((outcome.rows, outcome.origins), ([(34, "Chur", 68), (3, "Bern", 6)], [0, 1]))

    def test_a_wrong_input_is_named(self):
        with self.assertRaisesRegex(InvalidInput, "`pieces` of the input is text, not int64"):
            map_rows(Many, Schema(values={"pieces": Text}), [], least=1)
        with self.assertRaisesRegex(InvalidInput, "no column `pieces` .its columns: `n` int64"):
            map_rows(Many, Schema(values={"n": Int64}), [], least=1)
        with self.assertRaisesRegex(InvalidInput, "the step takes lines"):
            map_rows(Echo, ORDERS, [])


class Emitting(unittest.TestCase):
    def emitted(self, schema, *rows):
        @line_mapper(emits=schema)
        class Emit:
            def map(self, line: str, out):
                for row in rows:
                    out.emit(*row)

        return map_lines(Emit, ["one"]).rows

    def test_a_value_that_does_not_fit_is_named_where_it_is_emitted(self):
        for schema, row, message in [
            (ORDERS, ("Chur",), "a row of 1 values was emitted, and the step emits 2: `city` text, `pieces` int64"),
            (ORDERS, ("Chur", "34"), "`pieces` is int64, which cannot hold '34'"),
            (ORDERS, (None, 34), "`city` is text, which cannot hold None .the column is not nullable"),
            (ORDERS, ("Chur", True), "`pieces` is int64, which cannot hold True"),
            (ORDERS, ("Chur", 2**63), "`pieces` .int64.: 9223372036854775808"),
            (Schema(values={"b": Binary}), ("text",), "`b` is binary, which cannot hold 'text'"),
            (Schema(values={"d": Decimal(3, 1)}), (1000,), "`d` .decimal.3,1..: 1000: .* more than 2 digits before"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(Exception, message):
                self.emitted(schema, row)

    def test_large_rows_leave_in_many_batches(self):
        rows = [("x" * 100_000, n) for n in range(20)]
        self.assertEqual(self.emitted(ORDERS, *rows), rows)

    def test_there_is_no_row_to_reject_outside_of_map(self):
        @line_mapper(emits=ORDERS)
        class Late:
            def map(self, line: str, out): ...

            def finish(self, out):
                out.reject("too late")

        with self.assertRaisesRegex(Fatal, "there is no row -1 to reject"):
            map_lines(Late, ["one"])

    def test_a_result_that_depends_on_batches_is_noticed(self):
        @mapper(emits=Schema(values={"rows": Int64}))
        class Rows:
            def map(self, rows, out):
                out.emit(len(rows))

        with self.assertRaisesRegex(AssertionError, "depends on how rows are cut"):
            map_rows(Rows, ORDERS, [("a", 1), ("b", 2)])


class Reducing(unittest.TestCase):
    def test_rows_of_a_key_come_together_however_they_are_cut(self):
        rows = [("Chur", 34), ("Bern", 3), ("Chur", 27)]
        self.assertEqual(reduce_rows(SumPieces, ORDERS, rows).rows, [("Bern", 3), ("Chur", 61)])
        self.assertEqual(combine_rows(SumPieces, ORDERS, rows).logs, [("info", "combines: True")])
        self.assertEqual(reduce_rows(SumPieces, ORDERS, []).rows, [])

    def test_a_null_is_a_key_like_any_other_and_comes_first(self):
        nullable = Schema(key={"city": Text | None}, values={"pieces": Int64})
        rows = [("é", 1), ("z", 2), (None, 3), (None, 4)]
        self.assertEqual(reduce_rows(SumPieces, nullable, rows).rows, [(None, 7), ("z", 2), ("é", 1)])


class Splitting(unittest.TestCase):
    def test_objects_are_cut_and_records_are_made(self):
        shards = split(EvenSlices, {"a": "one\ntwo\n", "b.gz": "0" * 50}).shards
        slices = [[Slice("a", 0, 4)], [Slice("a", 4, 4)], [Slice("b.gz", 0, 50)]]
        self.assertEqual(shards, [*slices, [(b"one\ntwo\n",)]])


class Marking(unittest.TestCase):
    def test_what_cannot_be_a_step_is_refused_when_it_is_written(self):
        with self.assertRaisesRegex(TypeError, "a reducer has a method `start`, which Nothing lacks"):

            @reducer
            class Nothing: ...

        with self.assertRaisesRegex(TypeError, "it takes a `Schema"):

            @line_mapper(emits={"a": Text})
            class Loose: ...

        with self.assertRaisesRegex(TypeError, "is not a type of etl_plugin"):
            Schema(values={"n": int})
        with self.assertRaisesRegex(TypeError, "the type Decimal takes arguments"):
            Schema(values={"n": Decimal})
        with self.assertRaisesRegex(TypeError, "is no step"):
            map_lines(Counter, [])


if __name__ == "__main__":
    unittest.main()
