"""Reads that are quick, and reads that take long."""

READ = "{ __typename }"


SLOW = "{ projects(first: 1) { nodes { id } } }"
