"""Published results: as data, trained and evaluated here, and compared with what was published."""
