"""Rows to records: brackets from the known noise, critics beside them."""
