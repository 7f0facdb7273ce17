"""Alpaca as a venue: another exchange and another class of assets behind the same port."""
