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


@pytest.mark.parametrize(
    ("author", "family_first", "family"),
    [
        ("Ada Lovelace", "Lovelace, Ada", "Lovelace"),
        ("Pau de Jorge", "de Jorge, Pau", "de Jorge"),
        ("Joost van Amersfoort", "van Amersfoort, Joost", "van Amersfoort"),
        ("Maria de la Cruz Gil", "de la Cruz Gil, Maria", "de la Cruz Gil"),
        ("Cuadrado Ávila, Nicolás Mauricio", "Cuadrado Ávila, Nicolás Mauricio", "Cuadrado Ávila"),
        ("danah boyd", "boyd, danah", "boyd"),
        ("Anonymous", "Anonymous", "Anonymous"),
    ],
)
def test_family_names_are_whole(author, family_first, family):
    paper = Reference(authors=(author, "Ada Lovelace", author), title="Long title", venue="", year=2000)
    assert f"{{{family_first} and Lovelace, Ada and {family_first}}}" in paper.bibtex()
    assert paper.short == f"{family} et al. 2000"
    assert str(paper).startswith(f"{family}, Lovelace, {family}. ")


def test_the_key_of_a_name_in_several_words_is_one_word():
    written = {"Pau de Jorge": "dejorge2000long", "Cuadrado Ávila, Nicolás": "cuadradoavila2000long"}
    written["Niamh O'Brien-Ng"] = "obrienng2000long"
    for author, key in written.items():
        assert Reference(authors=(author,), title="Long title", venue="", year=2000).key == key


def test_the_authors_of_methods_are_split_where_their_names_are():
    assert "author        = {de Jorge, Pau and Sanyal, Amartya" in cite("force")
    assert cite("force").startswith("@inproceedings{dejorge2021")
    assert " and van Amersfoort, Joost and " in cite("prospr")
    for method in ("fisher", "hutchinson"):
        assert " and Cuadrado Ávila, Nicolás Mauricio and " in cite(method)


def test_no_two_papers_share_a_key():
    papers = {entry.reference for entry in catalogue() if entry.reference}
    assert len({paper.key for paper in papers}) == len(papers)


def test_a_method_is_cited_by_its_name():
    assert "1810.02340" in cite("snip")
    with pytest.raises(ArgumentError, match="no paper"):
        cite("npb-even")
    with pytest.raises(UnknownNameError, match="did you mean 'snip'"):
        cite("snp")
