"""GraphQL documents that several tests send."""


def creating_version(selection: str = "id version") -> str:
    """The document that registers a version, with what it shall answer of it."""
    return f"""mutation($input: CreateVersionInput!) {{ createVersion(input: $input) {{
        warnings version {{ {selection} }} }} }}"""


CREATE_PROJECT = "mutation($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }"
CREATE_MODEL = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }"
CREATE_VERSION = creating_version()


DEPLOYMENT = """id name status strategy environment trafficPercentage currentStage nextAdvanceAt previous { name }
    canary { autoAdvance autoRollback failureThreshold healthRequired maxHealthAgeMinutes
        stages { trafficPercentage durationMinutes } }
    version { version model { id } } events { kind trafficPercentage actor reason } health { healthy metrics }"""


DEPLOY = f"""mutation($input: CreateDeploymentInput!) {{ createDeployment(input: $input) {{
    deployment {{ {DEPLOYMENT} }} }} }}"""


REPORT = f"""mutation($input: ReportDeploymentHealthInput!) {{ reportDeploymentHealth(input: $input) {{
    deployment {{ {DEPLOYMENT} }} }} }}"""


ADD_TAGS = "mutation($input: TagsInput!) { addTags(input: $input) { warnings version { tags } } }"


REMOVE_TAGS = "mutation($input: TagsInput!) { removeTags(input: $input) { warnings version { tags } } }"
