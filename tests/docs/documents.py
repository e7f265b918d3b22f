"""What the documents hold: code blocks, commands, tables, links."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    language: str
    first_line: int
    text: str


def blocks(path: Path, language: str) -> list[Block]:
    """The fenced blocks of one language, in order."""
    found, opened = [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if opened is None and line.startswith("```"):
            opened = (line.removeprefix("```").strip(), number + 1, [])
        elif opened is not None and line.startswith("```"):
            found.append(Block(opened[0], opened[1], "\n".join(opened[2])))
            opened = None
        elif opened is not None:
            opened[2].append(line)
    assert opened is None, f"{path}: a code block that starts in line {opened[1]} has no end" if opened else ""
    return [block for block in found if block.language == language]


def commands(path: Path, program: str) -> list[list[str]]:
    """The command lines of a program in the shell blocks, split into words, comments gone."""
    lines = [line for block in blocks(path, "sh") for line in block.text.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [each[1:] for each in words if each and each[0] == program]


def python_of(path: Path) -> str:
    """All Python blocks as one program whose line numbers are those of the document."""
    lines: list[str] = []
    for block in blocks(path, "python"):
        lines += [""] * (block.first_line - 1 - len(lines)) + block.text.splitlines()
    return "\n".join(lines) + "\n"


def table(path: Path, first_heading: str) -> list[list[str]]:
    """The rows of the table whose first heading is this, without the headings."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert rows, f"{path}: the table under '{first_heading}' is empty"
    return rows


def links(path: Path) -> list[str]:
    """Targets of links and pictures, code blocks left out."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)
