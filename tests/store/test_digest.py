"""A digest tells dtypes, shapes, numbers, order and words apart, and nothing else."""

from __future__ import annotations

import torch

from scorefield.store.digest import digest
from support import complex_normal, normal


def test_what_is_equal_has_the_same_digest():
    x = normal(3, 4)
    assert digest([x]) == digest([x.clone()]) == digest([x.T.contiguous().T]) == digest([x.requires_grad_()])
    z = complex_normal(3, 4)
    assert digest([z.conj()]) == digest([z.conj().resolve_conj()])
    assert digest([]) == digest(iter(()))


def test_what_differs_has_another():
    x = normal(3, 4)
    moved = x.clone()
    moved[1, 2] += 1e-15
    others = [[x], [x.float()], [x.T], [x.reshape(4, 3)], [moved], [x, moved], [moved, x], [torch.complex(x, 0 * x)]]
    assert len({digest(these) for these in others} | {digest([x], "a"), digest([x], "b")}) == len(others) + 2
