"""PostgreSQL with pgvector: an index that a team shares, on a server that it has already.

store        the store as others see it
statements   the SQL: tables, BM25 over postings, exact and near search, who may read a row
connection   reaching the server, and what an index folder remembers of it
"""
