"""The source of the report's page: its types, its bundle, its licences, and whether everybody can use it."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from chromium import chromium
from report_members import members
from report_page_data import write_report

PACKAGE = Path(__file__).parents[2] / "congeal" / "report"
SOURCE = PACKAGE / "page"
ASSETS = PACKAGE / "assets"
MODULES = SOURCE / "node_modules"
MOST = 250_000  # bytes of script and style, gzipped


def needs_node() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node on this machine")
    if not MODULES.is_dir():
        pytest.skip(f"the libraries of the page are not installed: npm ci in {SOURCE}")
    return node


def test_the_bundle_is_what_the_source_gives(tmp_path: Path) -> None:
    subprocess.run([needs_node(), "build.mjs", "--to", str(tmp_path)], cwd=SOURCE, check=True)
    for file in sorted(tmp_path.iterdir()):
        same = file.read_bytes() == (ASSETS / file.name).read_bytes()
        assert same, f"{file.name} is not what the source gives: make report-assets"
    assert {file.name for file in tmp_path.iterdir()} == {"report.js", "report.css", "LICENSES.txt"}


def test_the_source_is_typed() -> None:
    needs_node()
    command = [str(MODULES / ".bin" / "tsc"), "--noEmit"]
    checked = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_bundle_is_small_and_asks_for_nothing_elsewhere() -> None:
    texts = {name: (ASSETS / name).read_text() for name in ("report.js", "report.css")}
    assert sum(len(gzip.compress(text.encode())) for text in texts.values()) < MOST
    addresses = {url for text in texts.values() for url in re.findall(r"https?://[^\"'`\s)]+", text)}
    # Names of namespaces and of specifications are not asked for.
    assert {url for url in addresses if "w3.org" not in url and "github.com" not in url} == set()
    assert "@import" not in texts["report.css"]
    assert "@font-face" not in texts["report.css"]
    assert not re.search(r"\beval\(|new Function\(", texts["report.js"])


def test_every_library_in_the_bundle_has_its_licence() -> None:
    licences = (ASSETS / "LICENSES.txt").read_text()
    for name in ("fzstd", "hyparquet", "zarrita"):
        assert re.search(rf"^{name} [\d.]+ \(MIT\)$", licences, re.MULTILINE)
    assert licences.count("Permission is hereby granted") >= 3


def test_libraries_are_locked_by_integrity_and_no_host_is_written_down() -> None:
    packages = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    assert all("integrity" in entry for name, entry in packages.items() if name)
    assert not any("resolved" in entry for entry in packages.values())
    assert "omit-lockfile-registry-resolved=true" in (SOURCE / ".npmrc").read_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_use_it(tmp_path: Path, dark: bool) -> None:
    """axe-core finds nothing serious on any page, in light and dark."""
    axe = MODULES / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip(f"axe-core is not installed: npm ci in {SOURCE}")
    report = write_report(tmp_path, members([f"{k}.jpg" for k in range(5)]), page_size=3).as_uri()
    found = []
    with chromium() as page:
        page.size(1280, 900, dark=dark)
        for route in ("#/", "#/cluster/c0ffee", "#/cluster/c0ffee/0/1", "#/quality", "#/problems", "#/about"):
            page.open("about:blank")
            page.open(f"{report}{route}")
            page.wait("document.querySelector('main > *') && !document.querySelector('main[aria-busy]')")
            if route == "#/":
                page.wait("congealView.interactive > 0")
            page.frame()
            page.evaluate(axe.read_text())
            result = json.loads(page.evaluate("axe.run().then(result => JSON.stringify(result.violations))"))
            for entry in result:
                where = [node["html"][:160] for node in entry["nodes"]]
                found.append(f"{route} {entry['impact']}: {entry['help']}: {where}")
    assert found == []
