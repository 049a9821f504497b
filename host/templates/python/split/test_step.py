import unittest

from etl_plugin import Slice
from etl_plugin.testing import split
from step import EvenSlices


class EvenSlicesTest(unittest.TestCase):
    def test_objects_are_cut_evenly_and_compressed_ones_stay_whole(self):
        shards = split(EvenSlices, {"a": "one\ntwo\n", "b.gz": "0" * 50}, slices=2).shards
        self.assertEqual(shards, [[Slice("a", 0, 4)], [Slice("a", 4, 4)], [Slice("b.gz", 0, 50)]])
