"""The parts below the steps: types, configuration, errors, the build."""

import datetime
import decimal
import enum
import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Optional

import etl_plugin as e
from etl_plugin import build, config, errors, testing
from etl_plugin.data_types import Field
from etl_plugin.rows import Shape
from etl_plugin.schema import read_batch, read_schema, write_schema

D = decimal.Decimal
AT = datetime.datetime(2026, 11, 28, 12, 30, 1, 250_000)
UTC = datetime.timezone.utc
VALUES = [
    (e.Boolean, [True, False] * 9),
    (e.Int8, [-128, 127]),
    (e.Int16, [-(2**15), 2**15 - 1]),
    (e.Int32, [-(2**31), 2**31 - 1]),
    (e.Int64, [-(2**63), 2**63 - 1]),
    (e.UInt8, [0, 255]),
    (e.UInt16, [0, 2**16 - 1]),
    (e.UInt32, [0, 2**32 - 1]),
    (e.UInt64, [0, 2**64 - 1]),
    (e.Float16, [0.5, -2.0]),
    (e.Float32, [0.5, -2.0]),
    (e.Float64, [0.1, float("inf")]),
    (e.Decimal(38, 2), [D("-1.25"), D(10**36 - 1), D("0.00")]),
    (e.Decimal(5, -2), [D(1200)]),
    (e.Date, [datetime.date(1, 1, 1), datetime.date(2026, 11, 28)]),
    (e.Time("ms"), [AT.time()]),
    (e.Time("us"), [AT.time(), datetime.time(0)]),
    (e.Time("ns"), [5]),
    (e.Timestamp("ms"), [AT, datetime.datetime(1900, 1, 1)]),
    (e.Timestamp("us", "Europe/Zurich"), [AT.replace(tzinfo=UTC)]),
    (e.Timestamp("ns"), [-1, 2**62]),
    (e.Duration("s"), [datetime.timedelta(days=-1, seconds=5)]),
    (e.Text, ["", "a", "é€😀"]),
    (e.Binary, [b"", b"\xff\0"]),
    (e.FixedBinary(3), [b"abc"]),
    (e.Json, ['{"a":1}']),
    (e.List(e.Text), [[], ["a", None, "é"]]),
    (e.List(e.List(e.Int64)), [[[1], [], [2, 3]], [None]]),
    (e.Struct({"a": e.Int64, "b": e.Text | None}), [{"a": 1, "b": None}, {"a": 2, "b": "x"}]),
    (e.Map(e.Text, e.Int64), [{}, {"a": 1, "b": None}]),
    (e.List(e.Struct({"m": e.Map(e.Text, e.List(e.Date))})), [[{"m": {"d": [AT.date()]}}]]),
]


class Types(unittest.TestCase):
    def test_values_of_all_types_come_back_as_they_were_with_nulls(self):
        for of, values in VALUES:
            for schema, column in [
                (e.Schema(values={"v": of}), values),
                (e.Schema(values={"v": of | None}), [None, *values, None]),
                (e.Schema(values={"v": of | None}), [None] * 9),
            ]:
                with self.subTest(str(of)):
                    sent = testing.batch(schema, [(value,) for value in column])
                    received = read_schema(write_schema(schema))
                    nodes = read_batch(received, sent)
                    self.assertEqual(Shape(received).rows(nodes, sent.rows)["v"].to_list(), column)
                    self.assertEqual(write_schema(received), write_schema(schema))
                    self.assertEqual(len(sent.columns), len(write_schema(schema).fields))

    def test_a_type_is_written_as_in_pipeline_toml(self):
        members = e.Struct({"a": e.Int64, "b": e.Text | None})
        for of, name in [
            (e.Decimal(10, 2), "decimal(10,2)"),
            (e.Timestamp("ms", "UTC"), "timestamp(ms, UTC)"),
            (e.Time(), "time(us)"),
            (e.FixedBinary(16), "binary(16)"),
            (e.List(e.Int64), "list<int64>"),
            (members, "struct<a: int64, b: text>"),
            (e.Map(e.Text, members), "map<text, struct<a: int64, b: text>>"),
        ]:
            self.assertEqual(str(of), name)

    def test_a_value_that_would_be_changed_is_refused(self):
        for of, value, message in [
            (e.Decimal(4, 1), D("1.25"), "more than 1 digits behind the point"),
            (e.Decimal(4, 1), D("NaN"), "NaN"),
            (e.Timestamp("s"), AT, "finer than the column's unit `s`"),
            (e.Timestamp("us"), AT.replace(tzinfo=UTC), "has a time zone, unlike its column"),
            (e.UInt8, 256, "256"),
            (e.UInt8, -1, "-1"),
            (e.FixedBinary(2), b"abc", "has 3 bytes, not 2"),
            (e.Text, "a\ud800", "`v` .text.: .*surrogates not allowed"),
            (e.List(e.Int64), ["a"], "`item` is int64, which cannot hold 'a'"),
            (e.Struct({"a": e.Int64}), {"a": None}, "which cannot hold None"),
            (e.Struct({"a": e.Int64}), {"b": 1, "a": 1}, "'b' is not a member"),
        ]:
            with self.subTest(str(of)), self.assertRaisesRegex(Exception, message):
                testing.batch(e.Schema(values={"v": of}), [(value,)])

    def test_views_show_the_values_without_making_any(self):
        schema = e.Schema(values={"n": e.Int32 | None, "t": e.Text})
        nodes = read_batch(schema, testing.batch(schema, [(7, "ab"), (None, "c")]))
        rows = Shape(schema).rows(nodes, 2)
        self.assertEqual((rows["n"].buffer.tolist(), rows["n"].validity), ([7, 0], b"\1"))
        self.assertEqual((bytes(rows["t"].buffer), rows["t"].offsets.tolist()), (b"abc", [0, 2, 3]))
        self.assertEqual((rows["n"][1], rows.slice(1, 2)["t"].to_list()), (None, ["c"]))


class Color(enum.Enum):
    RED = "red"


class Configured:
    separator: str = ","  # the text between "fields" # of a line
    # Smaller values
    # are left out.
    at_least: int | None
    columns: list[str] = ["a"]
    kind: Literal["x", "y"] = "x"
    color: Color = Color.RED
    ratio: Annotated[float, "of all"] = 1
    limits: dict[str, float]
    any: Any = None
    _own: int = 1
    shared: ClassVar[int] = 2


class Configuration(unittest.TestCase):
    def read(self, **given):
        step = Configured()
        config.configure(step, config.fields(Configured), json.dumps(given))
        return step

    def test_annotated_attributes_are_described(self):
        described = config.schema(Configured)
        self.assertEqual((described["required"], described["additionalProperties"]), (["limits"], False))
        self.assertEqual(
            described["properties"],
            {
                "separator": {"description": 'the text between "fields" # of a line', "type": "string", "default": ","},
                "at_least": {
                    "description": "Smaller values are left out.",
                    "anyOf": [{"type": "integer"}, {"type": "null"}],
                },
                "columns": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
                "kind": {"enum": ["x", "y"], "default": "x"},
                "color": {"enum": ["red"], "default": "red"},
                "ratio": {"type": "number", "description": "of all", "default": 1},
                "limits": {"type": "object", "additionalProperties": {"type": "number"}},
                "any": {},
            },
        )

    def test_a_configuration_becomes_attributes_and_defaults_are_not_shared(self):
        step = self.read(limits={"a": 1}, color="red", at_least=3)
        self.assertEqual((step.limits, step.color, step.at_least, step.separator), ({"a": 1.0}, Color.RED, 3, ","))
        step.columns.append("b")
        self.assertEqual(self.read(limits={}).columns, ["a"])

    def test_a_wrong_field_is_named(self):
        for given, message in [
            ({}, "missing field `limits`"),
            ({"limits": {}, "seperator": ";"}, "unknown field `seperator` .known fields: `separator`, `at_least`"),
            ({"limits": {}, "separator": 1}, "`separator` is 1, which is not a text"),
            ({"limits": {"a": "b"}}, '`limits.a` is "b", which is not a number'),
            ({"limits": {}, "columns": [1]}, r"`columns\[0\]` is 1, which is not a text"),
            ({"limits": {}, "at_least": 1.5}, "`at_least` is 1.5, which is not an integer or null"),
            ({"limits": {}, "at_least": True}, "`at_least` is true"),
            ({"limits": {}, "kind": "z"}, "which is not one of 'x', 'y'"),
            ({"limits": {}, "color": "blue"}, "which is not one of 'red'"),
        ]:
            with self.subTest(message), self.assertRaisesRegex(e.InvalidConfig, message):
                self.read(**given)

    def test_a_type_that_no_configuration_has_is_refused_when_it_is_written(self):
        with self.assertRaisesRegex(TypeError, "`at` cannot be configuration"):

            @e.line_mapper
            class Wrong:
                at: datetime.date

                def map(self, line: str, out): ...


class Errors(unittest.TestCase):
    def test_an_exception_is_told_with_its_places_the_innermost_first(self):
        def inner():
            return {}["a"]

        try:
            inner()
        except KeyError as error:
            what, first, second = errors.describe(error).split("\n")
        self.assertEqual(what, "KeyError: 'a'")
        self.assertRegex(first, r"^in inner \(.*test_parts\.py:\d+\)$")
        self.assertRegex(second, r"^in test_an_exception")
        self.assertEqual(errors.short("/12/a/step.py"), "a/step.py")

    def test_deep_recursion_is_cut_and_the_end_of_a_process_is_told(self):
        def deep():
            deep()

        try:
            deep()
        except RecursionError as error:
            self.assertLess(len(errors.describe(error)), 2_000)
        self.assertIn("it called `sys.exit(3)`", errors.describe(SystemExit(3)))


class Building(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(directory.name)

    def test_a_section_is_what_webassembly_has(self):
        self.assertEqual(build.section("ab", b"c" * 200), b"\0\xcb\1\2ab" + b"c" * 200)

    def test_a_build_depends_on_the_code_and_not_on_tests(self):
        Path("step.py").write_text("a")
        before = build.digest(Path("step.py"))
        Path("test_step.py").write_text("b")
        Path("build").mkdir()
        Path("build/made.py").write_text("c")
        self.assertEqual(build.digest(Path("step.py")), before)
        Path("parts").mkdir()
        Path("parts/more.py").write_text("d")
        self.assertNotEqual(build.digest(Path("step.py")), before)

    def test_packages_with_c_extensions_are_named(self):
        for name, file in [("fast", "fast/inner.cpython-311.so"), ("plain", "plain/inner.py")]:
            Path(f"{name}-1.0.dist-info").mkdir()
            Path(f"{name}-1.0.dist-info/METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
            Path(f"{name}-1.0.dist-info/RECORD").write_text(f"{file},,\n")
        with self.assertRaisesRegex(build.Failed, r"with C extensions: `fast 1.0` \(fast/inner.cpython-311.so\)$"):
            build.check_pure(".")

    def test_a_file_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(build.Failed, "there is no such Python file here"):
            build.build(Path("step.py"), Path("step.wasm"))


if __name__ == "__main__":
    unittest.main()
