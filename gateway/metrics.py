"""Metrics as Prometheus reads them, made of plain integers when it asks. What there is: metrics_table.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final, final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.utils import floatToGoString

from gateway.metrics_table import FAMILIES, Family, Scrape
from protocols.histogram import EDGES, Histogram

PIECE: Final = 64  # samples made in one go, about a millisecond: calls are served in between
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_LE: Final = [*map(floatToGoString, EDGES), "+Inf"]


def quantile(histogram: Histogram, share: float) -> float | None:
    """The duration, in seconds, that so large a share does not exceed: interpolated within its bucket.

    What lies above the last edge is told as that edge, as Prometheus does. None: nothing was recorded.
    """
    rank = share * histogram.count()
    if not rank:
        return None
    below = 0
    for bucket, count in enumerate(histogram.counts[:-1]):
        if count and below + count >= rank:
            start = EDGES[bucket - 1] if bucket else 0.0
            return start + (EDGES[bucket] - start) * (rank - below) / count
        below += count
    return EDGES[-1]


@final
class _One:
    """What prometheus_client renders: here a single metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric: Final = metric

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client's Collector."""
        return [self._metric]


def _add(metric: Metric, labels: tuple[str, ...], value: float | Histogram) -> None:
    if isinstance(value, Histogram):
        assert isinstance(metric, HistogramMetricFamily)
        total = 0
        buckets = []
        for edge, count in zip(_LE, value.counts, strict=True):
            total += count
            buckets.append((edge, total))
        metric.add_metric(labels, buckets, value.total)
    else:
        assert isinstance(metric, CounterMetricFamily | GaugeMetricFamily)
        metric.add_metric(labels, value)


def _pieces(family: Family, scrape: Scrape) -> Iterator[Metric]:
    """The family in pieces of bounded size; none when it has no rows."""
    metric = family.metric()
    for labels, value in family.rows(scrape):
        _add(metric, labels, value)
        if len(metric.samples) >= PIECE:
            yield metric
            metric = family.metric()
    if metric.samples:
        yield metric


@final
class Exposition:
    """All metrics of one worker. A Collector as prometheus_client knows it, and a text made bit by bit."""

    def __init__(self, scrape: Callable[[], Scrape]) -> None:
        self._scrape: Final = scrape
        self._process: Final = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        """Every family as a whole."""
        scrape = self._scrape()
        for family in FAMILIES:
            whole = family.metric()
            for piece in _pieces(family, scrape):
                whole.samples += piece.samples
            yield whole
        yield from self._process.collect()

    async def text(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type, OpenMetrics if asked for; other work goes on while it is made."""
        openmetrics = "application/openmetrics-text" in accept
        render = generate_openmetrics if openmetrics else generate_latest
        scrape = self._scrape()
        parts = []
        for family in FAMILIES:
            begun = False
            for piece in _pieces(family, scrape):
                text = render(_One(piece)).removesuffix(b"# EOF\n")
                parts.append(text.split(b"\n", 2)[2] if begun else text)  # HELP and TYPE stand once
                begun = True
                await asyncio.sleep(0)
        parts += [render(_One(metric)).removesuffix(b"# EOF\n") for metric in self._process.collect()]
        if openmetrics:
            parts.append(b"# EOF\n")
        return b"".join(parts), OPENMETRICS if openmetrics else TEXT
