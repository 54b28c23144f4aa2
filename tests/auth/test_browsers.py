"""One browser has the same words in a mail, among the devices and on the page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.browsers import browser_words
from portalsec.events import Source
from tests.auth.mailing import Mailing


@given(st.text(max_size=600))
def test_atk_39_a_browser_is_told_in_words_of_ours(header: str) -> None:
    words = browser_words(header)
    known = {"", "/", "Edge", "Opera", "Samsung", "Internet", "Firefox", "Chrome", "Safari", "Windows"}
    assert set(words.split(" ")) <= known | {"iPhone", "iPad", "Android", "ChromeOS", "Mac", "Linux"}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit Chrome/120 Safari/537 Edg/120", "Edge / Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17 Safari/604", "Safari / iPhone"),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/120 Mobile Safari/537", "Chrome / Android"),
        ("curl/8.5", ""),
        ("Call 555-0100 now at http://evil.example Firefox/1", "Firefox"),
        (None, ""),
    ],
)
def test_browsers_that_people_use_have_names(header: str | None, words: str) -> None:
    assert browser_words(header) == words


@pytest.mark.parametrize(
    ("user_agent", "label"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36", "Chrome / Windows"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36 Edg/138.0", "Edge / Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1", "Safari / iPhone"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 CriOS/138.0 Mobile Safari/604.1", "Chrome / iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 SamsungBrowser/28.0 Chrome/130.0 Mobile Safari/537.36", "Samsung Internet / Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15", "Safari / Mac"),
        ("curl/8.5.0", ""),
        ("<script>alert(1)</script>\r\nX: y", ""),
        ("", ""),
        (None, ""),
        ("Linux", "Linux"),
        ("Firefox/1 " * 100_000, "Firefox"),
    ],
)  # fmt: skip
def test_what_an_owner_reads_of_a_browser(user_agent: str | None, label: str) -> None:
    assert browser_words(user_agent) == label


@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36 EdgA/138.0",
        "Mozilla/5.0 (X11; CrOS x86_64) AppleWebKit/537.36 Chrome/120 Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 14.5) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
        "Mozilla/5.0 (X11; Linux x86_64) Chromium/120",
    ],
)
def test_the_mail_about_a_new_browser_and_the_list_of_devices_say_the_same(agent: str) -> None:
    with Mailing() as m:
        robin = m.person()
        m.session(source=Source(address="192.0.2.10", user_agent=agent))
        (device,) = m.portal.devices.of_account(robin.id)
        (notice,) = m.portal.notices.of_account(robin.id)
        assert m.portal.notices.details(notice)["browser"] == device.label == browser_words(agent) != ""
        assert f"{device.label}\n" in m.deliver()[0].text
