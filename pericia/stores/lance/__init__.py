"""LanceDB, embedded: one table on disk for each embedder, with vectors and full text beside each other.

store   the store as others see it
rows    entries as rows, rows as hits, and which rows a search may rank
"""
