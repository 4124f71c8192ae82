"""GraphQL over HTTP: the way of a request from its first byte to its answer."""
