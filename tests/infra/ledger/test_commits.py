from __future__ import annotations

import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import DamagedError, UserError
from infra.ledger.commits import (
    Marker,
    UnitAddress,
    check_unit,
    commit_unit,
    digest,
    digest_of_list,
    find_marker,
    outputs_location,
)
from infra.ledger.provenance import Provenance, Stopwatch
from infra.storage.location import Location
from infra.threads import in_threads, run_in_threads

OUTPUTS = {"table.parquet": b"rows", "zarr/c/0": b"chunk"}
SCOPE = "0123456789abcdef"


@pytest.fixture
def address(memory_location: Location) -> UnitAddress:
    return UnitAddress(memory_location, "features", 1, SCOPE, "a" * 32)


def provenance() -> Provenance:
    return Provenance.of(Stopwatch())


def commit(address: UnitAddress, outputs: dict[str, bytes] | None = None) -> Marker:
    return commit_unit(address, OUTPUTS if outputs is None else outputs, {"rows": 3}, provenance())


class TestDigest:
    def test_is_the_same_everywhere(self) -> None:
        assert digest("features", 1, {"b": 2.5, "a": None}, length=16) == "4f5fc945c49e675d"
        assert digest(("a", 1)) == digest(["a", 1])
        assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})

    def test_length(self) -> None:
        assert len(digest("x")) == 32
        assert len(digest("x", length=16)) == 16

    @pytest.mark.parametrize(
        ("first", "second"),
        [(("a", "b"), ("ab",)), ((1,), ("1",)), ((1,), (1.0,)), ((["a"], "b"), (["a", "b"],)), ((None,), ())],
    )
    def test_different_parts_differ(self, first: tuple[object, ...], second: tuple[object, ...]) -> None:
        assert digest(*first) != digest(*second)

    @given(st.text(), st.text())
    def test_any_text(self, first: str, second: str) -> None:
        assert (digest(first) == digest(second)) == (first == second)

    def test_what_has_no_canonical_form_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            digest(float("nan"))
        with pytest.raises(TypeError):
            digest({1, 2})


def test_a_unit_is_done_when_its_marker_is_there(location: Location) -> None:
    address = UnitAddress(location, "features", 1, SCOPE, "a" * 32)
    assert address.marker() is None
    marker = commit(address)
    assert address.marker() == marker
    assert find_marker(location, "features", f"{SCOPE}/{'a' * 32}") == marker
    folder = location / f"stages/features/{SCOPE}/{'a' * 32}"
    assert (folder / "_commit.json").exists()
    assert (folder / marker.content / "zarr/c/0").read_bytes() == b"chunk"
    assert outputs_location(address, marker) == outputs_location(location, marker) == folder / marker.content
    assert marker.record == {"rows": 3}
    assert marker.outputs["table.parquet"].bytes == 4
    assert marker.seconds >= 0
    assert marker.peak_memory_bytes > 1_000_000


def test_outputs_lie_in_a_folder_named_by_their_content(address: UnitAddress) -> None:
    marker = commit(address)
    other = dataclasses.replace(address, unit="b" * 32)
    assert commit(other).content == marker.content
    third = dataclasses.replace(address, unit="c" * 32)
    assert commit(third, {**OUTPUTS, "zarr/c/0": b"chunK"}).content != marker.content
    fourth = dataclasses.replace(address, unit="d" * 32)
    assert commit(fourth, {"table.parquet": b"rows", "zarr/c/1": b"chunk"}).content != marker.content


def test_the_first_of_two_runs_counts_and_nothing_mixes(address: UnitAddress) -> None:
    first = commit(address)
    second = commit(address, {"table.parquet": b"other", "extra": b"1"})
    assert second == first
    assert address.marker() == first
    assert sorted(address.folder.children()) == sorted(["_commit.json", first.content])
    assert check_unit(address.destination, first, deep=True) == []
    assert commit(address) == first


def test_racing_runs_agree(location: Location) -> None:
    address = UnitAddress(location, "features", 1, SCOPE, "a" * 32)
    start = threading.Barrier(4)

    def run(number: int) -> Marker:
        start.wait()
        return commit(address, {"x": str(number).encode()})

    with ThreadPoolExecutor(4) as pool:
        markers = list(pool.map(run, range(4)))
    assert all(marker == markers[0] for marker in markers)
    assert check_unit(location, markers[0], deep=True) == []


def test_the_marker_is_written_last(address: UnitAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Location, data: bytes) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Location, "put_if_absent", interrupted)
    with pytest.raises(KeyboardInterrupt):
        commit(address)
    assert address.marker() is None
    assert address.folder.is_prefix()


def test_a_marker_that_does_not_parse(address: UnitAddress) -> None:
    commit(address)
    place = address.folder / "_commit.json"
    place.write_bytes(place.read_bytes()[:-40])
    with pytest.raises(DamagedError, match=r"_commit\.json is damaged, it is not the record"):
        address.marker()


def test_a_marker_that_names_another_unit(address: UnitAddress) -> None:
    commit(address)
    other = dataclasses.replace(address, unit="b" * 32)
    (other.folder / "_commit.json").write_bytes((address.folder / "_commit.json").read_bytes())
    with pytest.raises(DamagedError, match="it names the unit features/"):
        other.marker()
    with pytest.raises(DamagedError, match="version 1 of its stage"):
        dataclasses.replace(address, stage_version=2).marker()


def test_a_marker_of_a_newer_layout(address: UnitAddress) -> None:
    content = commit(address).model_dump(mode="json") | {"layout": 3}
    (address.folder / "_commit.json").write_bytes(json.dumps(content).encode())
    with pytest.raises(UserError, match="written by a newer congeal"):
        address.marker()


def test_a_damaged_marker_is_replaced(address: UnitAddress) -> None:
    (address.folder / "_commit.json").write_bytes(b"{")
    marker = commit(address)
    assert address.marker() == marker


def test_check_unit_names_each_fault(address: UnitAddress) -> None:
    marker = commit(address, {"a": b"1", "b": b"22", "c": b"333", "d": b"4"})
    folder = outputs_location(address, marker)
    (folder / "a").delete()
    (folder / "b").write_bytes(b"2")
    (folder / "c").write_bytes(b"33x")
    shallow = check_unit(address.destination, marker, deep=False)
    cure = f": `congeal repair {address.destination}` removes it, and the next run makes it anew."
    assert shallow == [
        f"{folder}/a is damaged, it is missing{cure}",
        f"{folder}/b is damaged, it has 1 byte instead of 2{cure}",
    ]
    deep = check_unit(address.destination, marker, deep=True)
    assert deep == [
        *shallow,
        f"{folder}/c is damaged, its bytes are not those that were written (SHA-256 differs){cure}",
    ]


def test_check_unit_notices_an_edited_marker(address: UnitAddress) -> None:
    marker = commit(address)
    outputs = dict(marker.outputs)
    del outputs["zarr/c/0"]
    [fault] = check_unit(address.destination, marker.model_copy(update={"outputs": outputs}))
    assert "is not named by the digest of its outputs" in fault


def test_an_output_cannot_leave_the_unit(address: UnitAddress) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        commit(address, {"../../evil": b""})
    assert address.marker() is None


def test_the_same_run_writes_the_same_but_for_times(address: UnitAddress) -> None:
    first = commit(address).model_dump()
    (address.folder / "_commit.json").delete()
    second = commit(address).model_dump()
    times = {"started", "seconds", "timings", "peak_memory_bytes"}
    assert {name: value for name, value in first.items() if name not in times} == {
        name: value for name, value in second.items() if name not in times
    }


class TestInThreads:
    def test_results_come_in_order(self) -> None:
        assert list(in_threads(lambda number: number * 2, range(100), ahead=7)) == list(range(0, 200, 2))
        assert list(in_threads(str, [])) == []
        assert list(in_threads(str, [1], ahead=1)) == ["1"]

    def test_it_goes_on_while_a_result_is_used(self) -> None:
        begun = [threading.Event() for _ in range(8)]

        def begin(number: int) -> int:
            begun[number].set()
            return number

        drawn: list[int] = []
        results = in_threads(begin, (drawn.append(number) or number for number in range(8)), ahead=4)
        assert next(results) == 0
        # The first is in the taker's hands, and the next three are made without being asked for.
        assert all(event.wait(20) for event in begun[:4])
        assert drawn == [0, 1, 2, 3]
        assert next(results) == 1
        assert begun[4].wait(20)
        assert drawn == [0, 1, 2, 3, 4]
        assert list(results) == [2, 3, 4, 5, 6, 7]

    def test_a_fault_comes_in_its_place_and_ends_it(self) -> None:
        results = in_threads(lambda number: 1 // number, [2, 1, 0, 1])
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []

    def test_a_taker_who_stops_waits_for_nothing_more(self) -> None:
        seen: list[int] = []
        results = in_threads(seen.append, range(1000), ahead=4)
        next(results)
        results.close()
        assert len(seen) <= 4

    def test_no_more_threads_than_asked_are_at_work(self) -> None:
        names = in_threads(lambda _: threading.current_thread().name, range(40), threads=2)
        assert len(set(names)) <= 2

    def test_what_comes_back_is_dropped_and_a_fault_is_raised(self) -> None:
        seen: list[int] = []
        run_in_threads(seen.append, range(50))
        assert sorted(seen) == list(range(50))
        with pytest.raises(ZeroDivisionError):
            run_in_threads(lambda number: 1 // number, [1, 0])


@given(st.lists(st.lists(st.text() | st.integers() | st.none())))
def test_a_list_has_the_same_digest_however_it_comes(items: list[list[object]]) -> None:
    assert digest_of_list(iter(items)) == digest(items)
