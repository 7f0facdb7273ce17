"""What each command of the command line does; one file a group, imported only when it runs."""
