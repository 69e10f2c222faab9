"""Governance: a policy is configuration; bound to (service, client, verb) it yields a gate or nothing."""
