"""The ids that the registry reserves.

Ids are unique in the whole registry, even among projects that cannot see each other. An id in use that the caller
cannot see is refused with the same words as a reserved one.
"""

RESERVED = "lineal"


def is_reserved(id_: str) -> bool:
    return id_.partition("_")[2].startswith(RESERVED)
