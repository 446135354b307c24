"""A dataset is served while an append to it is killed: old or new, by a server that runs and by one that starts then."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import cubes
from kit.crash_states import become, look, recorded
from kit.scenarios import Scenario, equal, other_tool_appends, values
from kit.serving import Core, StatusError

import zapz
from zapz.server import growing

SCENARIOS = [
    "new-v2",
    "new-v3",
    "aligned-v2",
    "aligned-v3",
    "misaligned-v2",
    "misaligned-v3",
    "sharded-v3",
    "stale-v2",
    "levels-v2",
]


def served(core: Core) -> dict[str, cubes.Values] | None:
    """Read all arrays through the core; None if it says that there is nothing that can be served."""
    answer = core.ask("/cube/.zgroup")
    if answer.status // 100 == 5:
        assert core.ask("/cube/zarr.json").status // 100 == 5
        assert core.ask("/cube/").status // 100 == 5
        return None
    return core.read("/cube")


def readings(scenario: Scenario, after: Path) -> tuple[dict[str, cubes.Values] | None, dict[str, cubes.Values] | None]:
    """Return what plain readers see before and after."""
    if (after / "0.zarr").exists():
        found = [
            {f"{n}.zarr/{name}": value for n in range(3) for name, value in cubes.read(path / f"{n}.zarr").items()}
            for path in (scenario.before, after)
        ]
        return found[0], found[1]
    return values(scenario.before, zarr_format=scenario.zarr_format), values(after, zarr_format=scenario.zarr_format)


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_operation(
    name: str, scenario_of: Callable[[str], Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "_PAUSE", 0.0)
    scenario = scenario_of(name)
    target = tmp_path / "cube.levels" if name.startswith("levels") else tmp_path / "cube.zarr"
    scenario.fresh(target)
    states = recorded(target, lambda: zapz.append(target, scenario.slice, **scenario.settings))
    old, new = readings(scenario, target)
    done = look(target)
    become(target, states[0])
    if name.startswith("new"):
        target.mkdir()
    running = Core({"cube": target})
    seen: list[str] = []
    for state in (*states, done):
        become(target, state)
        target.mkdir(exist_ok=True)
        for core in (running, Core({"cube": target})):
            found = served(core)
            which = (
                "new" if equal(found, new) else "old" if equal(found, old) else "none" if found is None else "mixture"
            )
            assert which != "mixture", (len(seen), core is running)
            if core is running:
                assert which == ("new" if "new" in seen else which), "it does not go back"
                assert which != "none" or old is None or name.startswith("levels"), (
                    "a server that runs has the old state"
                )
                seen.append(which)
            else:
                assert which in ({seen[-1]} if not name.startswith("levels") else {"none", "old", "new"}), (
                    "a server that starts sees the same"
                )
    assert seen[-1] == "new"
    assert len(seen) > 10
    assert seen[0] == "old"
    become(target, states[-2] if len(states) > 1 else states[-1])
    zapz.recover(target)
    assert equal(served(running), new)


def test_without_consolidated_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays flip one after another: what is published fits together, and a server that starts then waits."""
    monkeypatch.setattr(growing, "_PAUSE", 0.0)
    monkeypatch.setattr(growing, "_AGAIN", 0.0)
    target = tmp_path / "cube.zarr"
    settings: dict[str, Any] = {"label_chunk": "keep", "consolidated": False, "workers": 1}
    for start in (0, 3):
        cubes.make_slice(tmp_path / f"s{start}", zarr_format=2, start=start, chunks=(1, 4, 6), static=False)
    zapz.append(target, tmp_path / "s0", **settings)
    old = cubes.read(target)
    states = recorded(target, lambda: zapz.append(target, tmp_path / "s3", **settings))
    new = cubes.read(target)
    become(target, states[0])
    running = Core({"cube": target}, refresh=0.0)
    seen: list[str] = []
    for state in states:
        become(target, state)
        decided = any(key.endswith("/decision") for key in state)
        for core in (running, Core({"cube": target})):
            found = served(core)
            which = (
                "new" if equal(found, new) else "old" if equal(found, old) else "none" if found is None else "mixture"
            )
            assert which != "mixture", (len(seen), core is running)
            assert core is running or which == ("none" if decided else seen[-1]), "what was decided is applied first"
            if core is running:
                assert which != "none"
                seen.append(which)
    served(running)  # documents must be seen twice
    assert equal(served(running), new)
    assert seen[0] == "old"


def test_a_foreign_append_is_served_once_whole(tmp_path: Path) -> None:
    """Another tool resizes, writes, and consolidates last."""
    for zarr_format in (2, 3):
        target = tmp_path / f"cube{zarr_format}.zarr"
        cubes.make_slice(target, zarr_format=zarr_format, steps=3, chunks=(1, 4, 6), consolidated=True)
        old = cubes.read(target)
        core = Core({"cube": target})
        seen: list[int] = []

        def look_at(
            target: Path = target, core: Core = core, old: dict[str, cubes.Values] = old, seen: list[int] = seen
        ) -> None:
            found = core.read("/cube")
            seen.append(len(found["time"]))
            assert len(found["data"]) == seen[-1]
            if seen[-1] == 3:
                cubes.same(found, old)
            else:
                cubes.same(found, cubes.read(target))

        states = _states_of(
            target,
            lambda target=target, zarr_format=zarr_format: other_tool_appends(target, 2, zarr_format=zarr_format),
        )
        for state in states:
            become(target, state)
            look_at()
        assert seen[0] == 3
        assert seen[-1] == 5
        assert seen == sorted(seen)


def _states_of(target: Path, run: Callable[[], None]) -> list[dict[str, tuple[bytes | None, int]]]:
    """Return the states of a folder before, after and during what zarr-python does, which calls no function of ours."""
    from zarr.storage import LocalStore

    states = [look(target)]
    real = LocalStore._put_impl if hasattr(LocalStore, "_put_impl") else LocalStore.set

    async def put(self: LocalStore, *args: object, **more: object) -> object:
        answer = await real(self, *args, **more)
        states.append(look(target))
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStore, real.__name__, put)
        run()
    states.append(look(target))
    assert len(states) > 5
    return states


def test_a_torn_reading_would_be_noticed(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """The control: whoever reads each array's own document sees mixtures in the same states."""
    scenario = scenario_of("aligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    states = recorded(target, lambda: zapz.append(target, scenario.slice, **scenario.settings))
    lengths = []
    for state in states:
        become(target, state)
        found = cubes.read(target)
        lengths.append((len(found["time"]), len(found["data"])))
    assert any(a != b for a, b in lengths)
    shutil.rmtree(target)
    assert (
        Core({"cube": tmp_path / "other"} if (tmp_path / "other").mkdir() else {"cube": tmp_path}).ask("/cube/").status
        // 100
        == 5
    )
    with pytest.raises(StatusError):
        Core({"cube": tmp_path}).read("/cube", ["x"])
