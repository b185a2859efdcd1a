"""Ways in and out: Service, Ingress, HTTPRoute and NetworkPolicy."""

import pytest

from tests.chart.helm import CHART, Refused, render

CI = CHART / "ci"


def test_the_service_is_internal_by_default() -> None:
    spec = render().one("Service")["spec"]
    assert spec["type"] == "ClusterIP"
    assert spec["ports"] == [
        {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
    ]
    assert "clusterIP" not in spec


def test_a_node_port() -> None:
    objects = render(CI / "nodeport-values.yaml")
    assert objects.one("Service")["spec"]["type"] == "NodePort"
    assert objects.one("Service")["spec"]["ports"][0]["nodePort"] == 30080


def test_a_load_balancer() -> None:
    service = render(CI / "loadbalancer-values.yaml").one("Service")
    spec = service["spec"]
    assert (spec["type"], spec["ports"][0]["port"], spec["externalTrafficPolicy"]) == ("LoadBalancer", 8080, "Local")
    assert spec["loadBalancerClass"] == "example.org/internal"
    assert spec["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert service["metadata"]["labels"]["tier"] == "edge"
    assert "service.beta.kubernetes.io/aws-load-balancer-scheme" in service["metadata"]["annotations"]


def test_a_headless_service() -> None:
    spec = render({"service": {"clusterIP": "None", "port": 8000}}).one("Service")["spec"]
    assert (spec["clusterIP"], spec["ports"][0]["port"]) == ("None", 8000)


def test_the_port_says_https_with_tls() -> None:
    port = render({"tls": {"existingSecret": "iris-tls"}}).one("Service")["spec"]["ports"][0]
    assert (port["name"], port["appProtocol"]) == ("https", "https")


@pytest.mark.parametrize(
    ("service", "refusal"),
    [
        ({"nodePort": 30080}, "service.nodePort is set, but service.type is ClusterIP"),
        ({"externalTrafficPolicy": "Local"}, "service.externalTrafficPolicy is for"),
        ({"type": "NodePort", "loadBalancerClass": "x"}, "are for the service.type LoadBalancer"),
        ({"type": "NodePort", "clusterIP": "None"}, "makes the Service headless"),
        ({"clusterIP": "None"}, "does not translate ports: set service.port to 8000"),
    ],
)
def test_a_service_that_kubernetes_would_refuse_or_ignore_is_refused(service: dict[str, object], refusal: str) -> None:
    with pytest.raises(Refused, match=refusal):
        render({"service": service})


def test_an_ingress() -> None:
    ingress = render(CI / "ingress-values.yaml").one("Ingress")
    (rule,) = ingress["spec"]["rules"]
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"secretName": "models-tls", "hosts": ["models.example.org"]}]
    assert rule["host"] == "models.example.org"
    assert rule["http"]["paths"] == [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "iris-slipway", "port": {"number": 80}}}}
    ]
    assert not render().all("Ingress")


def test_an_ingress_for_any_host() -> None:
    hosts = [{"host": "", "paths": [{"path": "/", "pathType": "Prefix"}]}]
    assert "host" not in render({"ingress": {"enabled": True, "hosts": hosts}}).one("Ingress")["spec"]["rules"][0]
    with pytest.raises(Refused, match=r"ingress is enabled without ingress\.hosts"):
        render({"ingress": {"enabled": True}})


def test_a_route_shares_requests_with_a_canary_and_copies_them_to_a_shadow() -> None:
    spec = render(CI / "httproute-values.yaml").one("HTTPRoute")["spec"]
    (rule,) = spec["rules"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    assert spec["hostnames"] == ["models.example.org"]
    assert rule["backendRefs"] == [
        {"name": "iris-slipway", "port": 80, "weight": 90},
        {"name": "iris-canary-slipway", "port": 80, "weight": 10},
    ]
    rewrite, mirror = rule["filters"]
    assert rewrite["type"] == "URLRewrite"
    assert mirror["requestMirror"] == {"backendRef": {"name": "iris-shadow-slipway", "port": 80}, "percent": 100}
    assert rule["matches"][0]["path"]["value"] == "/iris"
    assert rule["timeouts"] == {"request": "30s"}


def test_a_large_number_is_written_as_one() -> None:
    million = render(
        {
            "httpRoute": {
                "enabled": True,
                "parentRefs": [{"name": "public"}],
                "weight": 1_000_000,
                "canaries": [{"service": "iris-canary-slipway", "weight": 1_000_000}],
            },
            "minReadySeconds": 1_000_000,
            "progressDeadlineSeconds": 2_000_000,
        }
    )
    (rule,) = million.one("HTTPRoute")["spec"]["rules"]
    assert [reference["weight"] for reference in rule["backendRefs"]] == [1_000_000, 1_000_000]  # not the text 1e+06
    assert million.one("Deployment")["spec"]["minReadySeconds"] == 1_000_000


def test_a_plain_route() -> None:
    objects = render({"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}})
    assert objects.one("HTTPRoute")["spec"]["rules"] == [
        {"backendRefs": [{"name": "iris-slipway", "port": 80, "weight": 100}]}
    ]
    assert not render().all("HTTPRoute")
    with pytest.raises(Refused, match="name the Gateway"):
        render({"httpRoute": {"enabled": True}})


def test_by_default_everybody_may_come_in_and_only_dns_goes_out() -> None:
    spec = render().one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    assert spec["egress"] == [{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}]
    assert not render({"networkPolicy": {"enabled": False}}).all("NetworkPolicy")


def test_only_chosen_namespaces_may_come_in_and_the_releases_own_test() -> None:
    (rule,) = render(CI / "keys-and-tls-values.yaml").one("NetworkPolicy")["spec"]["ingress"]
    web, monitoring, block, test = rule["from"]
    assert web == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}
    assert monitoring == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert block == {"ipBlock": {"cidr": "10.20.0.0/16"}}
    assert test["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"


def test_what_is_configured_goes_out_besides_dns() -> None:
    _, own = render(CI / "fetch-values.yaml").one("NetworkPolicy")["spec"]["egress"]
    assert own == {"ports": [{"port": 443}]}
