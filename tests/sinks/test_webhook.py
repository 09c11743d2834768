"""The webhook against a server on the loopback interface that fails in every way."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time

import pytest

from streamer.errors import ConfigurationError
from streamer.sinks.webhook import BATCH, SIGNATURE, Webhook, sign, verify
from streamer.speakers.events import SpeechStart

PATIENCE_S = 20.0


@contextlib.contextmanager
def serving(answers=()):
    """A server that gives these answers one after the other (status, headers), then 204. Yields its URL and what it
    got: (headers, body)."""
    got, answers, came = [], list(answers), threading.Condition()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with came:
                got.append((dict(self.headers), body))
                status, headers = answers.pop(0) if answers else (204, {})
                came.notify_all()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?room=1", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def events(count, first=0):
    return [SpeechStart(sample=number, decided_sample=number) for number in range(first, first + count)]


def told(hook, some):
    for event in some:
        hook.event(event, None)


def delivered(got):
    return [event["sample"] for _, body in got for event in json.loads(body)["events"]]


def test_events_come_in_order_in_batches_and_signed():
    with serving() as (url, got):
        hook = Webhook(url, secret="s3cret", batch=4, every_s=0.01)
        told(hook, events(10))
        hook.close(None)
        assert delivered(got) == list(range(10))
        assert max(len(json.loads(body)["events"]) for _, body in got) <= 4
        for headers, body in got:
            assert verify("s3cret", body, headers[SIGNATURE], time.time())
            assert not verify("other", body, headers[SIGNATURE], time.time())
            assert not verify("s3cret", body + b" ", headers[SIGNATURE], time.time())
            assert not verify("s3cret", body, headers[SIGNATURE], time.time() + 301)
            assert headers[BATCH] == json.loads(body)["batch"]
        assert hook.statistics == {"sent": 10, "dropped": 0, "refused": 0, "retries": 0}


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_server_that_is_not_well_gets_the_same_batch_again(status):
    with serving([(status, {}), (status, {})]) as (url, got):
        hook = Webhook(url, every_s=0.01, first_pause_s=0.01)
        told(hook, events(3))
        hook.close(None)
        assert len(got) == 3
        assert len({headers[BATCH] for headers, _ in got}) == 1
        assert hook.statistics["retries"] == 2
        assert hook.statistics["sent"] == 3


def test_a_server_that_says_when_is_left_alone_until_then():
    with serving([(503, {"Retry-After": "1"})]) as (url, got):
        hook, began = Webhook(url, every_s=0.01, first_pause_s=0.01), time.monotonic()
        told(hook, events(1))
        hook.close(None)
        assert time.monotonic() - began >= 1.0
        assert len(got) == 2


def test_a_refused_batch_is_counted_and_not_sent_again():
    with serving([(400, {})]) as (url, got):
        hook = Webhook(url, batch=2, every_s=0.01)
        told(hook, events(4))
        hook.close(None)
        assert delivered(got) == [0, 1, 2, 3]
        assert hook.statistics == {"sent": 2, "dropped": 0, "refused": 2, "retries": 0}


def test_what_does_not_fit_is_dropped_oldest_first_and_the_next_batch_says_so():
    with serving([(503, {})]) as (url, got):
        hook = Webhook(url, batch=5, capacity=10, every_s=0.0, first_pause_s=0.3)
        told(hook, events(1))
        _wait(lambda: got)
        told(hook, events(30, first=1))  # while the first batch waits to be sent again
        hook.close(None)
        bodies = [json.loads(body) for _, body in got]
        assert delivered(got)[-10:] == list(range(21, 31))
        assert sum(body["dropped"] for body in bodies) == hook.statistics["dropped"] == 20


def test_a_server_that_is_gone_costs_the_meeting_only_the_events():
    hook = Webhook("http://127.0.0.1:9/", close_s=0.2, every_s=0.0, first_pause_s=0.05)
    told(hook, events(3))
    began = time.monotonic()
    hook.close(None)
    assert time.monotonic() - began < 10
    _wait(lambda: hook.statistics["dropped"] == 3)
    assert hook.problem


def test_a_batch_without_an_answer_counts_as_dropped_when_the_meeting_ends():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", every_s=0.01, close_s=0.05)
        told(hook, events(3))
        connection, _ = silent.accept()  # The batch is under way; nobody will ever say anything to it.
        hook.close()
        assert hook.statistics == {"sent": 0, "dropped": 3, "refused": 0, "retries": 0}
        connection.close()
    hook._thread.join(PATIENCE_S)
    assert hook.statistics["dropped"] == 3


@pytest.mark.parametrize("wanted", ["\u00b2", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_server_that_says_no_seconds_is_tried_again_in_our_own_time(wanted):
    with serving([(503, {"Retry-After": wanted})]) as (url, got):
        hook = Webhook(url, every_s=0.01, first_pause_s=0.01)
        told(hook, events(1))
        hook.close(None)
        assert len(got) == 2
        assert hook.statistics["sent"] == 1


def test_text_that_is_none_does_not_stop_what_follows():
    with serving() as (url, got):
        hook = Webhook(url, batch=1, every_s=0.0)
        hook.put({"sample": 1, "name": "\ud800"})
        hook.put({"sample": 2})
        hook.close(None)
        assert delivered(got) == [1, 2]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "example.org",
        "http://",
        "http://host:99999/",
        "http://host:port/",
        "http://[::1/",
        "http://host/b\u00fcro",
        "http://host/a room",
        f"http://{64 * 'a'}/",
    ],
)
def test_an_address_that_is_none_is_an_error(url):
    with pytest.raises(ConfigurationError, match="webhook"):
        Webhook(url)


def test_a_signature_is_that_of_the_plain_definition():
    import hashlib
    import hmac

    expected = hmac.new(b"k", b"12.body", hashlib.sha256).hexdigest()
    assert sign("k", b"body", 12) == f"t=12,v1={expected}"
    assert not verify("k", b"body", "nonsense", 12)


def _wait(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.01)
