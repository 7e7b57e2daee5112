"""A stand-in for the hub that keeps what is pushed to it, and speaks the hub's protocol to the real client.

Repositories with branches and commits, private ones, accounts with tokens and organisations, LFS uploads; and answers
that fail as often as a test asks for. Xet is not spoken: a client needs `HF_HUB_DISABLE_XET=1`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from tests.hub_repositories import LARGE, Account, Repository
from tests.local_hub import HELD_SECONDS, serving

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from tests.local_hub import Request, Response

TOKEN = "hf_SecretTokenOfAda"
JSON = {"Content-Type": "application/json"}
ID = r"(?P<id>[^/]+/[^/]+?)"
API = rf"/api/(?P<kind>model|dataset)s/{ID}"


@dataclass
class HubServer:
    """The hub of a test.

    Attributes:
        accounts: by token.
        repositories: by kind (`model`, `dataset`) and id.
        asked: method and path of every request, in order.
        failing: method, pattern of a path and status: the next request that fits gets that answer, once.
        down: the answer to everything, while it is set.
        held: no answer to anything until it is set, where there is one.
    """

    endpoint: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    failing: list[tuple[str, str, int]] = field(default_factory=list)
    down: int | None = None
    held: threading.Event | None = None
    objects: dict[str, bytes] = field(default_factory=dict)

    def add(self, kind: str, name: str, files: dict[str, bytes], *, private: bool = False) -> Repository:
        repository = self.repositories[kind, name] = Repository(private)
        repository.commit("main", {".gitattributes": b"", **files})
        return repository

    def model(self, name: str) -> Repository:
        return self.repositories["model", name]

    def dataset(self, name: str) -> Repository:
        return self.repositories["dataset", name]

    def written(self) -> list[tuple[str, str]]:
        """What was asked that changes something."""
        return [(method, path) for method, path in self.asked if method in {"POST", "PUT"}]

    def answer(self, request: Request) -> Response:
        self.asked.append((request.method, unquote(request.path)))
        for number, (method, pattern, status) in enumerate(self.failing):
            if method == request.method and re.search(pattern, request.path):
                del self.failing[number]
                return _refusal(status, "told to fail")
        if self.held is not None:
            self.held.wait(HELD_SECONDS)
        if self.down is not None:
            return _refusal(self.down, "down")
        for method, pattern, handle in ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found is not None and request.method in method.split():
                return handle(
                    self, request, {name: unquote(value or "") for name, value in found.groupdict().items()}
                )
        return _refusal(404, "no such page")

    def account(self, request: Request) -> Account | None:
        return self.accounts.get(request.authorization.removeprefix("Bearer "))

    def seen(self, request: Request, told: dict[str, str]) -> Repository | None:
        """The repository, if whoever asks may see it."""
        found = self.repositories.get((told["kind"], told["id"]))
        account = self.account(request)
        visible = found is not None and (not found.private or (account and account.may_write(told["id"])))
        return found if visible else None


def _told(body: Any, headers: dict[str, str] | None = None) -> Response:
    return 200, JSON | (headers or {}), json.dumps(body).encode()


def _refusal(status: int, message: str, code: str = "") -> Response:
    headers = JSON | {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return status, headers, json.dumps({"error": message}).encode()


def _no_repository(hub: HubServer, request: Request) -> Response:
    return _refusal(404 if hub.account(request) else 401, "Repository not found", "RepoNotFound")


def _whoami(hub: HubServer, request: Request, _: dict[str, str]) -> Response:
    account = hub.account(request)
    if account is None:
        return _refusal(401, "Invalid username or password.")
    organisations = [{"name": name, "roleInOrg": "write"} for name in account.organisations]
    token = {"accessToken": {"role": account.role, "displayName": "a token"}}
    return _told({"type": "user", "name": account.name, "orgs": organisations, "auth": token})


def _create(hub: HubServer, request: Request, _: dict[str, str]) -> Response:
    asked, account = json.loads(request.body), hub.account(request)
    kind = asked.get("type") or "model"
    if account is None:
        return _refusal(401, "Invalid username or password.")
    name = f"{asked.get('organization') or account.name}/{asked['name']}"
    if not account.may_write(name):
        return _refusal(403, f"You don't have the rights to create a {kind} under the namespace")
    url = f"{hub.endpoint}/{'datasets/' * (kind == 'dataset')}{name}"
    if (kind, name) in hub.repositories:
        status, headers, _body = _refusal(409, f"You already created this {kind} repo: {name}")
        return status, headers, json.dumps({"url": url}).encode()
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    hub.add(kind, name, {}, private=private)
    return _told({"url": url})


def _validate_yaml(_: HubServer, __: Request, ___: dict[str, str]) -> Response:
    return _told({"errors": [], "warnings": []})


def _preupload(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    repository = hub.seen(request, told)
    if repository is None:
        return _no_repository(hub, request)
    modes = [
        {
            "path": file["path"],
            "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
            "shouldIgnore": False,
            "oid": _object_id(repository, told["revision"], file["path"]),
        }
        for file in json.loads(request.body)["files"]
    ]
    return _told({"files": modes})


def _object_id(repository: Repository, revision: str, path: str) -> str | None:
    content = repository.files(revision).get(path)
    return None if content is None else _entry(path, content)["oid"]


def _batch(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    account = hub.account(request)
    if account is None or not account.may_write(told["id"]):
        return _refusal(403, "You have no right to upload here")
    objects = []
    for one in json.loads(request.body)["objects"]:
        upload = {"href": f"{hub.endpoint}/lfs/{one['oid']}"}
        objects.append(one | ({} if one["oid"] in hub.objects else {"actions": {"upload": upload}}))
    return _told({"transfer": "basic", "objects": objects})


def _take_object(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    if hashlib.sha256(request.body).hexdigest() != told["object"]:
        return _refusal(400, "not the content of this name")
    hub.objects[told["object"]] = request.body
    return _told({})


def _commit(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    repository, account = hub.seen(request, told), hub.account(request)
    if repository is None:
        return _no_repository(hub, request)
    if account is None or not account.may_write(told["id"]):
        return _refusal(403, "You have no right to write here")
    header, *changes = [json.loads(line) for line in request.body.splitlines()]
    parent = header["value"].get("parentCommit")
    if parent and parent != repository.branches.get(told["revision"]):
        return _refusal(412, "A commit has happened since. Please refresh and try again.")
    files = dict(repository.files(told["revision"]))
    for change in changes:
        value = change["value"]
        if change["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif change["key"] == "lfsFile":
            files[value["path"]] = hub.objects[value["oid"]]
        else:
            del files[value["path"]]
    commit = repository.commit(told["revision"], files)
    return _told(
        {"success": True, "commitOid": commit, "commitUrl": f"{hub.endpoint}/{told['id']}/commit/{commit}"}
    )


def _branch(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    repository, account = hub.seen(request, told), hub.account(request)
    if repository is None or account is None or not account.may_write(told["id"]):
        return _no_repository(hub, request)
    if told["branch"] in repository.branches:
        return _refusal(409, "Reference already exists")
    repository.branches[told["branch"]] = repository.branches["main"]
    return _told({})


def _info(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    repository = hub.seen(request, told)
    if repository is None:
        return _no_repository(hub, request)
    revision = told["revision"] or "main"
    commit = repository.at(revision)
    if commit is None:
        return _refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    files = repository.commits[commit]
    sized = "blobs" in parse_qs(request.query)
    siblings = [
        {"rfilename": name}
        | ({"size": len(files[name]), "blobId": _entry(name, files[name])["oid"]} if sized else {})
        for name in sorted(files)
    ]
    card = repository.card()
    tags = card.get("tags") if isinstance(card, dict) else None
    told_of = {
        "private": repository.private,
        "siblings": siblings,
        "tags": tags if isinstance(tags, list) else [],
    }
    return _told({"_id": "1", "id": told["id"], "sha": commit, "gated": False, "disabled": False} | told_of)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if path.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        # Of a large file the client compares the SHA-256 with what it would send.
        entry |= {"oid": digest, "lfs": {"oid": digest, "size": len(content), "pointerSize": 130}}
    return entry


def _tree(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    repository = hub.seen(request, told)
    commit = repository.at(told["revision"]) if repository is not None else None
    if repository is None or commit is None:
        return _no_repository(hub, request)
    return _told([_entry(name, content) for name, content in sorted(repository.commits[commit].items())])


def _paths_info(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    repository = hub.seen(request, told)
    commit = repository.at(told["revision"]) if repository is not None else None
    if repository is None or commit is None:
        return _no_repository(hub, request)
    asked = parse_qs(request.body.decode()).get("paths") or json.loads(request.body or b"{}").get("paths", [])
    files = repository.commits[commit]
    return _told([_entry(name, files[name]) for name in asked if name in files])


def _resolve(hub: HubServer, request: Request, told: dict[str, str]) -> Response:
    told = told | {"kind": "dataset" if request.path.startswith("/datasets/") else "model"}
    repository = hub.seen(request, told)
    if repository is None:
        return _no_repository(hub, request)
    commit = repository.at(told["revision"])
    if commit is None:
        return _refusal(404, "Invalid rev id", "RevisionNotFound")
    content = repository.commits[commit].get(told["path"])
    if content is None:
        status, headers, body = _refusal(404, "Entry not found", "EntryNotFound")
        return status, headers | {"X-Repo-Commit": commit}, body
    return 200, {"ETag": f'"{_entry(told["path"], content)["oid"]}"', "X-Repo-Commit": commit}, content


ROUTES: tuple[tuple[str, str, Callable[[HubServer, Request, dict[str, str]], Response]], ...] = (
    ("GET", "/api/whoami-v2", _whoami),
    ("POST", "/api/repos/create", _create),
    ("POST", "/api/validate-yaml", _validate_yaml),
    ("POST", rf"{API}/preupload/(?P<revision>[^/]+)", _preupload),
    ("POST", rf"/(?:datasets/)?{ID}\.git/info/lfs/objects/batch", _batch),
    ("PUT", r"/lfs/(?P<object>[0-9a-f]{64})", _take_object),
    ("POST", rf"{API}/commit/(?P<revision>[^/]+)", _commit),
    ("POST", rf"{API}/branch/(?P<branch>[^/]+)", _branch),
    ("GET", rf"{API}/tree/(?P<revision>[^/]+)", _tree),
    ("POST", rf"{API}/paths-info/(?P<revision>[^/]+)", _paths_info),
    ("GET", rf"{API}(?:/revision/(?P<revision>[^/]+))?", _info),
    ("GET HEAD", rf"/(?:datasets/)?{ID}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _resolve),
)


@contextlib.contextmanager
def serve_hub_server() -> Iterator[HubServer]:
    """An empty hub with one account: `TOKEN` is of `ada`, who may write to `team` as well."""
    hub = HubServer(accounts={TOKEN: Account("ada", ("team",))})
    with serving(hub.answer) as hub.endpoint:
        yield hub
