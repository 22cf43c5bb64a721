"""The planted pages: from `planted/*.yaml` to responses and to the rows of `planted.jsonl`."""

from __future__ import annotations

from urllib.parse import urlsplit

import yaml

from remake.pages import PLANTED, body
from remake.warc import Response

FILES = ("boilerplate", "duplicates", "licence", "parsing", "pii", "robots", "signals", "toxicity")
WARC_OF = {"planted": "planted.warc.gz", "broken": "broken.warc.gz"}
ALLOW_ALL = "User-agent: *\nDisallow:\n"
FATES = ("keep", "drop", "redact", "reject")
ROW_FIELDS = ("group", "spans", "must_contain", "must_not_contain", "note")


def load() -> tuple[list[dict[str, object]], dict[str, dict[str, object]]]:
    """All plants by case, and the policy files of their hosts."""
    plants: list[dict[str, object]] = []
    hosts: dict[str, dict[str, object]] = {}
    for name in FILES:
        content = yaml.safe_load((PLANTED / f"{name}.yaml").read_text(encoding="utf-8"))
        plants += [{**plant, "kind": name} for plant in content["plants"]]
        hosts |= content.get("hosts", {})
    by_case = {plant["case"]: plant for plant in plants}
    assert len(by_case) == len(plants), "a case is named twice"
    for plant in plants:
        assert plant["fate"] in FATES, plant
        if "text_same_as" in plant:
            plant["text"] = by_case[plant["text_same_as"]]["text"]
    return sorted(plants, key=lambda plant: plant["case"]), hosts


def responses(file: str) -> list[Response]:
    """The pages that lie in this file, with robots.txt and policy files of their hosts."""
    plants, hosts = load()
    mine = [plant for plant in plants if plant.get("file", "planted") == file]
    found = [_page(plant) for plant in mine]
    for host in sorted({page.host for page in found}):
        found += _policy_files(host, hosts.get(host, {}))
    return found


def _page(plant: dict[str, object]) -> Response:
    headers = dict(plant.get("headers", {}))
    if "content_encoding" in plant:
        headers["Content-Encoding"] = "gzip"
    return Response(
        url=plant["url"],
        body=body(plant),
        content_type=plant.get("content_type", "text/html; charset=utf-8"),
        headers=headers,
        date=plant.get("date"),
        damage=plant.get("damage"),
    )


def _policy_files(host: str, files: dict[str, object]) -> list[Response]:
    robots = "# padding\n" * (int(files.get("robots_padding", 0)) // 10) + str(files.get("robots", ALLOW_ALL))
    found = [
        Response(f"https://{host}/robots.txt", robots.encode(), "text/plain", int(files.get("robots_status", 200)))
    ]
    if "tdmrep" in files:
        url = f"https://{host}/.well-known/tdmrep.json"
        found.append(Response(url, str(files["tdmrep"]).encode(), "application/json"))
    if "license_xml" in files:
        found.append(Response(f"https://{host}/license.xml", str(files["license_xml"]).encode(), "application/rsl+xml"))
    return found


def rows() -> list[dict[str, object]]:
    """What `planted.jsonl` says of each planted page."""
    found = []
    for plant in load()[0]:
        row = {"case": plant["case"], "kind": plant["kind"], "url": plant["url"], "host": urlsplit(plant["url"]).netloc}
        row |= {"file": WARC_OF[plant.get("file", "planted")], "twin_of": plant.get("twin_of"), "fate": plant["fate"]}
        row |= {"reasons": plant.get("reasons", ["pii"] if plant["fate"] == "redact" else [])}
        row |= {field: plant[field] for field in ROW_FIELDS if field in plant}
        found.append(row)
    return found
