"""How ledgers of older versions become ledgers of this one; run by the program itself, never by hand."""
