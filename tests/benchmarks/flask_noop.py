"""The base of the heartbeat: what Flask takes to answer nothing, served as the API is served."""

from __future__ import annotations

from flask import Flask


def create_app() -> Flask:
    app = Flask("noop")

    @app.route("/noop", methods=["GET", "POST"])
    def noop() -> dict[str, int]:
        return {}

    return app
