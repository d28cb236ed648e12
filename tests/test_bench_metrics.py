"""The benchmark of metrics: every case runs, and the ratios are those of the times."""

from __future__ import annotations

import json

import pytest

from benchmarks import metrics

pytestmark = [pytest.mark.integration, pytest.mark.extended]


def test_a_short_look_measures_ours_and_what_they_are_held_against(tmp_path, capsys):
    """Each case has a time in each round, each pair a ratio, and each scrape holds every count."""
    path = tmp_path / "run.json"
    assert metrics.main(["--quick", "--into", str(path)]) == 0
    stored = json.loads(path.read_text())
    assert {len(took) for took in stored["ns"].values()} == {metrics.QUICK_ROUNDS}
    ours = {*metrics.PAIRS, "kept block", "histogram observe, fixed"}
    assert ours <= set(stored["ns"])
    assert set(stored["threads_ns"]) == set(stored["ns"])
    assert set(stored["threads_ratios"]) == set(stored["ratios"])
    assert set(stored["shared_ratios"]) == set(metrics.PAIRS)
    assert set(stored["scrape_ms"]) == {"1,000 series, 50 threads", "10,000 series, 1 thread"}
    assert set(stored["beside_scrapes"]) == {"passes", "longest wait, ms"}
    peers = {peer for peers in metrics.PAIRS.values() for peer in peers if peer in stored["ns"]}
    assert {pair.partition(" ÷ ")[0] for pair in stored["ratios"]} == peers
    assert "counter inc" in capsys.readouterr().out
