"""What a W&B server would answer to each operation of a run, and what it would keep."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Kept:
    """Everything that clients have sent."""

    url: str = ""
    """Where files are to be put."""
    project: str = "tester/tests"
    """The only one there is."""
    history: list[Json] = field(default_factory=list)
    summary: Json = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[Json] = field(default_factory=list)
    alerts: list[Json] = field(default_factory=list)
    views: list[Json] = field(default_factory=list)
    runs: dict[str, Json] = field(default_factory=dict)
    """Of one project, by their identifiers, in the order in which they began, as the server gives them out."""
    operations: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)
    """Operations without an answer here."""
    errors: list[str] = field(default_factory=list)
    """Our own mistakes."""

    def column(self, name: str) -> list[Any]:
        """The values of one metric, where it has any."""
        return [row[name] for row in sorted(self.history, key=lambda row: row["_step"]) if name in row]

    def axis_of(self, metric: str) -> str | None:
        """The step metric of a metric that was defined by its exact name; None without one."""
        defined: list[Json] = self.config["_wandb"]["value"]["m"]
        axis = next((m.get("5") for m in defined if m.get("1") == metric), None)
        return defined[axis - 1]["1"] if axis else None

    def table(self, key: str) -> list[Json]:
        """The rows of the last table of that name."""
        sent = json.loads(self.files[self.column(key)[-1]["path"]])
        return [dict(zip(sent["columns"], row, strict=True)) for row in sent["data"]]


def _viewer(kept: Kept, v: Json) -> Json:
    names = {"id": "u", "name": "Tester", "username": "tester", "entity": "tester", "email": "t@localhost"}
    none = {"admin": False, "flags": "{}", "deletedAt": None, "teams": {"edges": []}, "apiKeys": {"edges": []}}
    return {"viewer": names | none}


def run_node(name: str, config: Json, summary: Json, **changes: Any) -> Json:
    """A run as the server gives it out."""
    fields = {"id": name, "name": name, "displayName": name, "state": "finished", "tags": [], "projectId": 1}
    fields |= {"user": {"name": "Tester", "username": "tester"}}
    none = dict.fromkeys(("sweepName", "group", "jobType", "commit", "description", "notes", "historyKeys"))
    wrapped = {key: {"value": value} for key, value in config.items()}
    texts = {"config": json.dumps(wrapped), "summaryMetrics": json.dumps(summary), "systemMetrics": "{}"}
    return fields | none | texts | {"readOnly": False, "historyLineCount": 0} | changes


def _runs(kept: Kept, v: Json) -> Json:
    if kept.project != f"{v['entity']}/{v['project']}":
        return {"project": None}
    begin, nodes = int(v.get("cursor") or 0), list(kept.runs.values())
    end = begin + v["perPage"]
    edges = [{"node": node, "cursor": str(n)} for n, node in enumerate(nodes[begin:end], begin + 1)]
    page = {"endCursor": str(end), "hasNextPage": end < len(nodes)}
    runs = {"edges": edges, "pageInfo": page}
    return {"project": {"internalId": "1", "runCount": len(nodes), "readOnly": False, "runs": runs}}


def _upsert_run(kept: Kept, v: Json) -> Json:
    kept.config |= json.loads(v.get("config") or "{}")
    node = kept.runs.setdefault(v["name"], run_node(v["name"], {}, {}))
    node["config"] = v.get("config") or node["config"]
    project = {"id": "p", "name": v.get("project") or "tests", "entity": {"id": "e", "name": "tester"}}
    names = {"id": "UnVu", "name": v.get("name") or "run", "displayName": "run", "description": None}
    state = {"config": json.dumps(kept.config), "historyLineCount": 0, "createdAt": "2026-01-01T00:00:00"}
    return {"upsertBucket": {"bucket": names | state | {"sweepName": None, "project": project}, "inserted": True}}


def _run_files(kept: Kept, v: Json) -> Json:
    files = [{"name": name, "uploadUrl": f"{kept.url}/storage/{name}"} for name in v["files"]]
    return {"createRunFiles": {"runID": "UnVu", "uploadHeaders": [], "files": files}}


def _create_artifact(kept: Kept, v: Json) -> Json:
    kept.artifacts.append(v["input"])
    sequence = {"id": "s", "latestArtifact": None}
    made = {"id": f"artifact{len(kept.artifacts)}", "state": "PENDING", "artifactSequence": sequence}
    return {"createArtifact": {"artifact": made}}


def _manifest(operation: str) -> Callable[[Kept, Json], Json]:
    def answer(kept: Kept, v: Json) -> Json:
        url = f"{kept.url}/storage/manifest{len(kept.artifacts)}"
        file = {"id": "f", "name": v.get("name"), "displayName": "m", "uploadUrl": url, "uploadHeaders": []}
        return {operation: {"artifactManifest": {"id": "m", "file": file}}}

    return answer


def _artifact_files(kept: Kept, v: Json) -> Json:
    nodes = []
    for i, name in enumerate(file["name"] for file in v["input"]["artifactFiles"]):
        where = {"uploadUrl": f"{kept.url}/storage/artifact/{name}", "uploadHeaders": [], "uploadMultipartUrls": None}
        file = {"id": f"n{i}", "name": name, "displayName": name, "storagePath": f"p/{i}", "artifact": {"id": "a"}}
        nodes.append({"node": file | where})
    return {"createArtifactFiles": {"files": {"edges": nodes}}}


def _alert(kept: Kept, v: Json) -> Json:
    kept.alerts.append(v)
    return {"notifyScriptableRunAlert": {"success": True}}


def _view(kept: Kept, v: Json) -> Json:
    kept.views.append(v)
    return {"upsertView": {"view": {"id": "v1", "name": v["name"]}, "inserted": True}}


ANSWERS: Mapping[str, Callable[[Kept, Json], Json]] = {
    "Viewer": _viewer,
    "ServerFeaturesQuery": lambda kept, v: {"serverInfo": {"features": []}},
    "GetDefaultEntity": _viewer,
    "Runs": _runs,
    "UpsertBucket": _upsert_run,
    "CreateRunFiles": _run_files,
    "RunStoppedStatus": lambda kept, v: {"project": {"run": {"stopped": False}}},
    "ArtifactType": lambda kept, v: {"project": {"artifact": None}},
    "CreateArtifact": _create_artifact,
    "CreateArtifactManifest": _manifest("createArtifactManifest"),
    "UpdateArtifactManifest": _manifest("updateArtifactManifest"),
    "CreateArtifactFiles": _artifact_files,
    "CommitArtifact": lambda kept, v: {"commitArtifact": {"artifact": {"id": "a", "digest": "x"}}},
    "NotifyScriptableRunAlert": _alert,
    "UpsertView2": _view,
}
