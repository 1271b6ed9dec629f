"""Owns what is shown: medians, how Evenkeel stands beside the better of nginx and HAProxy, Markdown.

It computes from what was measured and touches nothing else. What could not be measured is a dash
in the table and a line below it.
"""
from dataclasses import dataclass
from statistics import median

from classes import BESIDE, MEMORY
from peers import NAMES

OURS, RIVALS = "evenkeel", ("nginx", "haproxy")


@dataclass(frozen=True)
class Column:
    """A figure of a sample, how it is shown, and whether less of it is better."""
    field: str
    title: str
    digits: int
    less_is_better: bool = True

    def shown(self, value):
        return f"{value:,.{self.digits}f}".replace(",", " ")

    def better(self, values):
        return min(values) if self.less_is_better else max(values)


COLUMNS = [
    Column("cpu_microseconds", "CPU µs per request", 1),
    Column("rate", "requests/s", 0, less_is_better=False),
    Column("p99_milliseconds", "p99, ms", 2),
]
MEMORY_COLUMNS = [
    Column("pss_kib", "KiB that each idle connection adds (PSS)", 2),
    Column("whole_mib", "MiB of the whole proxy with them (PSS)", 1),
]


def medians(results, key, names, column):
    """The median of each proxy that was measured in this class."""
    return {name: median(getattr(sample, column.field) for sample in results[key, name].values())
            for name in names if results.get((key, name))}


def best_rival(values, column):
    """The one of nginx and HAProxy that has the better median, if any was measured."""
    rivals = {name: values[name] for name in RIVALS if values.get(name)}
    return next((name for name in rivals if rivals[name] == column.better(rivals.values())), None)


def standing(results, keys, values, column):
    """Our median divided by the best rival's, and the extremes of that in single rounds."""
    rival = best_rival(values, column)
    if rival is None or OURS not in values:
        return "–"
    ours, theirs = results[keys[0], OURS], results[keys[1], rival]
    seen = [getattr(ours[number], column.field) / getattr(theirs[number], column.field)
            for number in ours.keys() & theirs.keys() if getattr(theirs[number], column.field)]
    extremes = f" ({min(seen):.2f}–{max(seen):.2f})" if len(seen) > 1 else ""
    return f"{values[OURS] / values[rival]:.2f}{extremes}"


def row(results, title, keys, names, column):
    """One line: Evenkeel in the class of the first key, the others in that of the second."""
    ours_key, rivals_key = keys
    values = medians(results, rivals_key, names, column)
    values.pop(OURS, None)
    values |= medians(results, ours_key, [OURS], column) if OURS in names else {}
    cells = [column.shown(values[name]) if name in values else "–" for name in names]
    return [title, *cells, standing(results, keys, values, column)]


def table(results, rows, names, versions, column):
    head = [column.title, *(f"{NAMES[name]} {versions.get(name, '')}".strip() for name in names), "Evenkeel to the better"]
    lines = [row(results, title, keys, names, column) for title, *keys in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] + ["---:"] * (len(head) - 1), *lines])


def markdown(report):
    """Everything that was measured, ready to be pasted."""
    results, names = report.results, report.names
    under_load = [(one.title, one.key, one.key) for one in report.classes if one.key != MEMORY]
    under_load += [beside for beside in BESIDE if (beside[1], OURS) in results and any((beside[2], name) in results for name in RIVALS)]
    tables = [(under_load, column) for column in COLUMNS]
    tables += [([(one.title, one.key, one.key)], column) for one in report.classes if one.key == MEMORY
               for column in MEMORY_COLUMNS]
    parts = [report.heading()]
    parts += [table(results, rows, names, report.versions, column) for rows, column in tables if rows]
    parts.append('"The better" is whichever of nginx and HAProxy has the better median in that line; in brackets '
                 "the extremes of single rounds.")
    if report.remarks:
        parts.append("\n".join(f"- {remark}" for remark in report.remarks))
    return "\n\n".join(parts) + "\n"
