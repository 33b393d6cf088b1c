"""The pages for people. So far one: where everything is."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, make_response, render_template

from orchestrator import __version__
from orchestrator.api.auth import Policy, allow
from orchestrator.wiring import Parts

# Nothing from elsewhere, nothing that runs: the page is text.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def register(app: Flask, parts: Parts) -> None:
    """Add the console's pages to the application."""
    blueprint = Blueprint("console", __name__, template_folder="templates")

    @blueprint.get("/")
    @allow(Policy.PUBLIC)
    def welcome() -> Response:
        response = make_response(render_template("welcome.html", version=__version__))
        response.headers["Content-Security-Policy"] = CONTENT_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    app.register_blueprint(blueprint)
