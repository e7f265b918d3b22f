"""The table of methods in the docs is the registry's."""

import re

from bench.catalogue import BEGIN, END, table
from documents import ROOT

import nodepath


def test_table_is_that_of_the_registry():
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    shown = page.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table(), "run: python -m bench.catalogue"


def test_every_method_says_what_it_costs_and_where_it_comes_from():
    for entry in nodepath.methods.catalogue():
        assert entry.cost, entry.name
        assert entry.reference is not None or entry.name == "npb-even", entry.name


def test_a_docstring_names_the_same_paper_as_the_reference():
    for name in nodepath.methods.names():
        reference = nodepath.methods.entry(name).reference
        text = " ".join((nodepath.methods.registry.entry_of(name).__doc__ or "").split())
        if reference is not None and reference.arxiv and "Reference:" in text:
            assert reference.arxiv in text, name


def test_costs_are_told_without_symbols_that_only_the_docstring_explains():
    for entry in nodepath.methods.catalogue():
        symbols = re.findall(r"(?<!')\b[A-Zb-z]\b", entry.cost)
        assert not symbols, f"{entry.name}: {entry.cost}"
        options = set(re.findall(r"`(\w+)`", entry.cost))
        assert options <= entry.options.keys(), f"{entry.name}: {entry.cost}"
