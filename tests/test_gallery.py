"""The pages of the gallery run from a download: they need the package, and no file beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scorefield import shipped
from scorefield.errors import InputError

FOLDER = Path(__file__).parent.parent / "docs" / "gallery"
PAGES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_tags_and_reads_no_file_of_its_own(page):
    text = page.read_text()
    assert re.search(r"^# sphinx_gallery_tags = \[\".+\"\]$", text, re.M)
    assert not re.search(r"open\(|read_image\(|shared|__file__", text)
    for loaded in re.findall(r"sf\.load\((.+)", text):
        assert loaded.startswith("sf.shipped.find(")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_priors_of_a_page_come_with_the_package(page):
    for name in re.findall(r"shipped\.find\(\"([^\"]+)\"\)", page.read_text()):
        assert (shipped.find(name) / "weights.safetensors").is_file()


def test_the_priors_on_phantoms_are_found_but_not_listed():
    assert not [name for name in shipped.names() if "phantoms" in name or name == "disks"]
    for name in ("disks", "rectangles", "scaled", "told", "whole"):
        assert shipped.find(f"phantoms/{name}").is_dir()
    with pytest.raises(InputError, match="There is no prior 'phantoms/discs'"):
        shipped.find("phantoms/discs")


def test_every_page_has_a_place_in_the_gallery():
    setup = (FOLDER.parent / "gallery_setup.py").read_text()
    assert sorted(re.findall(r'^    "(plot_\w+\.py)",$', setup, re.M)) == [page.name for page in PAGES]
