"""Makefile, CI script, image and compose file: whole in themselves and true to the program.

No Docker engine is needed. Where the compose client is installed, it reads the file too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.errors import PolicyError
from proxy.cli import cli as main
from proxy.settings import load

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {
    *("help", "setup", "demo", "test", "lint", "bench", "peers"),
    *("chaos", "soak", "security", "conformance"),
}
SECRETS = {"LIKEWISE_UPSTREAM": "http://127.0.0.1:9", "LIKEWISE_ADMIN_TOKEN": "t" * 32}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def surroundings(path: str) -> dict[str, str]:
    """This process's environment without what an outer make or CI left in it."""
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MODELS", "ARGS", "PYTHON")
    return {k: v for k, v in os.environ.items() if k not in outer} | {"PATH": path}


def make(*args: str, cwd: Path = ROOT, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run a target; tools in the folder `tools` of `cwd` come before the system's."""
    program = shutil.which("make")
    assert program, "make is not installed (Debian: apt-get install make)"
    env = surroundings(path or f"{cwd / 'tools'}:{os.environ['PATH']}")
    return subprocess.run(
        [program, *args], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def write_tool(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that make reads, without an environment yet."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def furnished(clone: Path) -> Path:
    """A clone whose .venv only writes down what it is asked to run."""
    for name in ("python", "likewise", "ruff", "mypy"):
        write_tool(clone / ".venv/bin" / name, f'echo "{name} $*" >> asked')
    write_tool(clone / "tools/redis-server", "exit 0")
    return clone


def asked(clone: Path) -> list[str]:
    """What the furnished clone was asked to run since the last look."""
    log = clone / "asked"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [re.sub(r" --(disable-pip-version-check|quiet)", "", line) for line in lines]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))
    return loaded


class TestMake:
    def test_help_lists_every_target(self) -> None:
        """`make` alone tells a newcomer what there is."""
        said = make()
        assert said.returncode == 0
        assert set(re.findall(r"^ +make (\w+)", said.stdout, re.MULTILINE)) == TARGETS

    def test_commands_behind_targets_exist(self) -> None:
        """What the Makefile and the image run, the program knows."""
        text = read("Makefile") + read("Dockerfile")
        named = set(re.findall(r"bin/likewise (\w+)", text))
        assert named
        assert named <= set(main.commands)

    def test_setup_installs_once(self, furnished: Path) -> None:
        """A second setup installs nothing; a changed pyproject.toml installs again."""
        assert make("setup", cwd=furnished).returncode == 0
        assert asked(furnished) == ["python -m pip install -e .[dev]", "likewise models pull"]
        assert make("setup", cwd=furnished).returncode == 0
        assert asked(furnished) == ["likewise models pull"]
        later = (furnished / ".venv/.installed").stat().st_mtime + 10
        os.utime(furnished / "pyproject.toml", (later, later))
        assert make("setup", cwd=furnished).returncode == 0
        assert asked(furnished)[0] == "python -m pip install -e .[dev]"

    def test_models_come_in_one_pip_command(self, furnished: Path) -> None:
        """So that the small CPU build of torch is kept; a plain setup later changes nothing."""
        assert make("setup", "MODELS=1", cwd=furnished).returncode == 0
        assert asked(furnished)[0] == "python -m pip install torch==2.13.0 -e .[dev,models]"
        assert make("setup", cwd=furnished).returncode == 0
        assert asked(furnished) == ["likewise models pull"]

    def test_arguments_are_handed_on(self, furnished: Path) -> None:
        """`make demo ARGS=--exit` reaches the command."""
        assert make("demo", "ARGS=--exit", cwd=furnished).returncode == 0
        assert asked(furnished)[-1] == "likewise demo --exit"

    def test_lint_needs_no_model(self, furnished: Path) -> None:
        """Linting checks style, format and types, and fetches no weights."""
        assert make("lint", cwd=furnished).returncode == 0
        assert asked(furnished)[1:] == ["ruff check .", "ruff format --check .", "mypy "]

    @pytest.mark.parametrize("tool", ["python", "likewise", "ruff", "mypy"])
    def test_a_failing_tool_fails_the_target(self, furnished: Path, tool: str) -> None:
        """No recipe swallows an exit status."""
        write_tool(furnished / ".venv/bin" / tool, "exit 5")
        assert make("lint", "test", cwd=furnished).returncode != 0

    @pytest.mark.parametrize("script", ["exit 1", None], ids=["old", "missing"])
    def test_an_unfit_python_is_named_in_one_line(self, clone: Path, script: str | None) -> None:
        """The reader learns which interpreter, what is wanted and how to choose another."""
        python = clone / "python3.8"
        if script:
            write_tool(python, script)
        said = make("lint", f"PYTHON={python}", cwd=clone)
        assert said.returncode != 0
        lines = [line for line in said.stderr.splitlines() if line.startswith("likewise: ")]
        assert len(lines) == 1
        assert str(python) in lines[0]
        assert "3.11" in lines[0]
        assert not (clone / ".venv").exists()

    @pytest.mark.parametrize(("user", "installs"), [(0, True), (1000, False)])
    def test_redis_is_installed_for_root_only(self, clone: Path, user: int, installs: bool) -> None:
        """Others are told what will skip and how to change it; setup goes on either way."""
        tools = clone / "tools"
        write_tool(tools / "id", f"echo {user}")
        write_tool(
            tools / "apt-get", f": > {tools}/redis-server; /bin/chmod +x {tools}/redis-server"
        )
        said = make("redis", cwd=clone, path=str(tools))
        assert said.returncode == 0
        assert (tools / "redis-server").exists() is installs
        assert ("will skip" in said.stdout) is not installs


class TestContinuousIntegration:
    def test_it_runs_the_developers_targets(self) -> None:
        """The same commands as on a desk, strict, with servers demanded."""
        text = read(".ci/run")
        assert os.access(ROOT / ".ci/run", os.X_OK)
        assert "set -euo pipefail" in text
        assert re.findall(r"^make (\w+)$", text, re.MULTILINE) == ["setup", "lint", "test"]
        assert re.findall(r"^export (\w+)=", text, re.MULTILINE) == ["CI", "MODELS"]
        assert "||" not in text

    def test_it_reads_as_bash(self) -> None:
        """No syntax error waits for the first run."""
        subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)

    @pytest.mark.parametrize(("status", "good"), [(0, True), (1, False), (5, False)])
    def test_it_fails_when_pytest_does(self, furnished: Path, status: int, good: bool) -> None:
        """A failed test and an empty collection (5) both fail it; the closing line is shown."""
        shutil.copytree(ROOT / ".ci", furnished / ".ci")
        script = f'case "$2" in pytest) echo closing line; exit {status};; esac'
        write_tool(furnished / ".venv/bin/python", script)
        env = surroundings(f"{furnished / 'tools'}:{os.environ['PATH']}")
        ran = subprocess.run(
            [furnished / ".ci/run"], cwd="/", env=env, capture_output=True, text=True, check=False
        )
        assert (ran.returncode == 0) is good
        assert "closing line" in ran.stdout


class TestImage:
    def test_it_runs_as_nobody_special(self) -> None:
        """The last stage drops root before it names what to run."""
        last = read("Dockerfile").split("\nFROM ")[-1]
        assert re.search(r"^USER (?!root|0)\w+", last, re.MULTILINE)
        assert last.index("\nUSER ") < last.index("\nENTRYPOINT ")

    def test_it_brings_its_model_and_keeps_its_data(self) -> None:
        """The model is built with the image; answers live in a volume."""
        build, last = read("Dockerfile").split("\nFROM ")[1:]
        assert "likewise models pull" in build
        cache = re.findall(r"LIKEWISE_CACHE=(\S+)", build + last)
        assert len(cache) == 2
        assert len(set(cache)) == 1
        assert cache[0].startswith("/opt/likewise/")
        assert "COPY --from=build /opt/likewise " in last
        assert "\nWORKDIR /data\n" in last
        assert "\nVOLUME /data\n" in last

    def test_it_says_how_it_is(self) -> None:
        """Ports, health and the command are stated in the image."""
        text = read("Dockerfile")
        assert "\nEXPOSE 8080 8081\n" in text
        assert "127.0.0.1:8080/healthz" in text
        assert '\nENTRYPOINT ["likewise", "serve"]\n' in text

    def test_what_it_copies_is_there_and_let_in(self) -> None:
        """.dockerignore keeps everything out except what the Dockerfile copies."""
        lines = re.findall(r"^COPY (?!--from)(.+)$", read("Dockerfile"), re.MULTILINE)
        sources = {word for line in lines for word in line.split()[:-1]}
        let_in = set(re.findall(r"^!(.+)$", read(".dockerignore"), re.MULTILINE))
        assert all((ROOT / s).exists() for s in sources)
        assert {s.partition("/")[0] for s in sources} == let_in

    def test_its_configuration_is_valid(self) -> None:
        """The file that containers start from loads, and opens both ports to the container."""
        env = {**SECRETS, "REDIS_URL": "redis://redis:6379/0"}
        path = ROOT / "deploy/likewise.docker.yaml"
        server = load(path, env=env).server
        assert server.host == server.admin_host == "0.0.0.0"
        assert (server.port, server.admin_port) == (8080, 8081)

    def test_its_configuration_demands_a_token(self) -> None:
        """Beyond loopback, the dashboard is never open without one."""
        env = {"LIKEWISE_UPSTREAM": "http://127.0.0.1:9", "REDIS_URL": "redis://redis:6379/0"}
        with pytest.raises(PolicyError, match="LIKEWISE_ADMIN_TOKEN"):
            load(ROOT / "deploy/likewise.docker.yaml", env=env)


class TestCompose:
    def replicas(self, compose: dict[str, Any]) -> dict[str, Any]:
        return {n: s for n, s in compose["services"].items() if n.startswith("likewise-")}

    def test_two_replicas_share_one_redis(self, compose: dict[str, Any]) -> None:
        """Both wait for the same healthy Redis and keep their own journal."""
        replicas = self.replicas(compose)
        assert len(replicas) == 2
        volumes = [v.partition(":")[0] for r in replicas.values() for v in r["volumes"]]
        assert len(set(volumes)) == 2
        assert {*volumes, "redis"} == set(compose["volumes"])
        for replica in replicas.values():
            assert replica["environment"]["REDIS_URL"] == "redis://redis:6379/0"
            assert replica["depends_on"] == {"redis": {"condition": "service_healthy"}}

    @pytest.mark.parametrize("name", sorted(SECRETS))
    def test_what_only_the_user_knows_is_demanded(self, compose: dict[str, Any], name: str) -> None:
        """Compose stops with a sentence rather than starting half-configured."""
        for replica in self.replicas(compose).values():
            assert re.fullmatch(rf"\$\{{{name}:\?.+\}}", replica["environment"][name])

    def test_ports_are_published_to_this_machine_only(self, compose: dict[str, Any]) -> None:
        """Nothing is open to the network until somebody decides so; Redis never is."""
        ports = [p for s in compose["services"].values() for p in s.get("ports", [])]
        assert len(ports) == len(set(ports)) == 4
        assert all(p.startswith("127.0.0.1:") for p in ports)
        assert "ports" not in compose["services"]["redis"]

    def test_redis_keeps_what_it_must(self, compose: dict[str, Any]) -> None:
        """Append-only, and eviction never takes what has no expiry (the secret)."""
        words = compose["services"]["redis"]["command"]
        assert all(isinstance(w, str) for w in words)
        said = dict(zip(words[1::2], words[2::2], strict=True))
        assert said["--appendonly"] == "yes"
        assert said["--maxmemory-policy"] in {"volatile-lru", "noeviction"}
        assert "healthcheck" in compose["services"]["redis"]

    def test_replicas_hold_no_privilege(self, compose: dict[str, Any]) -> None:
        """Read-only root, no capabilities, no way to gain them."""
        for replica in self.replicas(compose).values():
            assert replica["read_only"] is True
            assert replica["cap_drop"] == ["ALL"]
            assert replica["security_opt"] == ["no-new-privileges:true"]

    def test_the_compose_client_reads_it(self) -> None:
        """Where `docker compose` is installed, it accepts the file and names what is unset."""
        client = ["docker", "compose"]
        if (
            not shutil.which("docker")
            or subprocess.run([*client, "version"], capture_output=True, check=False).returncode
        ):
            pytest.skip("the docker compose client is not installed")
        command = [*client, "-f", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
        bare = {k: v for k, v in os.environ.items() if k not in SECRETS}
        subprocess.run(command, env=bare | SECRETS, check=True)
        refused = subprocess.run(command, env=bare, capture_output=True, text=True, check=False)
        assert refused.returncode != 0
        assert "set LIKEWISE_" in refused.stderr
