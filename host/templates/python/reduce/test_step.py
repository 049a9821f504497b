import unittest

from etl_plugin import Int64, Schema, Text
from etl_plugin.testing import reduce_rows
from step import SumPieces

ORDERS = Schema(key={"city": Text}, values={"pieces": Int64})


class SumPiecesTest(unittest.TestCase):
    def test_pieces_are_summed_by_city(self):
        rows = [("Chur", 34), ("Bern", 3), ("Chur", 27)]
        self.assertEqual(reduce_rows(SumPieces, ORDERS, rows).rows, [("Bern", 3), ("Chur", 61)])
        self.assertEqual(reduce_rows(SumPieces, ORDERS, rows, at_least=10).rows, [("Chur", 61)])
