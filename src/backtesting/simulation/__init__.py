"""Deterministic simulation of the order path: one seed, one schedule of faults, virtual time, invariants throughout.

`schedule` says what happens, `run` plays it over a process that the caller builds, `invariants` looks, `shrink` cuts a
failing schedule down, `planted` has bugs to be found. Which invariant is looked at where, and which ones elsewhere:
docs/simulation.md.
"""
