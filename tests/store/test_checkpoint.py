"""Checkpoints: every bit comes back, and whatever else lies in the folder is refused in one sentence."""

from __future__ import annotations

import json
import pickle
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from scorefield.errors import InputError
from scorefield.nets import PatchMLP, UNet
from scorefield.priors import AsComplex, FieldOfExperts, Gamma, Gaussian, Homogeneous, Network, Scaled
from scorefield.store import checkpoint
from scorefield.store.checkpoint import Card


def unet() -> Network:
    prior = Network(UNet(widths=(4, 8), blocks=1), Homogeneous(0.3), crop=16)
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.3)
    return prior


def field() -> FieldOfExperts:
    prior = FieldOfExperts(PatchMLP(size=2, levels=1), levels=3)
    prior.weights = torch.tensor([0.1, 0.3, 0.2])
    return prior


PRIORS = {
    "network": unet,
    "field": field,
    "scaled": lambda: Scaled(unet(), 3.0, 0.5),
    "complex": lambda: AsComplex(Network(UNet(channels=2, widths=(4, 4), blocks=1))),
}
CARD = Card("knee", "Knees.", 2.5, "a.u.", ["one knee, CC0"], {"steps": 3, "rate": 1e-3}, "Other joints.")


@pytest.mark.parametrize("make", PRIORS.values(), ids=PRIORS)
def test_every_bit_comes_back(make, tmp_path, generator):
    prior = make()
    assert checkpoint.save(prior, tmp_path / "knee", card=CARD) == tmp_path / "knee"
    torch.manual_seed(1)  # other initial weights
    again = checkpoint.load(tmp_path / "knee")
    assert type(again) is type(prior)
    assert again.card == CARD
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    mine, theirs = prior.state_dict(), again.state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[n], theirs[n]) and mine[n].dtype == theirs[n].dtype for n in mine)
    channels = 1
    x = torch.randn(2, channels, 9, 7, generator=generator)
    x = x.to(torch.complex64) if isinstance(prior, AsComplex) else x
    assert torch.equal(prior.denoise(x, 0.3), again.denoise(x, 0.3))


def test_double_weights_stay_double(tmp_path, generator):
    prior = unet().double()
    again = checkpoint.load(checkpoint.save(prior, tmp_path / "p"))
    x = torch.randn(1, 1, 8, 8, generator=generator, dtype=torch.float64)
    assert torch.equal(prior.denoise(x, 0.3), again.denoise(x, 0.3))


def test_the_folder_is_plain(tmp_path):
    folder = checkpoint.save(unet(), tmp_path / "p", card=CARD)
    assert sorted(p.name for p in folder.iterdir()) == ["prior.json", "weights.safetensors"]
    plain = json.loads((folder / "prior.json").read_text())
    assert plain["prior"]["class"] == "priors.Network"
    assert plain["card"]["provenance"] == ["one knee, CC0"]


def test_the_card_travels_with_the_prior(tmp_path):
    first = checkpoint.load(checkpoint.save(unet(), tmp_path / "first", card=CARD))
    assert checkpoint.load(checkpoint.save(first, tmp_path / "second")).card == CARD
    assert checkpoint.load(checkpoint.save(unet(), tmp_path / "third")).card == Card("third")


def test_saving_again_replaces(tmp_path):
    checkpoint.save(unet(), tmp_path / "p")
    checkpoint.save(field(), tmp_path / "p")
    assert isinstance(checkpoint.load(tmp_path / "p"), FieldOfExperts)
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


class Foreign(nn.Module):
    size = channels = 1


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize(
    ("prior", "card", "error"),
    [
        (lambda: Network(Foreign()), None, InputError),
        (lambda: Gaussian(torch.zeros(2), torch.eye(2)), None, InputError),
        (unet, Card("p", training={"when": object()}), TypeError),
    ],
    ids=["foreign", "tensors", "card"],
)
def test_a_failed_save_writes_nothing(prior, card, error, existing, tmp_path):
    if existing:
        checkpoint.save(field(), tmp_path / "p")
    with pytest.raises(error):
        checkpoint.save(prior(), tmp_path / "p", card=card)
    assert [p.name for p in tmp_path.iterdir()] == (["p"] if existing else [])
    if existing:
        assert isinstance(checkpoint.load(tmp_path / "p"), FieldOfExperts)


def test_weights_that_cannot_be_written_leave_the_old_folder(tmp_path, monkeypatch):
    checkpoint.save(field(), tmp_path / "p")

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(unet(), tmp_path / "p")
    monkeypatch.undo()
    assert isinstance(checkpoint.load(tmp_path / "p"), FieldOfExperts)
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


# --- damage


def edit(change):
    def damage(folder):
        path = folder / "prior.json"
        plain = json.loads(path.read_text())
        plain = change(plain) or plain
        checkpoint.DESCRIPTION.write(path, plain)

    return damage


def weights(change):
    def damage(folder):
        path = folder / "weights.safetensors"
        tensors = load_file(path)
        save_file(change(tensors), path)

    return damage


def put(*keys, value):
    def change(plain):
        for key in keys[:-1]:
            plain = plain[key]
        plain[keys[-1]] = value

    return edit(change)


def cut(name, keep):
    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:keep])

    return damage


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


DAMAGE = {
    "no json": lambda folder: (folder / "prior.json").unlink(),
    "no weights": lambda folder: (folder / "weights.safetensors").unlink(),
    "no folder": lambda folder: [(folder / n).unlink() for n in ("prior.json", "weights.safetensors")],
    "weights cut": cut("weights.safetensors", -1),
    "weights cut in the header": cut("weights.safetensors", 20),
    "weights empty": cut("weights.safetensors", 0),
    "weights of pickle": write("weights.safetensors", pickle.dumps({"net": 1})),
    "weights of another prior": weights(lambda t: {"other": torch.zeros(2)}),
    "one weight missing": weights(lambda t: dict(list(t.items())[1:])),
    "one weight more": weights(lambda t: {**t, "extra": torch.zeros(1)}),
    "a weight of another shape": weights(lambda t: {n: v.flatten() for n, v in t.items()}),
    "json cut": cut("prior.json", 50),
    "json empty": cut("prior.json", 0),
    "json of bytes": write("prior.json", b"\xff\xfe\x00"),
    "json of a number": write("prior.json", b"3"),
    "json of a list": write("prior.json", b"[]"),
    "json without a prior": edit(lambda p: {"card": p["card"]}),
    "json without a card": edit(lambda p: {"prior": p["prior"]}),
    "prior a number": put("prior", value=3),
    "prior a network": edit(lambda p: {**p, "prior": p["prior"]["fields"]["net"]}),
    "prior a kernel": put("prior", value={"class": "kernels.Heun", "fields": {}}),
    "unknown class": put("prior", "class", value="priors.Oracle"),
    "foreign class": put("prior", "class", value="os.system"),
    "abstract class": put("prior", value={"class": "noise.Noise", "fields": {}}),
    "unknown field": put("prior", "fields", "color", value=1),
    "missing field": put("prior", "fields", value={}),
    "fields a list": put("prior", "fields", value=[1, 2]),
    "net a number": put("prior", "fields", "net", value=3),
    "widths a word": put("prior", "fields", "net", "fields", "widths", value="wide"),
    "widths empty": put("prior", "fields", "net", "fields", "widths", value=[]),
    "widths negative": put("prior", "fields", "net", "fields", "widths", value=[-1, -2]),
    "widths nothing": put("prior", "fields", "net", "fields", "widths", value=None),
    "card with another field": put("card", "color", value=1),
    "card a number": put("card", value=3),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_refused_in_one_sentence(damage, tmp_path):
    folder = checkpoint.save(unet(), tmp_path / "knee", card=CARD)
    damage(folder)
    with pytest.raises(InputError) as caught:
        checkpoint.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "knee" in message or "scorefield" in message or "has no field" in message
    assert len(message) < 400


def test_field_without_a_net_is_refused(tmp_path):
    folder = checkpoint.save(field(), tmp_path / "p")
    put("prior", "fields", "net", value=None)(folder)
    with pytest.raises(InputError):
        checkpoint.load(folder)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "p").write_text("{}")
    with pytest.raises(InputError, match=r"no prior\.json"):
        checkpoint.load(tmp_path / "p")


# --- the amplitude, and tensors beside


def test_a_card_sets_the_amplitude_and_the_amplitude_is_what_is_saved(tmp_path):
    prior = unet()
    assert prior.amplitude is None
    prior.card = CARD
    assert prior.amplitude == CARD.amplitude
    prior.amplitude = 7.0
    again = checkpoint.load(checkpoint.save(prior, tmp_path / "p"))
    assert again.amplitude == again.card.amplitude == 7.0
    assert checkpoint.load(checkpoint.save(prior, tmp_path / "q", card=CARD)).amplitude == CARD.amplitude
    assert checkpoint.load(checkpoint.save(unet(), tmp_path / "r")).amplitude == 1.0
    prior.card = None
    assert prior.amplitude is None


def test_tensors_beside_the_weights_travel_with_the_prior(tmp_path):
    further = {"masks": {"a": torch.arange(3), "b": torch.ones(2, 2)}, "reference": {"anything": torch.zeros(1)}}
    prior = checkpoint.load(checkpoint.save(unet(), tmp_path / "p", beside=further))
    save_file({"step": torch.zeros(1)}, tmp_path / "p" / "training.safetensors")  # a snapshot is not for the prior
    for again in (prior, checkpoint.load(tmp_path / "p"), checkpoint.load(checkpoint.save(prior, tmp_path / "q"))):
        assert set(again.beside) == set(further)
        for name, tensors in further.items():
            assert set(again.beside[name]) == set(tensors)
            assert all(torch.equal(again.beside[name][key], tensors[key]) for key in tensors)
    assert not unet().beside


@pytest.mark.parametrize("name", ["weights", "training"])
def test_tensors_beside_do_not_take_the_name_of_another_file(name, tmp_path):
    with pytest.raises(InputError, match=f"cannot be called '{name}'"):
        checkpoint.save(unet(), tmp_path / "p", beside={name: {"a": torch.zeros(1)}})
    assert not list(tmp_path.iterdir())


def test_an_unknown_class_is_named_with_its_file(tmp_path):
    checkpoint.save(Gamma(2.0, 1.0), tmp_path / "mine")
    file = tmp_path / "mine" / "prior.json"
    edit(lambda plain: plain["prior"].update({"class": "priors.Nothing"}))(tmp_path / "mine")
    with pytest.raises(
        InputError, match=rf"{re.escape(str(file))} does not describe a prior: 'priors.Nothing' is not a class"
    ):
        checkpoint.load(tmp_path / "mine")
