"""Days that went wrong, recorded or laid over any history, and what must hold in each of their slices."""
