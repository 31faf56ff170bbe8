"""Published sampling loops, transcribed in their own variance-preserving frame, against this library's classes.

Each transcription is a direct reading of the paper's algorithm or of its public code, with dense matrices, on TB-G, and
is fed the same starting image and the same noise.  ``a`` stands for alpha-bar: x = sqrt(a) x0 + sqrt(1 - a) n, so
sigma^2 = (1 - a)/a.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from benches import tb_g
from torch import Tensor

from scorefield.kernels import (
    Ancestral,
    LiteralDDRM,
    LiteralDPS,
    LiteralPaDIS,
    LiteralPiGDM,
    PriorNoise,
    Project,
    Renoise,
)
from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Sample
from scorefield.posteriors import DDNM, DDRM, DDS, MMPS, DiffPIR, PiGDM
from scorefield.posteriors import DPS as GuidedDPS
from scorefield.priors import DiagonalGaussian
from scorefield.sampling import walk
from scorefield.schedules import Karras
from support import normal

BENCH = tb_g()
A, Y, PRIOR, GIVEN = BENCH.matrix, BENCH.measurement.y[0], BENCH.prior, BENCH.measurement
GAIN = GIVEN.gain.item()  # the papers count an operator of norm 1, and images of unit size
U, D, VT = torch.linalg.svd(A)
PINV = torch.linalg.pinv(A)
SIGMAS = Karras(0.02, 20.0).grid(12)  # from far above the noise of the data to far below, then 0
ALPHAS = (1 / (1 + SIGMAS**2)).tolist()
START = 20 * normal(5, 8, seed=2)
CLEAN = Measurement(Y, GIVEN.operator, White(1e-7))
EYE = torch.eye(8, dtype=torch.float64)


def g() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def ours(law, kernel) -> Tensor:
    *_, last = walk(law, kernel, START, SIGMAS, g())
    return last.x


class Loop:
    """State of a published loop: the image in its own frame, and a stream of noise."""

    def __init__(self):
        self.generator = g()
        self.x = ALPHAS[0] ** 0.5 * START

    def z(self) -> Tensor:
        return torch.empty_like(self.x).normal_(generator=self.generator)

    def network(self, a: float, x: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Predicted noise and predicted clean image."""
        x = self.x if x is None else x
        x0 = PRIOR.denoise(x / a**0.5, ((1 - a) / a) ** 0.5)
        return (x - a**0.5 * x0) / (1 - a) ** 0.5, x0

    def ddpm(self, x0: Tensor, a: float, b: float) -> Tensor:
        """Ho et al.'s posterior of the next level b given the image x0, with noise."""
        alpha = a / b
        mean = b**0.5 * (1 - alpha) / (1 - a) * x0 + alpha**0.5 * (1 - b) / (1 - a) * self.x
        return mean + ((1 - b) / (1 - a) * (1 - alpha)) ** 0.5 * (self.z() if b < 1 else 0)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-8) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# --- DDNM


def test_ddnm_the_paper_is_an_ancestral_step():
    """Algorithm 1: x0' = A^+ y + (I - A^+ A) x0, then a DDPM step from x0'."""
    loop = Loop()
    for a, b in pairwise(ALPHAS):
        _, x0 = loop.network(a)
        loop.x = loop.ddpm(Y @ PINV.T + x0 @ (EYE - PINV @ A).T, a, b)
    close(ours(DDNM(PRIOR, GIVEN), Ancestral()), loop.x)


@pytest.mark.parametrize("eta", [0.0, 0.85, 1.0])
def test_ddnm_the_code_keeps_the_networks_noise(eta):
    loop = Loop()
    for a, b in pairwise(ALPHAS):
        et, x0 = loop.network(a)
        x0 = x0 - (x0 @ A.T - Y) @ PINV.T
        noise = loop.z() if eta and b < 1 else 0
        loop.x = b**0.5 * x0 + (1 - b) ** 0.5 * (eta * noise + (1 - eta**2) ** 0.5 * et)
    close(ours(DDNM(PRIOR, GIVEN), PriorNoise(eta)), loop.x)


def ddnm_plus(eta: float, std: float) -> Tensor:
    """Equations 17 and 51 in singular coordinates; ``c`` is the noise of a measured coordinate in the loop's frame."""
    loop = Loop()
    for a, b in pairwise(ALPHAS):
        et, x0 = loop.network(a)
        s = (1 - b) ** 0.5
        c = torch.cat([b**0.5 * std / D, torch.full((4,), torch.inf).double()])
        factor = torch.where(s >= c, 1.0, s * (1 - eta**2) ** 0.5 / c)
        fresh = torch.where(s > c, (s**2 - c**2).clamp(min=0).sqrt(), s * eta)
        old = torch.zeros(8).double()
        old[4:] = s * (1 - eta**2) ** 0.5
        x0 = x0 - (((x0 @ A.T - Y) @ PINV.T) @ VT.T * factor) @ VT
        loop.x = b**0.5 * x0 + (loop.z() @ VT.T * fresh + et @ VT.T * old) @ VT
    return loop.x


def ddrm(eta: float, etab: float, std: float) -> Tensor:
    """The update of efficient_generalized_steps with etaA = etaC = eta."""
    loop = Loop()
    ybar = Y @ U / D
    for a, b in pairwise(ALPHAS):
        et, x0 = loop.network(a)
        t, x = ((1 - b) / b) ** 0.5, x0 @ VT.T
        before, after = D * t > std, D * t < std
        z = loop.z() @ VT.T
        new = x + (1 - eta**2) ** 0.5 * t * et @ VT.T + eta * t * z
        low = x[:, :4] + t * (1 - eta**2) ** 0.5 * (ybar - x[:, :4]) * D / std + eta * t * z[:, :4]
        high = (1 - etab) * x[:, :4] + etab * ybar + (t**2 - (std / D * etab) ** 2).clamp(min=0) ** 0.5 * z[:, :4]
        new[:, :4] = torch.where(before, high, torch.where(after, low, new[:, :4]))
        loop.x = b**0.5 * new @ VT
    return loop.x


@pytest.mark.parametrize("eta", [0.0, 0.85])
@pytest.mark.parametrize("etab", [0.7, 1.0])
def test_ddrm(eta, etab):
    close(ours(PRIOR, LiteralDDRM(GIVEN, eta=eta, etab=etab)), ddrm(eta, etab, 0.1))


@pytest.mark.parametrize("eta", [0.0, 0.85])
def test_ddnm_plus_is_ddrm(eta):
    close(ddnm_plus(eta, 0.1), ddrm(eta, 1.0, 0.1))
    close(ours(PRIOR, LiteralDDRM(GIVEN, eta=eta)), ddnm_plus(eta, 0.1))


def test_without_noise_both_are_the_projection_of_ddnm():
    x = normal(3, 8)
    close(DDRM(PRIOR, CLEAN).denoise(x, 0.5), DDNM(PRIOR, CLEAN).denoise(x, 0.5))


# --- proximal steps


@pytest.mark.parametrize(("weight", "zeta"), [(1.0, 0.1), (7.0, 0.5), (1.0, 1.0)])
def test_diffpir(weight, zeta):
    loop = Loop()
    for a, b in pairwise(ALPHAS):
        _, x0 = loop.network(a)
        rho = weight * 0.01 * a / (1 - a)
        x0 = torch.linalg.solve(A.T @ A + rho * EYE, (Y @ A + rho * x0).T).T
        et = (loop.x - a**0.5 * x0) / (1 - a) ** 0.5
        noise = loop.z() if b < 1 else 0
        loop.x = b**0.5 * x0 + (1 - b) ** 0.5 * ((1 - zeta) ** 0.5 * et + zeta**0.5 * noise)
    close(ours(DiffPIR(PRIOR, GIVEN, weight=weight), Renoise(zeta)), loop.x)


def cg(matrix: Tensor, b: Tensor, x: Tensor, steps: int) -> Tensor:
    """Hestenes and Stiefel from x, rows alone."""
    r = b - x @ matrix
    p, rr = r, (r * r).sum(1, keepdim=True)
    for _ in range(steps):
        q = p @ matrix
        alpha = rr / (p * q).sum(1, keepdim=True)
        x, r = x + alpha * p, r - alpha * q
        rr, last = (r * r).sum(1, keepdim=True), rr
        p = r + rr / last * p
    return x


@pytest.mark.parametrize("gamma", [1.0, 20.0, torch.inf])
@pytest.mark.parametrize("steps", [1, 3])
def test_dds(gamma, steps):
    loop, eta = Loop(), 0.85
    for a, b in pairwise(ALPHAS):
        et, x0 = loop.network(a)
        if gamma < torch.inf:
            x0 = cg(EYE + gamma * A.T @ A, x0 + gamma * Y @ A, x0, steps)
        else:
            x0 = cg(A.T @ A, (Y @ A).expand_as(x0), x0, steps)
        noise = loop.z() if b < 1 else 0
        loop.x = b**0.5 * x0 + (1 - b) ** 0.5 * (eta * noise + (1 - eta**2) ** 0.5 * et)
    close(ours(DDS(PRIOR, GIVEN, gamma=gamma * GAIN**2, iterations=steps), PriorNoise(0.85)), loop.x)


# --- guidance after the step


@pytest.mark.parametrize("zeta", [0.03, 0.3])
@pytest.mark.parametrize(("amplitude", "gain"), [(1.0, 1.0), (2.5, 0.7)])
def test_dps(zeta, amplitude, gain):
    """Algorithm 1 in its own frame and units, with the code's gradient of the norm and its zeta."""
    stream, s2 = g(), (SIGMAS / amplitude).square()
    levels = (1 / (1 + s2)).tolist()
    x = levels[0] ** 0.5 * START / amplitude
    for a, b in pairwise(levels):
        leaf = x.clone().requires_grad_()
        x0 = PRIOR.denoise(amplitude * leaf / a**0.5, amplitude * ((1 - a) / a) ** 0.5) / amplitude
        (gradient,) = torch.autograd.grad((Y / amplitude - x0 @ A.T).norm(dim=1).sum() / gain, leaf)
        x0, alpha = x0.detach(), a / b
        mean = b**0.5 * (1 - alpha) / (1 - a) * x0 + alpha**0.5 * (1 - b) / (1 - a) * x
        z = torch.empty_like(x).normal_(generator=stream) if b < 1 else 0
        x = mean + ((1 - b) / (1 - a) * (1 - alpha)) ** 0.5 * z - zeta * gradient
    close(ours(PRIOR, LiteralDPS(GIVEN, zeta=zeta, amplitude=amplitude, gain=gain)), amplitude * x)


@pytest.mark.parametrize(("amplitude", "gain", "epsilon"), [(1.0, 1.0, 0.5), (2.5, 0.7, 1.0)])
def test_padis(amplitude, gain, epsilon):
    """The public code's function ``dps`` in its own units: the gradient of the norm first, both with one denoised x."""
    stream, x = g(), START / amplitude
    for s, t in pairwise((SIGMAS / amplitude).tolist()):
        alpha = epsilon * s**2
        for _ in range(10):
            leaf = x.clone().requires_grad_()
            denoised = PRIOR.denoise(amplitude * leaf, amplitude * s) / amplitude
            (gradient,) = torch.autograd.grad((Y / amplitude - denoised @ A.T).norm(dim=1).sum() / gain, leaf)
            score = (denoised.detach() - x) / s**2
            z = torch.empty_like(x).normal_(generator=stream)
            x = x - 0.01 * gradient
            x = x + alpha / 2 * score + (alpha**0.5 * z if t else 0)
    kernel = LiteralPaDIS(GIVEN, zeta=0.01, epsilon=epsilon, amplitude=amplitude, gain=gain)
    close(ours(PRIOR, kernel), amplitude * x)


def test_each_inner_step_of_padis_has_a_tiling_of_its_own():
    coins = []

    class Coin(DiagonalGaussian):
        def draw(self, generator=None):
            coins.append(int(torch.randint(1000, (), generator=generator)))
            return self

    prior = Coin(torch.zeros(8).double(), torch.ones(8).double())
    kernel = LiteralPaDIS(GIVEN, steps=4)
    kernel.step(prior, kernel.start(START), SIGMAS[0], SIGMAS[1], g())
    assert len(set(coins)) == 4


@pytest.mark.parametrize(("s", "t"), [(2.0, 1.5), (0.3, 0.1)])
def test_dps_as_a_denoiser_is_one_step_of_dps(s, t):
    """Under an ancestral step from s to t the denoiser's weight is zeta sqrt((1 + s^2)(1 + t^2)) / (1 - t^2/s^2)."""
    levels = torch.tensor([s, t], dtype=torch.float64)
    kernel = LiteralDPS(GIVEN, zeta=0.3)
    literal = kernel.step(PRIOR, kernel.start(START), levels[0], levels[1], g()).x
    weight = 0.3 * ((1 + s**2) * (1 + t**2)) ** 0.5 / (1 - t**2 / s**2)
    guided = GuidedDPS(PRIOR, GIVEN, weight=weight * GAIN / PRIOR.extent)
    close(literal, Ancestral().step(guided, kernel.start(START), levels[0], levels[1], g()).x)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_pigdm(eta):
    """The code's loop, for data without noise."""
    loop = Loop()
    for a, b in pairwise(ALPHAS):
        c1 = ((1 - a / b) * (1 - b) / (1 - a)) ** 0.5 * eta
        c2 = (1 - b - c1**2) ** 0.5
        leaf = loop.x.clone().requires_grad_()
        et, x0 = loop.network(a, leaf)
        mat = (Y @ PINV.T - x0 @ A.T @ PINV.T).detach()
        (gradient,) = torch.autograd.grad((mat * x0).sum(), leaf)
        noise = loop.z() if eta and b < 1 else 0
        loop.x = (b**0.5 * x0 + c1 * noise + c2 * et).detach() + gradient * b**0.5 * a**0.5
    close(ours(PRIOR, LiteralPiGDM(CLEAN, eta=eta)), loop.x)


@pytest.mark.parametrize("amplitude", [1.0, 2.5])
def test_pigdm_with_noise(amplitude):
    """The paper's guidance r^2 J^T A^T (r^2 A A^T + R)^-1 (y - A D), r^2 = s^2/(s^2 + 1) over the amplitude."""
    x, stream = START / amplitude, g()
    for s, t in pairwise((SIGMAS / amplitude).tolist()):
        leaf = x.clone().requires_grad_()
        x0 = PRIOR.denoise(amplitude * leaf, amplitude * s) / amplitude
        r2 = s**2 / (s**2 + 1)
        inverse = torch.linalg.inv(r2 * A @ A.T + (0.1 / amplitude) ** 2 * torch.eye(4).double())
        mat = ((Y / amplitude - x0 @ A.T) @ inverse @ A).detach()
        (gradient,) = torch.autograd.grad((mat * x0).sum(), leaf)
        x0, up = x0.detach(), 0.5 * t * (1 - (t / s) ** 2) ** 0.5
        noise = torch.empty_like(x).normal_(generator=stream) if t else 0
        x = x0 + (t**2 - up**2) ** 0.5 / s * (x - x0) + up * noise + r2 * gradient
    close(ours(PRIOR, LiteralPiGDM(GIVEN, eta=0.5, amplitude=amplitude)), amplitude * x)


def test_pigdm_as_a_denoiser_shrinks_with_the_step():
    """Score form and published form differ by (1 - t/s) s^2/r^2, with r^2 the assumed variance."""
    s, t = torch.tensor([0.8, 0.5], dtype=torch.float64)
    kernel, plain = LiteralPiGDM(GIVEN), Ancestral(0)
    state = plain.start(START)
    alone = plain.step(PRIOR, state, s, t, g()).x
    literal = kernel.step(PRIOR, state, s, t, g()).x - alone
    guided = plain.step(PiGDM(PRIOR, GIVEN, data_std=1 / PRIOR.extent), state, s, t, g()).x - alone
    close(guided, (1 - t / s) * (1 + s**2) * literal)


def test_kernels_refuse_bad_numbers():
    from scorefield.errors import InputError

    for make in (
        lambda: LiteralDPS(GIVEN, zeta=0),
        lambda: LiteralDPS(GIVEN, amplitude=0),
        lambda: LiteralDPS(GIVEN, gain=0),
        lambda: LiteralDPS(GIVEN, eta=2),
        lambda: LiteralPaDIS(GIVEN, zeta=0),
        lambda: LiteralPaDIS(GIVEN, epsilon=-1),
        lambda: LiteralPaDIS(GIVEN, steps=0),
        lambda: LiteralPaDIS(GIVEN, gain=0),
        lambda: LiteralPiGDM(GIVEN, amplitude=0),
        lambda: LiteralPiGDM(GIVEN, data_std=1.0),  # pyright: ignore
        lambda: LiteralPiGDM(GIVEN, eta=-1),
        lambda: LiteralDDRM(GIVEN, eta=1.1),
        lambda: LiteralDDRM(GIVEN, etab=-0.1),
        lambda: Renoise(1.2),
        lambda: PriorNoise(-0.2),
        lambda: Project(GIVEN, weight=0),
        lambda: Project(GIVEN, noise=-1),
        lambda: Project(GIVEN, iterations=0),
    ):
        with pytest.raises(InputError):
            make()


HOLDING = [LiteralDPS, LiteralPaDIS, LiteralPiGDM, LiteralDDRM, Project]


@pytest.mark.parametrize("kernel", HOLDING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_images_keep_their_dtype_and_are_treated_alone(kernel, dtype):
    """Kernels that hold the data, to level 0: the dtype stays, the input stays, no image knows another."""
    shape = (1, 4, 6)
    operator = Sample(torch.arange(24).reshape(4, 6) % 3 == 0, shape)
    given = Measurement(torch.ones(operator.shape_out, dtype=dtype), operator, White(0.2))
    prior = DiagonalGaussian(torch.zeros(shape, dtype=dtype), torch.tensor(0.5))
    x = torch.linspace(-1, 1, 72).reshape(3, *shape).to(dtype)
    before = x.clone()
    *_, last = walk(prior, kernel(given), x, Karras(0.1, 2.0).grid(3), g())
    assert last.x.dtype == dtype
    assert bool(last.x.isfinite().all())
    assert torch.equal(x, before)
    moved = x + torch.tensor([0.0, 1.0, 0.0]).reshape(3, 1, 1, 1)
    *_, other = walk(prior, kernel(given), moved, Karras(0.1, 2.0).grid(3), g())
    torch.testing.assert_close(other.x[::2], last.x[::2])
    assert not torch.allclose(other.x[1], last.x[1])


def test_prior_noise_of_anything_else_is_renoise():
    posterior = MMPS(PRIOR, GIVEN)
    close(ours(posterior, PriorNoise(0.6)), ours(posterior, Renoise(0.36)))
    close(ours(PRIOR, PriorNoise(0.6)), ours(PRIOR, Renoise(0.36)))
