"""One picture of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from bench.peer import Peer
from bench.suite import Panel, Suite
from bench.summary import Cells

Test = tuple[str, str]


def draw(suite: Suite[Any, Any], cells: Cells, path: Path) -> None:
    """Bars per workload and peer, with the spread over the rounds."""
    silent = {one.name for one in suite.workloads.values() if one.kind in suite.unloaded}
    tests = list(dict.fromkeys((workload, test) for workload, test, _peer in cells if workload not in silent))
    peers = [peer for peer in suite.peers.values() if any(key[2] == peer.name for key in cells)]
    panels = suite.panels
    figure, axes = plt.subplots(len(panels), 1, figsize=(max(8, 1.3 * len(tests)), 3.2 * len(panels)), squeeze=False)
    for panel, axis in zip(panels, axes[:, 0], strict=True):
        for position, peer in enumerate(peers):
            place = (position + 0.5) / len(peers) - 0.5
            _bars(axis, cells, tests, peer, panel, place * 0.9, 0.85 / len(peers))
        axis.set_title(panel.title, loc="left")
        axis.set_xticks(range(len(tests)), ["\n".join(test) for test in tests])
        axis.grid(axis="y", alpha=0.3)
    known = [Patch(color=peer.colour, label=peer.name) for peer in peers]
    axes[0, 0].legend(handles=known, ncols=len(peers), fontsize=8, loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bars(
    axis: Axes, cells: Cells, tests: list[Test], peer: Peer[Any], panel: Panel, offset: float, width: float
) -> None:
    for place, test in enumerate(tests):
        cell = cells.get((*test, peer.name))
        found = cell.figures.get(panel.figure) if cell and not cell.faults else None
        base = cells.get((*test, panel.base)) if panel.base else None
        unit = (base.median(panel.figure) if base else None) if panel.base else 1.0
        if found is None or not unit:
            continue
        error = [[(found.median - found.low) / unit], [(found.high - found.median) / unit]]
        axis.bar(place + offset, found.median / unit, width, color=peer.colour, yerr=error)
