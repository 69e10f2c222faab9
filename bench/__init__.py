"""Benchmarks of poolgate against its peers: real servers, real load generators, interleaved rounds.

Read in this order: `workloads` (what is asked), `peers` (who is asked), `turn` (how one measurement is taken),
`targets` (what we promised), `report` (how it is told).
"""
