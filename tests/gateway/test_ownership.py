"""Who has a name that several servers offer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.ownership import owners

NAMES = st.lists(st.sampled_from("abcde"), max_size=5, unique=True)
OFFERS = st.dictionaries(st.sampled_from(["one", "two", "three", "four"]), NAMES)


@given(OFFERS)
def test_at_first_every_name_is_that_of_the_first_server_that_offers_it(offers: dict[str, list[str]]) -> None:
    for name, slug in owners(offers.items(), {}).items():
        assert slug == next(one for one, names in offers.items() if name in names)


@given(OFFERS, OFFERS)
def test_nobody_loses_a_name_while_offering_it_and_every_name_has_one_server_that_offers_it(
    earlier: dict[str, list[str]], offers: dict[str, list[str]]
) -> None:
    before = owners(earlier.items(), {})
    found = owners(offers.items(), before)
    assert found.keys() == {name for names in offers.values() for name in names}
    for name, slug in found.items():
        assert name in offers[slug]
        if name in offers.get(before.get(name, ""), ()):
            assert slug == before[name]
    assert owners(offers.items(), found) == found
