"""The environment of a worker node: defaults, and every mistake named at once."""

import json
from pathlib import Path

import pytest

from workers.settings import Settings, SettingsError

GOOD = {"BOTSWAIN_SERVER": "http://127.0.0.1:4500/", "BOTSWAIN_NODE_TOKEN": "token-of-a-node"}


def test_little_is_needed() -> None:
    settings = Settings.load({**GOOD, "HOME": "x"})
    assert settings.server == "http://127.0.0.1:4500"
    assert settings.name.startswith("worker-")
    assert settings.working_path.is_absolute() and settings.working_path.name == settings.name
    assert settings.require_account and not settings.commands


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    wrong = {
        "BOTSWAIN_SERVER": "localhost:4500",
        "BOTSWAIN_NODE_NAME": "a/b",
        "BOTSWAIN_WEBHOOK_ALLOW": "10.0.0.0/99",
        "BOTSWAIN_COMMANDS": str(tmp_path / "missing.json"),
        "BOTSWAIN_SHUTDOWN_SECONDS": "soon",
        "BOTSWAIN_SESSIONS_REQUIRE_ACCOUNT": "perhaps",
    }
    with pytest.raises(SettingsError) as refused:
        Settings.load(wrong)
    for name in (*wrong, "BOTSWAIN_NODE_TOKEN"):
        assert any(problem.startswith(name) for problem in refused.value.problems), name


def test_secrets_are_neither_shown_nor_passed_on() -> None:
    secret = {"REDIS_URL": "redis://:s3cret@h", "DATABASE_URL": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret"}
    settings = Settings.load({**GOOD, **secret, "PATH": "/bin", "LC_ALL": "C.UTF-8", "ORACLE_HOME": "/o"})
    assert settings.environment == {"PATH": "/bin", "LC_ALL": "C.UTF-8"}
    assert "token-of-a-node" not in repr(settings) and "s3cret" not in repr(settings)
    more = Settings.load({**GOOD, **secret, "ORACLE_HOME": "/o", "BOTSWAIN_PASS_ENVIRONMENT": "ORACLE_HOME"})
    assert more.environment == {"ORACLE_HOME": "/o"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[", "is not JSON"),
        ("[]", "must hold one object"),
        ({"a": []}, "a must be an object"),
        ({"a": {"argv": "rm -rf"}}, "a.argv must be a list"),
        ({"a": {"argv": []}}, "a.argv must be a list"),
        ({"a": {"argv": [""]}}, "a.argv must be a list"),
        ({"a": {"argv": ["x", 5]}}, "a.argv must be a list"),
        ({"a": {"argv": ["x"], "timeout": 0}}, "a.timeout must be"),
        ({"a": {"argv": ["x"], "timeout": True}}, "a.timeout must be"),
        ({"a": {"argv": ["x"], "shell": True}}, "a must be an object with argv"),
    ],
)
def test_a_command_file_with_mistakes_is_refused(tmp_path: Path, content: object, sentence: str) -> None:
    file = tmp_path / "commands.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(SettingsError, match=sentence):
        Settings.load({**GOOD, "BOTSWAIN_COMMANDS": str(file)})
