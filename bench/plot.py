"""One picture of a run."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from bench.summary import Cells

COLOURS = {
    "direct": "#7f7f7f",
    "poolgate": "#2ca02c",
    "poolgate-governed": "#14691a",
    "envoy": "#d62728",
    "envoy-batching": "#ff9896",
    "nutcracker": "#1f77b4",
}
PANELS = (
    ("rps", "requests/s, direct = 1", True),
    ("cpu_us", "CPU of the proxy per request, us", False),
    ("p50_ms", "p50 latency, direct = 1", True),
    ("redis_cpu_us", "CPU of Redis per request, direct = 1", True),
)


def draw(cells: Cells, path: Path) -> None:
    """Bars per workload and peer, with the spread over the rounds."""
    tests = list(dict.fromkeys((workload, test) for workload, test, _peer in cells if test != "idle"))
    peers = [peer for peer in COLOURS if any(key[2] == peer for key in cells)]
    figure, axes = plt.subplots(len(PANELS), 1, figsize=(max(8, 1.3 * len(tests)), 3.2 * len(PANELS)), squeeze=False)
    for (name, title, relative), axis in zip(PANELS, axes[:, 0], strict=True):
        for position, peer in enumerate(peers):
            _bars(axis, cells, tests, peer, name, (position + 0.5) / len(peers) - 0.5, 0.85 / len(peers), relative)
        axis.set_title(title, loc="left")
        axis.set_xticks(range(len(tests)), [" ".join(test) for test in tests])
        axis.grid(axis="y", alpha=0.3)
    known = [Patch(color=COLOURS[peer], label=peer) for peer in peers]
    axes[0, 0].legend(handles=known, ncols=len(peers), fontsize=8, loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bars(
    axis: Axes,
    cells: Cells,
    tests: list[tuple[str, str]],
    peer: str,
    name: str,
    offset: float,
    width: float,
    relative: bool,
) -> None:
    for place, (workload, test) in enumerate(tests):
        cell, direct = cells.get((workload, test, peer)), cells.get((workload, test, "direct"))
        found = cell.figures.get(name) if cell and not cell.faults else None
        unit = (direct.median(name) if direct else None) if relative else 1.0
        if found is None or not unit:
            continue
        error = [[(found.median - found.low) / unit], [(found.high - found.median) / unit]]
        axis.bar(place + offset * 0.9, found.median / unit, width, color=COLOURS[peer], yerr=error)
