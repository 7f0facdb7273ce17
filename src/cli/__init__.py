"""The arguments of every command; importing the modules of this package registers them."""
