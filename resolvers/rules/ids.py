"""Which ids the registry reserves.

Ids are unique in the whole registry, also among projects that do not see each other. An id in use out of the caller's
sight is refused in the words of a reserved one.
"""

RESERVED = "lineal"


def is_reserved(id_: str) -> bool:
    return id_.partition("_")[2].startswith(RESERVED)
