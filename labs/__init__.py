"""Labs: small networks built with netd that show, step by step, how container networking works."""
