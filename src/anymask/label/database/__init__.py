"""The database of a store: the connection, its tables, and what keeps writers apart."""
