"""Images, root file systems, OCI containers: all that leads to a process, nothing of networks."""
