"""The annotator of the tests: what a lost connection does to a page is not taken for a fault of ours."""

from __future__ import annotations

from playwright.sync_api import Route

from tests.e2e.browser.desk import Desk
from tests.e2e.workbench import Bench

# The first page throws errors for as long as it is there.
THROWS = """
if (location.protocol !== 'about:' && !sessionStorage.getItem('loaded')) {
  sessionStorage.setItem('loaded', 'once');
  setInterval(() => { throw new Error('a part of the page is not there'); }, 10);
}
"""


def test_errors_of_a_page_that_lacked_a_part_do_not_count(desk: Desk, bench: Bench) -> None:
    """They are thrown until the page is left, also after it was seen that it lacks a part."""
    lost: list[str] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.url)
        route.abort("connectionreset")

    desk.page.add_init_script(THROWS)
    desk.page.route("**/*.js*", lose)
    desk.load(f"{desk.url}/projects/{bench.project_id}/data")
    assert len(lost) == 1
    assert desk.failures == []
