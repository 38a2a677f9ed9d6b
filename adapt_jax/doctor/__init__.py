"""Job: what can be wrong with a finished run although it printed numbers."""
