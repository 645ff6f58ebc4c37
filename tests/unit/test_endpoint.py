# SPDX-License-Identifier: MIT
"""push/endpoint.py: which accounts share a spool, and the server's name.

Context: test.
"""

from gst_pyro_shim.push.endpoint import Endpoint
from gst_pyro_shim.settings.model import Settings

SECRET = "s3cr3t"


def endpoint(**settings):
    return Endpoint.of(Settings.model_validate({"server_url": "https://h", **settings}))


def test_accounts_have_a_spool_each():
    ways = (
        {},
        {"tenant_id": "111"},
        {"basic_auth_user": "111"},
        {"basic_auth_user": "222"},
        {"server_url": "https://333:p@h"},
        {"bearer_token": SECRET},
        {"bearer_token": SECRET + "2"},
        {"http_headers": f"Authorization=Bearer {SECRET}"},
        {"http_headers": f"X-Api-Key={SECRET}"},
    )
    identities = [endpoint(**way).identity for way in ways]
    assert len(set(identities)) == len(ways)
    assert SECRET not in " ".join(identities)


def test_one_account_has_one_spool():
    """Wherever the user is given, and after a change of password."""
    one = endpoint(basic_auth_user="me@x", basic_auth_password="old").identity
    assert one == endpoint(basic_auth_user="me@x", basic_auth_password="new").identity
    assert one == endpoint(server_url="https://me%40x:newer@h").identity


def test_a_name_goes_over_the_wire_in_ascii():
    given = endpoint(server_url="http://Bücher.example:4040/base")
    assert given.host == "xn--bcher-kva.example"
    assert dict(given.headers)["Host"] == "xn--bcher-kva.example:4040"
    assert given.url == "http://xn--bcher-kva.example:4040/base"
