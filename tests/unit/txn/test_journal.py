"""The journal: it comes back as it was written, a torn tail is the end, every other damage is refused and keeps
everything."""

from __future__ import annotations

import contextlib
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.command_line import cli
from kit.faulty_runs import Server
from kit.scenarios import Scenario
from kit.trees import differ, tree, without_ours

from zapz.errors import JournalError
from zapz.format.metadata import ChunkKeys
from zapz.txn import journal, records
from zapz.txn.extents import Extent
from zapz.txn.journal import Document, Intent

names = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda n: n not in {".", ".."}
)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
spans = st.lists(
    st.tuples(st.integers(0, 1 << 62), st.integers(0, 1 << 62)).map(lambda s: (min(s), max(s))), max_size=4
).map(tuple)
chunk_keys = st.builds(ChunkKeys, style=st.sampled_from(["default", "v2"]), separator=st.sampled_from(["/", "."]))
intents = st.builds(
    Intent,
    id=st.from_regex(r"[0-9A-Za-z][0-9A-Za-z_-]{0,15}", fullmatch=True),
    made_root=st.booleans(),
    base=st.dictionaries(paths, st.none() | digests, max_size=4),
    documents=st.lists(st.builds(Document, key=paths, digest=digests), max_size=4).map(tuple),
    extents=st.lists(st.builds(Extent, path=paths | st.just(""), keys=chunk_keys, spans=spans), max_size=3).map(tuple),
    existing=st.lists(paths, max_size=5).map(tuple),
    folders=st.lists(paths, max_size=5).map(tuple),
)


def bytes_of(intent: Intent) -> bytes:
    """Return a journal's bytes."""
    return b"".join(journal.write(intent))


@given(intents, st.lists(paths, max_size=3))
def test_round_trip(intent: Intent, foreign: list[str]) -> None:
    """Reading gives what was written, foreign keys included."""
    data = bytes_of(intent) + b"".join(journal.foreign(key) for key in foreign)
    found = journal.read(data, "j")
    assert found is not None
    assert found.foreign == tuple(foreign)
    assert bytes_of(found) == bytes_of(intent)
    assert (found.id, found.made_root, dict(found.base)) == (intent.id, intent.made_root, dict(intent.base))
    assert (found.documents, found.extents, found.existing, found.folders) == (
        intent.documents,
        intent.extents,
        intent.existing,
        intent.folders,
    )


def test_many_existing_keys() -> None:
    """More keys than one record holds."""
    intent = Intent(
        id="t",
        made_root=False,
        base={},
        documents=(),
        extents=(),
        existing=tuple(f"a/{n}" for n in range(2500)),
        folders=tuple(f"f/{n}" for n in range(1001)),
    )
    assert journal.read(bytes_of(intent), "j") == intent
    assert len(dict(intent.staged())) == 2500


@given(intents)
def test_staged_names_differ(intent: Intent) -> None:
    """Every key that is replaced has a staged name of its own; documents are installed last, in their order."""
    staged = list(intent.staged())
    assert len({name for name, _ in staged}) == len(staged)
    assert [key for _, key in staged] == [*intent.existing, *(d.key for d in intent.documents)]


@given(intents, st.data())
@settings(max_examples=40)
def test_torn_tail(intent: Intent, data: st.DataObject) -> None:
    """Cut anywhere, filled up with zeros or not: the intent was never complete; cut in what follows it: it stands."""
    whole = bytes_of(intent)
    tail = journal.foreign("a/b")
    cut = data.draw(st.integers(0, len(whole) - 1))
    zeros = bytes(data.draw(st.sampled_from([0, 1, 100])))
    padding = zeros if cut == 0 or cut >= len(records.MAGIC) else b""
    assert journal.read(whole[:cut] + padding, "j") is None
    cut = data.draw(st.integers(0, len(tail) - 1))
    found = journal.read(whole + tail[:cut] + zeros, "j")
    assert found is not None
    assert found.foreign == ()


def small() -> Intent:
    """Return an intent with every kind of record."""
    keys = ChunkKeys(style="v2", separator=".")
    return Intent(
        id="t1",
        made_root=False,
        base={".zgroup": "0" * 64},
        documents=(Document(key="a/.zarray", digest="1" * 64),),
        extents=(Extent(path="a", keys=keys, spans=((1, 2),)),),
        existing=("a/0",),
        folders=("a",),
    )


def test_torn_at_every_byte() -> None:
    """The same, at every byte of one journal."""
    whole = bytes_of(small())
    for cut in range(len(whole)):
        assert journal.read(whole[:cut], "j") is None, cut


def test_every_flipped_bit() -> None:
    """A flipped bit is refused; only in the last record may it pass for a torn tail. It never yields another intent,
    nor hides a whole one."""
    whole = bytes_of(small())
    last = whole.rindex(b'{"type":"ready"') - 8
    problems = []
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        try:
            found: Any = journal.read(bytes(data), "j")
        except JournalError:
            continue
        if found is not None:
            problems.append(f"bit {bit}: accepted")
        elif bit // 8 < last:
            problems.append(f"byte {bit // 8}, bit {bit % 8}: taken for a torn tail, although records follow")
    assert not problems, f"{len(problems)}: {problems[:8]}"


def test_flipped_bit_before_foreign_records() -> None:
    """What follows the intent does not make damage within it harmless."""
    whole = bytes_of(small())
    data = whole + journal.foreign("a/1")
    for at in range(whole.rindex(b'{"type":"ready"'), len(whole)):
        flipped = bytearray(data)
        flipped[at] ^= 4
        with pytest.raises(JournalError):
            journal.read(bytes(flipped), "j")


@pytest.mark.parametrize(
    "line", [b"zapz journal 2\n", b"zapz journal 10\n", b"something else\n", b"\x89PNG\r\n\x1a\n........"]
)
def test_other_header(line: bytes) -> None:
    """A newer version, or no journal at all."""
    with pytest.raises(JournalError) as caught:
        journal.read(bytes_of(small()).replace(records.MAGIC, line), "place/journal")
    assert "place/journal" in str(caught.value)
    assert caught.value.exit_code == 9


def forged(change: Callable[[dict[str, Any]], None], *more: dict[str, Any]) -> bytes:
    """Return a journal with right checksums and changed content."""
    begin = records.split(bytes_of(small()), "j")[0]
    change(begin)
    rest = more or ({"type": "existing", "keys": ["a/0"]}, {"type": "ready", "existing": 1})
    return records.MAGIC + records.frame(begin) + b"".join(records.frame(record) for record in rest)


EVIL = ["../x", "/etc/passwd", "a/../../x", "a//b", "a\\b", "a\0b", ".", "a/.", 7, None, ["a"]]


@pytest.mark.parametrize("key", EVIL)
def test_keys_outside_the_target(key: Any) -> None:
    """In any place of a journal: refused."""

    def into(where: str) -> Callable[[dict[str, Any]], None]:
        values = {
            "base": {str(key): None},
            "documents": [[key, "1" * 64]],
            "extents": [[key, "v2", ".", [[0, 1]]]],
            "id": key,
        }
        return lambda begin: begin.update({where: values[where]})

    wheres = ["documents", "extents", "id"] + (["base"] if isinstance(key, str) else [])
    for where in wheres:
        with pytest.raises(JournalError):
            journal.read(forged(into(where)), "j")
    for record in ({"type": "existing", "keys": [key]}, {"type": "folders", "keys": [key]}):
        with pytest.raises(JournalError):
            journal.read(forged(lambda _: None, record, {"type": "ready", "existing": 1}), "j")
    with pytest.raises(JournalError):
        journal.read(forged(lambda _: None, {"type": "ready", "existing": 0}, {"type": "foreign", "key": key}), "j")


@pytest.mark.parametrize(
    "change",
    [
        {"extents": [["a", "v2", "..", [[0, 1]]]]},
        {"extents": [["a", "v4", ".", [[0, 1]]]]},
        {"extents": [["a", "v2", ".", [[-1, 1]]]]},
        {"extents": [["a", "v2", ".", [[2, 1]]]]},
        {"extents": [["a", "v2", ".", [["x", 1]]]]},
        {"extents": [["a", "v2"]]},
        {"extents": 3},
        {"base": []},
        {"base": {"a": 3}},
        {"documents": [["a"]]},
        {"id": "a/b"},
        {"id": ""},
        {"id": ".."},
        {"id": "-a"},
        {"id": "a b"},
        {"id": "a\n"},
        {"id": "ä"},
        {"id": "a" * 65},
        {"documents": [["a", 3]]},
        {"extents": [["a", "v2", ".", [[0, 1.5]]]]},
        {"extents": [["a", "v2", ".", [[False, True]]]]},
        {"type": "other"},
    ],
)
def test_nonsense(change: dict[str, Any]) -> None:
    """Right checksums do not make sense of it."""
    with pytest.raises(JournalError):
        journal.read(forged(lambda begin: begin.update(change)), "j")


def test_records_in_the_wrong_order() -> None:
    """Two beginnings, none, a wrong count, unknown records, records that are no objects."""
    good = records.split(bytes_of(small()), "j")
    begin, existing, folders, ready = good
    for bad in (
        [begin, begin, ready],
        [existing, begin, ready],
        [ready],
        [begin, existing, {"type": "ready", "existing": 2}],
        [begin, {"type": "new thing"}, ready],
        [begin, ready, folders],
        [begin, {"type": "foreign", "key": "a/1"}, ready],
        [{}],
    ):
        with pytest.raises(JournalError):
            journal.read(records.MAGIC + b"".join(records.frame(r) for r in bad), "j")
    payload = b"[1]"
    with pytest.raises(JournalError):
        journal.read(
            records.MAGIC
            + len(payload).to_bytes(4, "little")
            + zlib.crc32(payload).to_bytes(4, "little")
            + payload
            + records.frame(ready),
            "j",
        )


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """Whatever lies there: an intent, nothing, or ``JournalError``; never another exception."""
    for start in (b"", records.MAGIC):
        with contextlib.suppress(JournalError):
            journal.read(start + data, "j")
    with contextlib.suppress(JournalError):
        journal.read_decision(data, "t", "d")


def test_decisions() -> None:
    """They come back; any flipped bit or cut, and another transaction's, is refused."""
    data = journal.decision("t", "commit")
    assert journal.read_decision(data, "t", "d") == "commit"
    assert journal.read_decision(journal.decision("t", "abort"), "t", "d") == "abort"
    with pytest.raises(JournalError):
        journal.read_decision(data, "u", "d")
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(JournalError):
            journal.read_decision(bytes(flipped), "t", "d")
    for cut in range(len(data)):
        with pytest.raises(JournalError):
            journal.read_decision(data[:cut], "t", "d")


# -- in a target -----------------------------------------------------------------------------------------------------


def crashed(scenario: Scenario, server: Server, target: Path, *, decided: bool) -> Path:
    """Crash an append just before or some way after its decision; return its folder."""
    scenario.fresh(target)
    done = server.run(
        "append", scenario.fresh(target.with_name("count.zarr")), scenario.slice, settings=scenario.settings
    )
    shutil.rmtree(target.with_name("count.zarr"))
    log = done["log"]
    point = next(n for n, line in enumerate(log, 1) if line.startswith("link ") and line.endswith("/decision"))
    if decided:
        point = [n for n, line in enumerate(log, 1) if line.startswith("replace ")][-2] + 1
    server.run("append", target, scenario.slice, settings=scenario.settings, kill=point)
    return next((target / ".zapz/txn").iterdir())


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("command", ["recover", "append"])
def test_damage_is_refused_and_keeps_everything(
    command: str, decided: bool, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """A damaged or newer journal, or decision: exit code 9, nothing touched."""
    scenario = scenario_of("misaligned-v2")
    target = tmp_path / "cube.zarr"
    folder = crashed(scenario, server, target, decided=decided)
    whole = (folder / "journal").read_bytes()
    middle = whole.index(b'"documents"')
    damage = {
        "journal": [
            whole[:middle] + b"?" + whole[middle + 1 :],
            whole.replace(b"journal 1", b"journal 2"),
            b"hello, world, what is this?",
        ]
    }
    if decided:
        good = (folder / "decision").read_bytes()
        damage["decision"] = [good[:-1], b"", good.replace(b"commit", b"cammit")]
    for name, versions in damage.items():
        good = (folder / name).read_bytes()
        for data in versions:
            (folder / name).write_bytes(data)
            was = {k: v for k, v in tree(target).items() if k != ".zapz/head"}
            said = cli("recover", target) if command == "recover" else cli("append", target, scenario.slice)
            assert said.code == 9, (name, data[:40], said)
            assert "Traceback" not in said.err
            assert name in said.err
            now = {k: v for k, v in tree(target).items() if k != ".zapz/head"}
            assert now == was, differ(now, was)
        (folder / name).write_bytes(good)
    assert cli("recover", target).code == 0
    assert tree(target) == (scenario.new if decided else scenario.old)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "zeros"])
def test_damaged_end_of_a_journal_that_was_acted_on(
    damage: str, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """A decision proves that the journal was complete: a torn tail is damage then, and must not throw away a half-
    applied commit."""
    scenario = scenario_of("misaligned-v2")
    target = tmp_path / "cube.zarr"
    folder = crashed(scenario, server, target, decided=True)
    whole = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(
        {"cut": whole[:-3], "flip": whole[:-2] + b"!}", "empty": b"", "zeros": bytes(len(whole))}[damage]
    )
    was = without_ours(tree(target)), tree(folder)
    assert was[0] not in (scenario.old, scenario.new)
    said = cli("recover", target)
    assert said.code == 9, said
    assert (without_ours(tree(target)), tree(folder)) == was


def test_torn_journal_was_never_begun(scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path) -> None:
    """Cut at every byte, with nothing else written: recovery just tidies up."""
    scenario = scenario_of("misaligned-v2")
    target = tmp_path / "cube.zarr"
    folder = crashed(scenario, server, target, decided=False)
    whole = (folder / "journal").read_bytes()
    shutil.rmtree(target)
    scenario.fresh(target)
    for cut in range(0, len(whole), 29):
        folder.mkdir(parents=True)
        (folder / "journal").write_bytes(whole[:cut])
        assert cli("recover", target).code == 0
        assert tree(target) == scenario.old


@pytest.mark.parametrize("key", ["../outside/file", "data/../../outside/file", "ABSOLUTE"])
@pytest.mark.parametrize("where", ["extents", "documents", "existing", "base", "id"])
def test_evil_journal_touches_nothing_outside(
    where: str, key: str, scenario_of: Callable[[str], Scenario], tmp_path: Path
) -> None:
    """Exit code 9; the file that it names is still there."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"precious")
    (outside / "file.0").write_bytes(b"precious")
    key = key.replace("ABSOLUTE", str(outside / "file"))
    begin: dict[str, Any] = {
        "type": "begin",
        "id": "evil",
        "made_root": False,
        "base": {},
        "documents": [],
        "extents": [],
    }
    existing: list[str] = []
    if where == "extents":
        begin["extents"] = [[key, "v2", ".", [[0, 1]]], [key.rpartition("/")[0], "default", ".", [[0, 1]]]]
    elif where == "documents":
        begin["documents"] = [[key, "1" * 64]]
    elif where == "base":
        begin["base"] = {key: None}
    elif where == "id":
        begin["id"] = key
    else:
        existing = [key]
    folder = target / ".zapz/txn/evil"
    (folder / "stage").mkdir(parents=True)
    (folder / "stage/000001").write_bytes(b"evil")
    (folder / "000001").write_bytes(b"evil")
    (folder / "journal").write_bytes(
        records.MAGIC
        + records.frame(begin)
        + records.frame({"type": "existing", "keys": existing})
        + records.frame({"type": "ready", "existing": len(existing)})
    )
    for decision in (None, "commit", "abort"):
        if decision is not None:
            (folder / "decision").write_bytes(journal.decision(begin["id"] if where == "id" else "evil", decision))  # type: ignore[arg-type]
        was = tree(outside)
        said = cli("recover", target)
        assert said.code == 9, said
        assert tree(outside) == was
        assert without_ours(tree(target)) == scenario.old


def test_journal_in_another_transactions_folder(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """A journal that says it is another transaction's is damaged: following it would write elsewhere."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    folder = target / ".zapz/txn/one"
    folder.mkdir(parents=True)
    (folder / "journal").write_bytes(bytes_of(Intent(id="two", made_root=False, base={}, documents=(), extents=())))
    said = cli("recover", target)
    assert said.code == 9, said
    assert without_ours(tree(target)) == scenario.old


@pytest.mark.parametrize("key", ["data/.zarray", ".zapz/head", ".zgroup"])
def test_journal_that_names_what_is_no_chunk(key: str, scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """Extents yield chunk keys alone: from integers, so that no journal can remove a document."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    folder = target / ".zapz/txn/evil"
    folder.mkdir(parents=True)
    begin = {
        "type": "begin",
        "id": "evil",
        "made_root": False,
        "base": {},
        "documents": [],
        "extents": [[key, "v2", ".", [[0, 2]]]],
    }
    (folder / "journal").write_bytes(
        records.MAGIC + records.frame(begin) + records.frame({"type": "ready", "existing": 0})
    )
    said = cli("recover", target)
    assert said.code in {0, 6, 9}, said
    assert "Traceback" not in said.err
    assert without_ours(tree(target)) == scenario.old


@pytest.mark.parametrize("what", ["transaction", "stage", "txn"])
def test_linked_journal_folders(what: str, scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """A link in place of the journal's folders: nothing at its other end is removed."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    outside = tmp_path / "outside"
    (outside / "more").mkdir(parents=True)
    (outside / "precious").write_bytes(b"precious")
    (outside / "more/precious").write_bytes(b"precious")
    link = target / {"transaction": ".zapz/txn/one", "stage": ".zapz/txn/one/stage", "txn": ".zapz/txn"}[what]
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    was = tree(outside)
    for said in (cli("recover", target), cli("append", target, scenario.slice)):
        assert "Traceback" not in said.err
        assert tree(outside) == was, said


def test_array_folder_that_became_a_link(
    scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Between crash and recovery an array's folder was moved away and linked: what lies there now is not removed
    unasked."""
    scenario = scenario_of("aligned-v2")
    target = tmp_path / "cube.zarr"
    crashed(scenario, server, target, decided=False)
    outside = tmp_path / "outside"
    (target / "data").rename(outside)
    (outside / "1.0.0").write_bytes(b"precious")
    (target / "data").symlink_to(outside)
    was = tree(outside)
    said = cli("recover", target)
    assert "Traceback" not in said.err
    assert tree(outside) == was, said


def test_journal_is_json_inside() -> None:
    """The records can be read by eye, which is what a person does who is asked for help."""
    for record in records.split(bytes_of(small()), "j"):
        assert json.loads(json.dumps(record)) == record
