"""create_app(): the API's only wiring."""

from __future__ import annotations

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from orchestrator import api, console
from orchestrator.config import Config
from orchestrator.database import Base, engine_options, prepare
from orchestrator.wiring import assemble

EXTENSION = "botswain"


def create_app(config: Config | None = None) -> Flask:
    """The Flask application of one API process. Raises `ConfigurationError` naming every mistake."""
    config = config or Config.load()
    app = Flask(
        "botswain",
        static_folder=None,  # the console has one of its own; this would be a route without a policy
    )
    app.url_map.merge_slashes = False  # a redirection loses the body of a POST
    app.config.update(
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(config.database_url, config.db_pool_size),
        SECRET_KEY=config.derived_text("session"),
        MAX_CONTENT_LENGTH=config.max_body_bytes,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    database = SQLAlchemy(metadata=Base.metadata)
    database.init_app(app)
    with app.app_context():
        engine = prepare(database.engine)
    parts = assemble(config, engine)
    app.extensions[EXTENSION] = parts
    api.register(app, parts)
    console.register(app, parts)
    return app
