from resolvers.rules.access import Need, at_least
from storage.vocabulary import Role


def test_each_role_may_what_those_before_it_may() -> None:
    roles = list(Role)
    for place, role in enumerate(roles):
        assert [at_least(role, needed) for needed in roles] == [other <= place for other in range(len(roles))]


def test_only_needs_that_are_roles_are_held_in_projects() -> None:
    assert {need.role for need in Need} == {*Role, None}
    assert Need.OWNER.role is Need.INSTANCE.role is None
