from resolvers.rules.access import MUTATIONS, READS, Need, at_least, need_of_field
from storage.vocabulary import Role


def test_each_role_may_what_those_before_it_may() -> None:
    roles = list(Role)
    for place, role in enumerate(roles):
        assert [at_least(role, needed) for needed in roles] == [other <= place for other in range(len(roles))]


def test_a_field_without_an_entry_needs_what_nobody_has() -> None:
    assert need_of_field("Model", "secretSauce") is None
    assert need_of_field("Nothing", "id") is None
    assert need_of_field("Model", "name") is Need.VIEWER


def test_only_needs_that_are_roles_are_held_in_projects() -> None:
    assert {need.role for need in Need} == {*Role, None}
    assert Need.OWNER.role is Need.INSTANCE.role is None
    assert all(need not in (Need.OPEN, Need.ANYONE, Need.VIEWER) for need in MUTATIONS.values())


def test_no_field_stands_in_the_table_twice() -> None:
    for of, needs in READS.items():
        fields = [field for fields in needs.values() for field in fields.split()]
        assert len(fields) == len(set(fields)), of
