"""Slugs and exposed names."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.naming import EXPOSED, RESERVED_SLUGS, SLUG, exposed_name, slug_of

names = st.text(min_size=1, max_size=100)
slugs = st.from_regex(SLUG, fullmatch=True)
tools = st.text(min_size=1, max_size=150)


class TestASlug:
    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("time", "time"),
            ("My Docs", "my-docs"),
            ("Müller Docs 2", "muller-docs-2"),
            ("ＤＯＣＳ", "docs"),
            ("a_b", "a-b"),
            ("a__b.c", "a-b-c"),
            ("-x-", "x"),
            ("3scale", "s-3scale"),
            ("io.github.user/server", "io-github-user-server"),
        ],
    )
    def test_follows_from_the_name(self, name: str, slug: str) -> None:
        assert slug_of(name) == slug

    @pytest.mark.parametrize("name", ["时间服务器", "天气", "42", "🕐", "__", "  "])
    def test_of_a_name_without_latin_letters_is_a_hash_of_it(self, name: str) -> None:
        assert SLUG.fullmatch(slug_of(name))
        assert slug_of(name).startswith("s-")
        assert len(slug_of(name)) == 10

    def test_tells_chinese_names_apart(self) -> None:
        assert slug_of("时间服务器") != slug_of("天气服务器")

    def test_of_a_long_name_is_cut_and_tells_what_was_cut_apart(self) -> None:
        one, two = slug_of("documentation of the first product"), slug_of("documentation of the second product")
        assert one != two
        assert one.startswith("documentation-")
        assert len(one) == len(two) == 24

    @given(names)
    @example("İstanbul")
    @example("ß" * 30)
    @example("a" + "-" * 40 + "b")
    def test_is_always_legal(self, name: str) -> None:
        assert SLUG.fullmatch(slug_of(name))

    @given(slugs.filter(lambda slug: not slug.endswith("-") and "--" not in slug))
    def test_is_its_own_slug(self, slug: str) -> None:
        assert slug_of(slug) == slug

    def test_reserved_words_are_slugs(self) -> None:
        assert all(SLUG.fullmatch(word) for word in RESERVED_SLUGS)


class TestAnExposedName:
    def test_is_slug_and_tool_where_that_is_legal(self) -> None:
        assert exposed_name("time", "get_current_time") == "time__get_current_time"
        assert exposed_name("a", "x" * 61) == "a__" + "x" * 61

    def test_of_what_is_not_legal_is_cut_and_carries_a_hash(self) -> None:
        assert exposed_name("a", "x.y") == "a__x_y_plhe5kr6"
        assert exposed_name("a", "x" * 62) == "a__" + "x" * 52 + "_" + exposed_name("a", "x" * 62)[-8:]
        assert len(exposed_name("a", "x" * 62)) == 64

    @given(slugs, tools)
    @example("s" * 24, "工具" * 30)
    @example("a", "")
    @example("a", "\ud800")
    def test_is_always_legal_for_the_strictest_model_api(self, slug: str, tool: str) -> None:
        assert EXPOSED.fullmatch(exposed_name(slug, tool))

    @given(st.sets(st.tuples(slugs, tools), max_size=30))
    @pytest.mark.trap(38)
    def test_belongs_to_one_tool_of_one_server(self, pairs: set[tuple[str, str]]) -> None:
        assert len({exposed_name(slug, tool) for slug, tool in pairs}) == len(pairs)

    @pytest.mark.point(30)
    @pytest.mark.trap(38)
    def test_survives_prefixes_separators_case_and_length(self) -> None:
        """Servers that are each other's prefix; tools that begin with the separator, hold it, differ in case, in a
        character that is not legal, or after the 64th character alone.
        """
        servers = ["a", "a-b", "a-", "a-b-c", "ab", "s" * 24]
        long = "x" * 80
        offered = [
            *("b__c", "__c", "_c", "c", "b-c", "-b__c", "get", "Get", "GET", "a__get", "a-b__get"),
            *("x.y", "x/y", "x y", "x:y", "x_y", "时间", "天气", "_" * 2),
            *(long, long + "a", long + "b", long.upper(), long[:61], long[:62], "x" * 52 + "." + "x" * 20),
        ]
        pairs = list(product(servers, offered))
        assert len({exposed_name(slug, tool) for slug, tool in pairs}) == len(pairs)

    @given(slugs, slugs, tools)
    def test_depends_on_its_own_server_alone(self, slug: str, other: str, tool: str) -> None:
        """The slug ends at the first underscore, so no other server can ever take the name."""
        name = exposed_name(slug, tool)
        assert name.partition("_")[0] == slug
        assert (name == exposed_name(other, tool)) is (slug == other)
