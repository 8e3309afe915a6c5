"""The order in which tasks are handed out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zapdeploy.explore.tasks import Task, networks_first


@given(st.lists(st.sampled_from("abcd")))
def test_every_network_is_begun_before_any_goes_on(networks: list[str]) -> None:
    tasks = [Task(network, (), attempt) for attempt, network in enumerate(networks)]
    found = networks_first(tasks)
    kinds = len(set(networks))
    assert sorted(found, key=lambda task: task.attempt) == tasks
    assert [t.network for t in found[:kinds]] == list(dict.fromkeys(networks))
    assert found[kinds:] == [t for t in tasks if t not in found[:kinds]]
