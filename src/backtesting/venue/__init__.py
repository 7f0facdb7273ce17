"""The inside of a simulated exchange: how orders meet prices, what it refuses, what it counts."""
