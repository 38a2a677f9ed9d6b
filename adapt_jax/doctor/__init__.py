"""Job: finds mistakes in a finished run that its results do not show."""
