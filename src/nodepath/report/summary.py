"""What the rows show, in two sentences."""

from collections.abc import Sequence

from nodepath.report.cells import Cell, Section, Spread, sections
from nodepath.report.rows import Row
from nodepath.report.wording import listing, percent, runs_words, sparsity_words

__all__ = ["section_sentences", "two_sentences"]


def two_sentences(rows: Sequence[Row]) -> str:
    """Say what the rows show about nodes, paths and accuracy at the highest sparsity.

    Where the ranges of two methods over their seeds meet, the sentence says so instead of naming a winner alone.

    Args:
        rows: At least one.

    Returns:
        Two sentences; with several models, data sets or settings two for each, on a line of their own.

    Raises:
        ArgumentError: There are no rows.
    """
    parts = sections(rows)
    if len(parts) == 1:
        return section_sentences(parts[0])
    return "\n".join(f"{part.title}: {section_sentences(part)}" for part in parts)


def section_sentences(section: Section) -> str:
    """The two sentences of one section."""
    if not section.pruned:
        return f"Only the dense network is among the rows. {_dense(section) or 'It was not trained'}."
    top = [cell for cell in section.pruned if cell.sparsity == section.sparsities[-1]]
    return f"At {sparsity_words(section.sparsities[-1])} sparsity {_topology(top)}. {_accuracy(section, top)}."


class _Ranking:
    """Cells by the mean of one number, the largest first."""

    def __init__(self, cells: Sequence[Cell], name: str) -> None:
        found = [(spread, cell) for cell in cells if (spread := cell.spread(name))]
        self.order: list[tuple[Spread, Cell]] = sorted(found, key=lambda pair: -pair[0].mean)
        self.best: Spread = self.order[0][0]
        self.winner: str = self.order[0][1].method
        # A tie of means, too, is a range that meets.
        self.rivals: list[str] = [cell.method for spread, cell in self.order[1:] if spread.reaches(self.best)]

    def rivals_words(self) -> str:
        """Who comes as far, in a clause; "" if nobody."""
        if not self.rivals:
            return ""
        equal = all(s.low == s.high == self.best.mean for s, c in self.order if c.method in [self.winner, *self.rivals])
        return f", {'as many as' if equal else 'within the spread over seeds of'} {listing(self.rivals)}"


def _topology(cells: Sequence[Cell]) -> str:
    alive = [cell for cell in cells if cell.collapsed < len(cell.rows)]
    if not alive:
        return f"no mask of {listing([cell.method for cell in cells])} leaves a path"
    nodes, paths = _Ranking(alive, "node_ratio"), _Ranking(alive, "path_ratio")
    share = f"{percent(nodes.best.mean)} of the dense network's{nodes.rivals_words()}"
    ratio = f"path ratio {paths.best.mean:.3f}{paths.rivals_words()}"
    if len(cells) == 1:
        text = f"{nodes.winner} keeps {percent(nodes.best.mean)} of the nodes at a path ratio of {paths.best.mean:.3f}"
    elif nodes.winner == paths.winner:
        text = f"{nodes.winner} keeps both the most nodes ({share}) and the most paths ({ratio})"
    else:
        text = f"{nodes.winner} keeps the most nodes ({share}) and {paths.winner} the most paths ({ratio})"
    dead = [_collapse(cell) for cell in cells if cell.collapsed]
    return f"{text}; {listing(dead)}" if dead else text


def _collapse(cell: Cell) -> str:
    some = f" in {cell.collapsed} of {len(cell.rows)} masks" if cell.collapsed < len(cell.rows) else ""
    return f"{cell.method} leaves no path{some}"


def _accuracy(section: Section, cells: Sequence[Cell]) -> str:
    trained = [cell for cell in cells if cell.spread("accuracy_last")]
    if not trained:
        return "None of these was trained, so how they learn is still open"
    ranking = _Ranking(trained, "accuracy_last")
    winner = ranking.order[0][1]
    text = f"{ranking.winner}{_role(cells, ranking.winner)} trains best there, with {_reached(ranking.best, winner)}"
    if len(trained) == 1:
        text = f"{ranking.winner} reaches {_reached(ranking.best, winner)} there"
    else:
        second, runner_up = ranking.order[1]
        text += f", before {runner_up.method} with {_reached(second, runner_up, short=True)}; {_verdict(ranking)}"
    dense = _dense(section)
    return f"{text}; {dense[0].lower()}{dense[1:]}" if dense else text


def _reached(spread: Spread, cell: Cell, *, short: bool = False) -> str:
    """An accuracy with what stands behind it."""
    runs = runs_words([cell])
    when = "" if short else " after the last epoch"
    if spread.count == 1:
        return f"{percent(spread.mean)}{when} ({runs})"
    return f"{percent(spread.mean)}{when} (mean of {runs}, {percent(spread.low)} to {percent(spread.high)})"


def _verdict(ranking: _Ranking) -> str:
    if min(spread.count for spread, _ in ranking.order[:2]) == 1:
        return "with one run the spread is unknown, so the order is open"
    if ranking.rivals:
        return f"its range over seeds meets that of {listing(ranking.rivals)}, so the order is open"
    return "their ranges over seeds do not meet"


def _role(cells: Sequence[Cell], method: str) -> str:
    """Whether the method also leads in nodes or paths."""
    if len(cells) == 1:
        return ""
    leads = [word for word, name in (("nodes", "node_ratio"), ("paths", "path_ratio")) if _leads(cells, name, method)]
    return f", the one with the most {listing(leads)}," if leads else ", which leads in neither nodes nor paths,"


def _leads(cells: Sequence[Cell], name: str, method: str) -> bool:
    return _Ranking(cells, name).winner == method


def _dense(section: Section) -> str:
    spread = section.dense.spread("accuracy_last") if section.dense else None
    return f"The dense network reaches {percent(spread.mean)}" if spread else ""
