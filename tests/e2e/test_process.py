"""The gateway as its own process: signals, children, exit codes, and what a newcomer types."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import waiting
from tests.support.process import Served, served

TIME = {"command": "mcp-server-time", "args": ["--local-timezone=Asia/Shanghai"]}
PATIENCE = 30


def config(folder: Path, **more) -> str:
    whole = {"listen": {"port": 0}, "database": {"url": f"sqlite:///{folder}/mcp_chat.db"}, "servers": {"time": TIME}}
    return json.dumps({**whole, **more})


def run(gateway: Served, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *words, "--config", str(gateway.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def descendants(pid: int) -> set[int]:
    """Every living process below `pid`."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found, wave = set(), {pid}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave}
        found |= wave
    return found


def until(holds) -> None:
    """Wait, bounded, for something that another process does."""
    asyncio.run(waiting.until(holds, every=0.02))


def test_a_newcomers_first_call_is_answered_recorded_and_shown(tmp_path):
    with served(config(tmp_path), tmp_path) as gateway:
        call = run(
            gateway, "call", "time__get_current_time", "--input", '{"timezone":"Asia/Shanghai"}', "--url", gateway.url
        )
        assert call.returncode == 0, call.stderr
        assert "Asia/Shanghai" in call.stdout
        servers = run(gateway, "servers", "--json")
        shown = (
            json.loads(servers.stdout.splitlines()[0])
            if not servers.stdout.lstrip().startswith("[")
            else json.loads(servers.stdout)[0]
        )
        assert "time" in json.dumps(shown)
        calls = run(gateway, "calls")
        assert "get_current_time" in calls.stdout
        assert re.search(r": alive \d+ s ago", run(gateway, "db", "status").stdout)
        assert "nothing missing: 1 calls of 1 run" in run(gateway, "calls", "verify").stdout
        assert "ok" in calls.stdout
        banner = gateway.program.said
        assert "time" in banner
        assert "mcp-gateway call time__get_current_time" in banner or "mcp-gateway call" in banner


@pytest.mark.trap(41)
@pytest.mark.trap(72)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_leaves_no_child_behind(tmp_path, number):
    with served(config(tmp_path), tmp_path) as gateway:
        pid = gateway.program.child.pid
        until(lambda: descendants(pid))
        children = descendants(pid)
        run(gateway, "call", "time__get_current_time", "--input", '{"timezone":"UTC"}', "--url", gateway.url)
        gateway.program.child.send_signal(number)
        assert gateway.program.child.wait(PATIENCE) == 0
        assert not [child for child in children if Path(f"/proc/{child}").exists()]
        with sqlite3.connect(tmp_path / "mcp_chat.db") as database:
            assert database.execute("select status from server_calls").fetchall() == [("success",)]
        database.close()


@pytest.mark.trap(41)
def test_children_do_not_outlive_a_gateway_that_was_killed(tmp_path):
    (tmp_path / "config.yaml").write_text(config(tmp_path))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "config.yaml")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        until(lambda: re.search("listening", child.stdout.readline()) is not None)
        until(lambda: descendants(child.pid))
        children = descendants(child.pid)
        child.kill()
        child.wait(PATIENCE)
    until(lambda: not [pid for pid in children if alive(pid)])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def test_sighup_reloads_the_file(tmp_path):
    with served(config(tmp_path, lifecycle={"reload_interval": 3600}), tmp_path) as gateway:
        gateway.config.write_text(config(tmp_path, servers={"clock": TIME}))
        gateway.program.child.send_signal(signal.SIGHUP)
        until(lambda: "configuration reloaded" in gateway.program.said)
        listed = run(gateway, "call", "clock__get_current_time", "--input", '{"timezone":"UTC"}', "--url", gateway.url)
        assert listed.returncode == 0, listed.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("servers: {time: {comand: x}}", "command"),
        ("listen: {host: 0.0.0.0}\nservers: {}", "unauthenticated"),
        ("", "empty"),
    ],
)
def test_a_bad_file_ends_serve_with_2_and_one_line_per_problem(tmp_path, text, words):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, check=False)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_ends_serve_with_one_line(tmp_path):
    with served(config(tmp_path), tmp_path) as gateway:
        port = gateway.url.rpartition(":")[2].partition("/")[0]
        second = tmp_path / "second"
        second.mkdir()
        (second / "config.yaml").write_text(config(second))
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(second / "config.yaml"), "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=second, check=False)
        assert ended.returncode == 1
        assert f"mcp-gateway: cannot listen on 127.0.0.1:{port} (listen, or metrics.listen): " in ended.stderr
        assert ended.stderr.endswith(
            "another program has this port, perhaps another gateway; stop it, or choose another port\n"
        )


def test_a_refused_reload_is_a_line_of_the_log_per_problem(tmp_path):
    with served(config(tmp_path), tmp_path) as gateway:
        gateway.config.write_text(config(tmp_path, servers={"time": {"comand": "x"}, "git": {"urll": "y"}}))
        until(lambda: "urll" in gateway.program.said and "comand" in gateway.program.said)
        told = [line for line in gateway.program.log if "urll" in line or "comand" in line]
        assert all(re.match(r"\S+ ERROR +gateway\.control: the configuration stays as it was: ", line) for line in told)


def test_ctrl_c_before_the_banner_is_a_drain_without_a_banner(tmp_path):
    (tmp_path / "config.yaml").write_text(config(tmp_path, servers={"mute": {"command": "sleep", "args": ["1000"]}}))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "config.yaml")]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as child:
        until(lambda: descendants(child.pid))
        child.send_signal(signal.SIGINT)
        said, complaint = child.communicate(timeout=PATIENCE)
        assert (child.returncode, said) == (0, "")
        assert "Traceback" not in complaint
