"""Kraken, spot: REST through python-kraken-sdk, wrapped where the SDK guesses, repeats itself or stays silent."""
