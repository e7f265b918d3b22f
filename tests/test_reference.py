import re

import pytest

from nodepath.errors import ArgumentError, UnknownNameError
from nodepath.methods import catalogue, cite
from nodepath.reference import Reference

PAPER = Reference(
    authors=("Ada Lovelace", "Évariste Galois", "Carl F. Gauß"),
    title="On the Sparsity of Engines",
    venue="Proceedings of Engines",
    year=1843,
    arxiv="1234.56789",
)


def test_reads_as_people_write_it():
    assert str(PAPER) == "Lovelace, Galois, Gauß. On the Sparsity of Engines. Proceedings of Engines 1843."
    assert PAPER.short == "Lovelace et al. 1234.56789"
    assert Reference(authors=("A B", "C D"), title="Long title", venue="", year=2000).short == "B & D 2000"
    assert str(Reference(authors=("A B",), title="Why?", venue="V", year=2000)) == "B. Why? V 2000."


def test_bibtex_has_each_field_once_and_keeps_the_capitals_of_the_title():
    text = PAPER.bibtex()
    found = dict(re.findall(r"^  (\w+) += \{(.*)\},?$", text, re.MULTILINE))
    assert text.startswith("@inproceedings{lovelace1843sparsity,\n")
    assert found == {
        "author": "Lovelace, Ada and Galois, Évariste and Gauß, Carl F.",
        "title": "{On the Sparsity of Engines}",
        "booktitle": "Proceedings of Engines",
        "year": "1843",
        "eprint": "1234.56789",
        "archiveprefix": "arXiv",
        "url": "https://arxiv.org/abs/1234.56789",
    }


def test_bibtex_tells_journals_and_preprints():
    journal = Reference(authors=("A B",), title="Some title", venue="J", year=2000, journal=True)
    assert journal.bibtex().startswith("@article{b2000some,\n")
    assert "journal" in journal.bibtex()
    assert Reference(authors=("A B",), title="Some title", venue="", year=2000).bibtex().startswith("@misc{")


def test_no_two_papers_share_a_key():
    papers = {entry.reference for entry in catalogue() if entry.reference}
    assert len({paper.key for paper in papers}) == len(papers)


def test_a_method_is_cited_by_its_name():
    assert "1810.02340" in cite("snip")
    with pytest.raises(ArgumentError, match="no paper"):
        cite("npb-even")
    with pytest.raises(UnknownNameError, match="did you mean 'snip'"):
        cite("snp")
