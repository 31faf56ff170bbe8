"""The bibliography: the tutorial's 49 references, each with a state, and nothing named that does not exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
STATES = ("**Answered.**", "**In part.**", "**Not yet.**", "**Read.**")
ENTRIES = re.findall(
    r"\*\*\[(\d+)\]\*\* (.+?)\n: (.+?)(?=\n\n|\Z)", (DOCS / "bibliography.md").read_text().strip(), re.S
)


def test_each_of_the_49_numbers_is_there_once():
    assert [int(number) for number, _, _ in ENTRIES] == list(range(1, 50))


@pytest.mark.parametrize(("number", "citation", "answer"), ENTRIES, ids=[number for number, _, _ in ENTRIES])
def test_an_entry_has_a_year_and_a_state_and_names_what_exists(number, citation, answer):
    assert re.search(r"\b(19|20)\d\d\b", citation)
    assert answer.startswith(STATES)
    if answer.startswith(STATES[:2]):
        assert "`" in answer or "As [" in answer
    for name in re.findall(r"`([a-z_]+\.[\w.]+)`", answer):
        assert exists(name), f"[{number}] names {name}"
    for page in re.findall(r"\]\(([^)]+)\)", answer):
        source = page.replace("gallery_out/", "gallery/").replace(".rst", ".py")
        assert (DOCS / source).is_file(), f"[{number}] links to {page}"


def test_the_numbers_in_the_introduction_are_those_of_the_entries():
    text = (DOCS / "bibliography.md").read_text()
    counts = [sum(answer.startswith(state) for _, _, answer in ENTRIES) for state in STATES]
    said = re.search(r"(\d+) are\s+answered, (\d+) in part, (\d+) not yet, and two are\s+surveys", text)
    assert said
    assert [int(n) for n in said.groups()] == counts[:3]
    assert counts[3] == 2


def exists(name: str) -> bool:
    """Whether ``priors.Network`` or ``densities.flow`` is something of the package."""
    *folders, last = name.split(".")
    home = importlib.import_module(".".join(["scorefield", *folders]))
    if hasattr(home, last):
        return True
    try:
        importlib.import_module(f"scorefield.{name}")
    except ModuleNotFoundError:
        return False
    return True
