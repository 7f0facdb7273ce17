"""What the numbers of a run are worth: splits, tests and bounds that a result has to pass before anyone believes it."""
