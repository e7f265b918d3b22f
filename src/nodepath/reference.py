"""Where a method comes from, as a person reads it and as BibTeX."""

import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Reference"]

_KINDS = {"journal": ("article", "journal"), "conference": ("inproceedings", "booktitle"), "preprint": ("misc", None)}


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A paper.

    Attributes:
        authors: "Given Family", in order; "others" last if they are many. The family name is the last word and the
            particles before it ("Pau de Jorge"); where it is more words than that, "Family, Given".
        title: Of the paper, in the capitals that it has.
        venue: Journal or conference, without the year; empty for a preprint.
        year: Of the publication.
        arxiv: Its arXiv id, e.g. "1810.02340"; empty if it has none.
        url: Where it is, if it has no arXiv id.
        journal: The venue is a journal.
    """

    authors: tuple[str, ...]
    title: str
    venue: str
    year: int
    arxiv: str = ""
    url: str = ""
    journal: bool = False

    @property
    def key(self) -> str:
        """Family name of the first author, year, first long word of the title: `lee2019snip`."""
        word = next(word for word in re.findall(r"[^\W_]+", self.title) if len(word) > 3)
        return re.sub(r"[^a-z0-9]", "", _ascii(f"{_family(self.authors[0])}{self.year}{word}").lower())

    @property
    def link(self) -> str:
        """Address of the paper."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else self.url

    @property
    def short(self) -> str:
        """First author and where, in a few words: `Lee et al. 1810.02340`."""
        family = _family(self.authors[0])
        others = {1: "", 2: f" & {_family(self.authors[-1])}"}.get(len(self.authors), " et al.")
        return f"{family}{others} {self.arxiv or self.year}"

    def __str__(self) -> str:
        families = [_family(author) if author != "others" else "et al." for author in self.authors]
        source = f"{self.venue} {self.year}" if self.venue else str(self.year)
        return f"{', '.join(families)}. {self.title}. {source}.".replace("?.", "?")

    def bibtex(self) -> str:
        """A BibTeX entry."""
        kind, where = _KINDS["preprint" if not self.venue else "journal" if self.journal else "conference"]
        fields = {"author": " and ".join(map(_family_first, self.authors)), "title": f"{{{self.title}}}"}
        if where:
            fields[where] = self.venue
        fields["year"] = str(self.year)
        if self.arxiv:
            fields |= {"eprint": self.arxiv, "archiveprefix": "arXiv"}
        if self.link:
            fields["url"] = self.link
        width = max(map(len, fields))
        lines = (f"  {name:<{width}} = {{{value}}}" for name, value in fields.items())
        return f"@{kind}{{{self.key},\n" + ",\n".join(lines) + "\n}"


def _family_first(author: str) -> str:
    if "," in author:
        return author
    words = author.split()
    # a particle is written small and is no first name
    start = next((place for place, word in enumerate(words) if place and word[0].islower()), len(words) - 1)
    return ", ".join(filter(None, [" ".join(words[start:]), " ".join(words[:start])]))


def _family(author: str) -> str:
    return _family_first(author).partition(",")[0]


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
