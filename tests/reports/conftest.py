import pytest
from support.browser import Browser, browser_or_skip


@pytest.fixture(scope="session")
def browser():
    with Browser(browser_or_skip()) as started:
        yield started
