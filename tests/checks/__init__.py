"""Contract suites: one set of checks for all members of a kind, run over every one of them."""
