"""What SageMaker and Vertex AI tell a container becomes settings, and flags win."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import Settings, SettingsError, parse

# Vertex AI's documentation lists these; the values are of its form.
AIP = {
    "AIP_MODE": "PREDICTION",
    "AIP_HTTP_PORT": "8080",
    "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
    "AIP_STORAGE_URI": "",
}
IMAGE = {"MODEL_NAME": "housing", "MODEL_BASE_PATH": "/models"}


def given(*flags: str, **environment: str) -> Settings:
    return parse(flags, environment)


def test_serve_means_what_sagemaker_expects():
    settings = given("serve", **IMAGE)

    assert (settings.rest_api_port, settings.host, settings.port) == (8080, "0.0.0.0", 0)
    assert (settings.model_base_path, settings.find_model) == (Path("/opt/ml/model"), True)
    assert settings.model_name == "housing"
    assert settings.graceful_timeout_s < 30


def test_sagemaker_may_name_the_port():
    assert given("serve", SAGEMAKER_BIND_TO_PORT="9123").rest_api_port == 9123
    assert given(SAGEMAKER_BIND_TO_PORT="9123") == Settings()


def test_flags_win_over_sagemaker():
    flags = ("serve", "--rest_api_port=1234", "--port=5678", "--model_base_path=/m/housing")
    settings = given(*flags, SAGEMAKER_BIND_TO_PORT="9123")

    assert (settings.rest_api_port, settings.port) == (1234, 5678)
    assert (settings.model_base_path, settings.find_model) == (Path("/m/housing"), False)


def test_a_config_file_of_models_leaves_sagemakers_folder_alone():
    settings = given("serve", "--model_config_file=/m/models.config")

    assert (settings.find_model, settings.rest_api_port) == (False, 8080)


@pytest.mark.parametrize("flags", [["serve", "serve"], ["--workers=2", "serve"], ["train"]])
def test_serve_stands_first_and_alone(flags):
    with pytest.raises(SettingsError, match="unrecognized arguments"):
        given(*flags)


def test_vertex_names_port_and_routes_and_leaves_the_images_model():
    settings = given(**AIP, **IMAGE)

    assert settings.rest_api_port == 8080
    assert settings.vertex_health_route == AIP["AIP_HEALTH_ROUTE"]
    assert settings.vertex_predict_route == AIP["AIP_PREDICT_ROUTE"]
    assert (settings.model_base_path, settings.find_model) == (Path("/models/housing"), False)


def test_a_folder_in_vertex_storage_uri_is_looked_through():
    settings = given(**AIP | {"AIP_STORAGE_URI": "/mnt/model"}, **IMAGE)

    assert (settings.model_base_path, settings.find_model) == (Path("/mnt/model"), True)


def test_a_bucket_cannot_be_read_and_it_is_said_what_to_do():
    environment = AIP | {"AIP_STORAGE_URI": "gs://bucket/model"}

    with pytest.raises(SettingsError) as refused:
        given(**environment)

    assert str(refused.value) == (
        "AIP_STORAGE_URI is 'gs://bucket/model'; only folders can be read: copy the model, or "
        "mount its storage, and give the folder as --model_base_path"
    )
    assert given("--model_base_path=/gcs/m", **environment).model_base_path == Path("/gcs/m")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AIP_HTTP_PORT", "http", "AIP_HTTP_PORT is 'http', not a whole number"),
        ("AIP_HTTP_PORT", "70000", r"AIP_HTTP_PORT is 70000, outside \[0, 65535\]"),
        ("AIP_HEALTH_ROUTE", "x", "AIP_HEALTH_ROUTE is 'x'; a route begins with '/'"),
        ("AIP_PREDICT_ROUTE", "/x?y", "AIP_PREDICT_ROUTE is '/x\\?y'; a route begins with '/'"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variable, value, message):
    with pytest.raises(SettingsError, match=message):
        given(**{variable: value})


def test_a_wrong_port_of_sagemaker_is_named():
    with pytest.raises(SettingsError, match="SAGEMAKER_BIND_TO_PORT is 'x'"):
        given("serve", SAGEMAKER_BIND_TO_PORT="x")
