"""Job: a run as one directory that scores images without this package."""
