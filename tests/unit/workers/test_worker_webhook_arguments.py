"""What a webhook refuses before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from workers.activities.activity import ActivityError, Context
from workers.activities.webhook import webhook


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "url"),
        ({"url": 5}, "url"),
        ({"url": ""}, "url"),
        ({"url": "ftp://h/x"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "gopher://127.0.0.1:6379/_FLUSHALL"}, "url"),
        ({"url": "//host/x"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http:///x"}, "url"),
        ({"url": "http://user:word@1.1.1.1/"}, "url"),
        ({"url": "http://1.1.1.1\\@10.0.0.1/"}, "url"),
        ({"url": "http://1.1.1.1/ HTTP/1.1\r\nX: y"}, "url"),
        ({"url": "http://1.1.1.1/\tx"}, "url"),
        ({"url": "http://1.1.1.1:99999/"}, "url"),
        ({"url": "http://1.1.1.1:x/"}, "url"),
        ({"url": "http://[::1/"}, "url"),
        ({"url": "http://" + "a" * 70 + ".example/"}, "url"),
        ({"url": "http://1.1.1.1/", "method": "CONNECT"}, "method"),
        ({"url": "http://1.1.1.1/", "method": "GET\r\n"}, "method"),
        ({"url": "http://1.1.1.1/", "headers": {"X": "a\r\nEvil: yes"}}, "headers.X"),
        ({"url": "http://1.1.1.1/", "headers": {"X\r\nEvil": "a"}}, "headers"),
        ({"url": "http://1.1.1.1/", "headers": {"Host": "10.0.0.1"}}, "headers.Host"),
        ({"url": "http://1.1.1.1/", "headers": {"content-LENGTH": "0"}}, "headers.content-LENGTH"),
        (
            {"url": "http://1.1.1.1/", "headers": {"Transfer-Encoding": "chunked"}},
            "headers.Transfer-Encoding",
        ),
        ({"url": "http://1.1.1.1/", "headers": {"X": 5}}, "headers.X"),
        ({"url": "http://1.1.1.1/", "redirect": True}, "redirect"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://127.0.0.1.:80/"}, "url"),
        ({"url": "http://[::ffff:169.254.169.254]/latest/meta-data"}, "url"),
        ({"url": "http://①②⑦.0.0.1/"}, "url"),
        ({"url": "http://localhost/"}, "url"),
    ],
)
def test_bad_requests_name_the_field(
    context: Callable[..., Context], arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(ActivityError) as refused:
        webhook(arguments, context())
    assert str(refused.value).startswith(f"{field}"), refused.value
