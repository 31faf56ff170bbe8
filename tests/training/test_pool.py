"""The pool: a window that depends on the step alone, moves by reading what is new, and never outgrows its memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from scorefield.errors import InputError
from scorefield.lessons.crops import Balance, Crops
from scorefield.lessons.pool import Pool


class Reads(Sequence[Tensor]):
    """Images of number k everywhere, remembered when read; they state their sizes."""

    def __init__(self, rows: Sequence[int]):
        self.rows, self.seen = list(rows), []

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, k):
        self.seen.append(k)
        return torch.full((1, self.rows[k], 4), float(k))

    @property
    def sizes(self):
        return [16 * r for r in self.rows]


class Unsized(Reads):
    """The same, its sizes unknown."""

    sizes = None  # pyright: ignore


def pool_of(total: int, length: int, **options: int) -> Pool:
    """A pool with room for ``length`` of ``total`` images of 64 bytes."""
    return Pool(Reads([4] * total), memory=64 * length + 63, **options)


def test_the_window_moves_by_one_over_permutations():
    """Image t + K enters at t + 1, and N images in a row that enter are all of them."""
    pool = pool_of(20, 5)
    assert pool.length == 5
    windows = [set(pool.numbers(s)) for s in range(60)]
    assert all(len(b - a) <= 1 and len(a - b) <= 1 for a, b in pairwise(windows))
    for turn in range(2):
        inside = windows[20 * turn : 20 * turn + 16]  # the windows that lie within one pass
        assert all(len(w) == 5 for w in inside)
        assert set().union(*inside) == set(range(20))
    assert windows[:16] != windows[20:36]


def test_every_image_is_in_memory_equally_long():
    """K steps in each pass, times ``every``; images that meet themselves at a border are counted twice."""
    pool = pool_of(12, 4, every=3)
    counts = Counter(k for s in range(3 * 9) for k in pool.numbers(s))  # the 9 windows within the first pass
    assert set(counts) == set(range(12))
    assert sum(counts.values()) == 3 * 9 * 4
    assert sorted(counts.values())[6:] == [12] * 6  # all but the three that leave or come at each end
    assert pool.numbers(0) == pool.numbers(1) == pool.numbers(2) != pool.numbers(3)


def test_moving_reads_only_what_is_new():
    pool = pool_of(20, 5)
    windows = [pool(s) for s in range(60)]
    seen = pool.images.seen  # pyright: ignore
    assert sorted(seen[:5]) == seen[:5] == list(windows[0])
    entered = [k for a, b in pairwise(windows) for k in b if k not in a]
    assert seen[5:] == entered
    assert len(entered) == pytest.approx(59, abs=8)  # 5 at most meet themselves at each of two borders
    for step, window in enumerate(windows):
        assert list(window) == pool.numbers(step)
        assert all((image == k).all() for k, image in window.items())


def test_the_mapping_is_new_when_it_changes_and_the_same_until_then():
    pool = pool_of(20, 5, every=4)
    first = pool(0)
    assert pool(3) is first
    assert pool(4) is not first
    assert list(first) == pool.numbers(0)


def test_jumping_reads_the_window():
    run, resumed = pool_of(20, 5, seed=3), pool_of(20, 5, seed=3)
    for s in range(38):
        run(s)
    for step in (37, 5, 21):
        resumed.images.seen.clear()  # pyright: ignore
        assert list(resumed(step)) == run.numbers(step)
        assert len(resumed.images.seen) <= 5  # pyright: ignore
    assert pool_of(20, 5, seed=4).numbers(37) != run.numbers(37)


def test_what_fits_is_read_once():
    pool = pool_of(20, 20)
    windows = [pool(s) for s in range(50)]
    assert pool.images.seen == list(range(20))  # pyright: ignore
    assert all(window is windows[0] for window in windows)


@pytest.mark.parametrize("memory", [1600, 5000, 9000])
def test_memory_is_kept(memory, generator):
    """Images of 16 to 1600 bytes: no window is larger, whichever meet, and K + 1 of the largest would be."""
    rows = torch.randint(1, 101, (40,), generator=generator).tolist()
    pool = Pool(Reads(rows), memory=memory)
    held = [sum(image.numel() * 4 for image in pool(s).values()) for s in range(120)]
    assert 0 < max(held) <= memory
    assert sum(sorted(pool.images.sizes)[-pool.length - 1 :]) > memory  # pyright: ignore


def test_sizes_are_taken_from_a_few_where_they_are_not_stated():
    images = Unsized([4] * 100)
    pool = Pool(images, memory=64 * 7)
    assert pool.length == 7
    assert len(images.seen) == 16
    assert Pool([torch.zeros(1, 4, 4)] * 3, memory=128).length == 2


def test_a_failed_read_leaves_no_hole():
    class Broken(Reads):
        broken = True

        def __getitem__(self, k):
            if self.broken and len(self.seen) == 3:
                raise InputError("cannot be read")
            return super().__getitem__(k)

    pool = Pool(Broken([4] * 20), memory=64 * 5)
    for _ in range(2):
        with pytest.raises(InputError, match="cannot be read"):
            pool(0)
    pool.images.broken = False  # pyright: ignore
    assert len(pool(0)) == 5


def test_crops_of_a_pool_resume_to_the_bit():
    """Killed and begun again at any step, in a fresh process: the same crops."""

    class Textured(Reads):
        def __getitem__(self, k):
            return super().__getitem__(k) + 0.1 * torch.randn(1, 9, 4, generator=torch.Generator().manual_seed(k))

    def make() -> Crops:
        return Crops(Pool(Textured([9] * 20), memory=144 * 6, every=2), 3, 32, balance=Balance(0.5, threshold=0.1))

    def seeded(step: int) -> torch.Generator:
        return torch.Generator().manual_seed(step)

    crops = make()
    run = [crops(s, seeded(s)) for s in range(60)]
    for step in (59, 1, 30):
        assert torch.equal(make()(step, seeded(step)), run[step])
    again = make()
    for step in (40, 3):  # jumping in one process
        assert torch.equal(again(step, seeded(step)), run[step])


def test_what_crops_refuse_is_named_by_its_number_in_the_data_set(generator):
    rows = [9] * 20
    rows[13] = 2
    crops = Crops(Pool(Reads(rows), memory=144 * 6), 3, 4)
    arrival = next(step for step in range(40) if 13 in crops.images.numbers(step))  # pyright: ignore
    with pytest.raises(InputError, match="Image 13 has shape"):
        crops(arrival, generator)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Pool([]), "no images"),
        (lambda: Pool(Reads([4]), every=0), "at least 1, got 0"),
        (lambda: Pool(Reads([4, 9, 4]), memory=143), "Image 1 takes 144 bytes but the pool has only 143"),
    ],
)
def test_bad_arguments(make, match):
    with pytest.raises(InputError, match=match):
        make()
