"""The commands of the README run, in the order in which it shows them."""

import pytest
from documents import ROOT, commands

README = ROOT / "README.md"
CIFAR10 = ROOT.parent / "shared" / "data" / "cifar10"
SHOWN = commands(README, "nodepath")


def needs_cifar10(words: list[str]) -> bool:
    return "cifar10" in words


def trains_for_minutes(words: list[str]) -> bool:
    return words == ["demo"]


def test_the_readme_shows_every_command(nodepath):
    available = {
        line.split()[1] for line in nodepath("--help").out.splitlines() if line.startswith("│ ") and line[2:3].isalpha()
    }
    assert {words[0] for words in SHOWN} >= {"prune", "measure", "compare", "train", "report", "demo", "methods"}
    assert {words[0] for words in SHOWN} <= available


def test_the_commands_run_one_after_the_other(nodepath):
    for words in SHOWN:
        if not needs_cifar10(words) and not trains_for_minutes(words):
            outcome = nodepath(*words)
            assert outcome.code == 0, (words, outcome.err)
            assert outcome.out.strip(), words


@pytest.mark.skipif(not CIFAR10.exists(), reason="CIFAR-10 is not beside the repository")
def test_the_commands_that_read_cifar10_run(nodepath, tmp_path):
    (tmp_path / "cifar10").symlink_to(CIFAR10)
    shown = [words for words in SHOWN if needs_cifar10(words)]
    assert shown
    for words in shown:
        outcome = nodepath(*words)
        assert outcome.code == 0, (words, outcome.err)
