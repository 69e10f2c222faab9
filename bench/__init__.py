"""Benchmarks of poolgate against its peers: real servers, real load generators, interleaved rounds.

Each protocol has a folder (`redis`, `mysql`) that ends in one `Suite`: its workloads (what is asked), its peers (who is
asked), its stage (the server behind everybody) and its targets (what was promised). What they share is here; read it
in this order: `suite`, `run`, `turn` (one peer's turn), `meter` (one measurement), `report` (how it is told).
"""
