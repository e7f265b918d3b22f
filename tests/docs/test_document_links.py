"""Links between files lead somewhere, and so do the make targets."""

import re

import pytest
from documents import DOCUMENTS, ROOT, commands, label, links


def anchors(path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_links_lead_to_files_that_exist(path):
    for link in links(path):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_readme_links_to_every_guide():
    found = {(ROOT / link).resolve() for link in links(ROOT / "README.md") if not link.startswith("https://")}
    wanted = {*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"))}
    assert wanted <= found, wanted - found


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for words in commands(path, "make"):
        assert words[0] in targets, f"make {words[0]}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_no_path_of_one_machine_is_shown(path):
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8"))
