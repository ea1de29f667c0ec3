"""What may be said: the messages of the five actors, the tracepoints, scenarios and results."""
