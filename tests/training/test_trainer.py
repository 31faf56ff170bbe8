"""Training: the same seed the same weights, budgets kept, averages used, and prompt refusals."""

from __future__ import annotations

import math
import time
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.lessons import Lesson, Windows
from scorefield.nets import PatchMLP, UNet
from scorefield.objectives import NoiseConditional, Objective
from scorefield.prior import Denoiser
from scorefield.priors import EDM, AsComplex, FieldOfExperts, Gaussian, IndependentParts, Network
from scorefield.runs.progress import Silent
from scorefield.schedules import Geometric
from scorefield.training.trainer import Epochs, Minutes, Settings, Steps, Validation, descend, train


def phantom(side: int = 64) -> Tensor:
    """Disks and a gradient (1, side, side) in [0, 1]."""
    axis = torch.linspace(-1, 1, side)
    image = 0.3 * (axis[:, None] ** 2 + axis**2 < 0.8).float() + 0.1 * (axis + 1)
    for a, b, r, v in [(0.3, 0.2, 0.1, 0.4), (-0.4, 0.1, 0.05, 0.3), (0.0, -0.5, 0.04, -0.2)]:
        image = image + v * ((axis[:, None] - a) ** 2 + (axis - b) ** 2 < r)
    return image[None]


def small() -> Network:
    torch.manual_seed(0)
    return Network(UNet(widths=(4, 4), blocks=1), EDM(0.3), crop=16)


def weights(prior: nn.Module) -> Tensor:
    return torch.cat([t.flatten().double() for t in prior.state_dict().values()])


# --- budgets


def test_a_number_of_steps_is_reproducible_to_the_bit():
    runs = [train(small(), [phantom()], budget=Steps(4), seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(weights(runs[0]), weights(runs[2]))
    assert runs[0].trained_steps == 4
    assert not runs[0].training


def test_the_global_generator_is_left_alone():
    prior = small()
    before = torch.get_rng_state()
    train(prior, [phantom()], budget=Steps(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_too_belongs_to_the_seed():
    """What a network draws from the global generator is fixed by (seed, step), whatever was drawn before."""

    def trained(disturbance: int) -> Tensor:
        prior = small()
        prior.net = Dropped(prior.net)
        torch.manual_seed(disturbance)
        return weights(train(prior, [phantom()], budget=Steps(3)))

    assert torch.equal(trained(5), trained(6))
    assert not torch.equal(trained(5), weights(train(small(), [phantom()], budget=Steps(3))))


class Dropped(nn.Module):
    """A network whose output is dropped out."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return nn.functional.dropout(self.net(x, noise), 0.3, self.training)


def test_minutes_stop_the_descent():
    start = time.monotonic()
    prior = train(small(), [phantom()], budget=Minutes(0.5 / 60))
    seconds = time.monotonic() - start
    assert prior.trained_steps >= 1
    assert 0.5 <= seconds < 20  # at least its time; how much more depends on the machine
    assert Minutes(2).used(17, 30.0) == 0.25
    assert Steps(8).used(2, 1e9) == 0.25


def test_an_epoch_covers_every_pixel_once():
    """64 x 64 and 32 x 32 pixels in crops of 16 x 16, 10 a step: 20 crops cover them, 2 steps; a half epoch is 1."""
    images = [phantom(), phantom(32)]
    for epochs, steps in ((3, 6), (0.5, 1), (1.2, 3)):
        assert train(small(), images, budget=Epochs(epochs), settings=Settings(batch=10)).trained_steps == steps
    with pytest.raises(InputError, match="give 'descend' a number of Steps"):
        next(descend(Pull(), full, ToThree(), Epochs(1)))


def test_the_learning_rate_rises_and_falls():
    settings = Settings(rate=0.1, warmup=0.1)
    at = [settings.schedule(u) for u in (0.0, 0.05, 0.1, 0.5, 0.9, 1.0, 1.3)]
    assert at[0] == pytest.approx(0.001, rel=1e-3)  # never zero
    assert at[1] == pytest.approx(0.1 * 0.51 * 0.5 * (1 + math.cos(0.05 * math.pi)))
    assert at[3] == pytest.approx(0.05)
    assert at[5] == at[6] == pytest.approx(0, abs=1e-12)
    assert max(at) == at[2] < 0.1
    assert Settings(warmup=0.0).schedule(0.0) == 1e-3


# --- descent


class Pull(Denoiser):
    """One weight, which the objective below pulls to 3."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))
        self.crop = 1

    def denoise(self, x, sigma):
        return self.w * x

    def lesson(self):
        return Lesson(self, self, Windows(self.crop), NoiseConditional())


class ToThree(Objective):
    """(w - 3)^2 for every image, and the path that w took."""

    def __init__(self):
        self.path: list[float] = []

    def draw(self, x, generator):
        return (x,)

    def terms(self, prior, x):
        self.path.append(prior.w.item())
        return ((prior.w - 3) ** 2).expand(len(x))


def same(x: Tensor, step: int, generator: torch.Generator) -> Tensor:
    return x


def full(step: int, generator: torch.Generator) -> Tensor:
    return torch.zeros(4, 1)


def test_descend_is_adam_on_the_objective():
    prior, other = Pull(), Pull()
    settings = Settings(rate=0.2, clip=1e9)
    steps = list(descend(prior, full, ToThree(), Steps(30), settings=settings))
    optimizer = torch.optim.Adam(other.parameters(), lr=0.2)
    for i in range(30):
        optimizer.param_groups[0]["lr"] = settings.schedule(i / 30)
        optimizer.zero_grad()
        loss = (other.w - 3) ** 2
        assert steps[i].loss == pytest.approx(loss.item())
        assert steps[i].rate == settings.schedule(i / 30)
        loss.backward()
        assert other.w.grad is not None
        assert steps[i].norm == pytest.approx(other.w.grad.abs().item())
        optimizer.step()
    assert prior.w.item() == pytest.approx(other.w.item())
    assert [s.number for s in steps] == list(range(1, 31))
    assert steps[-1].used == 1
    assert 1 < prior.w.item() < 3.5


def test_gradients_are_clipped():
    moved = []
    for clip in (1e9, 1e-12):  # far below Adam's epsilon of 1e-8, the clipped step all but vanishes
        prior = Pull()
        list(descend(prior, full, ToThree(), Steps(1), settings=Settings(clip=clip)))
        moved.append(prior.w.item())
    assert moved[1] < 1e-3 * moved[0]


def test_the_loss_is_per_component():
    """Clip and log do not depend on the size of the crops, nor on complex numbers counting as two."""
    found = []
    objective = NoiseConditional(Geometric(0.4999, 0.5), weight=lambda s: s**-2)
    for x in (torch.ones(8, 1, 4, 4), torch.ones(8, 2, 16, 16), torch.ones(8, 1, 16, 16, dtype=torch.complex64)):
        step = next(descend(Pull(), partial(same, x), objective, Steps(1)))
        power = 0.5 if x.is_complex() else 1  # |1|^2 is shared by two components
        found.append(step.loss / power)
    assert found == pytest.approx([0.5 / 0.5**2] * 3, rel=1e-3)


def test_parts_of_a_batch_add_up():
    """A batch cut into parts gives the same weights to rounding."""
    runs = []
    for parts in (1, 3):
        prior = small().double()
        settings = Settings(batch=8, parts=parts)
        runs.append(weights(train(prior, [phantom().double()], budget=Steps(5), settings=settings)))
    assert not torch.equal(runs[0], weights(small().double()))
    torch.testing.assert_close(runs[1], runs[0], rtol=1e-9, atol=1e-10)


def test_the_weights_returned_are_the_average():
    """The moving average with its ramp, min(decay, (1 + k)/(10 + k)), replayed on the path of the weights."""
    settings = Settings(rate=0.3, average=0.5, batch=4)
    watched, replayed = ToThree(), ToThree()
    prior = train(Pull(), [torch.zeros(1, 4, 4)], objective=watched, budget=Steps(12), settings=settings)
    last = Pull()  # the objective sees the weights before each step: the last ones come from a run one step longer
    list(descend(last, full, replayed, Steps(12), settings=settings))
    visited = [*watched.path[1:], last.w.item()]
    average = visited[0]
    for k, w in enumerate(visited[1:], start=1):
        decay = min(0.5, (1 + k) / (10 + k))
        average = decay * average + (1 - decay) * w
    assert watched.path == replayed.path
    assert prior.w.item() == pytest.approx(average, rel=1e-6)
    assert abs(prior.w.item() - last.w.item()) > 1e-4


# --- refusals


@pytest.mark.parametrize(
    ("images", "match"),
    [
        ([], "no images"),
        ([torch.zeros(1, 64, 64), torch.zeros(1, 64, 15)], "Image 1 has shape"),
        ([torch.zeros(64, 64)], "H, W >= 16"),
    ],
)
def test_images_that_do_not_do_are_refused(images, match):
    with pytest.raises(InputError, match=match):
        train(small(), images, budget=Steps(2))


def test_an_exploding_loss_stops_before_its_step():
    """The weights left behind are the last good ones."""
    prior = small()
    kept = []

    def batches(step: int, generator: torch.Generator) -> Tensor:
        kept.append(weights(prior))
        x = torch.rand(2, 1, 16, 16, generator=generator)
        return x if step < 3 else x * math.nan

    with pytest.raises(InputError, match="loss became nan and its gradient nan at step 4"):
        train(prior, [phantom()], batches=batches, budget=Steps(20))
    assert torch.equal(weights(prior), kept[-1])
    assert weights(prior).isfinite().all()


def test_what_cannot_learn_is_refused():
    with pytest.raises(InputError, match="Gaussian has no lesson"):
        train(Gaussian(torch.zeros(2), torch.eye(2)), [phantom()], budget=Steps(1))
    with pytest.raises(InputError, match="no weights to train"):
        train(small().requires_grad_(False), [phantom()], budget=Steps(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Steps(0),
        lambda: Minutes(0),
        lambda: Minutes(math.nan),
        lambda: Epochs(0),
        lambda: Epochs(math.nan),
        lambda: Settings(batch=0),
        lambda: Settings(rate=0),
        lambda: Settings(clip=0),
        lambda: Settings(average=1.0),
        lambda: Settings(warmup=-0.1),
        lambda: Settings(warmup=1.0),
        lambda: Settings(batch=4, parts=5),
        lambda: Settings(parts=0),
        lambda: Validation([]),
        lambda: Validation([phantom()], sigmas=()),
        lambda: Validation([phantom()], sigmas=(0.0,)),
        lambda: Validation([phantom()], every=0),
        lambda: Validation([phantom()], patience=0),
    ],
)
def test_bad_numbers_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_progress_counts_a_hundred(generator):
    class Count(Silent):
        seen, notes = 0, 0

        def track(self, steps, *, total, label):
            assert total == 100
            for item in steps:
                self.seen += 1
                yield item

        def note(self, text):
            assert "loss" in text
            self.notes += 1

    count = Count()
    train(small(), [phantom()], budget=Steps(7), progress=count)
    assert count.seen == count.notes == 100


# --- it learns


def error(prior: Denoiser, image: Tensor, sigma: float) -> float:
    """Mean squared error of denoising fresh noise."""
    noise = sigma * torch.randn(4, *image.shape, generator=torch.Generator().manual_seed(77))
    with torch.no_grad():
        return (prior.denoise(image + noise, sigma) - image).square().mean().item()


def test_one_image_trains_a_field_of_experts():
    """Two hundred steps on one 64 x 64 image beat the identity, whose error is sigma^2, at every level."""
    prior = FieldOfExperts(PatchMLP(size=3, levels=1), levels=4, sigma_min=0.02, sigma_max=0.5)
    before = prior.weights.clone()
    train(prior, [phantom()], budget=Steps(200), settings=Settings(batch=128, rate=2e-3), seed=0)
    assert not torch.equal(prior.weights, before)  # the closed-form weights were set
    assert not prior.net.training
    for sigma in (0.05, 0.1, 0.2, 0.4):
        assert error(prior, phantom(), sigma) < 0.7 * sigma**2


@pytest.mark.parametrize("lift", [AsComplex, IndependentParts])
def test_complex_images_train_a_lifted_prior(lift):
    """The patch network sees both parts; denoising complex noise then beats the identity."""
    torch.manual_seed(0)
    inner = FieldOfExperts(PatchMLP(channels=lift(Network(UNet())).copies % 2 + 1, levels=1), levels=3, sigma_max=0.5)
    prior = lift(inner)
    image = phantom() * torch.exp(1j * phantom().mT * 2)
    train(prior, [image], budget=Steps(150), settings=Settings(batch=128, rate=2e-3))
    noise = torch.randn(2, 1, 64, 64, dtype=torch.complex64, generator=torch.Generator().manual_seed(1)) * 2**0.5
    for sigma in (0.1, 0.3):
        with torch.no_grad():
            found = (prior.denoise(image + sigma * noise, sigma) - image).abs().square().mean().item()
        assert found < 0.75 * 2 * sigma**2
