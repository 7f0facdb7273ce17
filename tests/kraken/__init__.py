"""A local Kraken for tests: its state, its REST and its WebSocket servers."""
