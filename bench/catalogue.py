"""The table of methods, from the registry: `python -m bench.catalogue` writes it into docs/methods.md."""

from pathlib import Path

import nodepath
from nodepath.methods import Entry

PAGE = Path("docs/methods.md")
BEGIN, END = "<!-- from the registry -->", "<!-- end -->"
HEADINGS = ("name", "year", "kind", "data", "what it keeps", "options", "cost", "paper")


def row(entry: Entry) -> str:
    """One method, as a line of Markdown."""
    reference = entry.reference
    paper = "ours" if reference is None else reference.short
    if reference is not None and reference.link:
        paper = f"[{paper}]({reference.link})"
    options = ", ".join(f"`{name}={default}`" for name, default in entry.options.items())
    cells = (
        *(f"`{entry.name}`", str(entry.year or ""), entry.kind, "yes" if entry.needs_data else ""),
        *(entry.summary, options, entry.cost, paper),
    )
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def table() -> str:
    """All methods."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    return "\n".join([*lines, *map(row, nodepath.methods.catalogue())])


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
