"""TensorFlow Serving's model config in text form, as its documentation writes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from service.errors import HearthError, InvalidRequest
from service.messages import model_server_config_pb2
from service.repository.config import (
    All,
    Latest,
    ModelConfig,
    Specific,
    from_message,
    parse_config,
    read_logging,
    to_text,
)


def lone(fields: str = "", name: str = "m") -> str:
    return f"""
        model_config_list {{
          config {{ name: "{name}" base_path: "/models/m" model_platform: "tensorflow" {fields} }}
        }}"""


def refusal(text: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        parse_config(text)
    return refused.value.message


def test_a_config_names_models_policies_and_labels():
    # https://www.tensorflow.org/tfx/serving/serving_config, put together.
    text = """
        model_config_list {
          config {
            name: 'my_first_model'
            base_path: '/tmp/my_first_model/'
            model_platform: 'tensorflow'
          }
          config {
            name: 'my_second_model'
            base_path: '/tmp/my_second_model/'
            model_platform: 'tensorflow'
            model_version_policy { specific { versions: 42 versions: 43 } }
            version_labels { key: 'stable' value: 43 }
            version_labels { key: 'canary' value: 42 }
          }
        }"""

    assert parse_config(text) == [
        ModelConfig("my_first_model", Path("/tmp/my_first_model"), Latest(1)),
        ModelConfig(
            "my_second_model",
            Path("/tmp/my_second_model"),
            Specific(frozenset({42, 43})),
            {"stable": 43, "canary": 42},
        ),
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", Latest(1)),
        ("model_version_policy {}", Latest(1)),
        ("model_version_policy { latest {} }", Latest(1)),
        ("model_version_policy { latest { num_versions: 0 } }", Latest(1)),
        ("model_version_policy { latest { num_versions: 3 } }", Latest(3)),
        ("model_version_policy { all {} }", All()),
        ("model_version_policy: { all: {} }", All()),
        (
            "model_version_policy { specific { versions: 7 versions: 7 } }",
            Specific(frozenset({7})),
        ),
    ],
)
def test_a_policy_says_which_versions(policy, expected):
    (config,) = parse_config(lone(policy))

    assert config.policy == expected


@pytest.mark.parametrize(
    ("policy", "candidates", "served"),
    [
        (Latest(1), [10, 3, 2], [10]),
        (Latest(2), [10, 3, 2], [10, 3]),
        (Latest(9), [10, 3, 2], [10, 3, 2]),
        (All(), [10, 3, 2], [10, 3, 2]),
        (Specific(frozenset({2, 3, 99})), [3, 2], [3, 2]),
    ],
)
def test_a_policy_chooses_by_number_newest_first(policy, candidates, served):
    tried = policy.candidates([2, 10, 3])
    taken: list[int] = []
    for number in tried:
        if policy.is_enough(len(taken)):
            break
        taken.append(number)

    assert tried == candidates
    assert taken == served


def test_a_name_may_hold_what_a_path_may_not():
    (config,) = parse_config(lone(name="team/housing:eu"))

    assert config.name == "team/housing:eu"
    assert parse_config(to_text([config])) == [config]


def test_how_requests_are_to_be_logged_is_kept():
    # tensorflow_serving/config/logging_config.proto
    (config,) = parse_config(
        lone(
            """logging_config {
                 log_collector_config { type: "file" filename_prefix: "/logs/m" }
                 sampling_config { sampling_rate: 0.5 }
               }"""
        )
    )
    assert config.logging.log_collector_config.filename_prefix == "/logs/m"
    assert config.logging.sampling_config.sampling_rate == 0.5
    assert parse_config(to_text([config])) == [config]

    (silent,) = parse_config(lone())
    assert silent.logging is None
    assert "logging" not in to_text([silent])


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ('log_collector_config { filename_prefix: "/logs/m" }', ""),
        ('log_collector_config { type: "parquet" filename_prefix: "/logs/m" }', ""),
        ('log_collector_config { type: "kafka" filename_prefix: "/m" }', "known: file, tfrecord"),
        ("sampling_config { sampling_rate: 0.5 }", "has no filename_prefix"),
        (
            'log_collector_config { filename_prefix: "/m" } sampling_config { sampling_rate: 2 }',
            r"sampling_rate is 2, outside \[0, 1\]",
        ),
    ],
)
def test_a_logging_config_that_cannot_be_followed_says_why(asked, problem):
    (config,) = parse_config(lone(f"logging_config {{ {asked} }}"))

    found = read_logging(config).problem
    assert re.search(problem, found)
    assert bool(found) == bool(problem)


def test_no_models_are_a_config_too():
    assert parse_config("") == []
    assert parse_config("model_config_list {}") == []


@pytest.mark.parametrize("platform", ["", 'model_platform: "tensorflow"', "model_type: TENSORFLOW"])
def test_the_platform_may_be_left_out_or_given_in_the_older_field(platform):
    text = f'model_config_list {{ config {{ name: "m" base_path: "/m" {platform} }} }}'

    assert len(parse_config(text)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:"),
        ("model_config_list {\n config {\n nam: 'x' } }", ": 3:2 : "),
        ("model_config_list { config {", "Error parsing text-format"),
        (lone("model_version_policy { latest { num_versions: -1 } }"), "Error parsing"),
        (lone("model_version_policy { latest {} all {} }"), "Error parsing"),
        (lone("model_version_policy { specific {} }"), "model m: a specific policy needs versions"),
        ('model_config_list { config { name: "m" } }', "model m has no base_path"),
        ('model_config_list { config { base_path: "/m" } }', "a model has no name"),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "caffe" } }',
            "model m has platform 'caffe'; known: tensorflow",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_type: OTHER } }',
            "model m has platform 'OTHER'; known: tensorflow",
        ),
        (
            'model_config_list { config { name: "m" base_path: "gs://bucket/m" } }',
            "model m has base_path 'gs://bucket/m'; only folders can be read",
        ),
        (
            "model_config_list { %s %s }" % (('config { name: "m" base_path: "/m" }',) * 2),
            "Illegal to list model m multiple times in config list",
        ),
        ("custom_model_config {}", "custom_model_config is not supported; use model_config_list"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_with_its_place(text, said):
    assert said in refusal(text)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/:"), min_size=1, max_size=8)
FOLDERS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/:\0"), min_size=1, max_size=6),
    min_size=1,
    max_size=3,
).map(lambda parts: Path("/" + "/".join(parts)))
NUMBERS = st.integers(0, 2**63 - 1)
POLICIES = (
    st.builds(Latest, st.integers(1, 2**32 - 1))
    | st.just(All())
    | st.builds(Specific, st.frozensets(NUMBERS, min_size=1, max_size=4))
)
CONFIGS = st.lists(
    st.builds(
        ModelConfig,
        NAMES,
        FOLDERS,
        POLICIES,
        st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), NUMBERS, max_size=3),
    ),
    max_size=3,
    unique_by=lambda config: config.name,
)


@given(CONFIGS)
def test_a_config_comes_back_as_it_was_written(configs):
    assert parse_config(to_text(configs)) == configs


def outcome(read, content) -> object:
    try:
        return read(content)
    except HearthError as error:
        return error.message


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_whatever_a_file_holds_is_a_config_or_an_error_to_show(text):
    assert outcome(parse_config, text) or not text.strip() or text.lstrip().startswith("#")


@given(st.binary(max_size=60))
def test_whatever_bytes_make_a_message_make_models_or_an_error_to_show(content):
    message = model_server_config_pb2.ModelServerConfig()
    try:
        message.MergeFromString(content)
    except DecodeError:
        return
    models = outcome(from_message, message)

    assert isinstance(models, str) or len(models) == len(message.model_config_list.config)
