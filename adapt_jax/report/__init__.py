"""Results for people: the table, the page and the figures."""
