# SPDX-License-Identifier: GPL-3.0-or-later
"""What README and the examples show works, and what is installed is what they tell of."""

import gzip
import os
import re
import subprocess

import pytest

from servers import ROOT, Key, Secondary, await_serial, module_path, query, tool, zone_text

README = (ROOT / "README.md").read_text()
EXAMPLES = sorted((ROOT / "module" / "examples").glob("*.conf"))

pytestmark = pytest.mark.plain


def blocks(chapter):
    """The indented blocks of a chapter."""
    text = README.split(f"\n## {chapter}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Documented(Secondary):
    """knotd with a configuration as it is shown: only addresses, paths and the user are those of the test."""

    def __init__(self, path, shown="", places=None, so=None, **common):
        super().__init__(path, **common)
        self.shown, self.places, self.so = shown, places or {}, so or module_path()

    def config(self):
        text = self.shown
        changes = {
            "rundir: /run/knot": f"rundir: {self.run}",
            "  user: knot:knot\n": "",
            "listen: [0.0.0.0@53, ::@53]": f"listen: {self.address}@{self.port}",
            "target: syslog\n    any: info": "target: stderr\n    any: debug",
            "  - id: mod-secondary ": f"  - id: mod-secondary\n    file: {self.so} ",
            "  - id: mod-secondary\n": f"  - id: mod-secondary\n    file: {self.so}\n",
            **self.places,
        }
        for old, new in changes.items():
            text = text.replace(old, new)
        return text + f"database:\n  storage: {self.database}\n"


def primary_places(primary, notified):
    """The addresses of the examples, and what stands for them here."""
    own = f"{primary.address}@{primary.port}"
    return {"[192.0.2.1@53, 2001:db8::1]": own, "address: 192.0.2.1\n": f"address: {own}\n",
            "address: 192.0.2.2\n": f"address: {own}\n", "address: 198.51.100.7\n": f"address: 127.0.0.1@{notified}\n",
            "198.51.100.0/24": "127.0.0.0/8"}


def key_of(text):
    key = Key("xfr")
    key.secret = re.search(r"secret: (\S+)", text).group(1)
    return key


def test_examples_are_those_of_the_readme():
    assert EXAMPLES
    for example in EXAMPLES:
        assert example.read_text() in blocks("Example"), example.name


def test_zone_scope_example_serves(servers):
    shown = (ROOT / "module/examples/zone-scope.conf").read_text()
    zones = {name: zone_text(name) for name in ("example.com", "example.org")}
    key = key_of(shown)
    primary = servers.knotd(zones, key=key).start()
    branch = servers.knotd(mirrored=zones, key=key)
    places = primary_places(primary, branch.port)
    secondary = servers._add(Documented, shown=shown, places=places).start()
    # The branch is told, and may transfer with the key.
    secondary.key = key
    branch.primaries.append(secondary)
    branch.start()
    for name in zones:
        secondary.await_serial(name, 1)
        await_serial(branch, name, 1)


def test_global_scope_example_serves(servers, tmp_path):
    shown = (ROOT / "module/examples/global-scope.conf").read_text()
    primary = servers.knotd({"example.com": zone_text("example.com")}).start()
    names = tmp_path / "zones.list"
    names.write_text("example.com   # one\n")
    places = {**primary_places(primary, 0), "/etc/knot/zones.list": str(names)}
    secondary = servers._add(Documented, shown=shown, places=places).start()
    secondary.await_serial("example.com", 1)


def schema():
    """The items of a stanza: knotd 3.2 does not tell them, so they are read where they are defined."""
    source = "".join(path.read_text() for path in ROOT.glob("*/**/settings*.[ch]"))
    return set(re.findall(r'^#define S_\w+ +"\\x[0-9A-F]{2}""([a-z-]+)"', source, re.MULTILINE))


def test_each_item_is_in_the_reference():
    """README's list and table have the items of the schema, and no others."""
    items = schema()
    assert "transfer-from" in items
    listed = set(re.findall(r"^    ([a-z-]+): ", blocks("Reference")[0], re.MULTILINE))
    chapter = README.split("\n## Reference\n", 1)[1].split("\n## ", 1)[0]
    rows = {name for row in re.findall(r"^\| (`[^|]*) \|", chapter, re.MULTILINE) for name in re.findall(r"`([a-z-]+)`", row)}
    assert listed - {"id"} == items
    assert rows == items


def configurations():
    """The blocks of README that are of knot.conf: their first line names a section."""
    found = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for text in found if re.match(r"(#.*\n\n)?[a-z]+:\n  - |(#.*\n\n)?server:\n", text)]


@pytest.mark.parametrize("text", configurations(), ids=lambda text: re.sub(r"\W+", "-", text[:40]))
def test_each_configuration_is_valid(tmp_path, text):
    names = tmp_path / "zones.list"
    names.write_text("example.com\n")
    configuration = tmp_path / "knot.conf"
    configuration.write_text(re.sub(r"  - id: mod-secondary.*", f"  - id: mod-secondary\n    file: {module_path()}", text)
                             .replace("/etc/knot/zones.list", str(names)))
    checked = subprocess.run([tool("knotc"), "-c", configuration, "conf-check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def shown_commands():
    return sorted({line.split("   ")[0].strip() for text in blocks("Operating") for line in text.splitlines()
                   if line.startswith("knotc ")})


def test_each_command_of_the_readme_works(servers):
    primary, secondary = servers.pair({"example.com": zone_text("example.com")})
    commands = shown_commands()
    assert len(commands) >= 4
    for command in commands:
        words = re.sub(r"\[ZONE…\]|\[[A-Z]+…?\]", "", command).replace("ZONE", "example.com.").split()[1:]
        if words[:1] == ["-s"]:
            secondary.knotc_module(*words[2:])
        else:
            secondary.knotc(*words)
    secondary.await_serial("example.com", 1)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The Debian package, unpacked."""
    made = subprocess.run([ROOT / "build.sh", "package"], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    path = ROOT / made.stdout.splitlines()[-1]
    tree = tmp_path_factory.mktemp("package")
    subprocess.run([tool("dpkg-deb"), "-x", path, tree], check=True)
    return path, tree


def field(package, name):
    return subprocess.run([tool("dpkg-deb"), "-f", package, name], check=True, capture_output=True, text=True).stdout.strip()


def test_package_depends_on_this_knot(package):
    release = subprocess.run(["pkg-config", "--modversion", "knotd"], check=True, capture_output=True, text=True).stdout.strip()
    assert field(package[0], "Package") == "knot-module-secondary"
    depends = field(package[0], "Depends")
    assert f"knot (>= {release}), knot (<< {release}.~)" in depends
    for library in ("libgnutls30", "liburcu8", "libuv1"):
        assert library in depends


def test_package_serves(package, servers):
    """The module of the package, with the example of the package."""
    tree = package[1]
    directory = subprocess.run(["pkg-config", "--variable=module_instdir", "knotd"], check=True, capture_output=True, text=True)
    so = tree / directory.stdout.strip().lstrip("/") / "secondary.so"
    shown = (tree / "usr/share/doc/knot-module-secondary/examples/zone-scope.conf").read_text()
    primary = servers.knotd({"example.com": zone_text("example.com")}, key=key_of(shown)).start()
    secondary = servers._add(Documented, shown=shown, places=primary_places(primary, 0), so=so)
    # Sanitizers are for the module of the checkout.
    secondary.wrapped = False
    secondary.start()
    secondary.await_serial("example.com", 1)
    assert query(secondary, "example.com", "NS").answer


def test_package_has_the_manual(package):
    page = gzip.decompress((package[1] / "usr/share/man/man7/mod-secondary.7.gz").read_bytes()).decode()
    assert "transfer-from" in page and "Operating".upper() in page
    assert not os.path.exists(package[1] / "usr/bin")
