"""Result rows, files, tables and their aggregation over runs."""
