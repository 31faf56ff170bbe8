"""Training: the same seed the same weights, budgets kept, averages used, and prompt refusals."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch import Tensor, nn

from scorefield.errors import InputError
from scorefield.nets import PatchMLP, UNet
from scorefield.prior import Denoiser
from scorefield.priors import EDM, FieldOfExperts, Gaussian, Network
from scorefield.progress import Silent
from scorefield.train import Minutes, Settings, Steps, crops, descend, train


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


def test_minutes_stop_the_descent():
    start = time.monotonic()
    prior = train(small(), [phantom()], budget=Minutes(0.5 / 60))
    seconds = time.monotonic() - start
    assert prior.trained_steps >= 1
    assert 0.5 <= seconds < 20  # at least its time; how much more depends on the machine
    assert Minutes(2).used(17, 30.0) == 0.25
    assert Steps(8).used(2, 1e9) == 0.25


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

    def weight(self, sigma):
        return torch.ones_like(sigma)


def to_three(prior, x, generator):
    return (prior.w - 3) ** 2


def test_descend_is_adam_on_the_objective():
    prior, other = Pull(), Pull()
    settings = Settings(rate=0.2, clip=1e9)
    steps = list(
        descend(
            prior,
            iter(lambda: torch.zeros(1), None),
            to_three,
            Steps(30),
            settings=settings,
            generator=torch.Generator(),
        )
    )
    optimizer = torch.optim.Adam(other.parameters(), lr=0.2)
    for i in range(30):
        optimizer.param_groups[0]["lr"] = settings.schedule(i / 30)
        optimizer.zero_grad()
        loss = to_three(other, None, None)
        assert steps[i].loss == pytest.approx(loss.item())
        loss.backward()
        optimizer.step()
    assert prior.w.item() == pytest.approx(other.w.item())
    assert [s.number for s in steps] == list(range(1, 31))
    assert steps[-1].used == 1
    assert 1 < prior.w.item() < 3.5


def test_gradients_are_clipped():
    moved = []
    for clip in (1e9, 1e-12):  # far below Adam's epsilon of 1e-8, the clipped step all but vanishes
        prior = Pull()
        batches = iter(lambda: torch.zeros(1), None)
        list(descend(prior, batches, to_three, Steps(1), settings=Settings(clip=clip), generator=torch.Generator()))
        moved.append(prior.w.item())
    assert moved[1] < 1e-3 * moved[0]


def test_the_weights_returned_are_the_average():
    """The moving average with its ramp, min(decay, (1 + k)/(10 + k)), replayed on the path of the weights."""
    path: list[float] = []

    def watched(prior, x, generator):
        path.append(prior.w.item())
        return to_three(prior, x, generator)

    settings = Settings(rate=0.3, average=0.5)
    prior = train(Pull(), [torch.zeros(1, 4, 4)], objective=watched, budget=Steps(12), settings=settings)
    last = Pull()  # the objective sees the weights before each step: the last ones come from a run one step longer
    replay: list[float] = []

    def replayed(prior, x, generator):
        replay.append(prior.w.item())
        return to_three(prior, x, generator)

    batches = iter(lambda: torch.zeros(1), None)
    for _ in descend(last, batches, replayed, Steps(12), settings=settings, generator=torch.Generator()):
        pass
    visited = [*path[1:], last.w.item()]
    average = visited[0]
    for k, w in enumerate(visited[1:], start=1):
        decay = min(0.5, (1 + k) / (10 + k))
        average = decay * average + (1 - decay) * w
    assert path == replay
    assert prior.w.item() == pytest.approx(average, rel=1e-6)
    assert abs(prior.w.item() - last.w.item()) > 1e-4


# --- crops


def test_crops_are_parts_of_the_images_turned_and_flipped(generator):
    image = torch.arange(35.0).reshape(1, 5, 7)
    found = crops([image], 4, 1000, generator)
    assert found.shape == (1000, 1, 4, 4)
    windows = [image[:, a : a + 4, b : b + 4] for a in range(2) for b in range(4)]
    turned = [torch.rot90(w, k, (-2, -1)) for w in windows for k in range(4)]
    possible = {tuple(v.flatten().tolist()) for w in turned for v in (w, w.flip(-1))}
    seen = {tuple(c.flatten().tolist()) for c in found}
    assert len(possible) == 64
    assert seen == possible  # 1000 draws miss one of 64 with probability 64 (63/64)^1000 < 1e-5


def test_images_are_chosen_by_their_area(generator):
    images = [torch.zeros(1, 8, 8), torch.ones(1, 24, 8)]
    found = crops(images, 8, 4000, generator).mean().item()
    assert found == pytest.approx(0.75, abs=4 * math.sqrt(0.75 * 0.25 / 4000))


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


def test_an_exploding_loss_is_refused():
    broken = phantom()
    broken[0, 30:40, 30:40] = math.nan
    with pytest.raises(InputError, match="loss became nan at step"):
        train(small(), [broken], budget=Steps(20))


def test_what_cannot_learn_is_refused():
    with pytest.raises(InputError, match="no weights to train"):
        train(Gaussian(torch.zeros(2), torch.eye(2)), [phantom()], budget=Steps(1))
    with pytest.raises(InputError, match="no weights to train"):
        train(small().requires_grad_(False), [phantom()], budget=Steps(1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Steps(0),
        lambda: Minutes(0),
        lambda: Minutes(math.nan),
        lambda: Settings(batch=0),
        lambda: Settings(rate=0),
        lambda: Settings(clip=0),
        lambda: Settings(average=1.0),
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
