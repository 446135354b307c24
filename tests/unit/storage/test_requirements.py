"""Requirements on documents: one comparison for all that was planned while documents were something."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zapz.storage.hierarchy import digest
from zapz.storage.requirements import Requirements

DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=2), max_size=4)


@given(DOCUMENTS, DOCUMENTS, DOCUMENTS)
def test_a_document_must_be_what_it_was_or_what_it_becomes(
    before: dict[str, bytes], here: dict[str, bytes], after: dict[str, bytes]
) -> None:
    keys = sorted({*before, *after})
    required = Requirements({key: digest(before.get(key)) for key in keys})
    becoming = {key: digest(data) or "" for key, data in after.items()}
    assert required.violations(here) == [key for key in keys if here.get(key) != before.get(key)]
    wrong = [
        key for key in keys if here.get(key) != before.get(key) and (key not in after or here.get(key) != after[key])
    ]
    assert required.violations(here, becoming) == wrong


@given(DOCUMENTS)
def test_documents_fulfil_what_is_required_of_them(documents: dict[str, bytes]) -> None:
    required = Requirements({key: digest(data) for key, data in documents.items()})
    assert required.violations(documents) == []
    for key, data in documents.items():
        assert required.violations({k: d for k, d in documents.items() if k != key}) == [key]
        assert required.violations({**documents, key: data + b"!"}) == [key]


def test_what_must_be_absent_must_be_absent() -> None:
    assert Requirements({"a": None}).violations({"b": b""}) == []
    assert Requirements({"a": None}).violations({"a": b""}) == ["a"]
