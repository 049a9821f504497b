import unittest

from etl_plugin.testing import map_lines
from step import PiecesByCity


class PiecesByCityTest(unittest.TestCase):
    def test_a_line_becomes_a_row_and_a_bad_one_a_reject(self):
        outcome = map_lines(PiecesByCity, ["1001,Chur,34,473.98", "1099,Bern"])
        self.assertEqual(outcome.rows, [("Chur", 34)])
        self.assertEqual(outcome.rejects, [(1, "the line lacks a city or a number of pieces")])

    def test_the_separator_can_be_set(self):
        self.assertEqual(map_lines(PiecesByCity, ["1001;Chur;34"], separator=";").rows, [("Chur", 34)])
