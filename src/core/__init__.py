"""Ground floor: the nouns, the rules and the spine; no input, no output, and it knows nobody."""
