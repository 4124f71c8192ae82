"""What depends on something: which versions were trained on data or came from others, and by which path each."""

from pathlib import Path

HERE = Path(__file__).parent
DEFAULT_PATHS, MAX_PATHS = 100, 1000

# The versions that the start is a reason for by itself, as CTEs that end in `direct`.
OF_DATA = (HERE / "impact_of_data.sql").read_text()
OF_EXPERIMENT = """direct (id, via) AS (
    SELECT v.id::text, ARRAY[start.id, v.id::text] FROM start JOIN versions v ON v.experiment_id = start.id
)"""
OF_VERSION = OF_EXPERIMENT.replace("experiment_id", "parent_id")

AFFECTED = "{c}.id = ANY (ARRAY(SELECT id FROM affected))"


def impact(start: str, direct: str) -> str:
    """The query that lists what is affected by the thing with this id, whose direct versions are these."""
    return (HERE / "impact.sql").read_text().replace("{start}", start).replace("{direct}", direct)
