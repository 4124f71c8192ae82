"""GraphQL over HTTP: the path of a request from its first byte to its response."""
