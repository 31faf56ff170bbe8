"""An image cannot take the geometry of one of another size."""

from __future__ import annotations

import pytest
import torch

from scorefield.data import Image, write
from scorefield.errors import InputError


@pytest.mark.parametrize("size", [(4, 5, 7), (1, 4, 5, 7), (1, 5, 4, 6), (2, 4, 6, 5), (1, 4, 5)], ids=str)
def test_another_size_is_refused(tmp_path, size):
    with pytest.raises(InputError, match="spatial shape"):
        write(torch.ones(size), tmp_path / "a.nii.gz", like=Image(torch.ones(1, 4, 5, 6)))
    assert not list(tmp_path.iterdir())
