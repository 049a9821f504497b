"""Split step: cuts every object into the same number of slices, each a shard of its own."""

from etl_plugin import InvalidConfig, Shards, Slice, Source, splitter


@splitter
class EvenSlices:
    slices: int = 2  # number of slices that an object is cut into, at least 1

    def open(self):
        if self.slices < 1:
            raise InvalidConfig("`slices` must be at least 1")

    def split(self, source: Source, shards: Shards):
        for of in source.objects():
            # A compressed object cannot be cut.
            slices = min(self.slices, of.size) if of.splittable else 1
            # A slice may begin anywhere: a record belongs to the slice in which it starts.
            for number in range(slices):
                offset, end = of.size * number // slices, of.size * (number + 1) // slices
                shards.add(Slice(of.name, offset, end - offset))
