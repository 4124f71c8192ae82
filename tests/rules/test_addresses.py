"""Which addresses are public, value by value. Nothing is resolved or sent here."""

import pytest

from resolvers.errors import BadUserInput
from resolvers.rules.actions import ACTIONS, known_actions
from resolvers.rules.addresses import is_public, may_be_public

# An address of each entry of the registries, its first and last where the entry is not a whole byte, with its source.
NOT_PUBLIC = {
    # IANA IPv4 Special-Purpose Address Registry
    "0.0.0.0": "this host, RFC 1122",  # noqa: S104 - listened on by nobody here
    "0.255.255.255": "this network, RFC 791",
    "10.0.0.1": "private use, RFC 1918",
    "100.64.0.0": "shared address space, RFC 6598",
    "100.127.255.255": "shared address space, RFC 6598",
    "100.100.100.200": "Alibaba Cloud metadata, within RFC 6598",
    "127.0.0.1": "loopback, RFC 1122",
    "127.255.255.254": "loopback, RFC 1122",
    "169.254.169.254": "link local, RFC 3927; metadata of several clouds",
    "172.16.0.0": "private use, RFC 1918",
    "172.31.255.255": "private use, RFC 1918",
    "192.0.0.1": "IETF protocol assignments, RFC 6890",
    "192.0.0.9": "Port Control Protocol anycast, RFC 7723",
    "192.0.0.192": "Oracle Cloud metadata, within RFC 6890",
    "192.0.2.1": "TEST-NET-1, RFC 5737",
    "192.31.196.1": "AS112-v4, RFC 7535",
    "192.52.193.1": "AMT, RFC 7450",
    "192.88.99.1": "6to4 relay anycast, RFC 7526",
    "192.168.255.255": "private use, RFC 1918",
    "192.175.48.1": "AS112 service, RFC 7534",
    "198.18.0.0": "benchmarking, RFC 2544",
    "198.19.255.255": "benchmarking, RFC 2544",
    "198.51.100.1": "TEST-NET-2, RFC 5737",
    "203.0.113.1": "TEST-NET-3, RFC 5737",
    "224.0.0.1": "multicast, RFC 5771",
    "239.255.255.255": "multicast, RFC 5771",
    "240.0.0.1": "reserved, RFC 1112",
    "255.255.255.255": "limited broadcast, RFC 8190",
    # Public addresses that mean a cloud's own platform, by the vendors' documentation
    "168.63.129.16": "Azure",
    "161.26.0.10": "IBM Cloud",
    "166.11.255.255": "IBM Cloud",
    "199.36.153.4": "Google Cloud, restricted.googleapis.com",
    "199.36.153.11": "Google Cloud, private.googleapis.com",
    "2600:2d00:2:1000::1": "Google Cloud, restricted.googleapis.com",
    "2600:2d00:2:2000::1": "Google Cloud, private.googleapis.com",
    # IANA IPv6 Special-Purpose Address Registry
    "::": "unspecified, RFC 4291",
    "::1": "loopback, RFC 4291",
    "::127.0.0.1": "IPv4-compatible, RFC 4291",
    "::93.184.216.34": "IPv4-compatible, deprecated by RFC 4291",
    "::ffff:127.0.0.1": "IPv4-mapped, RFC 4291, of loopback",
    "::ffff:168.63.129.16": "IPv4-mapped, RFC 4291, of Azure",
    "::ffff:0:93.184.216.34": "IPv4-translated, RFC 2765",
    "64:ff9b::10.0.0.1": "NAT64, RFC 6052, of private use",
    "64:ff9b::192.88.99.1": "NAT64, RFC 6052, of 6to4 relay anycast",
    "64:ff9b:1::1": "local-use translation, RFC 8215",
    "64:ff9b:1:ffff::5db8:d822": "local-use translation, RFC 8215",
    "100::1": "discard only, RFC 6666",
    "100:0:0:1::1": "dummy prefix, RFC 9780",
    "2001::1": "Teredo, RFC 4380",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo, RFC 4380",
    "2001:1::1": "Port Control Protocol anycast, RFC 7723",
    "2001:2::1": "benchmarking, RFC 5180",
    "2001:3::1": "AMT, RFC 7450",
    "2001:4:112::1": "AS112-v6, RFC 7535",
    "2001:10::1": "ORCHID, RFC 4843",
    "2001:20::1": "ORCHIDv2, RFC 7343",
    "2001:30::1": "drone remote identification, RFC 9374",
    "2001:1ff:ffff::1": "IETF protocol assignments, RFC 2928",
    "2001:db8::1": "documentation, RFC 3849",
    "2002:7f00:1::": "6to4, RFC 3056, of loopback",
    "2002:5db8:d822::1": "6to4, deprecated by RFC 7526",
    "2620:4f:8000::1": "direct delegation AS112, RFC 7534",
    "3ffe::1": "6bone, RFC 3701",
    "3fff::1": "documentation, RFC 9637",
    "3fff:fff:ffff::1": "documentation, RFC 9637",
    "4000::1": "not assigned, RFC 4291",
    "5f00::1": "segment routing, RFC 9602",
    "fc00::1": "unique local, RFC 4193",
    "fd00:ec2::254": "metadata of AWS, within RFC 4193",
    "fe80::1": "link local, RFC 4291",
    "febf::1": "link local, RFC 4291",
    "fec0::1": "site local, deprecated by RFC 3879",
    "feff::1": "site local, deprecated by RFC 3879",
    "ff02::1": "multicast, RFC 4291",
    "2a00:1450::5efe:10.0.0.1": "ISATAP, RFC 5214",
    "2a00:1450::200:5efe:93.184.216.34": "ISATAP, RFC 5214",
    # With a zone, an address is of one link
    "fe80::1%eth0": "zone, RFC 4007",
    "2606:2800:220:1:248:1893:25c8:1946%1": "zone, RFC 4007",
    "nonsense": "no address",
    "": "no address",
}
PUBLIC = [
    *("1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.1"),
    *("168.63.129.15", "168.63.129.17", "198.17.255.255", "198.20.0.0", "199.36.153.12", "223.255.255.255"),
    *("2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001::200e"),
    *("::ffff:93.184.216.34", "64:ff9b::93.184.216.34"),
]


@pytest.mark.parametrize(("address", "source"), NOT_PUBLIC.items())
def test_an_address_of_a_special_range_is_not_public(address: str, source: str) -> None:
    assert not is_public(address), source


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_beside_the_special_ranges_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7F.1",
            "0177.0.0.1",
            "017700000001",
            "0",
            "0x",
        ),
        *(
            "127.0.0.1.",
            "127.0.0.1..",
            "127%2e0%2e0%2e1",
            "%31%32%37.0.0.1",
            "127。0。0。1",
            "１２７.0.0.1",
            "①②⑦.0.0.1",
        ),
        *("169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "168.63.129.16", "2822734096"),
        *("256.1.1.1", "1.2.3.4.5", "4294967296", "08.8.8.8"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[fe80::1%25eth0]", "[fe80::1%eth0]"),
        *(
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fec0::1]",
            "[5f00::1]",
            "[3fff::1]",
            "[::]",
            "[v1.x]",
            "[nonsense]",
        ),
        *("localhost", "LOCALHOST", "localhost.", "api.localhost", "", ".", "a..b"),
    ],
)
def test_a_host_that_is_no_public_address_is_refused_in_every_form(host: str) -> None:
    assert not may_be_public(f"https://{host}/events")
    assert not may_be_public(f"http://{host}:8080/events?x=1")


@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "example.com.", "hooks.example.co.uk", "1.example", "bücher.example", "xn--bcher-kva.example"),
        *("93.184.216.34", "0x5db8d822", "1572395042", "135.0xb8.0330.34", "[2606:2800:220:1:248:1893:25c8:1946]"),
    ],
)
def test_names_and_public_addresses_are_taken(host: str) -> None:
    assert may_be_public(f"https://{host}/events")


def test_an_action_that_no_event_has_is_refused_with_the_nearest_ones() -> None:
    assert known_actions("input.actions", list(ACTIONS)) == list(ACTIONS)
    with pytest.raises(BadUserInput) as refusal:
        known_actions("input.actions", ["model.created", "version.transitionned"])
    assert str(refusal.value).startswith('input.actions[1] is "version.transitionned"; no event has that action.')
    assert "version.transitioned" in str(refusal.value)
    with pytest.raises(BadUserInput, match=r"webhook\.replayed"):
        known_actions("input.actions", ["webhook.xyzzy"])
