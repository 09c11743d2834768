"""The Helm chart, by Helm's own library: linted, rendered, held against Kubernetes' schemas and the server itself."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
from pathlib import Path

import httpx2
import pytest
from fleet import PATIENCE_S, Member

from streamer import protocol
from streamer.server.auth import new_token
from streamer.server.config import ENVIRONMENT_PREFIX, ServerConfig, load

helm = pytest.importorskip("helm_python", reason="Helm is not installed: pip install helm-python-sdk")
kubernetes = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
yaml = pytest.importorskip("yaml")

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "chart"
NGINX_ANNOTATION = "nginx.ingress.kubernetes.io/"
EVERYTHING = {
    "cuda": True,
    "image": {"repository": "registry.example/streamer", "tag": "2"},
    "imagePullSecrets": [{"name": "registry"}],
    "ingress": {"enabled": True, "tlsSecret": "certificate"},
    "autoscaling": {"enabled": True},
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "settings": {"origins": ["https://a.example", "https://b.example"], "max_upload_bytes": 1 << 24, "snapshot_s": 1.5},
    "podAnnotations": {"prometheus.io/scrape": "true"},
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
}


def rendered(values=None, name="rooms"):
    """What Helm makes of the chart: the objects by kind and name."""
    with helm.Chart.load(CHART) as chart:
        made = chart.render(values, name=name, namespace="default")
    objects = [one for file, text in made.items() if file.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def of(objects, wanted):
    [found] = [one for (kind, _), one in objects.items() if kind == wanted]
    return found


def container(objects):
    return of(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def environment(objects, secrets):
    """The variables of a container, with what the secrets hold."""
    found = {}
    for variable in container(objects)["env"]:
        value = variable.get("value")
        if value is None:
            reference = variable["valueFrom"]["secretKeyRef"]
            value = secrets[reference["name"]][reference["key"]]
        assert isinstance(value, str)
        found[variable["name"]] = value
    return found


@pytest.mark.parametrize("values", [None, EVERYTHING], ids=["defaults", "everything"])
def test_helm_finds_nothing_to_say_of_the_chart(values):
    report = helm.lint(CHART, values, strict=True, with_subcharts=True)
    assert report["total_charts_linted"] == 1
    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] > 1] == []


def test_helm_would_find_what_is_wrong_with_it(tmp_path):
    broken = shutil.copytree(CHART, tmp_path / "chart")
    (broken / "templates" / "service.yaml").write_text("apiVersion: v1\nkind: Service\n  metadata: {{ .Values.nothing.")
    assert helm.lint(broken, strict=True)["errors"]


@pytest.mark.parametrize("version", ["1.25", kubernetes.latest_version()])
@pytest.mark.parametrize("values", [None, EVERYTHING], ids=["defaults", "everything"])
def test_what_is_rendered_is_what_kubernetes_takes(values, version):
    objects = rendered(values)
    for one in objects.values():
        kubernetes.validate(one, version, strict=True)
    kinds = sorted(kind for kind, _ in objects)
    optional = [] if values is None else ["HorizontalPodAutoscaler", "Ingress", "Ingress"]
    assert kinds == sorted(["Deployment", "Service", "PodDisruptionBudget", *optional])
    damaged = of(objects, "Deployment")
    damaged["spec"]["template"]["spec"]["terminationGracePeriod"] = 20
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(damaged, version, strict=True)


@pytest.mark.parametrize("values", [None, EVERYTHING], ids=["defaults", "everything"])
def test_the_parts_find_each_other(values):
    objects = rendered(values)
    deployment, service = of(objects, "Deployment"), of(objects, "Service")
    pod = deployment["spec"]["template"]
    budget = of(objects, "PodDisruptionBudget")["spec"]
    spread = pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
    selector = service["spec"]["selector"]
    assert selector == deployment["spec"]["selector"]["matchLabels"] == budget["selector"]["matchLabels"] == spread
    assert selector.items() <= pod["metadata"]["labels"].items()
    names = {port["name"] for port in container(objects)["ports"]}
    [port] = service["spec"]["ports"]
    assert port["targetPort"] in names
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container(objects)[probe]["httpGet"]["port"] in names
    for (kind, _), ingress in objects.items():
        for path in ingress["spec"]["rules"][0]["http"]["paths"] if kind == "Ingress" else ():
            backend = path["backend"]["service"]
            assert (backend["name"], backend["port"]["name"]) == (service["metadata"]["name"], port["name"])
    mounts = {mount["name"] for mount in container(objects)["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}
    if values is not None:
        target = of(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
        assert "replicas" not in deployment["spec"], "else each upgrade would undo what was scaled"


def test_the_address_of_the_database_is_only_in_the_secret():
    values = {"database": {"secret": "db", "key": "people", "sessionsKey": "sessions"}}
    found = environment(rendered(values), {"db": {"people": "postgresql://p", "sessions": "postgresql://s"}})
    assert found["STREAMER_SERVER_STORE"] == "postgresql://p"
    assert found["STREAMER_SERVER_STATE_STORE"] == "postgresql://s"
    one = environment(rendered({"database": {"key": "people"}}), {"streamer-database": {"people": "postgresql://p"}})
    assert one["STREAMER_SERVER_STATE_STORE"] == one["STREAMER_SERVER_STORE"] == "postgresql://p"


@pytest.mark.parametrize("values", [None, EVERYTHING], ids=["defaults", "everything"])
def test_the_settings_are_the_server_s(values):
    objects = rendered(values)
    config = load(None, environment(objects, {"streamer-database": {"url": "postgresql+psycopg://db/rooms"}}), {})
    assert config.state_store == config.store == "postgresql+psycopg://db/rooms"
    assert config.port == container(objects)["ports"][0]["containerPort"]
    assert config.ping_interval_s < 6
    mounts = {mount["name"]: mount["mountPath"] for mount in container(objects)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in of(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]}
    assert config.token_file == f"{mounts['tokens']}/{volumes['tokens']['secret']['items'][0]['path']}"
    if values is not None:
        assert config.origins == ("https://a.example", "https://b.example")
        assert (config.max_upload_bytes, config.snapshot_s) == (1 << 24, 1.5)


@pytest.mark.parametrize("grace_s", [None, 0.5, 10, 10.5, 300])
def test_a_server_is_given_longer_to_stop_than_it_takes(grace_s):
    objects = rendered({} if grace_s is None else {"settings": {"grace_s": grace_s}})
    config = load(None, environment(objects, {"streamer-database": {"url": "postgresql+psycopg://db/rooms"}}), {})
    assert config.grace_s == (grace_s or ServerConfig().grace_s)
    assert of(objects, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= config.grace_s + 5


def test_a_service_of_any_name_sets_nothing():
    """Kubernetes makes variables of services: one called streamer-server would give STREAMER_SERVER_PORT."""
    objects = rendered(name="streamer-server")
    assert of(objects, "Service")["metadata"]["name"] == "streamer-server"
    assert of(objects, "Deployment")["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_with_cuda_a_server_has_the_other_image_and_a_gpu():
    plain, cuda = container(rendered()), container(rendered({"cuda": True}))
    assert cuda["image"] == plain["image"] + "-cuda"
    assert "nvidia.com/gpu" not in plain["resources"]["limits"]
    assert cuda["resources"]["limits"] == {**plain["resources"]["limits"], "nvidia.com/gpu": 1}
    devices = [
        {one["name"]: one.get("value") for one in each["env"]}.get("STREAMER_SERVER_DEVICE") for each in (plain, cuda)
    ]
    assert devices == [None, "cuda"]
    chosen = container(rendered({"cuda": True, "settings": {"device": "cuda:1"}}))
    assert [one["value"] for one in chosen["env"] if one["name"] == "STREAMER_SERVER_DEVICE"] == ["cuda:1"]


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 3},
        {"replicas": 0},
        {"settings": {"state_dir": "/var/lib"}},
        {"settings": {"store": "sqlite:///people.db"}},
        {"settings": {"grace_s": -1}},
        {"ingress": {"enabled": "yes"}},
        {"service": {"sessionAffinity": "Cookie"}},
        {"database": {"secret": ""}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_values_that_cannot_be_are_refused(values):
    with pytest.raises(helm.HelmError):
        rendered(values)


def seconds_of(text, directive):
    return re.findall(rf"{directive} (\d+)s;", text)


def test_the_ingress_says_what_the_proxy_s_own_file_says():
    objects = rendered({"ingress": {"enabled": True}})
    streams, recordings = (
        {
            key.removeprefix(NGINX_ANNOTATION): value
            for key, value in objects["Ingress", name]["metadata"]["annotations"].items()
        }
        for name in ("rooms-streamer", "rooms-streamer-recordings")
    )
    text = (DEPLOY / "nginx.conf").read_text()
    assert seconds_of(text, "proxy_connect_timeout") == [streams["proxy-connect-timeout"]]
    for name in ("read", "send"):
        said = seconds_of(text, f"proxy_{name}_timeout")
        assert said == [streams[f"proxy-{name}-timeout"], recordings[f"proxy-{name}-timeout"]]
    assert f"proxy_next_upstream {streams['proxy-next-upstream']};" in text
    assert f"proxy_next_upstream_tries {streams['proxy-next-upstream-tries']};" in text
    assert f"client_max_body_size {recordings['proxy-body-size']};" in text
    assert f"proxy_http_version {streams['proxy-http-version']};" in text
    assert f"proxy_buffering {streams['proxy-buffering']};" in text
    # A stream is no recording's, and each of the others is there in both.
    paths = [
        path["path"] for path in objects["Ingress", "rooms-streamer-recordings"]["spec"]["rules"][0]["http"]["paths"]
    ]
    [location] = re.findall(r"location ~ (\S+)", text)
    assert not re.match(location, protocol.PATH)
    assert not any(protocol.PATH.startswith(path) for path in paths)
    assert all(re.match(location, f"{path}/") for path in paths)
    config = ServerConfig()
    assert int(recordings["proxy-body-size"].removesuffix("m")) << 20 > config.max_upload_bytes
    assert int(recordings["proxy-read-timeout"]) > config.http_timeout_s


async def test_what_is_started_is_found_well_and_stops_in_its_time(tmp_path, monkeypatch):
    objects = rendered({"settings": {"model": "sincnet", "max_streams": 4, "threads": 1}})
    found = environment(objects, {"streamer-database": {"url": f"sqlite:///{tmp_path}/rooms.db"}})
    _, line = new_token("probe", ["stream"])
    (tmp_path / "tokens").write_text(f"{line}\n")
    for name, value in found.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("STREAMER_SERVER_TOKEN_FILE", str(tmp_path / "tokens"))
    server = Member([], tmp_path / "log")
    await server.start()
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                path = container(objects)[probe]["httpGet"]["path"]
                # As the kubelet asks: by the pod's address, without a token.
                answer = await client.get(f"http://127.0.0.1:{server.port}{path}", headers={"Host": "10.0.0.7:8765"})
                assert answer.status_code == 200
        async with asyncio.timeout(PATIENCE_S):
            await server.end(signal.SIGTERM)
        assert server.process.returncode == 0
    finally:
        await server.end(signal.SIGKILL)
