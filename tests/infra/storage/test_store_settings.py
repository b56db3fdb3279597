"""What stores are told besides: who pays, how objects are encrypted; and which stores need a package."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from s3_stub import s3_stub, url_of

from congeal.settings import CatalogSettings, load_settings
from infra.errors import MissingError, SettingsError, StorageError
from infra.settings import StorageSettings
from infra.storage.image_source import image_source, resolved, without_credentials
from infra.storage.location import Location
from tasks.catalog.image_examination import examine
from tasks.catalog.source_listing import Survey

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.s3
def test_requests_say_who_pays_and_how_objects_are_encrypted() -> None:
    with s3_stub("named") as server:
        settings = StorageSettings(
            endpoint_url=url_of(server), requester_pays=True, kms_key="alias/birds", customer_key=KEY
        )
        place = Location.parse("s3://bucket/a/b.bin", settings)
        place.write_bytes(b"abc")
        assert place.read_bytes() == b"abc"
        assert place.read_ranges([(0, 2)]) == [b"ab"]
        found = place.info()
        assert found is not None
        assert (found.bytes, found.etag) == (3, hashlib.md5(b"abc", usedforsecurity=False).hexdigest())
        assert len(list(Location.parse("s3://bucket/a", settings).objects())) == 1
        assert [method for method, _ in server.sent] == ["PUT", "GET", "GET", "HEAD", "GET"]
        for method, headers in server.sent:
            assert headers["x-amz-request-payer"] == "requester"
            assert (headers.get("x-amz-server-side-encryption") == "aws:kms") == (method == "PUT")
        for _, headers in server.sent[:4]:
            assert headers["x-amz-server-side-encryption-customer-key"] == KEY
        assert KEY not in repr(place) + repr(settings)
        plain = Location.parse("s3://bucket/a/b.bin", StorageSettings(endpoint_url=url_of(server)))
        plain.read_bytes()
        assert not [name for name in server.sent[-1][1] if name.startswith("x-amz-server-side")]
        assert "x-amz-request-payer" not in server.sent[-1][1]


def test_a_key_that_is_none_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="32 bytes in base64") as refused:
        load_settings(None, ["storage.customer_key=hunter2"], environ={})
    assert "hunter2" not in str(refused.value)


@pytest.mark.s3
def test_a_list_asks_for_no_listing() -> None:
    with s3_stub("named") as server:
        server.listable = False
        settings = StorageSettings(endpoint_url=url_of(server))
        server.objects |= {
            "bucket/photos/1.jpg": b"one",
            "bucket/photos/2.jpg": b"two",
            "bucket/meta/list.csv": b"uri,k\ns3://bucket/photos/1.jpg,x\nhere.jpg,y\ns3://other/3.jpg,z\n",
        }
        source = image_source("s3://bucket/meta/list.csv", (), ["s3://bucket/photos"], settings)
        with Survey(source, CatalogSettings()) as survey:
            (entry,) = next(survey.slices(10))
            reasons = {one["reason"]: one["first"] for one in survey.counted.facts()["reasons"]}
        assert entry.path == "s3://bucket/photos/1.jpg"
        assert entry.token == entry.etag == hashlib.md5(b"one", usedforsecurity=False).hexdigest()
        assert reasons["there is no such file"] == ["here.jpg"]
        assert any("outside" in reason for reason in reasons)
        assert examine(source, entry, CatalogSettings()).status == "failed"  # read, and no image
        assert set(server.requests) == {
            "GET bucket/meta/list.csv", "HEAD bucket/meta/list.csv", "HEAD bucket/photos/1.jpg",
            "HEAD bucket/meta/here.jpg", "GET bucket/photos/1.jpg",
        }  # fmt: skip
        with pytest.raises(StorageError, match="No permission"):
            list(Location.parse("s3://bucket/photos", settings).objects())


@pytest.mark.parametrize(("url", "package"), [("gs://bucket/x", "gcsfs"), ("az://container/x", "adlfs")])
def test_a_store_without_its_package_says_which(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(
        StorageError, match=f"needs the package {package}, .*: pip install {package}"
    ) as refused:
        Location.parse(url)
    assert str(refused.value).count(".") == 1


def test_information_on_a_place(location: Location) -> None:
    (location / "a/b.txt").write_bytes(b"abc")
    (listed,) = location.objects()
    found = (location / "a/b.txt").info()
    assert found is not None
    assert (found.bytes, found.etag) == (listed.bytes, listed.etag)
    assert found.token == listed.token or location.protocol == "memory"
    with pytest.raises(MissingError):
        (location / "none").info()
    if location.protocol in ("file", "memory"):
        assert (location / "a").info() is None


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("a/b.jpg", "file:///list/a/b.jpg"),
        ("./a//b.jpg", "file:///list/a/b.jpg"),
        ("../b.jpg", "file:///b.jpg"),
        ("../../../b.jpg", "file:///b.jpg"),
        ("/a/b.jpg", "file:///a/b.jpg"),
        ("file:///a/../b.jpg", "file:///b.jpg"),
        ("file://localhost/a/b.jpg", "file:///a/b.jpg"),
        ("FILE:///a/b.jpg", "file:///a/b.jpg"),
        ("s3://bucket/a/../../other/b.jpg", "s3://other/b.jpg"),
        ("S3A://bucket/b.jpg", "s3://bucket/b.jpg"),
    ],
)
def test_a_name_in_a_list_means_one_place(text: str, url: str, tmp_path: Path) -> None:
    assert resolved(text, Location.parse("/list")) == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/plain/path", "/plain/path"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("https://user:word@host:8443/x?key=1#y", "https://host:8443/x"),
        ("http://[broken", "http://…"),
    ],
)
def test_credentials_are_taken_out_of_urls(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


@pytest.mark.s3
def test_blank_aws_variables_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("PROFILE", "ENDPOINT_URL", "ENDPOINT_URL_S3", "REGION", "DEFAULT_REGION", "CA_BUNDLE")
    for name in names:
        monkeypatch.setenv(f"AWS_{name}", "")
    with s3_stub("named") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url_of(server))
        place = Location.parse("s3://bucket/blank.bin", StorageSettings())
        place.write_bytes(b"abc")
        assert place.read_bytes() == b"abc"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", " ")
    assert Location.parse("s3://bucket/blank.bin", StorageSettings()).options["endpoint_url"] is None
