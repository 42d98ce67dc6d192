"""Images, root file systems and OCI containers: all that leads to a process, nothing of networks."""
