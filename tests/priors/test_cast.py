"""A prior in another precision: each answer has the precision of its question, and the prior sees its own."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import pytest
import torch

from scorefield.measurement import Measurement
from scorefield.noise import White
from scorefield.operators import Identity
from scorefield.priors import Gaussian
from scorefield.priors.cast import Cast
from support import normal

OWN = {torch.float32: torch.float64, torch.float64: torch.float32}


class Notes(Gaussian):
    """Notes the precision of every question."""

    def __init__(self, dtype: torch.dtype):
        super().__init__(torch.zeros(4, dtype=dtype), torch.eye(4, dtype=dtype))
        self.seen: list[torch.dtype] = []

    def denoise(self, x, sigma):
        self.seen.append(x.dtype)
        return super().denoise(x, sigma)

    def score(self, x, sigma):
        self.seen.append(x.dtype)
        return super().score(x, sigma)

    def log_prob(self, x, sigma=0.0):
        self.seen.append(x.dtype)
        return super().log_prob(x, sigma)


@pytest.mark.parametrize("given", OWN, ids=str)
def test_answers_have_the_precision_of_the_question(given):
    inner = Notes(OWN[given])
    cast, x = Cast(inner, OWN[given]), normal(3, 4).to(given)
    denoised, vjp = cast.linearize(x, 0.5)
    answers = [cast.denoise(x, 0.5), cast.score(x, 0.5), denoised, vjp(x), cast.log_prob(x, 0.5)]
    assert {answer.dtype for answer in answers} == {given}
    assert set(inner.seen) == {OWN[given]}
    whole = Gaussian(torch.zeros(4).double(), torch.eye(4).double())
    torch.testing.assert_close(answers[0].double(), whole.denoise(x.double(), 0.5), rtol=1e-6, atol=1e-6)
    exact = cast.posterior(Measurement(x[:1], Identity((4,)), White(0.5)))
    assert exact.denoise(x, 0.5).dtype == given
    assert cast.rsample(2).dtype == OWN[given]
