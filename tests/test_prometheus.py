"""What Prometheus scrapes: blocks and metrics, as text and as protobuf, over HTTP, ASGI and WSGI."""

from __future__ import annotations

import asyncio
import errno
import gzip
import http.client
import json
import math
import os
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

import scraped
from stichotrope import ProfileBlock, Profiler, ProfilerResults, ProfileTrack, _core
from stichotrope.integrations.prometheus import (
    ProfilerCollector,
    exposition,
    make_asgi_app,
    make_wsgi_app,
    start_metrics_server,
)
from stichotrope.metrics import Counter, Gauge, Histogram, MetricRegistry
from stichotrope.metrics.blocks import BlockCollector, StoreCollector

pytestmark = pytest.mark.integration

PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)
# What Prometheus 2.42 asks with when it may have native histograms, and what it asks with otherwise.
NATIVE = f"{PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
CLASSIC = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a scrape holds, read by the library's own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def anything(value: Any) -> Any:
    """A value that no type checker knows the type of."""
    return value


@pytest.fixture
def registry() -> MetricRegistry:
    """A registry with a metric of each kind, and texts that are odd."""
    made = MetricRegistry()
    Counter("jobs", 'Jobs "done".\n', ["queue"], registry=made).labels('a"b\n\\ ä').inc(3)
    Gauge("level", registry=made).set(-1.5)
    fixed = Histogram("fixed", buckets=(1, 2), exemplars=True, registry=made)
    fixed.observe(0.5, {"trace_id": "abc"})
    fixed.observe(5)
    wide = Histogram("wide", "W.", ["a"], registry=made).labels("x")
    for value in (0, -3, 0.001, 1000):
        wide.observe(value)
    return made


def test_blocks_are_collected_with_their_profiler_and_track(registry):
    """Passes, errors, seconds, what is open and the histogram of each block, also through prometheus_client."""
    profiler = Profiler('my "app"')
    profiler.set_track_name(0, "I/O")

    def fail() -> None:
        with profiler.block(0, "read"):
            raise KeyError

    for _ in range(5):
        with profiler.block(0, "read"):
            pass
    with pytest.raises(KeyError):
        fail()
    labels = (("block", "read"), ("profiler", 'my "app"'), ("track", "I/O"))
    collector = ProfilerCollector([profiler])
    theirs = prometheus_client.CollectorRegistry()
    theirs.register(anything(collector))
    theirs.register(anything(registry))
    with profiler.block(0, "open"):
        found = samples(prometheus_client.generate_latest(theirs).decode())
    results = profiler.get_results()
    blocks = [block for block in results.tracks[0].blocks if block.name == "read"]
    assert len(blocks) == 2  # of two lines: one series
    assert found["stichotrope_block_passes_total", labels] == 6
    assert found["stichotrope_block_errors_total", labels] == 1
    assert found["stichotrope_block_cancelled_total", labels] == 0
    assert found["stichotrope_block_open", labels] == 0
    total = sum(block.total_time_ns for block in blocks) / 1e9
    assert found["stichotrope_block_seconds_total", labels] == pytest.approx(total, rel=1e-3)
    assert found["stichotrope_block_duration_seconds_count", labels] == 6
    assert (
        found["stichotrope_block_duration_seconds_bucket", tuple(sorted((*labels, ("le", "+Inf"))))]
        == 6
    )
    open_labels = (("block", "open"), ("profiler", 'my "app"'), ("track", "I/O"))
    assert found["stichotrope_block_open", open_labels] == 1
    assert found["jobs_total", (("queue", 'a"b\n\\ ä'),)] == 3


def test_what_is_told_of_blocks_never_goes_down():
    """From one scrape to the next nothing goes down, and buckets rise along their bounds to the count."""
    profiler = Profiler("steady")
    block = profiler.block(0, "work")
    collector = ProfilerCollector([profiler], buckets=[1e-7, 3e-7, 1e-6, 1e-5])
    before: dict[str, dict[Any, float]] = {}
    natives: dict[int, int] = {}
    for _ in range(30):
        for _ in range(200):
            with block:
                sum(range(random.randrange(50)))
        now: dict[str, dict[Any, float]] = {}
        for family in collector.collect():
            now[family.name] = {
                (one.name, *one.labels.values()): one.value for one in family.samples
            }
        for name in now:
            if "open" not in name:
                assert all(now[name][key] >= value for key, value in before.get(name, {}).items())
        ladder = [
            value
            for key, value in now["stichotrope_block_duration_seconds"].items()
            if key[0].endswith("_bucket")
        ]
        assert ladder == sorted(ladder)
        assert (
            ladder[-1]
            == now["stichotrope_block_passes"][
                "stichotrope_block_passes_total", "steady", "Track 0", "work"
            ]
        )
        (native,) = [native for family in collector.collect() for _, native in family.natives]
        assert sum(native.positive.values()) + native.zero_count == native.values == ladder[-1]
        assert all(native.positive.get(place, 0) >= count for place, count in natives.items())
        before, natives = now, native.positive


def test_seconds_of_blocks_go_down_only_when_recording_begins_anew():
    """What was open was counted up to when it was read, and may have ended a moment before."""

    def results(total_ns: int, recording: str = "0-5") -> ProfilerResults:
        block = ProfileBlock("b", "f.py", 1, 0, 0, hit_count=1, total_time_ns=total_ns)
        facts = {"instance": "a", "recording": recording, "start_ns": 5, "duration_ns": 9}
        tracks = {0: ProfileTrack(0, "t", True, [block], total_ns)}
        return ProfilerResults("p", tracks, total_ns, metadata=facts)

    shown: list[ProfilerResults] = []
    collector = BlockCollector(lambda: shown)

    def seconds(*now: ProfilerResults) -> float:
        shown[:] = now
        (family,) = (one for one in collector.collect() if one.name == "stichotrope_block_seconds")
        return sum(sample.value for sample in family.samples)

    assert seconds(results(1_000_000_100)) == 1.0000001
    assert seconds(results(1_000_000_000)) == 1.0000001
    assert seconds(results(1_000_000_200)) == 1.0000002
    assert seconds(results(50, "0-6")) == 5e-8
    assert seconds(results(40, "0-6")) == 5e-8
    assert seconds() == 0
    assert seconds(results(30, "0-6")) == 3e-8
    both = results(500, "0-6"), results(700, "1-7")
    assert seconds(*both) == 1.2e-6
    assert seconds(results(100, "0-6")) == 1e-7  # the other is gone


def test_protobuf_holds_what_the_text_does_and_native_histograms(registry):
    """The delimited protobuf format is read by the published schema, and holds the same figures."""
    kind, body = exposition(registry, NATIVE)
    assert kind.startswith("application/vnd.google.protobuf")
    found = scraped.families(body)
    assert set(found) == {"jobs_total", "level", "fixed", "wide"}
    jobs = found["jobs_total"]
    assert (jobs.type, jobs.help, jobs.metric[0].counter.value) == (0, 'Jobs "done".\n', 3)
    assert [(pair.name, pair.value) for pair in jobs.metric[0].label] == [("queue", 'a"b\n\\ ä')]
    assert (found["level"].type, found["level"].metric[0].gauge.value) == (1, -1.5)
    fixed = found["fixed"].metric[0].histogram
    assert [(b.upper_bound, b.cumulative_count) for b in fixed.bucket] == [
        (1, 1),
        (2, 1),
        (math.inf, 2),
    ]
    assert (fixed.sample_count, fixed.sample_sum) == (2, 5.5)
    assert fixed.bucket[0].exemplar.label[0].value == "abc"
    assert fixed.bucket[0].exemplar.timestamp.seconds > 0
    wide = found["wide"].metric[0].histogram
    assert (wide.sample_count, wide.sample_sum, wide.zero_count, wide.schema) == (
        4,
        998.001 - 1,
        1,
        3,
    )
    assert wide.zero_threshold > 0
    base = 2**2**-3
    for value, kept in ((3, scraped.buckets(wide.negative_span, wide.negative_delta)),):
        ((place, count),) = kept.items()
        assert count == 1
        assert base ** (place - 1) / 1.04 <= value <= base**place * 1.04
    positive = scraped.buckets(wide.positive_span, wide.positive_delta)
    assert list(positive.values()) == [1, 1]
    assert wide.bucket[-1].cumulative_count == 4


def test_a_figure_is_what_its_family_is_whatever_it_is_called():
    """A gauge or a histogram with the ending of a counter, and the other way round, have their own figures."""
    registry = MetricRegistry()
    Gauge("mem_total", registry=registry).set(5)
    Gauge("a_bucket", "", ["quantile_"], registry=registry).labels("x").set(6)
    Histogram("sizes_total", registry=registry).observe(7)
    Counter("requests_sum", registry=registry).inc(8)
    found = scraped.families(exposition(registry, NATIVE)[1])
    assert (found["mem_total"].type, found["mem_total"].metric[0].gauge.value) == (1, 5)
    assert found["a_bucket"].metric[0].gauge.value == 6
    assert found["sizes_total"].metric[0].histogram.sample_sum == 7
    assert found["requests_sum_total"].metric[0].counter.value == 8
    assert samples(registry.expose())["mem_total", ()] == 5


def of_prometheus_client() -> prometheus_client.CollectorRegistry:
    """A registry with each kind of metric that the library has."""
    theirs = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("c", "C.", registry=theirs).inc(2, {"trace_id": "a"})
    prometheus_client.Gauge("g_total", "G.", ["a"], registry=theirs).labels('x"').set(3)
    prometheus_client.Histogram("h", "H.", buckets=(1, 2), registry=theirs).observe(1.5)
    prometheus_client.Summary("s", "S.", ["a"], registry=theirs).labels("y").observe(4)
    prometheus_client.Info("i", "I.", registry=theirs).info({"version": "1"})
    prometheus_client.Enum("e", "E.", states=["on", "off"], registry=theirs).state("off")
    return theirs


@pytest.mark.parametrize("accept", ["", CLASSIC, NATIVE])
def test_what_prometheus_client_collects_is_written_in_each_format(accept, caplog):
    """Each kind that the library has, also those that are not ours, is there with its figures."""
    registry = MetricRegistry()
    registry.register(anything(of_prometheus_client()))
    _, body = exposition(registry, accept)
    if accept == NATIVE:
        found = scraped.families(body)
        assert found["c_total"].metric[0].counter.value == 2
        assert found["g_total"].metric[0].gauge.value == 3
        summary = found["s"].metric[0].summary
        assert (found["s"].type, summary.sample_count, summary.sample_sum) == (2, 1, 4)
        histogram = found["h"].metric[0].histogram
        assert (histogram.sample_count, histogram.sample_sum) == (1, 1.5)
        assert [bucket.cumulative_count for bucket in histogram.bucket] == [0, 1, 1]
        assert found["i_info"].metric[0].gauge.value == 1
        assert [one.gauge.value for one in found["e"].metric] == [0, 1]
    else:
        parse = openmetrics if accept else text_string_to_metric_families
        read = {
            (one.name, tuple(one.labels.values())): one.value
            for family in parse(body.decode())
            for one in family.samples
        }
        assert read["c_total", ()] == 2
        assert read["g_total", ('x"',)] == 3
        assert (read["s_count", ("y",)], read["s_sum", ("y",)]) == (1, 4)
        assert (read["h_bucket", ("2.0",)], read["h_count", ()]) == (1, 1)
        assert (read["i_info", ("1",)], read["e", ("on",)], read["e", ("off",)]) == (1, 0, 1)
    assert caplog.records == []


class Gives:
    """Collects what it is given."""

    def __init__(self, *families: Any) -> None:
        self.families = families

    def collect(self) -> list[Any]:
        """Return it."""
        return list(self.families)


def a_family(value: Any = 1, name: Any = "bad", kind: str = "gauge", **labels: Any) -> Any:
    """A family that may not be one that can be written."""
    family = prometheus_client.Metric("bad", "B.", kind)
    family.name = name
    family.add_sample("bad", labels, value)
    return family


@pytest.mark.parametrize("accept", ["", CLASSIC, NATIVE])
@pytest.mark.parametrize(
    "bad",
    [
        5,
        None,
        a_family("5"),
        a_family(None),
        a_family(name="a b"),
        a_family(name=None),
        a_family(label=5),
        a_family(**{"a-b": "x"}),
    ],
    ids=repr,
)
def test_a_collector_whose_families_cannot_be_written_leaves_the_others(
    registry, accept, bad, caplog
):
    """What cannot be written is left out, logged and counted; the rest of the same collector stays."""
    registry.register(Gives(bad, a_family(3, name="bad")))
    body = exposition(registry, accept)[1]
    if accept == NATIVE:
        found = scraped.families(body)
        assert found["level"].metric[0].gauge.value == -1.5
        assert found["bad"].metric[0].gauge.value == 3
        assert found["stichotrope_collector_errors_total"].metric[0].counter.value == 1
    else:
        text = body.decode()
        assert "level -1.5" in text
        assert "\nbad 3.0\n" in text.replace("bad 3\n", "bad 3.0\n")
        assert "stichotrope_collector_errors_total 1" in text
    assert len(caplog.records) == 1


def test_figures_of_other_types_are_written_as_numbers():
    """What is a number and is no int or float, is written as one."""
    registry = MetricRegistry()
    registry.register(Gives(a_family(Fraction(1, 2)), a_family(True, name="bad")))
    assert "bad 0.5\n" in registry.expose()
    assert "bad 1.0\n" in registry.expose()


def test_a_request_that_cannot_be_answered_is_an_error_in_a_sentence(registry, caplog):
    """The server and the apps answer with status 500 and what happened, and go on."""

    class Broken(MetricRegistry):
        """Fails where nothing of ours catches it."""

        def collect(self) -> Any:
            """Fail."""
            raise KeyError("some key")

    with start_metrics_server(0, collectors=[registry]) as server:
        server._http.answer = lambda query, headers: exposition(Broken())
        status, _, body = fetch(f"http://127.0.0.1:{server.port}/metrics")
        assert (status, b"KeyError: 'some key'" in body) == (500, True)
        assert fetch(f"http://127.0.0.1:{server.port}/metrics", "HEAD")[0] == 500
    assert len(caplog.records) == 2


def test_native_buckets_are_written_in_spans_that_read_back_as_they_were():
    """Whatever the values, buckets read back are those that went in, by midpoints within 1/32 of each value."""
    rng = random.Random(2)
    for _ in range(30):
        registry = MetricRegistry()
        histogram = Histogram("h", registry=registry)
        values = [
            rng.choice([-1, 1]) * rng.lognormvariate(0, rng.choice([0.1, 3, 30]))
            for _ in range(rng.randrange(1, 300))
        ]
        for value in values:
            histogram.observe(value)
        (native,) = [native for family in histogram.collect() for _, native in family.natives]
        read = scraped.families(exposition(registry, NATIVE)[1])["h"].metric[0].histogram
        native = native.coarser(3)
        assert scraped.buckets(read.positive_span, read.positive_delta) == native.positive
        assert scraped.buckets(read.negative_span, read.negative_delta) == native.negative
        assert sum(native.positive.values()) + sum(
            native.negative.values()
        ) + native.zero_count == len(values)
        for value in values:
            if abs(value) < native.zero_threshold * 1.04:
                continue
            place = math.log2(abs(value)) * 8
            near = native.positive if value > 0 else native.negative
            assert any(near.get(math.ceil(place + d), 0) for d in (-0.4, 0, 0.4))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/html", "text/plain"),
        ("garbage;;q=x,,=", "text/plain"),
        ("text/plain;q=0.9, application/openmetrics-text;q=0.1", "text/plain"),
        (CLASSIC, "application/openmetrics-text"),
        (NATIVE, "application/vnd.google.protobuf"),
        ("application/vnd.google.protobuf;proto=other;encoding=delimited", "text/plain"),
        (f"{PROTOBUF};q=0, text/plain", "text/plain"),
        (
            f"{PROTOBUF};q=0.2, application/openmetrics-text;version=1.0.0;q=0.3",
            "application/openmetrics-text",
        ),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(registry, accept, kind):
    """Of the formats that there are, the most wanted is given; text where none is."""
    assert exposition(registry, accept)[0].startswith(kind)


def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request."""
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_the_server_answers_on_a_free_port_until_it_is_stopped(registry):
    """The server serves all formats, gzip and single samples, and refuses what is no reading."""
    with start_metrics_server(0, collectors=[registry]) as server:
        url = f"http://127.0.0.1:{server.port}/metrics"
        status, headers, body = fetch(url)
        assert (status, headers["Content-Type"]) == (
            200,
            "text/plain; version=0.0.4; charset=utf-8",
        )
        assert samples(body.decode()) == samples(registry.expose())
        _, headers, body = fetch(url, **{"Accept-Encoding": "gzip", "Accept": CLASSIC})
        assert headers["Content-Encoding"] == "gzip"
        assert len(list(openmetrics(gzip.decompress(body).decode()))) == 4
        _, _, body = fetch(url, Accept=NATIVE)
        assert set(scraped.families(body)) == {"jobs_total", "level", "fixed", "wide"}
        _, _, body = fetch(f"{url}?name[]=level&name[]=fixed_sum")
        assert set(samples(body.decode())) == {("level", ()), ("fixed_sum", ())}
        status, headers, body = fetch(url, "HEAD")
        assert (status, body, int(headers["Content-Length"]) > 0) == (200, b"", True)
        assert fetch(url, "POST")[0] == 405
        assert str(server.port) in repr(server)
    server.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)


@pytest.fixture
def connections_end() -> Iterator[None]:
    """After the test, the server's threads that answered on its connections end by themselves."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(30)


@pytest.mark.usefixtures("connections_end")
def test_a_kept_connection_ends_when_the_server_is_stopped(registry):
    """Nothing is answered after that, not even on a connection that was there before."""
    server = start_metrics_server(0, collectors=[registry])
    kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    kept.connect()
    kept.auto_open = 0

    def scrape() -> bytes:
        kept.request("GET", "/metrics")
        return kept.getresponse().read()

    assert b"jobs_total" in scrape()
    server.stop()
    with pytest.raises((OSError, http.client.HTTPException)):
        scrape()
    kept.close()
    with start_metrics_server(server.port, collectors=[registry]):
        pass


@pytest.mark.usefixtures("connections_end")
def test_what_is_being_answered_when_the_server_is_stopped_is_answered_to_its_end():
    """And its connection is closed then."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        def collect(self) -> list[Any]:
            begun.set()
            assert go_on.wait(30)
            return []

    server = start_metrics_server(0, collectors=[Slow()])
    kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    kept.request("GET", "/metrics")
    assert begun.wait(30)
    server.stop()
    go_on.set()
    response = kept.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert response.getheader("Connection") == "close"
    kept.close()


@pytest.mark.parametrize(
    ("headers", "body", "is_kept"),
    [
        ({}, b"hello=1", True),
        ({}, b"x" * (1 << 16), True),
        ({"Content-Length": "99999999999999999999"}, b"", False),
        ({"Content-Length": "-5"}, b"", False),
        ({"Transfer-Encoding": "chunked"}, b"0\r\n\r\n", False),
    ],
)
@pytest.mark.usefixtures("connections_end")
def test_the_body_of_a_request_is_no_part_of_the_next(registry, headers, body, is_kept):
    """It is read, or the connection is closed; either way the request is answered."""
    with start_metrics_server(0, collectors=[registry]) as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for method, expected in (("POST", 405), ("GET", 200)):
            kept.putrequest(method, "/metrics")
            for name, value in (headers or {"Content-Length": str(len(body))}).items():
                kept.putheader(name, value)
            kept.endheaders(body)
            response = kept.getresponse()
            response.read()
            assert response.status == expected
            assert (response.getheader("Connection") == "close") is not is_kept
            if not is_kept:
                kept.close()
        kept.close()


def test_a_port_that_is_taken_is_an_error_that_names_it(registry):
    """A taken port, one that is none, and an address of elsewhere are errors that name them."""
    with start_metrics_server(0, collectors=[registry]) as server:
        with pytest.raises(OSError, match=f"port {server.port}") as caught:
            start_metrics_server(server.port, collectors=[registry])
        assert caught.value.errno == errno.EADDRINUSE
    for port, error in (
        (-1, ValueError),
        (65_536, ValueError),
        (anything("9000"), TypeError),
        (anything(True), TypeError),
    ):
        with pytest.raises(error, match="port"):
            start_metrics_server(port)
    with pytest.raises(TypeError, match="address"):
        start_metrics_server(0, anything(None))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_leaves_the_port_to_its_parent(registry):
    """A child does not hold the parent's port, may serve on another, and the parent goes on."""
    with start_metrics_server(0, collectors=[registry]) as server:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            with start_metrics_server(0, collectors=[registry]) as own:
                found = samples(fetch(f"http://127.0.0.1:{own.port}/")[2].decode())
                os.write(write, json.dumps([own.port != server.port, found["level", ()]]).encode())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert json.loads(os.read(read, 1000)) == [True, 0]
        assert fetch(f"http://127.0.0.1:{server.port}/")[0] == 200


def test_scrapes_and_recording_do_not_disturb_each_other(registry):
    """While threads record, every scrape is whole, and no count is lost."""
    counter = Counter("busy", registry=registry)
    histogram = Histogram("sizes", registry=registry)

    def work() -> None:
        for number in range(3000):
            counter.inc()
            histogram.observe(number)

    with start_metrics_server(0, collectors=[registry]) as server:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            found = samples(fetch(f"http://127.0.0.1:{server.port}/")[2].decode())
            assert found["sizes_bucket", (("le", "+Inf"),)] == found["sizes_count", ()]
        for thread in threads:
            thread.join()
        assert (
            samples(fetch(f"http://127.0.0.1:{server.port}/")[2].decode())["busy_total", ()]
            == 12_000
        )


def call_wsgi(app: Any, **environ: str) -> tuple[str, dict[str, str], bytes]:
    """What a WSGI app answers, held against the standard by wsgiref."""
    from wsgiref.validate import validator

    environ.setdefault("QUERY_STRING", "")
    setup_testing_defaults(environ)
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
        started.extend((status, headers))
        return lambda data: None

    answer = validator(app)(environ, start_response)
    body = b"".join(answer)
    answer.close()
    return started[0], dict(started[1]), body


def call_asgi(app: Any, kind: str = "http", **scope: Any) -> list[dict[str, Any]]:
    """What an ASGI app sends."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    messages = iter(
        [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        if kind == "lifespan"
        else [{"type": "http.request"}]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    asyncio.run(app({"type": kind, "method": "GET", "headers": [], **scope}, receive, send))
    return sent


def test_apps_answer_as_the_server_does(registry):
    """The WSGI and ASGI apps answer with the same formats."""
    status, headers, body = call_wsgi(make_wsgi_app(registry), HTTP_ACCEPT=NATIVE)
    assert status == "200 OK"
    assert headers["Content-Length"] == str(len(body))
    assert "wide" in scraped.families(body)
    start, content = call_asgi(
        make_asgi_app(registry), headers=[(b"accept", b"text/plain"), (b"accept-encoding", b"gzip")]
    )
    assert start["status"] == 200
    assert (b"content-encoding", b"gzip") in start["headers"]
    assert samples(gzip.decompress(content["body"]).decode()) == samples(registry.expose())
    assert call_wsgi(make_wsgi_app(registry), REQUEST_METHOD="DELETE")[0].startswith("405")
    assert [one["type"] for one in call_asgi(make_asgi_app(registry), "lifespan")] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    with pytest.raises(ValueError, match="websocket"):
        call_asgi(make_asgi_app(registry), "websocket")


def test_apps_of_prometheus_client_take_our_registry(registry):
    """The library's own apps answer with what our registry holds."""
    status, _, body = call_wsgi(
        prometheus_client.make_wsgi_app(anything(registry)), QUERY_STRING="name[]=level"
    )
    assert status == "200 OK"
    assert samples(body.decode()) == {("level", ()): -1.5}


@pytest.mark.parametrize("describes", [True, False])
def test_a_registry_of_prometheus_client_finds_our_samples_by_name(registry, describes):
    """Single samples of what is registered with the library, blocks that are entered later included."""
    theirs = prometheus_client.CollectorRegistry(auto_describe=describes)
    profiler = Profiler("p")
    theirs.register(anything(registry))
    theirs.register(anything(ProfilerCollector([profiler])))
    with profiler.block(0, "b") as block:
        block.add_bytes(7)
    app = prometheus_client.make_wsgi_app(theirs)

    def found(name: str) -> list[float]:
        return list(samples(call_wsgi(app, QUERY_STRING=f"name[]={name}")[2].decode()).values())

    assert found("jobs_total") == [3]
    assert found("level") == [-1.5]
    assert found("fixed_sum") == [5.5]
    assert found("stichotrope_block_passes_total") == [1]
    assert found("stichotrope_block_bytes_total") == [7]
    assert found("stichotrope_block_duration_seconds_count") == [1]
    assert found("unknown") == []
    later = Histogram("later", buckets=(1, 2), registry=theirs)
    later.observe(1.5)
    assert found("later_sum") == [1.5]
    with pytest.raises(ValueError, match="Duplicated"):
        Gauge("later", registry=theirs)
    theirs.unregister(anything(later))
    assert found("later_sum") == []


def test_by_default_all_profilers_and_the_default_registry_are_served():
    """Without collectors, what is served is the default registry and whatever profilers there are."""
    app = make_wsgi_app()
    profiler = Profiler("found by itself")
    with profiler.block(0, "b"):
        pass
    found = samples(call_wsgi(app)[2].decode())
    key = (("block", "b"), ("profiler", "found by itself"), ("track", "Track 0"))
    assert found["stichotrope_block_passes_total", key] == 1
    assert _core.unrecorded_values() == 0


def test_pprof_profiles_are_of_what_happened_since_the_last_scrape():
    """Each scrape of /debug/pprof is a profile of what happened since the last one, also of several profilers."""
    import pprof as reading
    from stichotrope.integrations import pprof

    one, two = Profiler("one"), Profiler("two")

    def work(times: int) -> None:
        for _ in range(times):
            with one.block(0, "a"), two.block(0, "b"):
                pass

    def hits(body: bytes) -> dict[str, int]:
        return {path: values[0] for path, values, _ in reading.Profile(body).samples() if values[0]}

    app = pprof.make_wsgi_app([one, two])
    work(3)
    status, headers, body = call_wsgi(app, HTTP_ACCEPT_ENCODING="gzip")
    assert status == "200 OK"
    assert "Content-Encoding" not in headers
    assert hits(body) == {"a": 3, "b": 3}
    work(2)
    start, content = call_asgi(pprof.make_asgi_app([one, two]))
    assert start["status"] == 200
    assert hits(content["body"]) == {"a": 2, "b": 2}
    assert hits(call_wsgi(app)[2]) == {}
    assert hits(call_wsgi(app, QUERY_STRING="reader=other")[2]) == {"a": 5, "b": 5}
    assert hits(call_wsgi(app, QUERY_STRING="whole=1")[2]) == {"a": 5, "b": 5}
    assert hits(call_wsgi(pprof.make_wsgi_app([]))[2]) == {}


def test_names_of_readers_that_come_over_the_network_are_few(monkeypatch):
    """What each saw is kept: one too many is refused, and the others go on; so is a name that is too long."""
    from stichotrope.integrations import pprof

    monkeypatch.setattr(pprof, "_READERS", {})
    profiler = Profiler("asked")
    with profiler.block(0, "a"):
        pass
    apps = pprof.make_wsgi_app([profiler]), pprof.make_wsgi_app([profiler])
    statuses = [
        call_wsgi(apps[number % 2], QUERY_STRING=f"reader={number}")[0] for number in range(40)
    ]
    assert statuses == ["200 OK"] * 32 + ["403 Forbidden"] * 8
    assert b"'39' is not one of them" in call_wsgi(apps[0], QUERY_STRING="reader=39")[2]
    for query in ("", "whole=1", "whole=1&reader=99", "reader=31"):
        assert call_wsgi(apps[0], QUERY_STRING=query)[0] == "200 OK"
    start, _ = call_asgi(pprof.make_asgi_app([profiler]), query_string=b"reader=98")
    assert start["status"] == 403
    assert call_wsgi(apps[0], QUERY_STRING=f"reader={'x' * 101}")[0] == "400 Bad Request"


def test_a_reader_that_has_not_asked_for_an_hour_makes_room_and_begins_anew(monkeypatch):
    """What it saw is kept no more; one that goes on asking keeps its name."""
    import pprof as reading
    from stichotrope.integrations import pprof

    now = [0.0]
    monkeypatch.setattr(pprof, "_READERS", {})
    monkeypatch.setattr(pprof, "time", SimpleNamespace(monotonic=lambda: now[0]))
    profiler = Profiler("asked")
    app = pprof.make_wsgi_app([profiler])

    def asked(name: str) -> tuple[str, int]:
        with profiler.block(0, "a"):
            pass
        status, _, body = call_wsgi(app, QUERY_STRING=f"reader={name}")
        found = reading.Profile(body).samples() if status == "200 OK" else ()
        return status, sum(values[0] for _, values, _ in found)

    for number in range(32):
        assert asked(str(number)) == ("200 OK", number + 1)
    now[0] = 3000.0
    assert asked("7") == ("200 OK", 25)
    assert asked("new")[0] == "403 Forbidden"
    now[0] = 3601.0
    assert asked("new") == ("200 OK", 35)
    assert sorted(pprof._READERS) == ["7", "new"]
    assert sorted(profiler._readers) == ["pprof 7", "pprof new"]
    assert asked("7") == ("200 OK", 3)
    assert asked("8") == ("200 OK", 37)


def test_registries_that_are_exposed_together_have_no_name_in_common(registry):
    """Each series would be there twice."""
    other = MetricRegistry()
    Gauge("level", registry=other)
    with pytest.raises(ValueError, match="have the name 'level'"):
        make_wsgi_app(registry, other)


def test_the_package_has_the_server_where_it_is_asked_for():
    """By its name in the package, imported then."""
    import stichotrope

    assert stichotrope.start_metrics_server is start_metrics_server


def test_a_store_without_workers_has_no_blocks(tmp_path):
    """It is no error that none has recorded yet; that the directory is not there is."""
    collector = StoreCollector(tmp_path)
    assert not any(family.samples for family in collector.collect())
    profiler = Profiler("shop", store=tmp_path)
    with profiler.block(0, "a"):
        pass
    assert sum(len(family.samples) for family in collector.collect()) > 0
    with pytest.raises(OSError, match="missing"):
        StoreCollector(tmp_path / "missing").collect()
