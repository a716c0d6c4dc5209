"""The links of the way in: the proxy answers for Label Studio, and its certificate is good for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from infra.config.address import has_own_tls, site_host
from infra.doctor.diagnosis import Finding, broken, ok, warning
from infra.doctor.inside import CERTIFICATE, ask
from infra.doctor.inspection import Inspection
from infra.roles.stack.certificate import names_of
from labelstudio.answers import reaching
from labelstudio.session import http_client

PROXY = "proxy"
DOING = "reach Label Studio through the proxy"
# A certificate by ACME, and one of the proxy's own CA, is renewed long before.
SOON = {"files": timedelta(days=21), "acme": timedelta(days=14), "internal": timedelta(hours=1)}


def check_proxy(look: Inspection) -> Finding:
    """From here, the way that people and labelrig itself take."""
    if not look.site.proxy:
        return warning("this stack is of a version without the proxy", f"{look.again} brings it")
    access = look.access
    base_url = access.base_url
    with http_client(base_url, access.transport) as http, reaching(base_url, DOING):
        status = http.get("/health").status_code
    if status != 200:
        return broken(
            f"/health gives HTTP {status} at {base_url}",
            f"{look.again} renders its settings anew; {look.inv('logs')} shows what the proxy says",
        )
    return ok(f"people open {look.site.settings.address_for_people}; /health answers 200")


def check_certificate(look: Inspection) -> Finding:
    """The certificate that browsers are shown: its name, and how long it is good."""
    from cryptography import x509

    settings = look.site.settings
    if settings.tls == "off":
        return ok("not needed: http only")
    if not has_own_tls(settings):
        return ok("not ours: the proxy in front has it")
    host = site_host(settings)
    answer = ask(look.exec_in(PROXY), CERTIFICATE, host)
    if "pem" not in answer:
        return broken(
            f"the proxy serves no https for {host}: {answer.get('said')}",
            f"{look.inv('logs')} says why it has no certificate; docs/tls.md",
        )
    leaf = x509.load_pem_x509_certificate(str(answer["pem"]).encode())
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    until = f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if left <= timedelta(0):
        return broken(f"the certificate of {host} ended {until}", _renewal(look))
    if left < SOON[settings.tls]:
        return warning(f"the certificate of {host} ends {until}", _renewal(look))
    return ok(f"for {', '.join(names_of(leaf))}, good until {until}")


def _renewal(look: Inspection) -> str:
    settings = look.site.settings
    if settings.tls == "files":
        return f"have {settings.tls_certificate} renewed; then {look.again} hands it to the proxy"
    return f"{look.inv('logs')} says why the proxy did not renew it"
