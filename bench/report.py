"""Tell a run: Markdown for people, JSON with every raw round for machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.poolgate import PLAIN
from bench.reading import Measurement
from bench.suite import Column, Suite, Workload
from bench.summary import Cell, Cells, Spread, ratio
from bench.targets import SUBJECT, Verdict

QUIET = 0.3  # cores that processes outside of the benchmark may use before its throughput means little


@dataclass(frozen=True)
class Run:
    """Everything about one run of the benchmark."""

    suite: Suite[Any, Any]
    machine: dict[str, str]
    workloads: list[Workload]
    absent: dict[str, str]
    measurements: list[Measurement]
    cells: Cells
    verdicts: list[Verdict]
    rounds: int
    quick: bool
    load_before: float


def as_json(run: Run) -> dict[str, Any]:
    """The whole run: raw rounds, medians, verdicts, and what is needed to repeat it."""
    return {
        "machine": run.machine,
        "load_average_before": run.load_before,
        "rounds": run.rounds,
        "quick": run.quick,
        "absent_peers": run.absent,
        "workloads": [asdict(workload) for workload in run.workloads],
        "summary": [asdict(cell) for cell in run.cells.values()],
        "verdicts": [
            {**asdict(v.target), "measured": v.measured, "base": v.base, "verdict": v.word.strip("*")}
            for v in run.verdicts
        ],
        "raw": [asdict(measurement) for measurement in run.measurements],
    }


def as_markdown(run: Run) -> str:
    """The tables that people read."""
    parts = [f"# {run.suite.server}: poolgate and its peers", _preface(run), "## Targets", _verdicts(run.verdicts)]
    for workload in run.workloads:
        parts += [f"## {workload.name}: {workload.about}", _tables(run, workload)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _preface(run: Run) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
    lines = [
        f"Medians of {run.rounds} interleaved rounds (lowest..highest); every peer is started fresh for each turn,"
        f" nothing is pinned to a core. Load average before the start: {run.load_before:.2f}.",
        f"Machine: {machine}.",
    ]
    disturbed = sorted(cell.figures["others_busy"].high for cell in run.cells.values() if "others_busy" in cell.figures)
    if disturbed and disturbed[-1] > QUIET:
        lines.append(
            f"\n**Other processes were at work during the run (up to {disturbed[-1]:.2f} of a core): CPU per request is"
            " still of use, requests/s and latency are not.**"
        )
    if run.quick:
        lines.append("\n**A quick run: too short for conclusions.**")
    lines += [f"Not taking part: {name}: {reason}." for name, reason in run.absent.items()]
    lines += [
        f"- `{name}`: {run.suite.peers[name].about}" for name in dict.fromkeys(cell.peer for cell in run.cells.values())
    ]
    return "\n".join(lines).replace("\nMachine", "\n\nMachine").replace("\n- ", "\n\n- ", 1)


def _verdicts(found: list[Verdict]) -> str:
    rows: list[tuple[str, ...]] = [("target (governed)", "bound", "measured", "verdict")]
    for verdict in found:
        target = verdict.target
        measured = "" if verdict.measured is None else f"{verdict.measured:.2f} {target.unit} {verdict.base}".strip()
        rows.append((target.text, f"{target.sign} {target.bound:g} {target.unit}", measured, verdict.word))
    return table(rows)


def _tables(run: Run, workload: Workload) -> str:
    columns = run.suite.columns.get(workload.kind) or _loaded(run.suite)
    parts = []
    for test in workload.tests:
        cells = [cell for cell in run.cells.values() if (cell.workload, cell.test) == (workload.name, test)]
        if cells:
            parts += [f"### {workload.name} {test}", table(_rows(cells, columns))]
        if workload.kind not in run.suite.unloaded:
            parts.append(_ratios(run, workload.name, test))
        parts += [f"Disqualified: `{cell.peer}`: {fault}" for cell in cells for fault in sorted(set(cell.faults))]
    return "\n\n".join(part for part in parts if part)


def _rows(cells: list[Cell], columns: tuple[Column, ...]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("peer", *(column.title for column in columns))]
    for cell in cells:
        name = f"~~{cell.peer}~~" if cell.faults else cell.peer
        rows.append((name, *(number(cell.figures.get(column.figure), column) for column in columns)))
    return rows


def number(found: Spread | None, column: Column) -> str:
    """A figure as it is printed."""
    if found is None:
        return ""
    text = f"{found.median:,.{column.digits}f}"
    return f"{text} ({found.low:,.{column.digits}f}..{found.high:,.{column.digits}f})" if column.spread else text


def _loaded(suite: Suite[Any, Any]) -> tuple[Column, ...]:
    """What is told of a peer under load."""
    return (
        Column("rps", "requests/s", 0, spread=True),
        Column("p50_ms", "p50 ms", 3),
        Column("p99_ms", "p99 ms", 3),
        Column("cpu_us", "proxy CPU us/req", 2, spread=True),
        Column("cpu_user_us", "user", 2),
        Column("cpu_system_us", "system", 2),
        Column(suite.server_cpu, f"{suite.server} CPU us/req", 2, spread=True),
        Column("rss_mb", "RSS MB", 1),
        Column("rss_peak_mb", "peak MB", 1),
        Column("upstream_connections", "upstream conns", 0),
        Column("generator_busy", "generator busy", 2),
        Column("others_busy", "others busy", 2),
    )


def _ratios(run: Run, workload: str, test: str) -> str:
    bases = run.suite.bases
    rows: list[tuple[str, ...]] = [("ratio", *(f"to {base}" for base in bases))]
    told = (("rps", "requests/s"), ("p50_ms", "p50"), ("cpu_us", "proxy CPU"))
    for subject in (PLAIN, SUBJECT):
        for figure, title in (*told, (run.suite.server_cpu, f"{run.suite.server} CPU")):
            values = [ratio(run.cells, workload, test, figure, subject, base) for base in bases]
            if any(value is not None for value in values):
                rows.append((f"{subject}: {title}", *("" if value is None else f"{value:.2f}" for value in values)))
    return table(rows) if len(rows) > 1 else ""


def table(rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; the first row is its head, the first column is text, the others are figures."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join([head, rule, *body])
