"""The command line: Docker's verbs, spoken to the daemon over its unix socket."""
