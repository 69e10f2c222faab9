from protocols.histogram import EDGES, Histogram


def bucket_of(value: float) -> int:
    histogram = Histogram()
    histogram.record(value, 1)
    return histogram.counts.index(1)


def test_a_bucket_includes_its_upper_edge() -> None:
    for i, edge in enumerate(EDGES):
        assert bucket_of(edge) == i
        assert bucket_of(edge * 1.0001) == i + 1


def test_the_ends() -> None:
    assert bucket_of(0.0) == 0
    assert bucket_of(3600.0) == len(EDGES)


def test_a_run_counts_as_many_as_it_has_commands() -> None:
    histogram = Histogram()
    histogram.record(0.25, 16)
    histogram.record(0.5, 1)
    assert histogram.count() == 17
    assert histogram.counts[EDGES.index(0.25)] == 16
    assert histogram.total == 4.5


def test_a_fresh_one_is_empty() -> None:
    histogram = Histogram()
    assert histogram.counts == [0] * (len(EDGES) + 1)
    assert (histogram.count(), histogram.total) == (0, 0.0)
