"""Coil maps, sampling masks, and SENSE solved by conjugate gradients."""

from __future__ import annotations

import pytest
import torch

from scorefield import operators as ops
from scorefield.errors import InputError
from scorefield.linalg.solve import inner
from scorefield.noise import Weighted, White
from scorefield.operators import sense as sense_module
from scorefield.randomness import normal_like

ONE = White(1.0)


def randn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex128)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 33, 20), (1, 3, 16, 17)])
@pytest.mark.parametrize("coils", [1, 4, 8])
def test_birdcage_is_normalized_and_smooth(coils, shape):
    maps = ops.birdcage(coils, shape)
    assert maps.shape == (coils, *shape[1:])
    assert maps.dtype == torch.complex64
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(shape[1:]))
    for axis in (-2, -1):
        # a change of one pixel is of the order of one over the number of pixels across the field of view
        assert maps.diff(dim=axis).abs().max() < 6 / shape[axis]


def test_birdcage_coils_see_different_places():
    maps = ops.birdcage(4, (1, 33, 33))
    brightest = [divmod(int(m.abs().argmax()), 33) for m in maps]
    assert [(row // 11, column // 11) for row, column in brightest] == [(1, 2), (2, 1), (1, 0), (0, 1)]
    # turning the array by a quarter maps each coil's magnitude on the next one's
    for c in range(4):
        torch.testing.assert_close(maps[c].abs().rot90(-1), maps[(c + 1) % 4].abs())


@pytest.mark.parametrize("n", [16, 31, 64, 101])
@pytest.mark.parametrize("acceleration", [1, 2, 3.7, 8])
@pytest.mark.parametrize("fraction", [0, 0.06, 0.12])
def test_mask_keeps_its_budget_and_its_center(n, acceleration, fraction):
    mask = ops.cartesian_mask((1, 5, n), acceleration, center_fraction=fraction, generator=seeded())
    assert mask.shape == (1, 5, n)
    assert mask.dtype == torch.bool
    assert (mask == mask[:, :1]).all()  # whole lines
    line = mask[0, 0]
    assert int(line.sum()) == round(n / acceleration)
    center = round(n * fraction)
    assert line[n // 2 - center // 2 : n // 2 - center // 2 + center].all()
    if center % 2:  # symmetric about the zero frequency
        assert line[n // 2 - center // 2 : n // 2 + center // 2 + 1].sum() == center


def test_mask_lines_are_random_and_uniform():
    n, draws = 20, 2000
    generator = seeded()
    masks = [ops.cartesian_mask((1, 1, n), 2, center_fraction=0.2, generator=generator)[0, 0] for _ in range(draws)]
    share = torch.stack(masks).double().mean(0)
    outside = torch.ones(n, dtype=torch.bool)
    outside[8:12] = False
    p = 6 / 16
    assert (share[8:12] == 1).all()
    assert ((share[outside] - p).abs() < 5 * (p * (1 - p) / draws) ** 0.5).all()
    again = ops.cartesian_mask((1, 1, n), 2, center_fraction=0.2, generator=seeded())
    assert torch.equal(again[0, 0], masks[0])


def tapered(kspace, width):
    """What the center alone shows of each coil."""
    shape = tuple(kspace.shape)
    window = torch.ones((), dtype=torch.float64)
    for n in shape[1:]:
        edge = n // 2 - width // 2
        hann = torch.sin(torch.pi * torch.arange(1, width + 1, dtype=torch.float64) / (width + 1)).square()
        window = window.unsqueeze(-1) * torch.nn.functional.pad(hann, (edge, n - width - edge))
    return ops.Fourier(shape).H((kspace * window)[None])[0]


@pytest.mark.parametrize("shape", [(4, 31, 24), (3, 12, 13, 10), (2, 8, 9)], ids=str)  # the center may be all of it
def test_own_coil_maps_explain_the_center_by_an_image_that_is_real(shape):
    """sum |S|^2 = 1, and the coils' images from the center are S times their root sum of squares, without a phase."""
    kspace = normal_like(torch.empty(shape, dtype=torch.complex128), seeded())
    maps, low = ops.coil_maps(kspace, width=8), tapered(kspace, 8)
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(shape[1:], dtype=torch.float64))
    image = ops.Coils(maps).H(low[None])
    torch.testing.assert_close(image.imag, torch.zeros_like(image.imag))
    assert bool((image.real > 0).all())
    torch.testing.assert_close(ops.Coils(maps)(image)[0], low)


def test_own_coil_maps_know_the_center_only():
    kspace = normal_like(torch.empty(4, 32, 32, dtype=torch.complex128), seeded())
    known = torch.zeros(32, 32, dtype=torch.bool)
    known[12:20, 12:20] = True
    assert torch.equal(ops.coil_maps(kspace, width=8), ops.coil_maps(kspace * known, width=8))


@pytest.mark.parametrize("phase", [0.0, 1.0])
def test_own_coil_maps_are_those_of_the_scanner(phase):
    """Of a smooth object with a phase: to the scale and the phase of each pixel, better the wider the center."""
    shape = (1, 64, 64)
    true = ops.birdcage(8, shape).to(torch.complex128)
    rows, columns = torch.meshgrid(*[torch.linspace(-1, 1, 64, dtype=torch.float64)] * 2, indexing="ij")
    size = torch.exp(-1.5 * (rows**2 + columns**2))
    image = torch.polar(size, phase * (rows + columns**2))
    kspace = ops.Fourier((8, 64, 64))((true * image)[None])[0]
    inside = size > 0.3

    def missed(width):
        return float((1 - (true.conj() * ops.coil_maps(kspace, width=width)).sum(0).abs())[inside].max())

    assert missed(24) < 1e-3
    assert missed(24) < missed(12) < missed(6)
    left = ops.Coils(ops.coil_maps(kspace)).H((true * image)[None])[0, 0]  # the phase is in the maps
    assert float(left.angle().abs()[inside].max()) < 0.05


def test_full_sampling_with_normalized_coils_is_an_isometry():
    shape = (1, 9, 8)
    operator = ops.mri(torch.ones(shape), ops.birdcage(5, shape).to(torch.complex128))
    x = normal_like(torch.empty(2, *shape, dtype=torch.complex128), seeded())
    torch.testing.assert_close(operator.gram(x), x, rtol=1e-6, atol=1e-6)  # the maps were made in single precision


def test_conjugate_gradients_solve_sense():
    """8 random coils, random mask: 1e-6 of the direct solution, in data space and in image space."""
    shape, dtype = (1, 10, 12), torch.complex128
    maps = normal_like(torch.empty(8, 10, 12, dtype=dtype), seeded(1))
    operator = ops.mri(torch.rand(shape, generator=seeded(2)) < 0.4, maps)
    v = normal_like(torch.empty(2, *operator.shape_out, dtype=dtype), seeded(3))
    variance = torch.tensor([0.5, 2.0], dtype=torch.float64).reshape(-1, 1, 1)

    basis = torch.eye(120, dtype=dtype).reshape(120, *shape)
    A = operator(basis).flatten(1).mT  # complex linear, so a complex matrix will do
    matrices = 0.3 * torch.eye(len(A), dtype=dtype) + variance * (A @ A.mH)
    direct = torch.linalg.solve(matrices, v.flatten(1)).reshape(v.shape)

    def matrix(u):
        return 0.3 * u + operator(variance.unsqueeze(-1) * operator.H(u))

    found = ops.conjugate_gradients(matrix, v, tolerance=1e-9, iterations=500)
    assert ((found - direct).flatten(1).norm(dim=1) <= 1e-6 * direct.flatten(1).norm(dim=1)).all()
    spread = ops.Isotropic(variance.flatten())
    default = operator.gram_solve(White(0.3**0.5), spread, v)
    assert (default - direct).norm() <= 1e-6 * torch.linalg.cond(matrices).max() * direct.norm()
    residual = matrix(default) - v
    assert (inner(residual, residual).sqrt() <= 2e-6 * inner(v, v).sqrt()).all()


BAD = {
    "no coil": (lambda: ops.birdcage(0, (1, 8, 8)), "at least one coil"),
    "coils of many channels": (lambda: ops.birdcage(4, (2, 8, 8)), "one channel"),
    "coils in one dimension": (lambda: ops.birdcage(4, (1, 8)), "axes"),
    "coils inside the image": (lambda: ops.birdcage(4, (1, 8, 8), radius=1.0), "radius"),
    "maps with infinity": (lambda: ops.Coils(torch.full((2, 4, 4), float("inf"))), "NaN or infinite"),
    "maps without space": (lambda: ops.Coils(torch.ones(4)), "axes"),
    "acceleration below one": (lambda: ops.cartesian_mask((1, 8, 8), 0.5), "acceleration"),
    "acceleration not finite": (lambda: ops.cartesian_mask((1, 8, 8), float("nan")), "acceleration"),
    "fraction above one": (lambda: ops.cartesian_mask((1, 8, 8), 2, center_fraction=1.5), "fraction"),
    "center beyond the budget": (lambda: ops.cartesian_mask((1, 8, 64), 8, center_fraction=0.5), "lower"),
    "own maps of real k-space": (lambda: ops.coil_maps(torch.ones(4, 32, 32)), "complex k-space"),
    "own maps from little": (lambda: ops.coil_maps(torch.ones(4, 8, 32, dtype=torch.complex64)), "at least 24"),
    "own maps from holes": (lambda: ops.coil_maps(1 - torch.eye(32, dtype=torch.complex64).expand(4, 32, 32)), "all"),
    "no line left": (lambda: ops.cartesian_mask((1, 8, 8), 100, center_fraction=0), "lower"),
    "mask of many channels": (lambda: ops.cartesian_mask((3, 8, 8), 2), "one channel"),
    "mask without a channel": (lambda: ops.mri(torch.ones(8, 8)), "unsqueeze"),
    "one mask per coil": (lambda: ops.mri(torch.ones(4, 8, 8), ops.birdcage(4, (1, 8, 8))), "for all coils"),
    "mask of another size": (lambda: ops.mri(torch.ones(1, 8, 9), ops.birdcage(4, (1, 8, 8))), "broadcast"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_answered_with_a_sentence(name):
    make, words = BAD[name]
    with pytest.raises(InputError, match=words) as caught:
        make()
    assert str(caught.value).endswith(".")


# --- the normal operator of k-space in whole lines


def sense(shape: tuple[int, ...] = (1, 6, 9), coils: int = 4) -> tuple[ops.Sense, ops.Operator]:
    """The operator, and the product of transforms that it stands for."""
    mask, maps = scattered_lines(shape), randn(coils, *shape[1:])
    return ops.Sense(mask, maps), ops.Sample(mask, maps.shape) @ ops.Fourier(tuple(maps.shape)) @ ops.Coils(maps)


def scattered_lines(shape: tuple[int, ...]) -> torch.Tensor:
    """Columns 0, 3, 4 and 7 of k-space."""
    chosen = torch.zeros(shape[-1], dtype=torch.bool)
    chosen[[0, 3, 4, 7]] = True
    return chosen.expand(shape)


@pytest.mark.parametrize("noise", [White(0.3), Weighted(torch.tensor([0.2, 0.5, 0.7, 1.1]).double()[:, None])])
@pytest.mark.parametrize("shape", [(1, 6, 9), (1, 3, 4, 8)])
def test_the_matrices_of_lines_are_the_transforms(noise, shape):
    """Also after another noise and another precision asked for theirs."""
    known, product = sense(shape)
    x = randn(2, *shape)
    known.weighted_gram(White(2.0), x.to(torch.complex64))
    for _ in range(2):
        found = known.weighted_gram(noise, x)
        torch.testing.assert_close(found, product.weighted_gram(noise, x), rtol=1e-12, atol=1e-12)


def test_noise_that_differs_within_a_coil_and_large_matrices_take_transforms(monkeypatch):
    known, product = sense()
    x = randn(2, 1, 6, 9)
    uneven = Weighted(0.1 + torch.rand(known.shape_out, generator=seeded()).double())
    monkeypatch.setattr(sense_module.Sense, "_matrices", None)  # is not asked
    torch.testing.assert_close(known.weighted_gram(uneven, x), product.weighted_gram(uneven, x), rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(sense_module, "LARGEST", 6 * 9 * 9 - 1)
    torch.testing.assert_close(known.weighted_gram(ONE, x), product.gram(x), rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(sense_module, "LARGEST", 6 * 9 * 9)
    with pytest.raises(TypeError):
        known.weighted_gram(ONE, x)
