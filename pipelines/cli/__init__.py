"""The command line: one file for a family of commands, each imported only when it is called."""
