"""The monitor: pages that answer a question each; it reads the ledger and asks the running process, nothing else."""
