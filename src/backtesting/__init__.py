"""Replays and studies: the simulated exchange and market, and everything that judges a run."""
