"""The actions of the audit log with their meanings. A test finds an action that is recorded but not listed here."""

from collections.abc import Sequence
from difflib import get_close_matches

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import quoted

ACTIONS = {
    "alias.removed": "An alias of a model was removed.",
    "alias.set": "An alias of a model was set to a version, or moved to another one.",
    "card.updated": "Sections of a model card were changed.",
    "checkpoint.written": "A signed checkpoint of the audit log was written to a checkpoint file.",
    "dataset.created": "A data set was registered.",
    "dataset.updated": "The name or the description of a data set was corrected.",
    "datasetVersion.created": "A version of a data set was registered.",
    "datasetVersion.statusSet": "The status of a data set version was set, such as INVALID.",
    "deployment.advanced": "A rollout advanced to its next stage.",
    "deployment.completed": "A rollout completed; the deployment serves its whole share.",
    "deployment.created": "A deployment was created.",
    "deployment.paused": "A rollout was paused, by a person or because of bad health.",
    "deployment.restored": "A deployment serves again because the one that was to replace it was rolled back.",
    "deployment.resumed": "A paused rollout was resumed.",
    "deployment.retired": "A deployment ended and serves no more traffic.",
    "deployment.rolledBack": "A rollout was rolled back.",
    "deployment.unmanaged": "Traffic that nothing may serve was left unmanaged, because the deployment that served it"
    " before may not serve it again.",
    "deployment.yielded": "A deployment gave a share of its traffic to the one that replaces it.",
    "experiment.completed": "An experiment ended as COMPLETED or FAILED.",
    "experiment.created": "An experiment was created.",
    "experiment.updated": "The name or the notes of an experiment were corrected.",
    "key.created": "An API key was created.",
    "key.revoked": "An API key was revoked.",
    "key.rotated": "An API key was replaced by a new one with the same rights.",
    "member.removed": "A member was removed from a project.",
    "member.set": "A person or service got a role in a project, or another role.",
    "model.created": "A model was created.",
    "model.updated": "A model was corrected, archived or brought back.",
    "policy.changeApplied": "A change that loosens a policy took effect unconfirmed: after its time, or at once.",
    "policy.changeConfirmed": "A second person confirmed a change that loosens a policy, and it took effect.",
    "policy.changeRequested": "A change that loosens a policy was requested. It waits for a confirmation or its time.",
    "policy.changeWithdrawn": "A pending change of a policy was withdrawn.",
    "policy.updated": "Values of a project's policy changed.",
    "principal.administersSet": "The right to administer the instance was granted or revoked.",
    "principal.created": "A principal, a person or a service, was created.",
    "project.created": "A project was created.",
    "project.updated": "The name or the description of a project was corrected.",
    "signingKey.lost": "The key that signs checkpoints was replaced without an endorsement, because it was lost.",
    "signingKey.rotated": "The key that signs checkpoints was replaced, endorsed by the old key.",
    "tag.defined": "A tag of the project's vocabulary was defined or changed.",
    "transition.applied": "A transition request was fulfilled.",
    "transition.cancelled": "A transition request was cancelled.",
    "transition.expired": "A transition request expired before it was fulfilled.",
    "transition.rejected": "A transition request was rejected by a reviewer.",
    "transition.requested": "A transition was requested, for review.",
    "version.approved": "A reviewer approved a version for a stage.",
    "version.artifactMoved": "The artifact of a version was moved: the same bytes are at another location.",
    "version.created": "A version was registered.",
    "version.rejected": "A reviewer rejected a version for a stage.",
    "version.rolledBack": "A deployment of the version was rolled back.",
    "version.tagged": "Tags were added to a version.",
    "version.transitioned": "A version moved to another stage.",
    "version.untagged": "Tags were removed from a version.",
    "version.updated": "The description of a version was changed.",
    "webhook.created": "A webhook was created.",
    "webhook.deleted": "A webhook was deleted.",
    "webhook.disabled": "A webhook was disabled because all its deliveries failed for days.",
    "webhook.replayed": "Deliveries of a webhook were sent again.",
    "webhook.secretRotated": "The signing secret of a webhook was replaced.",
    "webhook.updated": "The URL, the actions, the description or the state of a webhook was changed.",
}
SUGGESTED, ALIKE = 3, 0.5


def known_actions(field: str, actions: Sequence[str]) -> list[str]:
    """The actions, which must all be in the list. BAD_USER_INPUT names the first that is not, and the nearest ones."""
    for place, action in enumerate(actions):
        if action not in ACTIONS:
            raise BadUserInput(f"{field}[{place}]", f"is {quoted(action)}; {_advice(action)}")
    return list(actions)


def _advice(action: str) -> str:
    nearest = get_close_matches(action, ACTIONS, SUGGESTED, ALIKE)
    nearest = nearest or [known for known in ACTIONS if known.partition(".")[0] == action.partition(".")[0]]
    listed = ", ".join(nearest or ACTIONS)
    return f"no event has that action. {'The nearest are' if nearest else 'Use one of'} {listed}."
