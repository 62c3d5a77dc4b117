"""LabLink's remaining row: cleanup."""

from __future__ import annotations

import requests


def test_cleanup_ends_the_sessions_whose_time_is_over_and_says_which(lab):
    """REST-19"""
    answer = requests.post(f"{lab.url}/api/locks/cleanup", timeout=30)
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "Cleanup completed",
        "expired_sessions": 0,
        "session_ids": [],
    }


def test_cleanup_tells_a_session_that_expired(lab):
    """REST-19"""
    short = requests.post(f"{lab.url}/api/locks/sessions/create", json={"timeout_seconds": 1}, timeout=30).json()
    ended: list[str] = []
    while short["session_id"] not in ended:
        ended += requests.post(f"{lab.url}/api/locks/cleanup", timeout=30).json()["session_ids"]
        known = requests.get(f"{lab.url}/api/locks/sessions/{short['session_id']}", timeout=30)
        if known.status_code == 404:
            break
    assert requests.get(f"{lab.url}/api/locks/sessions/{short['session_id']}", timeout=30).status_code == 404
