"""Job: from a checkpoint, or features, to result rows."""
