"""The routes for people: the page, its files, training reports, examples, the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import flask

from service import VERSION
from service.errors import RouteNotFound
from service.http.flask_messages import current_exchange, packed, raw_path
from service.http.messages import JSON
from service.protocols import json_body
from service.web import openapi, page
from service.web.examples import find_examples
from service.web.index import describe
from service.web.static_files import StaticFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.http.app import Parts

_HTML: Final = "text/html; charset=utf-8"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


def add_pages(app: flask.Flask, parts: Parts) -> None:
    """Add the routes to an application."""
    files = StaticFiles()
    _add_page(app, parts, files)
    _add_files(app, files)
    _add_documents(app, parts)


def _add_page(app: flask.Flask, parts: Parts, files: StaticFiles) -> None:
    @app.get("/")
    def index() -> flask.Response:
        current_exchange().route = "page"
        told = describe(parts.repository, parts.spoken, [*parts.metrics])
        accepted = flask.request.accept_mimetypes
        if accepted.best_match([JSON, "text/html"]) == "text/html":
            return _page(told, files)
        response = packed(json_body.encode(told), JSON)
        response.vary.add("Accept")
        return response

    @app.get("/page")
    def shell() -> flask.Response:
        # The page without what it shows: a browser has no key to send before it is there.
        current_exchange().route = "page"
        return _page(None, files)


def _add_files(app: flask.Flask, files: StaticFiles) -> None:
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
        return response

    @app.get("/favicon.ico")
    def icon() -> flask.Response:
        # Asked for unasked, where a document names no icon: a training report does not.
        return static(files.revision, "icon.svg")


def _add_documents(app: flask.Flask, parts: Parts) -> None:
    # Paths are read as they came: a model's name may hold an encoded slash.
    @app.get("/report/<path:_>", merge_slashes=False)
    def report(_: str) -> flask.Response:
        current_exchange().route = "report"
        folder, name = page.find_report(parts.repository, raw_path())
        return flask.send_from_directory(folder, name)

    @app.get("/examples/<path:_>", merge_slashes=False)
    def examples(_: str) -> flask.Response:
        current_exchange().route = "examples"
        found = find_examples(parts.repository, raw_path())
        return packed(json_body.encode(found), JSON)

    @app.get("/openapi.json")
    def described() -> flask.Response:
        current_exchange().route = "openapi"
        return packed(json_body.encode(openapi.document(parts.repository, parts.offered)), JSON)


def _page(told: Mapping[str, Any] | None, files: StaticFiles) -> flask.Response:
    text = flask.render_template("page.html", told=told, files=files, version=VERSION)
    response = packed(text.encode(), _HTML)
    response.vary.add("Accept")
    response.headers["Cache-Control"] = "no-cache"
    return response
