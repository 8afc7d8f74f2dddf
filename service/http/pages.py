"""The routes for people: the page, its files, training reports, examples, the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import flask

from service.errors import RouteNotFound
from service.http.flask_messages import current_exchange, packed, raw_path
from service.http.messages import JSON
from service.protocols import json_body
from service.web import openapi, page
from service.web.examples import find_examples
from service.web.index import describe
from service.web.static_files import StaticFiles

if TYPE_CHECKING:
    from service.http.app import Parts

_HTML: Final = "text/html; charset=utf-8"
# The page is made of its own files alone: nothing inline, nothing from elsewhere.
PAGE_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)
# A report is one file with its pictures and style in it, and runs nothing.
REPORT_POLICY: Final = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'self'; form-action 'none'"
)
_FOR_EVER: Final = "public, max-age=31536000, immutable"


def add_pages(app: flask.Flask, parts: Parts) -> None:
    """Add the routes to an application."""
    _add_page(app, parts, StaticFiles())
    _add_documents(app, parts)


def _add_page(app: flask.Flask, parts: Parts, files: StaticFiles) -> None:
    @app.get("/")
    def index() -> flask.Response:
        current_exchange().route = "page"
        told = describe(parts.repository, parts.spoken, parts.metrics_paths)
        accepted = flask.request.accept_mimetypes
        if accepted.best_match([JSON, "text/html"]) == "text/html":
            text = flask.render_template("page.html", told=told, files=files)
            return _page(text.encode())
        response = packed(json_body.encode(told), JSON)
        response.vary.add("Accept")
        return response

    @app.get("/favicon.ico")
    def icon() -> flask.Response:
        # Asked for unasked, where a document names no icon: a training report does not.
        return static(files.revision, "icon.svg")

    @app.get("/static/<revision>/<path:name>")
    def static(revision: str, name: str) -> flask.Response:
        current_exchange().route = "static"
        file = files.find(revision, name)
        if file is None:
            raise RouteNotFound(f"GET {flask.request.path} is not a file of this page")
        takes_gzip = flask.request.accept_encodings.quality("gzip") > 0
        response = flask.Response(file.packed if takes_gzip else file.body)
        response.content_type = file.content_type
        if takes_gzip:
            response.headers["Content-Encoding"] = "gzip"
        response.vary.add("Accept-Encoding")
        response.set_etag(file.etag, weak=takes_gzip)
        if revision in flask.request.path:
            response.headers["Cache-Control"] = _FOR_EVER
        response.make_conditional(flask.request)
        return _guarded(response, PAGE_POLICY)


def _add_documents(app: flask.Flask, parts: Parts) -> None:
    # Paths are read as they came: a model's name may hold an encoded slash.
    @app.get("/report/<path:_>", merge_slashes=False)
    def report(_: str) -> flask.Response:
        current_exchange().route = "report"
        folder, name = page.find_report(parts.repository, raw_path())
        return _guarded(flask.send_from_directory(folder, name), REPORT_POLICY)

    @app.get("/examples/<path:_>", merge_slashes=False)
    def examples(_: str) -> flask.Response:
        current_exchange().route = "examples"
        found = find_examples(parts.repository, raw_path())
        return packed(json_body.encode(found), JSON)

    @app.get("/openapi.json")
    def described() -> flask.Response:
        current_exchange().route = "openapi"
        return packed(json_body.encode(openapi.document(parts.repository, parts.offered)), JSON)


def _page(text: bytes) -> flask.Response:
    response = packed(text, _HTML)
    response.vary.add("Accept")
    response.headers["Cache-Control"] = "no-cache"
    return _guarded(response, PAGE_POLICY)


def _guarded(response: flask.Response, policy: str) -> flask.Response:
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
