# SPDX-License-Identifier: MIT
"""settings/: names, precedence, refusals, masking; and that the documents and the C side agree.

Context: test.
"""

import importlib.util
import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr, ValidationError

from gst_pyro_shim.errors import ConfigError
from gst_pyro_shim.settings import address, model
from gst_pyro_shim.settings.model import Settings

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cr3t"


def load(**variables: str) -> Settings:
    return Settings.load({}, {model.env_name(name): value for name, value in variables.items()})


def refusal(**variables: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load(**variables)
    return str(raised.value)


def test_defaults_are_those_that_users_know():
    settings = Settings()
    assert settings.server_url == "http://localhost:4040"
    assert settings.tracer_name == "gstreamer"
    assert settings.sample_rate == 100
    assert settings.stop_agent_on_dispose is True
    assert settings.tags == {}
    assert settings.upload_interval == 10
    assert not settings.server_is_set


def test_environment_sets_every_field():
    settings = load(
        server_url="https://pyro.example:4041/base/",
        tracer_name="camera 3",
        sample_rate="250",
        stop_agent_on_dispose="no",
        tags="host=cam3, site = north",
        basic_auth_user="me",
        basic_auth_password=SECRET,
        tenant_id="team-a",
        http_headers="X-One=1,X-Two: 2=2",
        upload_interval="2.5",
        log_level=" DEBUG ",
        output="/tmp/%p.pb.gz",
        spool_dir="/var/spool/x",
        agent="process",
        python="/usr/bin/python3",
    )
    assert settings.server_url == "https://pyro.example:4041/base"
    assert settings.server_is_set
    assert settings.tags == {"host": "cam3", "site": "north"}
    assert settings.stop_agent_on_dispose is False
    assert settings.basic_auth_password == SecretStr(SECRET)
    assert settings.http_headers == {"X-One": SecretStr("1"), "X-Two": SecretStr("2=2")}
    assert settings.upload_interval == 2.5
    assert settings.log_level == "debug"
    assert settings.agent == "process"


def test_parameter_wins_over_environment():
    environ = {"GST_PYROSCOPE_SAMPLE_RATE": "50", "GST_PYROSCOPE_TRACER_NAME": "e"}
    settings = Settings.load({"sample-rate": "60", "flags": "element"}, environ)
    assert (settings.sample_rate, settings.tracer_name) == (60, "e")


def test_flag_wins_over_parameter():
    environ = {"GST_PYROSCOPE_SAMPLE_RATE": "70", "GST_PYROSCOPE_OVERRIDE": "tags,sample_rate"}
    assert Settings.load({"sample-rate": "60"}, environ).sample_rate == 70


def test_a_wrong_value_that_another_source_overrides_does_no_harm():
    assert (
        Settings.load({"sample-rate": "60"}, {"GST_PYROSCOPE_SAMPLE_RATE": "x"}).sample_rate == 60
    )


def test_error_names_the_source_that_counts():
    environ = {"GST_PYROSCOPE_SAMPLE_RATE": "0", "GST_PYROSCOPE_OVERRIDE": "sample_rate"}
    with pytest.raises(ConfigError, match=r"^--sample-rate='0' is not allowed: .*from 1 to 1000"):
        Settings.load({}, environ)
    with pytest.raises(ConfigError, match=r"^tracer parameter sample-rate='0'"):
        Settings.load({"sample-rate": "0"}, {})
    with pytest.raises(ConfigError, match=r"^GST_PYROSCOPE_SAMPLE_RATE='0'"):
        load(sample_rate="0")


def test_unknown_parameter_is_refused_and_the_known_are_named():
    with pytest.raises(ConfigError, match="sample-rte") as raised:
        Settings.load({"sample-rte": "60"}, {})
    assert "sample-rate" in raised.value.hint


def test_empty_variable_counts_as_not_set():
    fields = set(Settings.model_fields) - {"spool_dir", "tags", "http_headers"}
    assert load(**dict.fromkeys(fields, "")) == load()


def test_empty_spool_dir_means_none():
    assert load(spool_dir="").spool_dir == ""


def test_default_spool_dir_follows_xdg():
    def spool(**environ):
        return Settings.load({}, environ).spool_dir

    assert spool(HOME="/home/u") == "/home/u/.local/state/gst-pyro-shim/spool"
    assert spool(HOME="/home/u", XDG_STATE_HOME="/s") == "/s/gst-pyro-shim/spool"
    assert spool(HOME="/home/u", XDG_STATE_HOME="rel") == "/home/u/.local/state/gst-pyro-shim/spool"
    assert spool() == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [("sample_rate", value) for value in ("0", "1001", "+5", "1_0", "100.0")]
    + [("upload_interval", value) for value in ("0.09", "601", "nan", "10s")]
    + [("agent", "thread"), ("log_level", "trace"), ("output", "x.pb"), ("python", "python3"), ("spool_dir", "rel")]
    + [("stop_agent_on_dispose", "maybe"), ("basic_auth_user", "a:b")]
    + [
        ("server_url", value)
        for value in (
            "localhost:4040", "http://", "http://h:0", "http://h:x", "http://h?a=b", "http://h /x",
            "http://ü" + 63 * "x",
        )
    ]
    + [("tracer_name", value) for value in ("a\nb", "ü" * 1025, "\udc80")]
    + [
        ("tags", value)
        for value in (
            "a", "a=", "a=b,a=c", "a-b=c", "__a=b", "element=x", ",".join(f"k{i}=v" for i in range(21)),
        )
    ]
    + [("tenant_id", value) for value in ("a b", "..")],
)  # fmt: skip
def test_wrong_value_is_refused_with_name_value_and_what_is_allowed(field, value):
    text = refusal(**{field: value})
    assert model.env_name(field) in text
    assert repr(value) in text
    assert model.allowed(field) in text
    assert "\n" in text  # the hint


@pytest.mark.parametrize(
    "variables",
    [
        {"basic_auth_password": SECRET},
        {"basic_auth_user": "u", "basic_auth_password": f"{SECRET}\n."},
        {"bearer_token": f"{SECRET}\r\nX: y"},
        {"http_headers": SECRET},
        {"http_headers": f"a b={SECRET}"},
        {"http_headers": f"X=1\n{SECRET}"},
        {"http_headers": f"Host={SECRET}"},
        {"server_url": f"ftp://u:{SECRET}@h"},
        {"server_url": f"http://u:{SECRET}/@h:x"},
        {"server_url": f"u:{SECRET}@h:4040"},
        {"server_url": f"https:/u:{SECRET}@h"},
        {"server_url": f"http://u:1/{SECRET}@h"},
        {"server_url": f"http://u:\n{SECRET}@h"},
        {"bearer_token": SECRET, "basic_auth_user": "u"},
        {"bearer_token": SECRET, "http_headers": f"authorization={SECRET}"},
        {"bearer_token": SECRET, "server_url": f"http://u:{SECRET}@h"},
    ],
)
def test_no_refusal_shows_a_secret(variables):
    assert SECRET not in refusal(**variables)


@pytest.mark.parametrize(
    "given",
    [
        {"bearer_token": SecretStr("a\r\nX: y")},
        {"basic_auth_user": "u", "basic_auth_password": SecretStr("a\nb")},
        {"http_headers": {"X": SecretStr("a\r\nX: y")}},
        {"http_headers": {"a b": SecretStr("c")}},
    ],
)
def test_line_breaks_in_headers_are_refused_in_any_form(given):
    with pytest.raises(ValidationError) as refused:
        Settings(**given)
    assert "X: y" not in str(refused.value)


def test_no_text_of_settings_shows_a_secret():
    for settings in (
        load(server_url=f"http://u:{SECRET}@h", http_headers=f"X-Key={SECRET}"),
        load(bearer_token=SECRET),
        load(basic_auth_user="u", basic_auth_password=SECRET),
    ):
        assert SECRET not in str(settings.masked())
        assert SECRET not in repr(settings)
        assert SECRET not in str(settings)
        assert address.MASK in str(settings.masked())


def test_only_the_url_has_a_user_to_mask():
    masked = load(server_url="https://u:p@h/base", tracer_name="me@cam").masked()
    assert (masked["server_url"], masked["tracer_name"]) == ("https://***@h/base", "me@cam")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"tags": "a=b,c"}, "item 2 has no name and value"),
        ({"tags": "a=b,a=c"}, "a is there twice"),
        ({"tags": "a-b=c"}, "name 'a-b'"),
        ({"tags": "path=x"}, "name 'path': taken"),
        ({"tags": "a=" + "x" * 2049}, "value of a: more than 2048 bytes"),
        ({"http_headers": "Host=x"}, "header Host is taken"),
        ({"server_url": "http://h#f"}, "query or fragment"),
        ({"tracer_name": "\udc80"}, "not UTF-8"),
    ],
)
def test_a_refusal_says_what_is_wrong_where_that_is_not_obvious(variables, reason):
    assert f" is not allowed ({reason}): it must be " in refusal(**variables)


def test_settings_are_immutable_and_closed():
    with pytest.raises(ValidationError):
        Settings().sample_rate = 5  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Settings(sample_rte=5)  # type: ignore[call-arg]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(max_size=20), max_size=4
    ),
    st.text(),
)
def test_any_text_is_taken_or_refused_but_never_crashes(variables, text):
    environ = {f"GST_PYROSCOPE_{name.upper()}": value for name, value in variables.items()}
    for field in Settings.model_fields:
        try:
            Settings.load({}, {**environ, model.env_name(field): text})
        except ConfigError:
            continue


@pytest.mark.parametrize(
    "variables",
    [
        {"sample_rate": " 250"},
        {"sample_rate": "250 "},
        {"stop_agent_on_dispose": "false "},
        {"agent": "Process"},
        {"agent": "process "},
        {"python": " /usr/bin/python3"},
    ],
)
def test_a_value_that_c_would_read_differently_is_refused(variables):
    refusal(**variables)


def test_misspelt_variables_are_reported():
    environ = {
        "GST_PYROSCOPE_SAMPLERATE": "1",
        "GST_PYROSCOPE_TAGS": "",
        "GST_PYROSCOPE_OVERRIDE": "",
        "HOME": "/",
    }
    assert model.unknown_variables(environ) == ["GST_PYROSCOPE_SAMPLERATE"]


def test_bounds_that_c_reads_are_those_of_the_model():
    header = (ROOT / "csrc" / "shared" / "abi.h").read_text(encoding="utf-8")
    found = dict(re.findall(r"GP_SAMPLE_RATE_(MIN|MAX|DEFAULT) = (\d+)", header))
    default = Settings().sample_rate
    assert found == {
        "MIN": str(model.SAMPLE_RATE_MIN), "MAX": str(model.SAMPLE_RATE_MAX), "DEFAULT": str(default),
    }  # fmt: skip


def test_document_is_what_the_model_generates():
    path = ROOT / "docs" / "generate_configuration.py"
    spec = importlib.util.spec_from_file_location("generate_configuration", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    document = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert document == module.document(), "run `make docs`"
