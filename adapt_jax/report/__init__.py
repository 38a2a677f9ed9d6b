"""What a person sees of results: the table, the page and the figures."""
