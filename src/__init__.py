"""Mycelial Finance: a swarm that researches and trades crypto markets, and says what it is worth."""

__version__ = "0.1.0"
