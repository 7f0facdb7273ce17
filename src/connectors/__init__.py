"""Each file here implements one port towards the outside: files, sockets, databases."""
