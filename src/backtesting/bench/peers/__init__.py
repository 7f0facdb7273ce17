"""The same rule for other engines: each file is run by the interpreter of an environment in which that one stands."""
