"""The first screen of README and documentation: a picture, an install line that works, and code that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import scorefield as sf

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/index.md")


def code(page: str) -> str:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.S)[0]


@pytest.mark.parametrize("page", PAGES)
def test_picture_install_line_and_six_lines_of_code_come_first(page):
    text = (ROOT / page).read_text()
    lines = [line for line in code(page).splitlines() if line.strip()]
    assert len(lines) == 6
    top = text[: text.index(lines[-1])]
    assert len(top.splitlines()) < 25  # what a screen of 800 pixels shows with a picture of 200
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", top)
    assert ((ROOT / page).parent / picture).is_file()
    assert "pip install ." in top


def test_both_pages_show_the_same_code():
    assert code("README.md") == code("docs/index.md")


def test_the_code_of_the_first_screen_runs(tmp_path, monkeypatch):
    """As it stands, but with one draw in place of eight and two steps in place of 24, for time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sf, "reconstruct", few(sf.reconstruct))
    names: dict[str, object] = {}
    exec(code("README.md"), names)
    samples = names["samples"]
    assert isinstance(samples, sf.Samples)
    assert samples.mean.shape == samples.std.shape == (1, 96, 128)
    assert (tmp_path / "head.html").stat().st_size > 10_000


def few(reconstruct):
    def run(prior, measurement, *, n, seed):
        assert n == 8
        return reconstruct(prior, measurement, n=2, seed=seed, method=sf.Method(steps=2))

    return run


def test_nothing_is_said_to_be_on_pypi():
    """Until there is a release, ``pip install scorefield`` finds nothing: no page and no message may name it."""
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "src").rglob("*.py"),
    ]
    said = [str(page.relative_to(ROOT)) for page in pages if "pip install scorefield" in page.read_text()]
    assert not said
